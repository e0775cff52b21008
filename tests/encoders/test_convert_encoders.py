"""`prima weights convert --encoder`: any kind of published file, a known answer, and embedding with the result."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from prima_features.cli.main import main
from prima_features.files.disk import sha256

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def folder(golden_encoders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published files of a small NeuroVFM."""
    copied = tmp_path_factory.mktemp("published") / "neurovfm"
    shutil.copytree(golden_encoders / "neurovfm" / "small", copied)
    return copied


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    output = folder / "model"
    arguments = [
        "weights",
        "convert",
        folder / "pytorch_model.bin",
        "--encoder",
        "neurovfm",
        "--output",
        output,
    ]
    assert main(list(map(str, arguments))) == 0
    return output


def test_config_states_encoder_preprocessing_and_source(model: Path, folder: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    assert config["model_type"] == config["published"] == "neurovfm"
    assert config["preprocessing"] == 1
    checksum = sha256(folder / "pytorch_model.bin")
    assert config["source"] == {"file": "pytorch_model.bin", "sha256": checksum}
    assert config["network"]["heads"] == 4
    assert checksum in (model / "README.md").read_text()


def test_the_known_answer_is_computed_again(model: Path, tmp_path: Path, capsys: Capture) -> None:
    assert main(["weights", "verify", str(model)]) == 0
    assert "relative error" in capsys.readouterr().out
    assert main(["doctor", "--model", str(model), "--output", str(tmp_path)]) == 0
    assert "PASS  known answer" in capsys.readouterr().out


def test_another_answer_is_found(model: Path, tmp_path: Path, capsys: Capture) -> None:
    copied = shutil.copytree(model, tmp_path / "copied")
    answer = json.loads((copied / "known_answer.json").read_text())
    answer["study"][0] += 10
    (copied / "known_answer.json").write_text(json.dumps(answer))
    assert main(["weights", "verify", str(copied)]) == 2
    assert "is not reproduced" in capsys.readouterr().err


def test_it_embeds_with_tokens_and_options(model: Path, study_a: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.h5"
    arguments = ["embed", study_a, output, "--model", model, "--level", "token", "--no-report"]
    assert main([*map(str, arguments), "--encoder-option", "slice_axis=public", "--workers", "0"]) == 0
    with h5py.File(output) as file:
        assert file.attrs["encoder"] == "neurovfm"
        assert json.loads(file.attrs["preprocessing"])["options"] == {"slice_axis": "public"}
        series, tokens = file["series/embedding"][:], file["token/embedding"][:]
        assert len(tokens) == file["series/n_tokens"][:].sum()
        first = tokens[file["token/series"][:] == 0].astype(np.float32)
        np.testing.assert_allclose(first.mean(0), series[0], atol=2e-3)
        assert (file["token/coord"][:] >= 0).all()
        shapes = file["series/shape"][:][file["token/series"][:]]
        assert (file["token/coord"][:] < shapes).all()
        np.testing.assert_allclose(file["study/embedding"][0], series.mean(0), atol=1e-6)


@pytest.mark.parametrize("kind", ["safetensors", "tar"])
def test_other_kinds_of_files_give_the_same_weights(
    kind: str, folder: Path, model: Path, tmp_path: Path
) -> None:
    shutil.copy(folder / "config.json", tmp_path)
    published = folder / "pytorch_model.bin"
    file = tmp_path / f"model.{kind}"
    if kind == "tar":
        with tarfile.open(file, "w") as tar:
            tar.add(published, "inside/model.pt")
    else:
        loaded = torch.load(published, weights_only=True)
        save_file(
            {name: tensor.contiguous() for name, tensor in loaded.get("state_dict", loaded).items()}, file
        )
    arguments = [
        "weights",
        "convert",
        file,
        "--encoder",
        "neurovfm",
        "--output",
        tmp_path / "made",
        "--no-answer",
    ]
    assert main(list(map(str, arguments))) == 0
    made, first = (load_file(one / "model.safetensors") for one in (tmp_path / "made", model))
    assert made.keys() == first.keys()
    assert all(torch.equal(made[name], first[name]) for name in made)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is neither a safetensors file"),
        (b"\x10" + bytes(7) + b"{}              ", "does not contain|contains no"),
        (b"PK\x03\x04" + bytes(99), "is not a whole torch.save archive"),
        (b"hello, world, this is a page", "is neither a safetensors file"),
    ],
)
def test_other_files_are_refused(content: bytes, message: str, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "x.bin"
    file.write_bytes(content)
    arguments = ["weights", "convert", file, "--encoder", "neurovfm", "--output", tmp_path / "made"]
    assert main(list(map(str, arguments))) == 2
    error = capsys.readouterr().err
    assert any(part in error for part in message.split("|")), error
    assert not (tmp_path / "made").exists()


def test_an_unknown_name_is_answered_with_the_known_ones(tmp_path: Path, capsys: Capture) -> None:
    arguments = ["weights", "convert", "x.bin", "--encoder", "nobody", "--output", str(tmp_path / "made")]
    assert main(arguments) == 2
    assert "no published model nobody: known are prima, neurovfm" in capsys.readouterr().err


def test_weights_of_another_preprocessing_version_are_refused(
    model: Path, tmp_path: Path, study_a: Path, capsys: Capture
) -> None:
    copied = shutil.copytree(model, tmp_path / "copied")
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps(config | {"preprocessing": 99}))
    assert main(["embed", str(study_a), str(tmp_path / "x.h5"), "--model", str(copied)]) == 2
    assert "convert the published file again" in capsys.readouterr().err
