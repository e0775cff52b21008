"""Checks of the device and of memory."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from prima_features.doctor.check import Check, Setup, failed, passed, size, warned
from prima_features.embedding.engine.options import usable_cores

if TYPE_CHECKING:
    import torch

_LITTLE_GPU_MEMORY = 4e9
_LITTLE_MEMORY = 4e9
"""Bytes, a round number: the published model and one large scan, with room to spare."""
_INSTALL = "install the build of torch for it: https://pytorch.org/get-started"


def device(setup: Setup) -> Iterator[Check]:
    """The device that `prima embed` would take, with a product computed on it."""
    from prima_features.embedding.engine.device import pick_device
    from prima_features.errors import UsageError

    try:
        picked = pick_device(setup.device)
    except UsageError as error:
        yield failed("device", str(error), f"use --device cpu, or {_INSTALL}")
        return
    if picked.type == "cuda":
        yield _examine_gpu(picked)
    elif setup.device == "auto" and _has_nvidia_driver():
        yield _unseen_gpu()
    else:
        yield passed("device", f"{picked}, {usable_cores()} cores for this process")


def memory(setup: Setup) -> Iterator[Check]:
    """Main memory that is free for this process."""
    import psutil

    machine = psutil.virtual_memory()
    available = min(machine.available, _left_by_limit())
    found = f"{size(available)} available of {size(machine.total)}"
    if available < _LITTLE_MEMORY:
        yield warned("memory", found, "close other programs or ask the scheduler for more, 4 GB at least")
    else:
        yield passed("memory", found)


def _examine_gpu(device: torch.device) -> Check:
    import torch

    properties = torch.cuda.get_device_properties(device)
    free, total = torch.cuda.mem_get_info(device)
    found = (
        f"{device}: {properties.name}, compute capability {properties.major}.{properties.minor}, "
        f"{size(free)} free of {size(total)}"
    )
    square = torch.full((64, 64), 0.5, device=device)
    try:
        product = (square @ square).cpu()
    except RuntimeError as error:  # "no kernel image is available": torch was not built for this GPU
        return failed("device", f"{found}; it cannot compute: {str(error).splitlines()[0]}", _INSTALL)
    if not bool((product == 16).all()):
        return failed("device", f"{found}; it computes wrong numbers", "use another GPU, or --device cpu")
    if free < _LITTLE_GPU_MEMORY:
        return warned(
            "device", found, "stop other programs on the GPU (see nvidia-smi), or lower --batch-size"
        )
    return passed("device", found)


def _has_nvidia_driver() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def _unseen_gpu() -> Check:
    import torch

    found = f"cpu; an NVIDIA driver is here, but torch {torch.__version__} sees no GPU"
    if torch.version.cuda is None:
        return warned("device", found, _INSTALL)
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None:
        return warned("device", found, f"CUDA_VISIBLE_DEVICES is {hidden!r}: unset it, or ask for a GPU")
    remedy = f"nvidia-smi must list a GPU and a driver for CUDA {torch.version.cuda}; update the driver or {_INSTALL}"
    return warned("device", found, remedy)


def _left_by_limit() -> float:
    """Bytes that the limit of a container or a job leaves; psutil does not read control groups."""
    group = Path("/sys/fs/cgroup")
    try:
        return int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
    except (OSError, ValueError):  # no control group of version 2, or "max": no limit
        return math.inf
