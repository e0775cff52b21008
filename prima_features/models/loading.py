"""Filling a network with the tensors of a safetensors file: strictly, and without initialising it first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from prima_features.errors import UsageError
from prima_features.files.paths import utf8_name
from prima_features.files.safe import UnsafeFileError, open_regular, safetensors_header

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    Network = TypeVar("Network", bound="nn.Module")

_NAMED = 3

Shapes = Mapping[str, tuple[int, ...]]


def difference(expected: Shapes, found: Shapes) -> str:
    """What is missing, unexpected or of another shape, in words; empty if the two agree."""
    shapes = [
        f"{name} {tuple(found[name])} instead of {tuple(expected[name])}"
        for name in sorted(expected.keys() & found.keys())
        if tuple(found[name]) != tuple(expected[name])
    ]
    parts = {
        "missing": sorted(expected.keys() - found.keys()),
        "unexpected": sorted(found.keys() - expected.keys()),
        "of another shape": shapes,
    }
    return "; ".join(f"{what}: {_some(names)}" for what, names in parts.items() if names)


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def hollow(build: Callable[[], Network]) -> Network:
    """A network without numbers, on the meta device: initialising it would take longer than loading it.

    Args:
        build: makes the network.

    Raises:
        ValueError: its sizes are impossible.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class Uninitialised(TorchFunctionMode):
        """Skips `torch.nn.init`: on the meta device it draws nothing, and imports torch's compiler for a second."""

        def __torch_function__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
        ) -> Any:
            if getattr(func, "__module__", "") == "torch.nn.init":
                return args[0] if args else (kwargs or {})["tensor"]
            return func(*args, **(kwargs or {}))

    try:
        with torch.device("meta"), Uninitialised():
            return build()
    except (TypeError, RuntimeError, ZeroDivisionError) as error:  # as torch says no to sizes such as -1
        raise ValueError(f"{error}".splitlines()[0]) from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, on the CPU.

    Raises:
        UsageError: the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        with utf8_name(path) as name:
            return load_file(name)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: download or convert the whole model") from error
    except SafetensorError as error:
        raise UsageError(f"{path} is damaged ({error}): copy, download or convert it again") from error


def check_tensors(path: Path) -> None:
    """Check the header of a safetensors file, which states every byte of the file.

    Raises:
        UsageError: the file is missing or damaged.
    """
    try:
        with open_regular(path) as file:
            safetensors_header(file)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: download or convert the whole model") from error
    except ValueError as error:
        why = f" (it {error})" if isinstance(error, UnsafeFileError) else ""
        raise UsageError(f"{path} is damaged{why}: copy, download or convert it again") from error


def fill(
    network: nn.Module, path: Path, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> None:
    """Give a network the tensors of a file, and put it in evaluation mode.

    Args:
        network: of the right sizes; may be on the meta device.
        path: a safetensors file with exactly the network's tensors.
        device: device of the tensors.
        dtype: number type of the floating tensors; as stored if None.

    Raises:
        UsageError: tensors are missing, unexpected, of another shape, or whole or complex instead of floating.
    """
    assign(network, read_tensors(path), f"{path}", device, dtype)


def assign(
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    where: str,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
) -> None:
    """Like `fill`, from tensors in memory; `where` names their source in messages."""
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    if problem := difference(expected, {name: tuple(tensor.shape) for name, tensor in tensors.items()}):
        raise UsageError(f"{where} does not contain the tensors that config.json requires ({problem})")
    floating = {name: tensor.is_floating_point() for name, tensor in network.state_dict().items()}
    if other := [name for name, tensor in tensors.items() if tensor.is_floating_point() != floating[name]]:
        found = str(tensors[other[0]].dtype).removeprefix("torch.")
        raise UsageError(
            f"{where} contains {other[0]} as {found}, which the model cannot use: convert or download it again"
        )
    placed = {name: _placed(tensor, device, dtype) for name, tensor in tensors.items()}
    network.load_state_dict(placed, strict=True, assign=True)
    network.eval()


def _placed(tensor: Tensor, device: torch.device | str, dtype: torch.dtype | None) -> Tensor:
    return tensor.to(device, dtype if tensor.is_floating_point() else None)
