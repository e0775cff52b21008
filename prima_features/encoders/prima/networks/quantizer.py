"""A codebook that follows the latents by exponential moving averages (arXiv 1711.00937, appendix A.1)."""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

_ROWS = 8192
"""Latent vectors compared with the codebook at a time: at the published size 256 MiB of distances."""


class Codebook(nn.Module):
    """Code vectors, each the running mean of the latent vectors nearest to it.

    Args:
        codes: number of code vectors.
        dim: their length.
        decay: share of the old averages that an update keeps.
        epsilon: Laplace smoothing of the cluster sizes, so that a code that nobody uses stays finite.
    """

    ema_cluster_size: Tensor
    ema_w: Tensor

    def __init__(self, codes: int, dim: int, decay: float = 0.5, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.decay, self.epsilon = decay, epsilon
        self.embedding = nn.Embedding(codes, dim)
        self.embedding.weight.requires_grad_(False)
        self.register_buffer("ema_cluster_size", torch.zeros(codes))
        self.register_buffer("ema_w", self.embedding.weight.clone())

    def nearest(self, vectors: Tensor) -> Tensor:
        """Index (M,) of the code nearest to each vector (M, dim)."""
        weight = self.embedding.weight.to(vectors.dtype)
        # |v - w|^2 without |v|^2, which is the same for every code.
        offset = weight.square().sum(dim=1)
        parts = [torch.addmm(offset, part, weight.T, alpha=-2).argmin(dim=1) for part in vectors.split(_ROWS)]
        return torch.cat(parts)

    @torch.no_grad()
    def update(self, vectors: Tensor, codes: Tensor) -> None:
        """Move the codes towards the vectors (M, dim) that chose them, over all processes of a training."""
        counts = torch.zeros_like(self.ema_cluster_size).index_add_(0, codes, torch.ones_like(vectors[:, 0]))
        sums = torch.zeros_like(self.ema_w).index_add_(0, codes, vectors)
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(counts)
            dist.all_reduce(sums)
        self.ema_cluster_size.lerp_(counts, 1 - self.decay)
        self.ema_w.lerp_(sums, 1 - self.decay)
        total = self.ema_cluster_size.sum()
        share = (self.ema_cluster_size + self.epsilon) / (total + len(self.ema_w) * self.epsilon)
        self.embedding.weight.copy_(self.ema_w / (share * total)[:, None])


class Quantizer(nn.Module):
    """Replaces each latent vector by the nearest code, passing gradients straight through.

    Args:
        commitment: weight of the squared distance that keeps latents near their codes.
    """

    def __init__(self, codes: int, dim: int, commitment: float = 0.25) -> None:
        super().__init__()
        self.commitment = commitment
        # Twice the same name, because the published state dict has it so: quantizer.quantizer.embedding.
        self.quantizer = Codebook(codes, dim)

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantise latents (N, C, d, h, w); in training mode the codebook moves too.

        Returns:
            The quantised latents (N, C, d, h, w), the codes (N, d, h, w) int64, and the commitment loss ().
        """
        # Under autocast half precision could not tell thousands of codes apart.
        with torch.autocast(latent.device.type, enabled=False):
            vectors = latent.movedim(1, -1).float()  # (N, d, h, w, C)
            flat = vectors.flatten(0, -2)
            codes = self.quantizer.nearest(flat.detach())
            quantized = self.quantizer.embedding(codes).view_as(vectors).movedim(-1, 1).to(latent.dtype)
            if self.training:
                self.quantizer.update(flat, codes)
            loss = self.commitment * F.mse_loss(latent, quantized)
        return latent + (quantized - latent).detach(), codes.view(vectors.shape[:-1]), loss
