"""Embeddings files of strangers: whatever HDF5 can do beyond plain tables is refused, and no other file is read."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import shutil
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save

from prima_features.embedding.file.read import read_embeddings
from prima_features.embedding.file.records import EmbeddedSeries, EmbeddedStudy
from prima_features.embedding.file.stored import StoredStudies
from prima_features.embedding.file.write import Provenance, write_embeddings
from prima_features.embedding.record.run_file import read_run_file
from prima_features.embedding.resume.parts import PartsFolder, _content_hash
from prima_features.embedding.resume.plan import read_plan
from prima_features.encoders.base import Tokens
from prima_features.errors import UsageError

PROVENANCE = Provenance("tiny", "local", "ab12", {"matrix": 256}, "prima embed in out.h5")


def study(number: int) -> EmbeddedStudy:
    random = np.random.default_rng(number)
    tokens = Tokens(np.ones((3, 256), np.float16), np.ones((3, 3), np.int16))
    texts = {"name": "T1w", "plane": "axial", "source": "a.nii", "n_tokens": 3}
    sizes = {"shape": (24, 256, 256), "spacing": (5.0, 1.0, 1.0)}
    series = tuple(
        EmbeddedSeries(**texts, **sizes, embedding=random.normal(size=8).astype(np.float32), tokens=tokens)
        for _ in range(2)
    )
    vectors = {name: random.normal(size=8).astype(np.float32) for name in ("embedding", "clip")}
    return EmbeddedStudy(
        id=f"sub-{number}",
        subject=f"{number}",
        session="",
        description="MRI BRAIN",
        source="",
        series=series,
        failures=(),
        **vectors,
    )


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "out.h5"
    write_embeddings(path, map(study, range(3)), PROVENANCE)
    return path


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(sound, tmp_path / "out.h5"))


def replace(name: str, make: Callable[[h5py.Group, str], object]) -> Callable[[h5py.File], object]:
    """Put something else where a column or table was."""

    def edit(file: h5py.File) -> object:
        group, _, last = name.rpartition("/")
        del file[name]
        return make(file[group or "/"], last)

    return edit


def declared(shape: tuple[int, ...], dtype: str = "f4", **how: object) -> Callable[[h5py.Group, str], object]:
    return lambda group, name: group.create_dataset(name, shape, dtype, **how)


def virtual(group: h5py.Group, name: str) -> None:
    layout = h5py.VirtualLayout((3, 8), "f4")
    layout[:] = h5py.VirtualSource("secret.h5", "data", (3, 8))
    group.create_virtual_dataset(name, layout)


def external(group: h5py.Group, name: str) -> None:
    group.create_dataset(name, (3, 8), "f4", external=[("secret.bin", 0, 96)])


def one_text_often(group: h5py.Group, name: str) -> None:
    """A million rows that all name one text of 4 MB; the bytes of a row are its length and place."""
    texts = group.create_dataset(name, (4,), h5py.string_dtype(), chunks=(4,), maxshape=(None,))
    texts[:] = "x" * (4 << 20)
    group.file.flush()
    _, raw = texts.id.read_direct_chunk((0,))
    many = group.create_dataset(name + "2", (100_000,), h5py.string_dtype(), chunks=(100_000,))
    many.id.write_direct_chunk((0,), bytes(raw[:16]) * 100_000)
    del group[name]
    group.move(name + "2", name)


def one_text_often_compressed(group: h5py.Group, name: str) -> None:
    texts = group.create_dataset(name, (4,), h5py.string_dtype(), chunks=(4,))
    texts[:] = "x" * (4 << 20)
    group.file.flush()
    _, raw = texts.id.read_direct_chunk((0,))
    many = group.create_dataset(
        name + "2", (100_000,), h5py.string_dtype(), chunks=(100_000,), compression="gzip"
    )
    many.id.write_direct_chunk((0,), zlib.compress(bytes(raw[:16]) * 100_000))
    del group[name]
    group.move(name + "2", name)


def compressed(rows: int) -> Callable[[h5py.Group, str], object]:
    """Zeros by the gigabyte in a few kilobytes: every chunk is written, and deflated a thousandfold."""

    def make(group: h5py.Group, name: str) -> None:
        data = group.create_dataset(name, (rows, 8), "f4", chunks=(1 << 20, 8), compression="gzip")
        packed = zlib.compress(bytes(1 << 25), 9)
        for first in range(0, rows, 1 << 20):
            data.id.write_direct_chunk((first, 0), packed)

    return make


def inflating(kind: str, n_filters: int = 1) -> Callable[[h5py.Group, str], object]:
    """A column of an ordinary size whose only chunk inflates to 300 MB."""

    def make(group: h5py.Group, name: str) -> None:
        text = kind == "text"
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((3,) if text else (3, 8))
        for _ in range(n_filters):
            plan.set_deflate(9)
        stored = h5py.h5t.py_create(h5py.string_dtype() if text else np.dtype("f4"), logical=True)
        space = h5py.h5s.create_simple((3,) if text else (3, 8))
        h5py.h5d.create(group.id, name.encode(), stored, space, plan)
        deflater = zlib.compressobj(9, wbits=-15)
        packed = b"\x78\xda" + 300 * (deflater.compress(bytes(1 << 20)) + deflater.flush(zlib.Z_FULL_FLUSH))
        group[name].id.write_direct_chunk((0,) if text else (0, 0), packed)

    return make


def references(group: h5py.Group, name: str) -> None:
    group.create_dataset(name, data=[group.ref] * 3, dtype=h5py.ref_dtype)


def scale_offset(group: h5py.Group, name: str) -> None:
    group.create_dataset(name, data=np.ones(3, "i4"), chunks=(3,), scaleoffset=0)


FILES: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "a column behind an external link": (
        replace("study/embedding", lambda g, n: g.__setitem__(n, h5py.ExternalLink("secret.h5", "/data"))),
        "soft or external link",
    ),
    "a table behind an external link": (
        replace("token", lambda g, n: g.__setitem__(n, h5py.ExternalLink("secret.h5", "/"))),
        "soft or external link",
    ),
    "a column behind a soft link": (
        replace("study/clip", lambda g, n: g.__setitem__(n, h5py.SoftLink("/series/embedding"))),
        "soft or external link",
    ),
    "an unknown entry behind an external link": (
        lambda f: f.__setitem__("extra", h5py.ExternalLink("secret.h5", "/data")),
        "soft or external link",
    ),
    "an unknown column behind a soft link": (
        lambda f: f["study"].__setitem__("extra", h5py.SoftLink("/")),
        "soft or external link",
    ),
    "a virtual dataset": (replace("study/embedding", virtual), "in an external file"),
    "a column whose numbers are in another file": (
        replace("study/embedding", external),
        "in an external file",
    ),
    "a group in a circle": (replace("study/id", lambda g, n: g.__setitem__(n, g.file["/"])), "not a column"),
    "a table that is the root": (
        lambda f: (f.__delitem__("failure"), f.__setitem__("failure", f["/"])),
        "has no /failure/stage",
    ),
    "a table that is a column": (replace("failure", declared((3,))), "not a table"),
    "a column that is a type": (
        replace("study/id", lambda g, n: g.__setitem__(n, np.dtype("f4"))),
        "not a column",
    ),
    "object references": (replace("study/n_series", references), "not a column of numbers"),
    "a compound type": (replace("study/n_series", declared((3,), "i4,f4")), "not a column of numbers"),  # type: ignore[arg-type]
    "an enumeration": (
        replace("study/n_series", lambda g, n: g.create_dataset(n, data=[True, True, False])),
        "not a column of numbers",
    ),
    "lists of numbers as texts": (
        replace("study/id", lambda g, n: g.create_dataset(n, (3,), h5py.vlen_dtype("u1"))),
        "not a column of texts",
    ),
    "texts as numbers": (replace("study/n_series", declared((3,), h5py.string_dtype())), "column of numbers"),
    "numbers as texts": (replace("study/id", declared((3,))), "not a column of texts"),
    "floats as counts": (
        replace("study/n_series", lambda g, n: g.create_dataset(n, data=[2.0, 2.0, 2.0])),
        "not a column of numbers",
    ),
    "a vector as one number": (
        replace("study/embedding", lambda g, n: g.create_dataset(n, data=np.ones(3, "f4"))),
        "2 dimensions",
    ),
    "a scalar": (replace("study/id", lambda g, n: g.create_dataset(n, data="x")), "1 dimensions"),
    "a column of nothing": (
        replace("study/clip", lambda g, n: g.create_dataset(n, data=h5py.Empty("f4"))),
        "dimensions",
    ),
    "shapes of four numbers": (
        replace("series/shape", lambda g, n: g.create_dataset(n, data=np.ones((6, 4), "i4"))),
        "3 numbers",
    ),
    "columns of different length": (
        replace("study/embedding", lambda g, n: g.create_dataset(n, data=np.ones((2, 8), "f4"))),
        "differ in length",
    ),
    "a piece that decompresses to more than it declares": (
        replace("study/embedding", inflating("number")),
        "decompresses to more",
    ),
    "texts that inflate to more than they hold": (
        replace("study/description", inflating("text")),
        "decompresses to more",
    ),
    "a piece that was deflated twice": (
        replace("study/embedding", inflating("number", 2)),
        "unsupported compression",
    ),
    "a petabyte that is not there": (
        replace("study/embedding", declared((3, 1 << 48), chunks=(1, 8))),
        "declares more",
    ),
    "contiguous numbers that are not there": (
        replace("study/embedding", declared((3, 1 << 30))),
        "declares more",
    ),
    "two billion rows": (lambda f: f["study/id"].resize(1 << 31, 0), "declares more"),
    "a huge chunk": (
        replace("study/embedding", declared((3, 8), chunks=(1 << 26, 8), maxshape=(None, 8))),
        "too large",
    ),
    "gigabytes of deflated zeros": (replace("study/embedding", compressed(1 << 26)), "declares more"),
    "an unusual filter": (replace("study/n_series", scale_offset), "unsupported compression"),
    "one long text in each of many rows": (replace("failure/error", one_text_often), "longer than the file"),
    "the same compressed": (replace("failure/error", one_text_often_compressed), "longer than the file"),
    "a series of no study": (lambda f: f["series/study"].__setitem__(5, 3), "not in /study"),
    "a series of study -1": (lambda f: f["series/study"].__setitem__(0, -1), "not in /study"),
    "series out of order": (lambda f: f["series/study"].__setitem__(0, 2), "another order"),
    "counts that disagree": (lambda f: f["study/n_series"].__setitem__(0, 7), "disagrees"),
    "a missing column": (lambda f: f.__delitem__("study/subject"), "no /study/subject"),
    "a missing table": (lambda f: f.__delitem__("series"), "no table /series"),
    "an attribute that is a table": (
        lambda f: f.attrs.__setitem__("model", np.zeros(8000, "f8")),
        "attribute model",
    ),
    "an attribute that is a reference": (
        lambda f: f.attrs.create("model", f.ref, dtype=h5py.ref_dtype),
        "attribute model",
    ),
    "many attributes": (
        lambda f: [f["/"].attrs.__setitem__(f"a{i}", i) for i in range(1001)],
        "more than 1000 attributes",
    ),
    "many entries": (
        lambda f: [f["study"].create_group(f"g{i}") for i in range(1001)],
        "more than 1000 entries",
    ),
    "version 0": (lambda f: f.attrs.__setitem__("format_version", 0), "no valid format version"),
    "a version that is text": (
        lambda f: f.attrs.__setitem__("format_version", "1"),
        "no valid format version",
    ),
    "a version that is no number": (
        lambda f: f.attrs.__setitem__("format_version", np.nan),
        "no valid format version",
    ),
    "a version beyond": (lambda f: f.attrs.__setitem__("format_version", 1 << 60), "up to"),
    "a format that is a table": (
        lambda f: f.attrs.__setitem__("format", [b"x"] * 9),
        "not an embeddings file",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_no_release_writes_is_refused_in_one_sentence(
    case: str, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit, message = FILES[case]
    with h5py.File(copy.parent / "secret.h5", "w") as secret:
        secret["data"] = np.full((3, 8), 7, "f4")
    (copy.parent / "secret.bin").write_bytes(bytes(96))
    monkeypatch.chdir(copy.parent)
    with h5py.File(copy, "a", libver="latest") as file:
        edit(file)
    started, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UsageError, match=message) as told:
        read_embeddings(copy)
    assert "\n" not in str(told.value)
    assert time.process_time() - started < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_a_file_that_h5repack_compressed_is_read(copy: Path) -> None:
    with h5py.File(copy, "a") as file:
        for table in ("study", "series", "failure"):
            for name in file[table]:
                values, dtype = file[table][name][()], file[table][name].dtype
                how = {"compression": "gzip", "shuffle": True, "fletcher32": dtype.kind != "O"}
                del file[table][name]
                file[table].create_dataset(
                    name,
                    data=values,
                    dtype=dtype,
                    chunks=(2, *values.shape[1:]),
                    maxshape=(None, *values.shape[1:]),
                    **how,
                )
    with StoredStudies(copy) as stored:
        assert stored.get("sub-1").embedding.tolist() == study(1).embedding.tolist()
        assert len(stored.get("sub-2").series) == 2


def test_a_file_that_was_replaced_is_checked_again(copy: Path, sound: Path) -> None:
    file = read_embeddings(copy)
    with h5py.File(copy, "a") as changed:
        changed["extra"] = h5py.SoftLink("/study")
    with pytest.raises(UsageError, match="soft or external link"):
        file.array("study/embedding")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[" * 100_000, "preprocessing settings"),
        ('{"a": NaN}', "preprocessing settings"),
        ("[]", "preprocessing settings"),
        (3, "preprocessing settings"),
    ],
)
def test_preprocessing_that_is_no_plain_json_is_refused(value: object, message: str, copy: Path) -> None:
    with h5py.File(copy, "a", libver="latest") as file:
        file.attrs["preprocessing"] = value
    with pytest.raises(UsageError, match=message):
        _ = read_embeddings(copy).preprocessing


def test_text_that_is_not_utf8_and_tokens_out_of_order_are_refused(copy: Path) -> None:
    with h5py.File(copy, "a") as file:
        file["token/series"][0] = 5
        file["study/subject"][0] = b"M\xfcller"
    with StoredStudies(copy) as stored, pytest.raises(UsageError, match="token/series names series"):
        _ = stored._token_series
    with pytest.raises(UsageError, match="damaged"):
        _ = read_embeddings(copy).studies


RUN_FILES = {
    "deep": "[" * 100_000,
    "no object": "[1]",
    "runs that are no list": '{"format": "prima-run", "format_version": 1, "runs": 3}',
    "runs that are no records": '{"format": "prima-run", "format_version": 1, "runs": [[]], "left_out": []}',
    "no total": '{"format": "prima-run", "format_version": 1, "runs": [], "left_out": []}',
    "a reason that is none": (
        '{"format": "prima-run", "format_version": 1, "runs": [], "left_out": [{}], '
        '"total": {"seconds": 1, "counts": {}, "stages": {}}}'
    ),
    "numbers that are text": (
        '{"format": "prima-run", "format_version": 1, "runs": [], "left_out": [], '
        '"total": {"seconds": "1", "counts": {}, "stages": {}}}'
    ),
    "a time that is infinite": (
        '{"format": "prima-run", "format_version": 1, "runs": [], "left_out": [], '
        '"total": {"seconds": 1e999, "counts": {}, "stages": {}}}'
    ),
}


@pytest.mark.parametrize("case", RUN_FILES)
def test_a_run_file_of_another_kind_is_passed_over(case: str, copy: Path) -> None:
    path = copy.with_name("out.run.json")
    path.write_text(RUN_FILES[case])
    assert read_run_file(copy) is None
    path.unlink()
    os.mkfifo(path)
    assert read_run_file(copy) is None


def test_parts_and_plans_that_no_release_writes_are_damaged_and_nothing_else(tmp_path: Path) -> None:
    parts = PartsFolder(tmp_path / "parts")
    parts.create()
    one = dataclasses.replace(study(1), input_hash="a:b")
    parts.save(one)
    assert parts.load("sub-1", "a:b") is not None
    path = parts.folder / "sub-1.safetensors"
    tensors, metadata = load_file(path), _metadata(path)
    edits: dict[str, Callable[[dict[str, Any]], object]] = {
        "an unknown field": lambda record: record.update(hook=1),
        "an unknown field of a failure": lambda record: record.update(failures=[{"hook": 1}]),
        "failures that are numbers": lambda record: record.update(failures=[7]),
        "a text that is a number": lambda record: record.update(subject=7),
        "an id that is a list": lambda record: record.update(id=[]),
        "no series": lambda record: record.update(series=[]),
        "series that are text": lambda record: record.update(series="abc"),
        "more series": lambda record: record["series"].append(record["series"][0]),
        "a shape of four": lambda record: record["series"][0].update(shape=[1, 2, 3, 4]),
        "a count of tokens below 0": lambda record: record["series"][0].update(n_tokens=-1),
    }
    for case, edit in edits.items():
        record = json.loads(metadata["study"])
        edit(record)
        _write_part(path, tensors, metadata | {"study": json.dumps(record)})
        assert parts.load("sub-1", "a:b") is None, case
    for text in ("[" * 100_000, "7", '{"id": "sub-1"}', ""):
        _write_part(path, tensors, metadata | {"study": text})
        assert parts.load("sub-1", "a:b") is None
        assert parts.header("sub-1") is None
    for content in (b"\xff" * 8, (1 << 62).to_bytes(8, "little"), (2).to_bytes(8, "little") + b"[]", b""):
        path.write_bytes(content)
        assert parts.load("sub-1", "a:b") is parts.header("sub-1") is None
    path.unlink()
    os.mkfifo(path)
    assert parts.load("sub-1", "a:b") is parts.header("sub-1") is None
    for studies in (["../../sub-1"], ["a\0b"], [7], "abc"):
        plan = {"provenance": dataclasses.asdict(PROVENANCE), "settings": "a", "dtype": "float32"}
        (parts.folder / "plan.json").write_text(json.dumps(plan | {"studies": studies, "left_out": []}))
        assert (read_plan(parts.folder) is None) == (studies != "abc")


def _metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="numpy") as file:
        return dict(file.metadata())


def _write_part(path: Path, tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """As an attacker would: with the hash of what is written."""
    metadata = {name: text for name, text in metadata.items() if name != "content_hash"}
    path.write_bytes(save(tensors, metadata | {"content_hash": _content_hash(tensors, metadata)}))


@pytest.mark.parametrize("seed", range(20))
def test_damage_anywhere_is_a_sentence(seed: int, copy: Path) -> None:
    random, content = np.random.default_rng(seed), bytearray(copy.read_bytes())
    for at in random.integers(0, len(content), 40):
        content[at] = random.integers(0, 256)
    copy.write_bytes(content)
    try:
        file = read_embeddings(copy)
        assert len(file.studies) == file.n_studies and len(file.series) == file.n_series
        assert len(file.study_embedding) == file.n_studies
    except UsageError as error:
        assert "\n" not in str(error)
