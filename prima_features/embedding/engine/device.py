"""Where to compute, and in which number type."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from prima_features.embedding.engine.options import EngineOptions, Precision
from prima_features.errors import UsageError

_BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")
"""Instruction sets with products of bfloat16, on x86 and ARM."""


def pick_device(name: str = "auto") -> torch.device:
    """The device with a name; `auto` is a GPU if one is available, otherwise the CPU.

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
        raise UsageError(f"The device {name} is not available on this machine; use --device cpu") from error
    return device


def pick_devices(name: str = "auto") -> tuple[torch.device, ...]:
    """The devices of `--device`: `auto` and `cuda` are all GPUs that are visible to this process.

    Args:
        name: as for `pick_device`, or several, separated by commas.

    Raises:
        UsageError: one of them is not available.
    """
    devices = [pick_device(one.strip()) for one in name.split(",")]
    if devices == [torch.device("cuda")]:
        return tuple(torch.device("cuda", i) for i in range(torch.cuda.device_count()))
    return tuple(dict.fromkeys(devices))


def compute_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """float32 or bfloat16. `auto` is bfloat16 only on GPUs that multiply it in hardware.

    On a CPU it is float32 everywhere, so that a machine of another make gives the same numbers.
    """
    if precision == "auto":
        return torch.bfloat16 if device.type == "cuda" and multiplies_bfloat16(device) else torch.float32
    return torch.bfloat16 if precision == "bf16" else torch.float32


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether a GPU (compute capability 8.0) or the processor multiplies bfloat16 in hardware; others take longer."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    known = torch.cpu.get_capabilities()
    return any(known.get(name, False) for name in _BFLOAT16)


@dataclass(frozen=True)
class Computation:
    """Devices, number type and batch size of a run."""

    devices: tuple[torch.device, ...]
    dtype: torch.dtype
    """The same for all devices: vectors computed in two number types must not be mixed in one file."""
    batch_size: int
    """Most items in one call of the network (`EngineOptions.batch_size`)."""


def computation(options: EngineOptions, model_device: torch.device) -> Computation:
    """Devices, number type and batch size that options give on this machine.

    Args:
        model_device: the model's device, used if the options name none.
    """
    devices = tuple(torch.device(name) for name in options.devices) or (model_device,)
    dtypes = {compute_dtype(options.precision, device) for device in devices}
    dtype = dtypes.pop() if len(dtypes) == 1 else torch.float32
    return Computation(devices, dtype, min(options.batch_for(device.type) for device in devices))
