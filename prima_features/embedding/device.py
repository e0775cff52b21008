"""Where to compute, and in which number type."""

from __future__ import annotations

import torch

from prima_features.embedding.engine_options import Precision
from prima_features.errors import UsageError


def pick_device(name: str = "auto") -> torch.device:
    """The device of that name; `auto` is a GPU where there is one, else the CPU.

    Raises:
        UsageError: no such device, or this machine does not have it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        # Torch built without CUDA answers with an AssertionError.
        raise UsageError(f"The device {name} is not available here; --device cpu always is") from error
    return device


def pick_devices(name: str = "auto") -> tuple[torch.device, ...]:
    """The devices that `--device` names: `auto` and `cuda` are all GPUs that this process may see.

    Args:
        name: as for `pick_device`, or several, separated by commas.

    Raises:
        UsageError: one of them is not there.
    """
    devices = [pick_device(one.strip()) for one in name.split(",")]
    if devices == [torch.device("cuda")]:
        return tuple(torch.device("cuda", i) for i in range(torch.cuda.device_count()))
    return tuple(dict.fromkeys(devices))


def compute_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """float32 or bfloat16. `auto` is bfloat16 only on GPUs that multiply it in hardware (compute capability 8.0)."""
    if precision == "auto":
        half = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
        return torch.bfloat16 if half else torch.float32
    return torch.bfloat16 if precision == "bf16" else torch.float32


def default_batch_size(device: torch.device) -> int:
    """Subvolumes in one call of the tokenizer: as many as keep a device busy."""
    return 256 if device.type == "cuda" else 32
