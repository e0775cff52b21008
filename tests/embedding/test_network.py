"""The network on a device: number types, and batches that are too large for the memory."""

import numpy as np
import pytest
import torch

from prima_features.embedding.device import compute_dtype, pick_devices
from prima_features.embedding.network import Network
from prima_features.errors import UsageError
from prima_features.weights import PrimaModel

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model() -> PrimaModel:
    return PrimaModel.from_pretrained("prima-untrained")


def values(n: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).random((n, 4, 32, 32), np.float32))


def latents(network: Network, n: int) -> torch.Tensor:
    with torch.inference_mode():
        return network.latents(values(n), 0, lambda: None)


def test_latents_are_the_models(model: PrimaModel) -> None:
    with torch.inference_mode():
        expected = model.encode_subvolumes(values(10))
    torch.testing.assert_close(
        latents(Network(model, CPU, torch.float32, 3), 10), expected, rtol=1e-4, atol=1e-5
    )


def test_bfloat16_gives_nearly_the_same_latents(model: PrimaModel) -> None:
    exact = latents(Network(model, CPU, torch.float32, 8), 8)
    rounded = latents(Network(model, CPU, torch.bfloat16, 8), 8)
    assert rounded.dtype == torch.float32
    assert torch.cosine_similarity(exact.flatten(), rounded.flatten(), dim=0) > 0.999
    assert not torch.equal(exact, rounded)


def test_batches_shrink_until_they_fit_the_memory(
    model: PrimaModel, caplog: pytest.LogCaptureFixture
) -> None:
    expected = latents(Network(model, CPU, torch.float32, 32), 20)
    network = Network(model, CPU, torch.float32, 16)
    seen: list[int] = []

    def refuse_many(module: torch.nn.Module, inputs: tuple[torch.Tensor, int]) -> None:
        seen.append(len(inputs[0]))
        if len(inputs[0]) > 5:
            raise torch.OutOfMemoryError

    network._tokenizer.register_forward_pre_hook(refuse_many)
    torch.testing.assert_close(latents(network, 20), expected, rtol=1e-4, atol=1e-5)
    assert seen == [16, 8, 4, 4, 4, 4, 4]
    assert network.batch_size == 4
    assert "does not do for 16 subvolumes at once: 8" in caplog.text


def test_a_single_subvolume_that_does_not_fit_is_an_error(model: PrimaModel) -> None:
    network = Network(model, CPU, torch.float32, 2)

    def refuse(module: torch.nn.Module, inputs: tuple[torch.Tensor, int]) -> None:
        raise torch.OutOfMemoryError

    network._tokenizer.register_forward_pre_hook(refuse)
    with pytest.raises(torch.OutOfMemoryError):
        latents(network, 3)


def test_a_cpu_computes_in_float32_unless_told_otherwise() -> None:
    assert compute_dtype("auto", CPU) == torch.float32
    assert compute_dtype("bf16", CPU) == torch.bfloat16
    assert compute_dtype("fp32", CPU) == torch.float32


def test_several_devices_are_named_with_commas() -> None:
    assert pick_devices("cpu") == (CPU,)
    assert pick_devices("cpu, cpu") == (CPU,)
    with pytest.raises(UsageError, match="not available here"):
        pick_devices("cpu,cuda:97")
