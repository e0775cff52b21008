"""The embeddings file: what is written is read, and a half-written one never appears."""

import fcntl
import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from prima_features.cli.main import main
from prima_features.embedding.file.read import read_embeddings
from prima_features.embedding.file.records import EmbeddedSeries, EmbeddedStudy
from prima_features.embedding.file.stored import StoredStudies
from prima_features.embedding.file.write import Provenance, write_embeddings
from prima_features.embedding.record.journal import Journal
from prima_features.embedding.record.run_file import records_in, write_run_file
from prima_features.embedding.report import write_report
from prima_features.encoders.base import Tokens
from prima_features.errors import OutputError, UsageError
from prima_features.files.disk import replacing
from prima_features.studies.study import Failure
from prima_features.volumes import PLANES

DATA = Path(__file__).parent.parent / "data"

PROVENANCE = Provenance("tiny", "local", "ab12", {"matrix": 256}, "prima embed in out.h5")


def study(number: int, n_series: int = 2, tokens: bool = False) -> EmbeddedStudy:
    random = np.random.default_rng(number)
    series = tuple(
        EmbeddedSeries(
            name=f"T{i}w",
            plane="axial",
            source=f"sub-{number:02}/anat/T{i}w.nii.gz",
            n_tokens=7,
            shape=(24, 256, 256),
            spacing=(5.0, 0.5, 0.25),
            embedding=random.normal(size=8).astype(np.float32),
            tokens=Tokens(np.full((7, 256), i, np.float16), np.full((7, 3), 32, np.int16))
            if tokens
            else None,
        )
        for i in range(n_series)
    )
    return EmbeddedStudy(
        id=f"sub-{number:02}",
        subject=f"{number:02}",
        session="",
        description="MRI BRAIN – größer",
        source=f"sub-{number:02}",
        embedding=random.normal(size=12).astype(np.float32),
        clip=random.normal(size=4).astype(np.float32),
        series=series,
        failures=(Failure(f"sub-{number:02}", "dwi", "read", "the file is empty", "fetch it again"),),
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "out.h5"
    studies = [study(number, n_series=number % 3 + 1) for number in range(5)]
    left_out = [Failure("", "func/bold.nii.gz", "find", "functional", defect=False)]
    write_embeddings(path, iter(studies), PROVENANCE, left_out)
    file = read_embeddings(path)
    assert (file.n_studies, file.n_series) == (5, 9)
    assert file.studies["id"].tolist() == [one.id for one in studies]
    assert file.studies["description"][0] == "MRI BRAIN – größer"
    assert file.studies["n_series"].tolist() == [1, 2, 3, 1, 2]
    np.testing.assert_array_equal(file.study_embedding, np.stack([one.embedding for one in studies]))
    np.testing.assert_array_equal(file.clip_embedding, np.stack([one.clip for one in studies]))
    assert file.series["study"].tolist() == [0, 1, 1, 2, 2, 2, 3, 4, 4]
    assert file.series[["shape_z", "shape_y", "shape_x"]].iloc[0].tolist() == [24, 256, 256]
    assert file.series[["spacing_z", "spacing_y", "spacing_x"]].iloc[0].tolist() == [5.0, 0.5, 0.25]
    assert file.failures["error"].tolist() == ["functional"] + ["the file is empty"] * 5
    assert file.preprocessing == {"matrix": 256}
    assert file.attributes["command"] == "prima embed in out.h5"
    assert not file.has_tokens


def test_the_layout_is_the_documented_one(tmp_path: Path) -> None:
    write_embeddings(tmp_path / "out.h5", [study(1, tokens=True)], PROVENANCE)
    with h5py.File(tmp_path / "out.h5") as file:
        assert file.attrs["format"] == "prima-embeddings"
        assert file.attrs["format_version"] == 2
        assert json.loads(file.attrs["preprocessing"]) == {"matrix": 256}
        kinds = {f"{group}/{name}": data.dtype for group in file for name, data in file[group].items()}
        text = {name for name, dtype in kinds.items() if h5py.check_string_dtype(dtype)}
        assert text == {
            *(f"study/{name}" for name in ("id", "subject", "session", "description", "source")),
            *(f"series/{name}" for name in ("name", "plane", "source", "slice_axis_known_by", "flags")),
            *(f"failure/{name}" for name in ("study", "series", "stage", "error", "hint")),
            *(f"input/{name}" for name in ("study", "hash")),
        }
        numbers = {name: str(dtype) for name, dtype in kinds.items() if name not in text}
        assert numbers == {
            "study/embedding": "float32",
            "study/clip": "float32",
            "study/n_series": "int32",
            "series/embedding": "float32",
            "series/study": "int64",
            "series/n_tokens": "int32",
            "series/shape": "int32",
            "series/spacing": "float32",
            "series/slice_axis": "int8",
            "token/embedding": "float16",
            "token/series": "int64",
            "token/coord": "int16",
        }
        assert file["token/embedding"].shape == (14, 256)
        assert file["token/series"][()].tolist() == [0] * 7 + [1] * 7


def test_the_slice_axis_and_the_flags_of_each_series_are_kept(tmp_path: Path) -> None:
    one = study(1, n_series=3)
    doubts = (("guess", ()), ("sidecar", ("cropped",)), ("guess", ("few-slices", "cropped")))
    series = tuple(
        replace(series, plane=plane, slice_axis_known_by=known_by, flags=flags)
        for series, plane, (known_by, flags) in zip(one.series, PLANES, doubts, strict=True)
    )
    written = replace(one, series=series)
    write_embeddings(tmp_path / "out.h5", [written], PROVENANCE)
    file = read_embeddings(tmp_path / "out.h5")
    assert file.series["slice_axis"].tolist() == [0, 1, 2]
    assert file.series["slice_axis_known_by"].tolist() == ["guess", "sidecar", "guess"]
    assert file.series["flags"].tolist() == ["", "cropped", "few-slices,cropped"]
    assert file.flags == {"slice-axis-guessed": 2, "cropped": 2, "few-slices": 1}
    with StoredStudies(tmp_path / "out.h5") as stored:
        assert [one.flags for one in stored.get("sub-01").series] == [one.flags for one in series]
        assert stored.headers["sub-01"].flags == written.flags


def test_flags_and_warnings_reach_the_run_file_and_the_page(tmp_path: Path) -> None:
    output, warning = tmp_path / "out.h5", "12 DICOM files lie among NIfTI files and are not read."
    one = study(1, n_series=2)
    series = tuple(replace(one, slice_axis_known_by="guess", flags=("cropped",)) for one in one.series)
    write_embeddings(output, [replace(one, series=series)], PROVENANCE)
    (tmp_path / "parts").mkdir()
    for _ in range(2):
        with Journal(tmp_path / "parts", "s", {"warnings": [warning]}):
            pass
    write_run_file(output, records_in(tmp_path / "parts", "s"), one.failures)
    document = json.loads((tmp_path / "out.run.json").read_text())
    assert document["warnings"] == [warning]
    assert document["flags"] == {"slice-axis-guessed": 2, "cropped": 2}
    page = write_report(output).read_text()
    assert warning in page
    assert "slice axis guessed" in page


def test_a_file_of_format_version_1_is_read(tmp_path: Path) -> None:
    path = tmp_path / "version_1.h5"
    path.write_bytes(gzip.decompress((DATA / "embeddings_v1.h5.gz").read_bytes()))
    file = read_embeddings(path)
    assert file.attributes["format_version"] == 1
    assert file.attributes["licence"] == file.attributes["citation"] == ""
    assert file.series["plane"].tolist() == ["axial", "coronal", "sagittal", "sagittal"]
    assert file.series["slice_axis"].tolist() == [0, 1, 2, 2]
    assert file.series["slice_axis_known_by"].tolist() == [""] * 4
    assert file.series["flags"].tolist() == [""] * 4
    assert file.flags == {}
    with StoredStudies(path) as stored:
        again = tmp_path / "again.h5"
        write_embeddings(again, [stored.get(one) for one in stored.headers], stored.provenance)
    assert read_embeddings(again).attributes["format_version"] == 2
    assert read_embeddings(again).series.equals(file.series)


@pytest.mark.parametrize("name", ["study/embedding", "study/clip", "series/embedding"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_file_with_a_vector_that_is_not_finite_is_damaged(
    tmp_path: Path, name: str, value: float, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "out.h5"
    write_embeddings(path, [study(1)], PROVENANCE)
    with h5py.File(path, "r+") as file:
        file[name][-1, 1] = value
    with pytest.raises(UsageError, match=f"damaged: /{name} contains NaN or infinity"):
        read_embeddings(path)
    for arguments in (["inspect", path], ["export", path, tmp_path / "out.csv"]):
        assert main([str(argument) for argument in arguments]) == 2
        assert "NaN or infinity" in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()


def test_no_vector_that_is_not_finite_is_written(tmp_path: Path) -> None:
    large = replace(study(1), embedding=np.full(12, 1e5, np.float32))
    with pytest.raises(UsageError, match=r"too large for float16; .* --dtype float32"):
        write_embeddings(tmp_path / "out.h5", [large], PROVENANCE, dtype="float16")
    broken = replace(study(1), embedding=np.full(12, np.nan, np.float32))
    with pytest.raises(UsageError, match="NaN or infinity"):
        write_embeddings(tmp_path / "out.h5", [broken], PROVENANCE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n", [256, 600])
def test_more_studies_than_a_block_stay_in_order(tmp_path: Path, n: int) -> None:
    write_embeddings(tmp_path / "out.h5", (study(number) for number in range(n)), PROVENANCE)
    file = read_embeddings(tmp_path / "out.h5")
    assert file.series["study"].tolist() == [row for row in range(n) for _ in range(2)]
    np.testing.assert_array_equal(file.study_embedding[-1], study(n - 1).embedding)


def test_a_file_that_another_program_has_locked_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "out.h5"
    write_embeddings(path, [study(1)], PROVENANCE)
    with path.open("rb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(OSError, match="lock"), h5py.File(path, "r", locking=True):
            pass
        assert read_embeddings(path).n_studies == 1


def test_half_precision_halves_the_vectors(tmp_path: Path) -> None:
    write_embeddings(tmp_path / "out.h5", [study(1)], PROVENANCE, dtype="float16")
    vectors = read_embeddings(tmp_path / "out.h5").study_embedding
    assert vectors.dtype == np.float16
    np.testing.assert_allclose(vectors[0], study(1).embedding, rtol=1e-3, atol=1e-3)


def test_a_failure_on_the_way_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "out.h5"
    write_embeddings(path, [study(1)], PROVENANCE)

    def broken() -> Iterator[EmbeddedStudy]:
        yield study(2)
        raise ValueError("halfway")

    with pytest.raises(ValueError, match="halfway"):
        write_embeddings(path, broken(), PROVENANCE)
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.h5"]
    assert read_embeddings(path).studies["id"].tolist() == ["sub-01"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told_in_a_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"The disk is full: .*out\.h5 was not written"),
        replacing(tmp_path / "out.h5") as temporary,
    ):
        temporary.touch()
        with Path("/dev/full").open("w") as file:  # answers every write with "no space left on device"
            file.write("x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "does not exist"), (b"not HDF5", "cannot be opened as HDF5"), (b"", "cannot be opened as HDF5")],
)
def test_what_is_no_embeddings_file_is_refused(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "out.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=reason):
        read_embeddings(path)


def test_other_hdf5_and_newer_versions_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(UsageError, match="not an embeddings file"):
        read_embeddings(tmp_path / "other.h5")
    write_embeddings(tmp_path / "new.h5", [study(1)], PROVENANCE)
    with h5py.File(tmp_path / "new.h5", "a") as file:
        file.attrs["format_version"] = 3
    with pytest.raises(UsageError, match="format version 3"):
        read_embeddings(tmp_path / "new.h5")
