"""Exported tables hold what the embeddings file holds, in each format, and appear whole or not at all."""

import csv
import errno
import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from prima_features.embedding.export import FORMATS, LEVELS, Format, Level, export
from prima_features.embedding.export import table as table_module
from prima_features.embedding.export.table import VectorTable, vector_table
from prima_features.embedding.export.write import write_csv, write_npz, write_parquet
from prima_features.embedding.file.read import Embeddings, read_embeddings
from prima_features.embedding.file.records import EmbeddedSeries, EmbeddedStudy
from prima_features.embedding.file.write import Provenance, write_embeddings
from prima_features.errors import UsageError

COLUMNS = {
    "study": ["id", "subject", "session", "description", "source", "n_series"],
    "series": [
        *("id", "subject", "session", "series", "name", "plane", "source", "n_tokens"),
        *("shape_z", "shape_y", "shape_x", "spacing_z", "spacing_y", "spacing_x"),
        *("slice_axis", "slice_axis_known_by", "flags"),
    ],
}
COLUMNS["clip"] = COLUMNS["study"]


def study(number: int) -> EmbeddedStudy:
    random = np.random.default_rng(number)
    series = tuple(
        EmbeddedSeries(
            name=f"T{i}w, 3D",
            plane="axial",
            source=f"sub-{number:02}/anat/T{i}w.nii.gz",
            n_tokens=7 + i,
            shape=(24, 256, 256),
            spacing=(5.0, 0.5, 0.25),
            embedding=random.normal(size=8).astype(np.float32),
        )
        for i in range(number % 3 + 1)
    )
    return EmbeddedStudy(
        id=f"sub-{number:02}",
        subject=f"{number:02}",
        session="" if number else "pré",
        description='MRI "BRAIN", größer',
        source=f"sub-{number:02}",
        embedding=random.normal(size=12).astype(np.float32),
        clip=random.normal(size=4).astype(np.float32),
        series=series,
    )


@pytest.fixture
def file(tmp_path: Path) -> Embeddings:
    path = tmp_path / "out.h5"
    provenance = Provenance("tiny", "local", "ab12", {"matrix": 256}, "prima embed in out.h5")
    write_embeddings(path, [study(number) for number in range(5)], provenance)
    return read_embeddings(path)


def read_table(path: Path, columns: list[str]) -> tuple[pd.DataFrame, np.ndarray]:
    """Columns and vectors as a user of pandas or numpy reads them."""
    if path.suffix == ".parquet":
        frame = pd.read_parquet(path)
        return frame[columns], np.stack(frame["embedding"])
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return pd.DataFrame({name: arrays[name] for name in columns}), arrays["embedding"]
    text = {"id": str, "subject": str, "session": str}
    frame = pd.read_csv(path, dtype=text, keep_default_na=False)
    width = sum(name.startswith("embedding_") for name in frame)
    vectors = frame[[f"embedding_{i}" for i in range(width)]]
    return frame[columns], vectors.to_numpy(np.float32)


def vectors_of(file: Embeddings, level: Level) -> np.ndarray:
    return {
        "study": file.study_embedding,
        "clip": file.clip_embedding,
        "series": file.series_embedding,
    }[level]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("format", FORMATS)
def test_every_format_gives_the_file_back_at_every_level(
    file: Embeddings, tmp_path: Path, format: Format, level: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_module, "_BLOCK_ROWS", 2)  # several blocks, the last of them short
    output = tmp_path / f"table.{format}"
    written = export(file.path, output, level)
    assert list(written.columns) == COLUMNS[level]
    columns, vectors = read_table(output, COLUMNS[level])
    np.testing.assert_array_equal(vectors, vectors_of(file, level))
    assert (written.n_rows, written.width) == vectors.shape
    expected = file.studies if level != "series" else file.series.drop(columns="study")
    for name in expected:
        assert columns[name].tolist() == expected[name].tolist(), name
    if level == "series":
        assert columns["id"].tolist() == file.studies["id"].iloc[file.series["study"]].tolist()
        assert columns["series"].tolist() == list(range(file.n_series))


@pytest.mark.parametrize("format", FORMATS)
def test_only_the_columns_asked_for_are_kept_and_the_id_always(
    file: Embeddings, tmp_path: Path, format: Format
) -> None:
    written = export(file.path, tmp_path / f"table.{format}", "series", ["n_tokens", "name"])
    assert written.columns == ("id", "name", "n_tokens")
    columns, vectors = read_table(tmp_path / f"table.{format}", ["id", "name", "n_tokens"])
    assert columns["n_tokens"].tolist() == file.series["n_tokens"].tolist()
    assert len(vectors) == file.n_series


def test_what_made_the_vectors_goes_with_them(file: Embeddings, tmp_path: Path) -> None:
    export(file.path, tmp_path / "table.parquet", "clip")
    export(file.path, tmp_path / "table.npz", "clip")
    in_parquet = json.loads(pq.read_schema(tmp_path / "table.parquet").metadata[b"prima"])
    with np.load(tmp_path / "table.npz") as arrays:
        in_npz = json.loads(arrays["attributes"].item())
    assert in_parquet == in_npz == file.attributes | {"level": "clip"}


def test_a_csv_has_a_header_and_quotes_only_what_must_be(file: Embeddings, tmp_path: Path) -> None:
    export(file.path, tmp_path / "table.csv", "study", ["description"])
    with (tmp_path / "table.csv").open(encoding="utf-8", newline="") as stream:
        header, first, *_ = csv.reader(stream)
    assert header == ["id", "description", *(f"embedding_{i}" for i in range(12))]
    assert first[:2] == ["sub-00", 'MRI "BRAIN", größer']


@pytest.mark.parametrize("format", FORMATS)
def test_half_precision_is_widened(tmp_path: Path, format: Format) -> None:
    provenance = Provenance("tiny", "local", "ab12", {})
    write_embeddings(tmp_path / "out.h5", [study(1)], provenance, dtype="float16")
    export(tmp_path / "out.h5", tmp_path / f"table.{format}")
    _, vectors = read_table(tmp_path / f"table.{format}", [])
    stored = read_embeddings(tmp_path / "out.h5").study_embedding
    assert stored.dtype == np.float16
    np.testing.assert_array_equal(vectors, stored.astype(np.float32))
    assert vectors.dtype == np.float32


def test_the_format_can_be_named_in_place_of_the_ending(file: Embeddings, tmp_path: Path) -> None:
    export(file.path, tmp_path / "table.dat", format="csv")
    assert (tmp_path / "table.dat").read_text().startswith("id,")
    with pytest.raises(UsageError, match=r"has no extension of a known format.*\.parquet, \.csv, \.npz"):
        export(file.path, tmp_path / "table.xlsx")


def test_an_existing_table_is_replaced_only_when_asked(file: Embeddings, tmp_path: Path) -> None:
    output = tmp_path / "table.csv"
    output.write_text("precious")
    with pytest.raises(UsageError, match="exists already"):
        export(file.path, output)
    assert output.read_text() == "precious"
    export(file.path, output, overwrite=True)
    assert output.read_text().startswith("id,")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"output": "nowhere/table.csv"}, "folder .*nowhere does not exist"),
        ({"columns": ["age", "id"]}, "no column age at level study; available: id, subject"),
        ({"source": "missing.h5"}, "does not exist"),
        ({"source": "text.h5"}, "cannot be opened as HDF5"),
        ({"source": "other.h5"}, "not an embeddings file"),
        ({"source": "no_clip.h5", "level": "clip"}, "has no clip vectors"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence_and_nothing_is_written(
    file: Embeddings, tmp_path: Path, arguments: dict, reason: str
) -> None:
    (tmp_path / "text.h5").write_text("not HDF5")
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["x"] = 1
    (tmp_path / "no_clip.h5").write_bytes(file.path.read_bytes())
    with h5py.File(tmp_path / "no_clip.h5", "a") as without:
        del without["study/clip"]
    before = sorted(tmp_path.iterdir())
    given = {"source": file.path.name, "output": "table.csv"} | arguments
    with pytest.raises(UsageError, match=reason):
        export(**given | {name: tmp_path / given[name] for name in ("source", "output")})
    assert sorted(tmp_path.iterdir()) == before


def test_a_damaged_file_is_told_in_a_sentence_and_leaves_no_table(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.h5"
    write_embeddings(damaged, [study(1)], Provenance("tiny", "local", "ab12", {}))
    with h5py.File(damaged, "a") as opened:  # a checksum over the vectors, then a flipped byte in them
        values = opened["study/embedding"][()]
        del opened["study/embedding"]
        dataset = opened.create_dataset("study/embedding", data=values, chunks=values.shape, fletcher32=True)
        place = dataset.id.get_chunk_info(0).byte_offset
    content = bytearray(damaged.read_bytes())
    content[place] ^= 255
    damaged.write_bytes(content)
    with pytest.raises(UsageError, match=r"damaged\.h5 is damaged"):
        export(damaged, tmp_path / "table.parquet")
    assert list(tmp_path.iterdir()) == [damaged]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("write", [write_parquet, write_csv, write_npz])
def test_no_writer_takes_a_full_disk_for_success(
    file: Embeddings, write: Callable[[VectorTable, Path], None]
) -> None:
    with pytest.raises(OSError) as caught:
        write(vector_table(file, "study"), Path("/dev/full"))  # which answers every write as a full disk does
    assert caught.value.errno == errno.ENOSPC
