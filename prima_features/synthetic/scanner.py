"""What the scanner adds to an image: receive field, point spread, noise, gain."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from prima_features.synthetic.acquisition import Acquisition

_ORDERS = 3
_ADC_NOISE = 1000.0
"""1e-6 mm2/s, what an ADC map's noise is relative to."""


def effects(image: torch.Tensor, scan: Acquisition) -> torch.Tensor:
    """Receive field, point spread, Rician noise and gain, in this order. (columns, rows, slices).

    ADC maps, which are computed of images, get point spread and noise only.
    """
    rng = np.random.default_rng((scan.seed, 1))
    if scan.sequence == "ADC":
        return _map_noise(_spread(image, scan), rng, scan)
    image = _spread(image * _receive_field(image, rng, scan), scan)
    return _rician(image, rng, scan.noise).mul_(scan.gain)


def _receive_field(image: torch.Tensor, rng: np.random.Generator, scan: Acquisition) -> torch.Tensor:
    """A positive field of mean logarithm 0: low cosines along each axis."""
    weights = rng.normal(size=(_ORDERS, _ORDERS, _ORDERS))
    order = np.add.outer(np.add.outer(np.arange(_ORDERS), np.arange(_ORDERS)), np.arange(_ORDERS))
    weights = np.where(order > 0, weights / (1 + order) ** 1.5, 0)
    weights *= scan.bias / max(float(np.sqrt((weights**2).sum() / 4)), 1e-6)
    log = torch.tensor(weights, dtype=torch.float32, device=image.device)
    for size in image.shape:  # each turn replaces the first axis and puts it last
        place = (torch.arange(size, device=image.device) + 0.5) / size * torch.pi
        waves = torch.cos(place[:, None] * torch.arange(_ORDERS, device=image.device))
        log = torch.tensordot(log, waves, dims=([0], [1]))
    return log.exp()


def _spread(image: torch.Tensor, scan: Acquisition) -> torch.Tensor:
    """Gaussian blur in plane."""
    for axis, spacing in enumerate(scan.spacing):
        sigma = scan.blur / spacing
        if sigma < 0.25:
            continue
        reach = max(1, round(2.5 * sigma))
        steps = torch.arange(-reach, reach + 1, dtype=torch.float32, device=image.device)
        kernel = torch.exp(-0.5 * (steps / sigma) ** 2)
        kernel /= kernel.sum()
        padded = F.pad(image.movedim(axis, -1), (reach, reach)).movedim(-1, axis)
        image = sum(w * padded.narrow(axis, i, image.shape[axis]) for i, w in enumerate(kernel.tolist()))
    return image


def _rician(image: torch.Tensor, rng: np.random.Generator, sd: float) -> torch.Tensor:
    """The magnitude of a signal with noise in its real and imaginary part."""
    real, imaginary = (
        torch.from_numpy(rng.standard_normal(tuple(image.shape), dtype=np.float32)).to(image.device).mul_(sd)
        for _ in range(2)
    )
    return torch.hypot(real.add_(image), imaginary)


def _map_noise(image: torch.Tensor, rng: np.random.Generator, scan: Acquisition) -> torch.Tensor:
    noise = torch.from_numpy(rng.standard_normal(tuple(image.shape), dtype=np.float32)).to(image.device)
    return torch.where(image > 100, (image + noise * scan.noise * _ADC_NOISE).clamp(min=1), 0)
