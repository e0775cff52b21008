"""Two real processes (gloo) give what one gives with the same global batch; a killed one leaves what it needs."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from small_training import TEXT, clip_settings, tokenizer_settings

from prima_features.embedding.engine.options import EngineOptions
from prima_features.embedding.run import embed
from prima_features.pretraining.run import pretrain

Write = Callable[..., Path]
QUIET = "[log]\ntensorboard = false\nplots = false\n"
BOTH = """
import sys
from pathlib import Path
import accelerate, bids2table, huggingface_hub.hf_api, torch, torch._dynamo, transformers.models.gpt2.modeling_gpt2
import prima_features.pretraining.build, prima_features.pretraining.training.loop, prima_features.encoders.prima
from torch.distributed.launcher import LaunchConfig, elastic_launch
from prima_features.pretraining.run import pretrain


def train():
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    for stage in sys.argv[2:]:
        pretrain(stage, Path(sys.argv[1]) / stage / "s.toml")
    torch.distributed.destroy_process_group()


here = {"rdzv_backend": "c10d", "rdzv_endpoint": "localhost:0", "max_restarts": 0}
elastic_launch(LaunchConfig(1, 1, 2, run_id="both", start_method="fork", **here), train)()
"""
"""What torchrun does, with processes that are forked from one that has imported everything."""
STAGES = ("tokenizer", "names", "clip", "heads")


def measured(folder: Path, name: str) -> list[float]:
    lines = [json.loads(line) for line in (folder / "training" / "log.jsonl").read_text().splitlines()]
    return [line[name] for line in lines if name in line]


def validation(folder: Path) -> dict[str, float]:
    lines = [json.loads(line) for line in (folder / "training" / "log.jsonl").read_text().splitlines()]
    return [line["validation"] for line in lines if "validation" in line][-1]


def heads_settings(model: Path) -> str:
    text = f'output = "run"\nmodel = "{model}"\nsteps = 5\nbatch = 4\nhidden = [16, 8]\ndevice = "cpu"\n'
    text += '[data]\nembeddings = "e.h5"\nlabels = "labels.tsv"\nvalidation = 0.25\ndiagnosis = ["a", "b"]\n'
    return text + f'priority = ["none", "high"]\n{QUIET}'


def names_settings(bids: Path, model: Path) -> str:
    text = f'output = "run"\nmodel = "{model}"\nsteps = 5\nbatch = 2\ndevice = "cpu"\n[data]\nsource = "{bids}"\n'
    text += "[schedule]\nwarmup = 2\n"
    return text + f"[tower]\ndepth = 1\nheads = 2\ndim_head = 8\nmlp_dim = 16\nout_dim = 8\n{QUIET}"


OPTIMISER = "[optimiser]\nlr = {rate}\neps = 0.1\n"
"""Steps far larger than the agreement asked for, and in proportion to the gradient."""
RATES = {"clip": 1e-3}
"""Learning rates (default: 1e-2). At larger ones the few subjects are learnt by heart within these steps, after which
gradients are too small to compare."""


def settings_of(stage: str, bids: Path, reports: Path, model: Path, folder: Path) -> str:
    match stage:
        case "tokenizer":
            text = tokenizer_settings(bids, steps=5, more="revive_every = 2")
        case "names":
            text = names_settings(bids, model)
        case "clip":
            # Several chunks in each process, all augmentations on, two batches a step.
            more = "chunk = 1\naccumulation = 2"
            text = clip_settings(bids, reports, model, steps=5, more=more)
        case _:
            label_table(bids, model, folder)
            text = heads_settings(model)
    return text.replace("[data]", f"{OPTIMISER.format(rate=RATES.get(stage, 1e-2))}[data]")


def label_table(bids: Path, model: Path, folder: Path) -> None:
    """Embeddings in `e.h5`, and labels of which some are not known in `labels.tsv`."""
    embed(bids, folder / "e.h5", str(model), engine_options=EngineOptions(workers=0))
    levels = ("none", "high")
    rows = [f"sub-{i:02}\t{i % 2}\t{'' if i == 2 else int(i > 3)}\t{levels[i % 2]}" for i in range(8)]
    (folder / "labels.tsv").write_text("\n".join(["study\ta\tb\tpriority", *rows]) + "\n")


@pytest.fixture(scope="module")
def both(
    bids: Path,
    reports: Path,
    tokenizer_model: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Each stage trained by one process in `one/STAGE`, and by two, started as by torchrun, in `two/STAGE`."""
    if not dist.is_gloo_available():
        pytest.skip("this torch has no gloo")
    root = tmp_path_factory.mktemp("both")
    for name in ("one", "two"):
        for stage in STAGES:
            folder = root / name / stage
            folder.mkdir(parents=True)
            text = settings_of(stage, bids, reports, tokenizer_model, folder)
            if not torch.cuda.is_available():  # as most settings are: no device is named
                text = text.replace('device = "cpu"\n', "")
            (folder / "s.toml").write_text(text)
    for stage in STAGES:
        pretrain(stage, root / "one" / stage / "s.toml")
    (root / "both.py").write_text(BOTH)
    done = subprocess.run(
        [sys.executable, str(root / "both.py"), str(root / "two"), *STAGES],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return root


@pytest.mark.parametrize("stage", STAGES)
def test_two_processes_train_as_one_does(stage: str, both: Path) -> None:
    one, two = both / "one" / stage / "run", both / "two" / stage / "run"
    assert len(measured(one, "loss")) == 5
    np.testing.assert_allclose(measured(two, "loss"), measured(one, "loss"), atol=1e-5, rtol=0)
    # Adam hides a wrong scale of all gradients, their norm does not.
    np.testing.assert_allclose(measured(two, "gradient_norm"), measured(one, "gradient_norm"), rtol=1e-4)
    assert validation(two).keys() == validation(one).keys()
    for name, value in validation(one).items():
        assert validation(two)[name] == pytest.approx(value, abs=1e-5)
    for file in one.glob("*.safetensors"):
        expected = load_file(file)
        for name, tensor in load_file(two / file.name).items():
            torch.testing.assert_close(tensor, expected[name], atol=1e-5, rtol=1e-5)


def test_batches_that_two_processes_cannot_share_are_refused(write: Write, bids: Path) -> None:
    from prima_features.errors import UsageError
    from prima_features.pretraining.run import check_processes, read_stage

    settings = read_stage("tokenizer", write(tokenizer_settings(bids)))
    check_processes(settings, 4)
    with pytest.raises(UsageError, match="batch is 8, which cannot be divided among 3 processes"):
        check_processes(settings, 3)


KILLED = """
import json, random, signal, sys, time
from multiprocessing import get_context
from pathlib import Path
import accelerate, bids2table, huggingface_hub.hf_api, torch, torch._dynamo, transformers.models.gpt2.modeling_gpt2
import prima_features.pretraining.build, prima_features.pretraining.training.loop, prima_features.encoders.prima
from prima_features.pretraining.training.checkpoint import load
from prima_features.pretraining.run import pretrain


def newest():
    return max((int(path.stem.removeprefix("step-")) for path in checkpoints.glob("step-*.pt")), default=-1)


checkpoints = Path(sys.argv[2]) / "training" / "checkpoints"
steps, rng = [], random.Random(0)
for _ in range(4):
    child = get_context("fork").Process(target=pretrain, args=("clip", Path(sys.argv[1])))
    child.start()
    before, patience = len(steps) and steps[-1], time.monotonic() + 60
    while time.monotonic() < patience and newest() <= before + 1:
        time.sleep(0.01)
    time.sleep(rng.uniform(0, 0.15))
    child.kill()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    # There is at least one, and each that has a checkpoint's name loads.
    steps.append(max(load(file)["progress"]["step"] for file in checkpoints.glob("step-*.pt")))
print(json.dumps(steps))
"""
"""Forked from one that has imported everything, the runs that are killed start at once."""


def test_killed_at_any_moment_it_leaves_a_checkpoint_that_loads(
    bids: Path, reports: Path, tokenizer_model: Path, write: Write, tmp_path: Path
) -> None:
    """Checkpoints at every step, each of some MB, so that most kills fall into the writing of one."""
    wide = TEXT.replace("dim = 16", "dim = 256")
    text = clip_settings(
        bids, reports, tokenizer_model, steps=10_000, tables=f"[checkpoint]\nevery = 1\n{QUIET}"
    )
    done = subprocess.run(
        [sys.executable, "-c", KILLED, write(text.replace(TEXT, wide)), tmp_path / "run"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    steps = json.loads(done.stdout)
    assert len(steps) == 4
    assert all(one < other for one, other in pairwise(steps)), "each went on from the last"
