import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from prima_features.encoders.prima.networks.tokenizer import Codebook, Quantizer


def seeded_codebook(codes: int = 6) -> Codebook:
    torch.manual_seed(0)
    return Codebook(codes, 2)


def test_the_nearest_code_is_the_nearest() -> None:
    codebook, vectors = seeded_codebook(500), torch.randn(9000, 2)
    expected = torch.cdist(vectors.double(), codebook.embedding.weight.double()).argmin(1)
    assert torch.equal(codebook.nearest(vectors), expected)


def test_codes_become_the_running_means_of_their_vectors() -> None:
    codebook, vectors = seeded_codebook(), torch.randn(200, 2)
    codes = codebook.nearest(vectors)
    sums, sizes = codebook.ema_w.clone(), codebook.ema_cluster_size.clone()
    codebook.update(vectors, codes)
    for code in range(6):
        members = vectors[codes == code]
        size = 0.5 * sizes[code] + 0.5 * len(members)
        total = 0.5 * sums[code] + 0.5 * members.sum(0)
        torch.testing.assert_close(codebook.ema_cluster_size[code], size)
        torch.testing.assert_close(codebook.ema_w[code], total)
        assert size > 0, "every code of this seed is used"
        torch.testing.assert_close(codebook.embedding.weight[code], total / size, atol=1e-4, rtol=1e-4)


def test_repeated_updates_find_the_centres_of_clusters() -> None:
    centres = torch.tensor([[4.0, 0.0], [-4.0, 0.0], [0.0, 4.0]])
    codebook = seeded_codebook(3)
    codebook.embedding.weight.copy_(centres + 1)
    vectors = (centres[:, None] + 0.1 * torch.randn(3, 50, 2)).flatten(0, 1)
    for _ in range(30):
        codebook.update(vectors, codebook.nearest(vectors))
    torch.testing.assert_close(
        codebook.embedding.weight.data, vectors.view(3, 50, 2).mean(1), atol=1e-3, rtol=0
    )


def test_a_code_that_nobody_uses_stays_finite() -> None:
    codebook = seeded_codebook(3)
    codebook.embedding.weight[2] = 1000
    for _ in range(200):
        vectors = torch.randn(20, 2)
        codebook.update(vectors, codebook.nearest(vectors))
    assert codebook.embedding.weight.isfinite().all()


def test_gradients_pass_straight_through_the_quantisation() -> None:
    quantizer = Quantizer(6, 2).eval()
    latent = torch.randn(1, 2, 2, 3, 3, requires_grad=True)
    quantized, codes, loss = quantizer(latent)
    vectors = quantizer.quantizer.embedding(codes).movedim(-1, 1)
    torch.testing.assert_close(quantized, vectors)
    torch.testing.assert_close(loss, 0.25 * (latent - vectors).square().mean())
    weights = torch.randn_like(latent)
    (gradient,) = torch.autograd.grad((quantized * weights).sum(), latent)
    assert torch.equal(gradient, weights)


def test_the_commitment_loss_pulls_latents_and_not_codes() -> None:
    quantizer = Quantizer(6, 2).eval()
    latent = torch.randn(1, 2, 2, 3, 3, requires_grad=True)
    quantizer(latent)[2].backward()
    assert latent.grad is not None and latent.grad.abs().sum() > 0
    assert not quantizer.quantizer.embedding.weight.requires_grad


HALF = """
import sys
import torch
import torch.distributed as dist
from prima_features.encoders.prima.networks.tokenizer import Codebook

rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
torch.manual_seed(0)
codebook = Codebook(6, 2)
vectors = torch.load(f"{folder}/vectors.pt", weights_only=True).chunk(2)[rank]
codebook.update(vectors, codebook.nearest(vectors))
torch.save(codebook.state_dict(), f"{folder}/{rank}.pt")
dist.destroy_process_group()
"""


def test_two_processes_agree_on_the_codebook_that_one_would_have(tmp_path: Path) -> None:
    if not dist.is_gloo_available():
        pytest.skip("this torch has no gloo")
    codebook, vectors = seeded_codebook(), torch.randn(40, 2)
    torch.save(vectors, tmp_path / "vectors.pt")
    halves = [subprocess.Popen([sys.executable, "-c", HALF, str(rank), str(tmp_path)]) for rank in range(2)]
    try:
        assert [half.wait(timeout=120) for half in halves] == [0, 0]
    finally:
        for half in halves:
            half.kill()
    codebook.update(vectors, codebook.nearest(vectors))
    for rank in range(2):
        half = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for key, value in codebook.state_dict().items():
            torch.testing.assert_close(half[key], value)
