"""The recipe's CLIP stage in two processes, and its own command under torchrun."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch.distributed as dist
from safetensors.torch import load_file
from small_training import clip_settings
from synth.stage import SynthClipStage

from prima_features.errors import UsageError
from prima_features.pretraining.run import check_processes, pretrain, read_stage

from .conftest import RECIPE

Write = Callable[..., Path]
OPTIMISER = "[optimiser]\nlr = 1e-3\neps = 0.1\n[data]"
"""Steps far larger than the agreement asked for, and in proportion to the gradient."""
WORDS = "chunk = 1\naccumulation = 2\nwords_weight = 2\ntell_apart = true"
PAIRS = "chunk = 1\npair_weight = 1"


def measured(folder: Path, name: str) -> list[float]:
    lines = [json.loads(line) for line in (folder / "training" / "log.jsonl").read_text().splitlines()]
    return [line[name] for line in lines if name in line]


@pytest.mark.parametrize(("stage", "more"), [("words", WORDS), ("pairs", PAIRS)])
def test_two_processes_train_as_one_does(
    stage: str,
    more: str,
    bids: Path,
    reports: Path,
    visits: tuple[Path, Path],
    tokenizer_model: Path,
    tmp_path: Path,
) -> None:
    if not dist.is_gloo_available():
        pytest.skip("this torch has no gloo")
    scans = visits if stage == "pairs" else (bids, reports)
    text = clip_settings(*scans, tokenizer_model, steps=5, more=more).replace("[data]", OPTIMISER)
    for name in ("one", "two"):
        (tmp_path / f"{name}.toml").write_text(text.replace('"run"', f'"{name}"'))
    pretrain("clip", tmp_path / "one.toml", clip=SynthClipStage)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    done = subprocess.run(
        [*command, str(RECIPE / "train.py"), "clip", str(tmp_path / "two.toml")],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = tmp_path / "one", tmp_path / "two"
    assert len(measured(one, "loss")) == 5
    np.testing.assert_allclose(measured(two, "loss"), measured(one, "loss"), atol=1e-5, rtol=0)
    # Adam hides a wrong scale of all gradients, their norm does not. Two subjects differ after a few steps: 1e-5 is
    # left.
    atol = 1e-8 if stage == "pairs" else 0
    norms = [measured(folder, "gradient_norm") for folder in (two, one)]
    np.testing.assert_allclose(*norms, rtol=1e-4, atol=atol)
    expected, found = (measured(folder, "validation")[-1] for folder in (one, two))
    assert ("pair_accuracy" in expected) == (stage == "pairs")
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if name != "pair_accuracy":  # rounding decides which of two close vectors is nearer
            assert found[name] == pytest.approx(value, abs=1e-5)
    for file in one.glob("*.safetensors"):
        for name, tensor in load_file(file).items():
            np.testing.assert_allclose(load_file(two / file.name)[name], tensor, atol=1e-5, rtol=1e-5)


def test_batches_of_pairs_that_processes_cannot_share_are_refused(write: Write, bids: Path) -> None:
    path = write(clip_settings(bids, bids, bids, more="pair_weight = 1"))
    pairs = read_stage("clip", path, SynthClipStage)
    check_processes(pairs, 2)
    with pytest.raises(
        UsageError, match=r"batch is 4, which cannot be divided among 4 processes; set it to a multiple of 8"
    ):
        check_processes(pairs, 4)
