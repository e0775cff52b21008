"""The tokenizer: a 3-D convolutional VQ-VAE whose encoder makes the latents of tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from prima_features.encoders.prima.networks.config import TokenizerConfig

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


class Convolution(nn.Module):
    """A convolution, and ReLU unless it ends a network or a residual branch."""

    def __init__(self, conv: nn.Module, relu: bool = True) -> None:
        super().__init__()
        self.conv = conv
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x.relu() if self.relu else x


class ResidualUnit(nn.Module):
    """relu(x + conv(relu(conv(x)))), with `hidden` channels in the middle."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.conv1 = Convolution(nn.Conv3d(channels, hidden, 3, padding=1))
        self.conv2 = Convolution(nn.Conv3d(hidden, channels, 3, padding=1), relu=False)

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.conv2(self.conv1(x))).relu()


class ConvEncoder(nn.Module):
    """Levels of one strided convolution and residual units, then a convolution to `code_dim` channels."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        width = 1
        levels = zip(config.channels, config.res_channels, config.downsample, strict=True)
        for channels, hidden, (stride, kernel, dilation, padding) in levels:
            blocks.append(Convolution(nn.Conv3d(width, channels, kernel, stride, padding, dilation)))
            blocks.extend(ResidualUnit(channels, hidden) for _ in range(config.res_layers))
            width = channels
        blocks.append(Convolution(nn.Conv3d(width, config.code_dim, 3, padding=1), relu=False))
        self.blocks = nn.Sequential(*blocks)

    def forward(self, subvolumes: Tensor) -> Tensor:
        return self.blocks(subvolumes)


class Decoder(nn.Module):
    """The encoder mirrored: residual units, then one transposed convolution, at each level."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        inputs, hiddens = config.channels[::-1], config.res_channels[::-1]
        outputs = (*inputs[1:], 1)
        blocks: list[nn.Module] = [
            Convolution(nn.Conv3d(config.code_dim, inputs[0], 3, padding=1), relu=False)
        ]
        levels = zip(inputs, hiddens, outputs, config.upsample, strict=True)
        for i, (channels, hidden, width, (stride, kernel, dilation, padding, extra)) in enumerate(levels):
            blocks.extend(ResidualUnit(channels, hidden) for _ in range(config.res_layers))
            conv = nn.ConvTranspose3d(
                channels, width, kernel, stride, padding, output_padding=extra, dilation=dilation
            )
            blocks.append(Convolution(conv, relu=i < len(inputs) - 1))
        self.blocks = nn.Sequential(*blocks)

    def forward(self, latent: Tensor) -> Tensor:
        return self.blocks(latent)


@dataclass(frozen=True, eq=False)
class TokenizerOutput:
    """One pass of the whole VQ-VAE over N subvolumes."""

    reconstruction: Tensor
    """(N, 1, z, y, x), like the input."""
    latent: Tensor
    """(N, code_dim, d, h, w), before quantisation."""
    codes: Tensor
    """(N, d, h, w) int64, indices into the codebook."""
    quantization_loss: Tensor
    """(), to be added to the reconstruction loss."""


class Tokenizer(nn.Module):
    """Encoder, codebook and decoder."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.encoder = ConvEncoder(config)
        self.decoder = Decoder(config)
        self.quantizer = Quantizer(config.codes, config.code_dim)

    def encode(self, subvolumes: Tensor) -> Tensor:
        """Doubled subvolumes (N, 1, z, y, x) to latents (N, C, d, h, w), not quantised."""
        return self.encoder(subvolumes)

    def forward(self, subvolumes: Tensor) -> TokenizerOutput:
        """Reconstruct subvolumes (N, 1, z, y, x); in training mode the codebook moves too."""
        latent = self.encode(subvolumes)
        quantized, codes, loss = self.quantizer(latent)
        return TokenizerOutput(self.decoder(quantized), latent, codes, loss)


def latent_shape(config: TokenizerConfig, subvolume: tuple[int, int, int]) -> tuple[int, ...]:
    """Shape (C, d, h, w) of the latent of a (doubled) subvolume (z, y, x)."""
    return (config.code_dim, *level_sides(config, subvolume)[-1])


def level_sides(config: TokenizerConfig, subvolume: tuple[int, int, int]) -> list[tuple[int, ...]]:
    """Sides of the encoder's features after each level, for a (doubled) subvolume (z, y, x)."""
    found: list[tuple[int, ...]] = [subvolume]
    for stride, kernel, dilation, padding in config.downsample:
        reach = dilation * (kernel - 1) + 1 - 2 * padding
        found.append(tuple((side - reach) // stride + 1 for side in found[-1]))
    return found[1:] or found
