"""The network on a device: number types, and batches that are too large for the memory."""

import numpy as np
import pytest
import torch

from prima_features.embedding.engine.device import (
    computation,
    compute_dtype,
    multiplies_bfloat16,
    pick_devices,
)
from prima_features.embedding.engine.options import EngineOptions
from prima_features.encoders.prima import PrimaModel
from prima_features.encoders.prima.encode import Network
from prima_features.errors import UsageError

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
    assert "at batch size 16; continuing with 8" in caplog.text


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


CUDA = torch.device("cuda", 0)


@pytest.mark.parametrize(("capability", "dtype"), [((7, 5), torch.float32), ((8, 0), torch.bfloat16)])
def test_a_gpu_computes_in_bfloat16_where_it_has_it(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert compute_dtype("auto", CUDA) == dtype
    assert compute_dtype("fp32", CUDA) == torch.float32


@pytest.mark.parametrize(
    ("flags", "has"),
    [
        ({"avx512_f": True, "avx512_bf16": False}, False),
        ({"avx512_bf16": True}, True),
        ({"bf16": True}, True),
    ],
)
def test_a_processor_is_asked_for_its_instructions(
    monkeypatch: pytest.MonkeyPatch, flags: dict[str, bool], has: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags)
    assert multiplies_bfloat16(CPU) == has


def test_the_batch_is_as_told_or_fits_the_device() -> None:
    assert computation(EngineOptions(), CPU).batch_size == 32
    assert computation(EngineOptions(precision="fp32"), CUDA).batch_size == 256
    assert computation(EngineOptions(precision="fp32", batch_size=5), CUDA).batch_size == 5
    assert computation(EngineOptions(devices=("cpu",)), CUDA).batch_size == 32


def test_all_devices_of_a_run_compute_in_one_number_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8 - device.index, 0))
    assert computation(EngineOptions(devices=("cuda:0",)), CPU).dtype == torch.bfloat16
    both = computation(EngineOptions(devices=("cuda:0", "cuda:1")), CPU)
    assert (both.dtype, len(both.devices)) == (torch.float32, 2)


def test_several_devices_are_named_with_commas() -> None:
    assert pick_devices("cpu") == (CPU,)
    assert pick_devices("cpu, cpu") == (CPU,)
    with pytest.raises(UsageError, match="not available on this machine"):
        pick_devices("cpu,cuda:97")
