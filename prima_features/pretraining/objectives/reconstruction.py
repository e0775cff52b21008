"""The tokenizer's objective."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from prima_features.encoders.prima.networks.tokenizer import TokenizerOutput


def reconstruction_loss(output: TokenizerOutput, subvolumes: Tensor) -> tuple[Tensor, Tensor]:
    """Mean absolute difference from the input (N, 1, z, y, x), and the quantiser's commitment loss; both ()."""
    return F.l1_loss(output.reconstruction.float(), subvolumes), output.quantization_loss
