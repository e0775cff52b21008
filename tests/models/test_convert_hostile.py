"""A checkpoint that names code converts or is refused, and its code does not run."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from prima_features.encoders.prima.convert.run import convert
from prima_features.errors import UsageError

Make = Callable[..., nn.Module]


class Runs:
    """Runs a command when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.canary}",)


def test_code_named_in_a_checkpoint_does_not_run(
    make_full: Make, tokenizer_file: Path, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    model = make_full()
    model.hostile = Runs(canary)  # type: ignore[assignment]
    model.clipmodel.config = {"train": Runs(canary)}  # type: ignore[union-attr, assignment]
    torch.save(model, tmp_path / "made.pt")
    assert not canary.exists()
    convert(tmp_path / "made.pt", tokenizer_file, tmp_path / "output")
    assert not canary.exists()
    torch.load(tmp_path / "made.pt", weights_only=False)
    assert canary.exists()


@pytest.mark.parametrize("part", ["clipmodel", "diagnosisheads", "priorityhead", "thresh"])
def test_code_in_the_place_of_a_part_does_not_run(
    part: str, make_full: Make, tokenizer_file: Path, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    model = make_full()
    if part in model._modules:
        model._modules[part] = Runs(canary)  # type: ignore[assignment]
    elif part == "thresh":
        model.diagnosisheads["glioma"][0].thresh = Runs(canary)  # type: ignore[index, union-attr, assignment]
    else:
        setattr(model, part, Runs(canary))
    torch.save(model, tmp_path / "made.pt")
    with pytest.raises(UsageError):
        convert(tmp_path / "made.pt", tokenizer_file, tmp_path / "output")
    assert not canary.exists()
