"""A model's caveat travels with the embeddings file: attributes, page, merge, exports, inspect, Python warning."""

import json
import warnings
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from prima_features import read_embeddings
from prima_features.cli.main import main
from prima_features.embedding.file.records import EmbeddedSeries, EmbeddedStudy
from prima_features.embedding.file.write import Provenance, write_embeddings
from prima_features.embedding.merge import merge
from prima_features.embedding.report import write_report
from prima_features.models import bundled, caveats
from prima_features.models.caveats import ModelCaveatWarning, caveat_of

SYNTHETIC = caveat_of("prima-synth")


def study(number: int) -> EmbeddedStudy:
    series = EmbeddedSeries("T1w", "axial", "", 3, (8, 256, 256), (4, 1, 1), np.ones(3, np.float32), None)
    vector = np.arange(1, 5, dtype=np.float32) * (number + 1)
    return EmbeddedStudy(f"sub-{number}", f"sub-{number}", "", "MRI BRAIN", "", vector, vector, (series,))


def written(path: Path, first: int = 0, model: str = "prima-synth", sha256: str = "ab") -> Path:
    write_embeddings(path, map(study, range(first, first + 3)), Provenance(model, "1", sha256, {}))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path / "out.h5")


@pytest.fixture(autouse=True)
def nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caveats, "_warned", set())


def test_the_file_holds_it_with_the_kind_of_encoder(file: Path) -> None:
    with h5py.File(file) as hdf5:
        assert hdf5.attrs["caveat"] == SYNTHETIC and hdf5.attrs["encoder"] == "prima"


def test_reading_the_file_warns_once(file: Path) -> None:
    with pytest.warns(ModelCaveatWarning, match="synthetic brains only") as found:
        assert read_embeddings(file).caveat == SYNTHETIC
        read_embeddings(file)
    assert len(found) == 1 and found[0].filename == __file__


@pytest.mark.parametrize("by", ["name", "checksum"])
def test_a_file_of_an_earlier_release_has_it_by_the_model(tmp_path: Path, by: str) -> None:
    sums = (bundled.path("prima-synth") / "SHA256SUMS").read_text().split()
    sha256 = sums[sums.index("model.safetensors") - 1]
    path = written(tmp_path / "old.h5", 0, *(("prima-synth", "0") if by == "name" else ("mine", sha256)))
    with h5py.File(path, "a") as hdf5:
        del hdf5.attrs["caveat"], hdf5.attrs["encoder"]
        hdf5.attrs["format_version"] = 1
    with pytest.warns(ModelCaveatWarning):
        old = read_embeddings(path)
    assert old.caveat == old.attributes["caveat"] == SYNTHETIC
    assert old.attributes["encoder"] == "prima"


def test_a_model_without_one_is_silent(tmp_path: Path) -> None:
    path = written(tmp_path / "out.h5", model="mine")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_embeddings(path).caveat == ""


def test_a_caveat_of_the_models_own_config_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "out.h5"
    write_embeddings(path, [study(0)], Provenance("mine", "1", "ab", {}, "", "prima", "Trained on mice."))
    with pytest.warns(ModelCaveatWarning, match="mice"):
        read_embeddings(path)


def test_a_merged_file_keeps_it(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    files = [written(tmp_path / "a.h5"), written(tmp_path / "b.h5", 3)]
    with h5py.File(files[0], "a") as hdf5:
        del hdf5.attrs["caveat"]
    assert main(["merge", str(tmp_path / "all.h5"), *map(str, files), "--no-report"]) == 0
    assert SYNTHETIC in capsys.readouterr().err
    with h5py.File(tmp_path / "all.h5") as hdf5:
        assert hdf5.attrs["caveat"] == SYNTHETIC
    assert merge(tmp_path / "again.h5", files, report=False).caveat == SYNTHETIC


def test_every_export_states_it(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for ending in ("parquet", "npz", "csv"):
        assert main(["export", str(file), str(tmp_path / f"t.{ending}")]) == 0
        assert SYNTHETIC in capsys.readouterr().err
    in_parquet = json.loads(pq.read_schema(tmp_path / "t.parquet").metadata[b"prima"])
    with np.load(tmp_path / "t.npz") as arrays:
        in_npz = json.loads(arrays["attributes"].item())
    assert in_parquet["caveat"] == in_npz["caveat"] == SYNTHETIC
    csv = pd.read_csv(tmp_path / "t.csv")
    assert set(csv["caveat"]) == {SYNTHETIC}
    assert csv[[f"embedding_{i}" for i in range(4)]].to_numpy()[2].tolist() == [3, 6, 9, 12]


def test_inspect_and_the_page_show_it(file: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["inspect", str(file)]) == 0
    captured = capsys.readouterr()
    assert SYNTHETIC in captured.out and "ModelCaveatWarning" not in captured.err
    assert SYNTHETIC in write_report(file).read_text(encoding="utf-8")
