"""A cohort, reports and settings so small that a stage trains in a second or two."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from accelerate import Accelerator
from coarse import CoarseStudies

from prima_features.pretraining.build import Workplace, build_stage
from prima_features.pretraining.data import synthetic
from prima_features.pretraining.settings import ClipTraining, Training, read_settings
from prima_features.pretraining.training.checkpoint import Checkpoints
from prima_features.pretraining.training.loop import Loop
from prima_features.pretraining.training.record import Recorder
from prima_features.pretraining.training.stage import Stage

FINDINGS = ("bright lesion on the left", "bright lesion on the right", "no acute infarct", "wide ventricles")

NETWORK = """
[network.tokenizer]
channels = [4, 6]
res_channels = [4, 4]
res_layers = 1
codes = 32
[network.names]
sequence = {transformer = {dim = 24, depth = 1, heads = 2, dim_head = 8, mlp_dim = 20}, out_dim = 289}
study = {transformer = {dim = 24, depth = 1, heads = 2, dim_head = 8, mlp_dim = 20}, out_dim = 32}
[network.sequence]
transformer = {dim = 289, depth = 1, heads = 2, dim_head = 16, mlp_dim = 40}
registers = 2
out_dim = 32
[network.study]
transformer = {dim = 32, depth = 1, heads = 2, dim_head = 8, mlp_dim = 40}
registers = 2
out_dim = 12
"""
TEXT = """
[network.contrast]
hidden = 10
out_dim = 6
[network.text]
vocab_size = 300
positions = 64
dim = 16
depth = 1
heads = 2
max_tokens = 40
"""
QUIET = """
[log]
tensorboard = false
plots = false
"""


@pytest.fixture(autouse=True)
def read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """`prima embed` reads scans in this process; starting others takes longer."""
    monkeypatch.setattr("prima_features.embedding.engine.options.usable_cores", lambda: 0)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Small matrices are quicker in one thread, and the machine has other tests to run."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def bids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight subjects with a T1w and a FLAIR each: a bright ball whose place differs."""
    root = tmp_path_factory.mktemp("cohort")
    grid = np.indices((24, 24, 8))
    for number in range(8):
        rng = np.random.default_rng(number)
        anat = root / f"sub-{number:02}" / "anat"
        anat.mkdir(parents=True)
        centre = np.array([6 + 12 * (number % 2), 5 + 2 * number, 4])
        ball = ((grid - centre[:, None, None, None]) ** 2).sum(0) < 20
        for suffix, inside, outside in (("T1w", 100, 400), ("FLAIR", 900, 200)):
            values = np.where(ball, inside, outside) + rng.integers(0, 60, ball.shape)
            image = nib.Nifti1Image(values.astype(np.int16), np.diag([8.0, 8.0, 16.0, 1.0]))
            nib.save(image, anat / f"sub-{number:02}_{suffix}.nii.gz")
    (root / "dataset_description.json").write_text(json.dumps({"Name": "x", "BIDSVersion": "1.9.0"}))
    return root


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report for each subject; the last two are for validation."""
    path = tmp_path_factory.mktemp("reports") / "reports.tsv"
    rows = ["study\tfindings\tabnormal\tsplit"]
    for number in range(8):
        items = [FINDINGS[number % 2], FINDINGS[2 + number % 2], f"size {number} mm"]
        text = " ".join(f"{i}. {item}" for i, item in enumerate(items, start=1))
        rows.append(f"sub-{number:02}\t{text}\t{number % 2}\t{'validation' if number > 5 else 'train'}")
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="session")
def visits(bids: Path, reports: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same subjects, some of whom come again, one of them twice; and their reports. Of the two that are held out
    one comes again."""
    root = tmp_path_factory.mktemp("visits")
    head, *told = reports.read_text().splitlines()
    rows = [head]
    for number, row in enumerate(told):
        subject, rest = row.split("\t", 1)
        for session in range(1, 1 + {0: 3, 1: 2, 2: 2, 3: 2, 6: 2}.get(number, 1)):
            study = f"{subject}_ses-{session}"
            rows.append(f"{study}\t{rest}")
            anat = root / subject / f"ses-{session}" / "anat"
            anat.mkdir(parents=True)
            for path in sorted((bids / subject / "anat").iterdir()):
                image = nib.load(path)
                noise = np.random.default_rng(session).integers(0, 40, image.shape)
                seen = nib.Nifti1Image(
                    image.get_fdata().astype(np.int16) + noise.astype(np.int16), image.affine
                )
                nib.save(seen, anat / path.name.replace(subject, study))
    (root / "dataset_description.json").write_text((bids / "dataset_description.json").read_text())
    table = tmp_path_factory.mktemp("visit-reports") / "reports.tsv"
    table.write_text("\n".join(rows) + "\n")
    return root, table


@pytest.fixture(scope="session")
def cohorts(bids: Path, reports: Path, visits: tuple[Path, Path]) -> dict[bool, tuple[Path, Path]]:
    """Scans and reports for training without pairs, and with them."""
    return {False: (bids, reports), True: visits}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes settings to a file in the test's folder."""

    def made(text: str, name: str = "settings.toml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return made


@pytest.fixture(scope="session")
def tokenizer_model(bids: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a short tokenizer stage leaves: a model directory that the other stages start from."""
    from prima_features.pretraining.run import pretrain

    folder = tmp_path_factory.mktemp("tokenizer")
    text = tokenizer_settings(bids, steps=60).replace("[data]", "[optimiser]\nlr = 3e-3\n[data]")
    (folder / "t.toml").write_text(text)
    return pretrain("tokenizer", folder / "t.toml").output


def synthetic_settings(model: Path, output: str, cache: Path, more: str = "") -> str:
    """Settings of a CLIP stage on three synthetic studies; `more` adds settings."""
    return f"""
output = "{output}"
model = "{model}"
steps = 24
batch = 2
device = "cpu"
{more}
[data]
synthetic = 3
synthetic_settings = "varied"
validation = 0.34
cache = "{cache}"
token_share = 0.1
wordings = 3
[optimiser]
lr = 3e-3
[schedule]
warmup = 0
{QUIET}
{TEXT}
"""


@pytest.fixture
def coarse_studies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Synthetic studies of three coarse scans."""
    monkeypatch.setattr(synthetic, "SyntheticStudies", CoarseStudies)


@pytest.fixture(scope="session")
def synthetic_cache(tokenizer_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two other processes make of the three studies, of three coarse scans each: `latents` and `reports`."""
    folder = tmp_path_factory.mktemp("synthetic")
    text = synthetic_settings(tokenizer_model, "run", folder / "cache")
    (folder / "settings.toml").write_text(text.replace("[data]", "[data]\nworkers = 2"))
    settings = read_settings(ClipTraining, folder / "settings.toml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "SyntheticStudies", CoarseStudies)
        build_stage(settings, Workplace(folder, Accelerator(cpu=True)))
    return folder / "cache"


def tokenizer_settings(bids: Path, steps: int = 4, more: str = "", tables: str = "") -> str:
    """Settings of a short tokenizer stage; `more` are keys of its own, `tables` are tables."""
    return f"""
output = "run"
steps = {steps}
batch = 8
device = "cpu"
{more}
[data]
source = "{bids}"
cache_type = "float32"
{tables or QUIET}
{NETWORK}
"""


def clip_settings(
    bids: Path, reports: Path, model: Path, steps: int = 4, more: str = "", tables: str = ""
) -> str:
    """Settings of a short CLIP stage."""
    return f"""
output = "run"
model = "{model}"
steps = {steps}
batch = 4
device = "cpu"
{more}
[data]
source = "{bids}"
reports = "{reports}"
cache_type = "float32"
[schedule]
warmup = 2
{tables or QUIET}
{TEXT}
"""


def loop_of(stage: Stage[Any], settings: Training, accelerator: Accelerator, folder: Path) -> Loop:
    """The loop that trains a stage, with its checkpoints and log in a folder."""
    checkpoints = Checkpoints(folder / "checkpoints", settings.checkpoint.keep)
    return Loop(stage, settings, accelerator, checkpoints, Recorder(folder, settings.log, accelerator))
