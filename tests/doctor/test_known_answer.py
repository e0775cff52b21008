"""The embedding of the made-up scan: every bundled model's is recorded, and other weights or numbers are noticed."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from prima_features.doctor import known_answer as scan
from prima_features.doctor.check import Check, Setup, Status
from prima_features.doctor.known_answer import TOLERANCE, known_answer, read_answer, record_answer
from prima_features.doctor.software import weights
from prima_features.errors import UsageError
from prima_features.files.disk import sha256
from prima_features.models import DEFAULT_MODEL, bundled
from prima_features.models.directory import ANSWER

RECORD = "record it: prima doctor --model prima_features/models/bundled/NAME --record-answer"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the bundled model, to damage."""
    return Path(shutil.copytree(bundled.path(DEFAULT_MODEL), tmp_path / "model"))


def check(model: Path | str, folder: Path) -> Check:
    (found,) = known_answer(Setup(folder, str(model), "cpu"))
    return found


@pytest.mark.parametrize("name", bundled.names())
def test_every_bundled_model_gives_its_recorded_answer(name: str, tmp_path: Path) -> None:
    answer = read_answer(bundled.path(name))
    assert answer is not None, RECORD
    assert answer.model_sha256 == sha256(bundled.path(name) / "model.safetensors"), RECORD
    found = check(name, tmp_path)
    assert found.status is Status.PASS, found
    assert not list(tmp_path.iterdir())


def test_the_scan_is_the_same_to_the_bit_everywhere() -> None:
    voxels = b"".join(scan.ellipsoid(shape).astype("<i2").tobytes() for _, shape in scan.SERIES.values())
    assert scan.SCAN_VERSION == 1
    assert (
        hashlib.sha256(voxels).hexdigest()
        == "a9fc8d563fce4a9166f4deddcc7e062baf0da68178118d22934fa8a215c83758"
    )


def test_an_answer_for_other_weights_is_no_proof_until_it_is_recorded_again(
    model: Path, tmp_path: Path
) -> None:
    tensors = load_file(model / "model.safetensors")
    tensors["sequence.registers"] = tensors["sequence.registers"] * np.float16(2)
    save_file(tensors, model / "model.safetensors", {"format": "pt"})
    found = check(model, tmp_path)
    assert found.status is Status.WARN
    assert "other weights" in found.found
    before = read_answer(model)
    assert record_answer(Setup(tmp_path, str(model), "cpu")) == model / ANSWER
    assert check(model, tmp_path).status is Status.PASS
    assert read_answer(model).error(before) > TOLERANCE
    (hashes,) = weights(Setup(model=str(model)))
    assert hashes.status is Status.FAIL
    assert "the content of model.safetensors does not match SHA256SUMS" in hashes.found


@pytest.mark.parametrize(("factor", "status"), [(1.01, Status.WARN), (1.2, Status.FAIL)])
def test_other_numbers_than_the_recorded_ones_are_noticed(
    model: Path, tmp_path: Path, factor: float, status: Status
) -> None:
    record = json.loads((model / ANSWER).read_text())
    record["clip"] = (np.array(record["clip"]) * factor).tolist()
    (model / ANSWER).write_text(json.dumps(record))
    found = check(model, tmp_path)
    assert found.status is status, found


def test_a_model_without_an_answer_is_a_warning_and_a_damaged_answer_an_error(
    model: Path, tmp_path: Path
) -> None:
    (model / ANSWER).unlink()
    assert "no recorded answer" in check(model, tmp_path).found
    (model / ANSWER).write_text("{")
    with pytest.raises(UsageError, match=r"known_answer\.json is damaged"):
        check(model, tmp_path)


def test_weights_without_checksums_are_a_warning(model: Path) -> None:
    (model / "SHA256SUMS").unlink()
    (found,) = weights(Setup(model=str(model)))
    assert found.status is Status.WARN
