"""What an embeddings file must be before anything of it is read: its own plain tables, and no more than it stores.

HDF5 can do much that an embeddings file does not need: links into other files, datasets that are views of others or
keep their numbers elsewhere, references, custom types, and a declared size that no byte stands for. A file of
strangers that uses any of it is refused. What libhdf5 itself does with a damaged file is beyond these checks.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import h5py
import numpy as np

from prima_features.embedding.file.records import (
    BRAIN,
    COMPONENTS,
    FAILURE,
    INPUT,
    SERIES,
    STUDY,
    TEXT,
    TOKEN,
    VECTOR,
    VERSION_1,
    WORDS,
)
from prima_features.errors import UsageError

TABLES: Mapping[str, dict[str, str]] = {
    "study": STUDY,
    "series": SERIES | BRAIN,
    "token": TOKEN,
    "failure": FAILURE,
    "input": INPUT,
}
_OPTIONAL_TABLES = ("token", "input")
_OPTIONAL_COLUMNS = ("clip", *BRAIN)
"""Missing if the model gives none."""
_MOST_LITRES, _MOST_SCALE = 1e3, 1e3
_BLOCK_ROWS = 1 << 16
_PLAIN = (h5py.h5t.STRING, h5py.h5t.INTEGER, h5py.h5t.FLOAT)
_MOST_NAMES = 1000
_MOST_ATTRIBUTE = 1 << 20
_MOST_CHUNK = 1 << 26
_FILTERS = (h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF)
"""Those of h5repack's that come with HDF5 and h5py; others are loaded from shared libraries."""
_MOST_RATIO = 50
"""How much smaller a compressed table may be stored than it is read; embeddings compress by a tenth."""
_SMALL = 1 << 22
_DEFLATE_RATIO, _LZF_RATIO = 1032, 88
"""How much smaller these can store anything at most."""
_MOST_INFLATED = 1 << 28
"""Bytes that one piece may take, whatever it was made of."""


def check(path: Path, file: h5py.File) -> None:
    """Check everything that is read later but the numbers themselves.

    Raises:
        UsageError: it is no embeddings file, or one that no release of this package writes.
    """
    try:
        _check_attributes(path, file)
        lengths = _check_tables(path, file)
        _check_whose(path, file, lengths)
        if "to_mni" in file["series"]:
            _check_brains(path, file["series"], lengths["series"])
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, AttributeError, zlib.error) as error:
        if isinstance(error, UsageError):
            raise
        _refuse(path, "parts of it cannot be read", error)


def plain_attribute(file: h5py.File, name: str) -> Any:
    """A root attribute that is one text or number of an ordinary size; None if it is missing or anything else."""
    try:
        if not h5py.h5a.exists(file.id, name.encode()):
            return None
        attribute = h5py.h5a.open(file.id, name.encode())
        if _is_plain(attribute) and attribute.get_storage_size() <= _MOST_ATTRIBUTE:
            return file.attrs[name]
    except (OSError, RuntimeError, KeyError, TypeError, ValueError):
        pass
    return None


def _is_plain(attribute: Any) -> bool:
    scalar = attribute.get_space().get_simple_extent_type() == h5py.h5s.SCALAR
    return scalar and attribute.get_type().get_class() in _PLAIN


def _check_attributes(path: Path, file: h5py.File) -> None:
    if h5py.h5a.get_num_attrs(file.id) > _MOST_NAMES:
        _refuse(path, f"it has more than {_MOST_NAMES} attributes")
    for name in file.attrs:
        attribute = h5py.h5a.open(file.id, name.encode())
        if not _is_plain(attribute):
            _refuse(path, f"its attribute {_shown(name)} is not a text or a number")
        if attribute.get_storage_size() > _MOST_ATTRIBUTE:
            _refuse(path, f"its attribute {_shown(name)} is larger than any attribute of embeddings")


def _check_tables(path: Path, file: h5py.File) -> dict[str, int]:
    """Rows of each table."""
    size = os.fstat(file.id.get_vfd_handle()).st_size
    members = _members(path, file)
    lengths: dict[str, int] = {}
    stored = 0
    for table, columns in TABLES.items():
        if table not in members:
            if table not in _OPTIONAL_TABLES:
                _refuse(path, f"it has no table /{table}")
            continue
        if not isinstance(group := file[table], h5py.Group):
            _refuse(path, f"/{table} is not a table")
        names = _members(path, group)
        optional = (*_OPTIONAL_COLUMNS, *(VERSION_1 if file.attrs["format_version"] == 1 else ()))
        if missing := [name for name in columns if name not in names and name not in optional]:
            _refuse(path, f"it has no /{table}/{missing[0]}")
        if table == "series" and 0 < len(BRAIN.keys() & names) < len(BRAIN):
            _refuse(path, f"it has no /series/{min(BRAIN.keys() - names)}")
        for name in names:
            if not isinstance(dataset := group[name], h5py.Dataset):
                _refuse(path, f"/{table}/{_shown(name)} is not a column")
            if name in columns:
                stored += _check_column(path, dataset, f"/{table}/{name}", columns[name], size)
                if lengths.setdefault(table, dataset.shape[0]) != dataset.shape[0]:
                    _refuse(path, f"the columns of /{table} differ in length")
    if stored > size:
        _refuse(path, "its tables declare more than the file stores")
    return lengths


def _members(path: Path, group: h5py.Group) -> list[str]:
    """Names in a group, all of them hard links: others lead elsewhere, out of the file too."""
    if len(group) > _MOST_NAMES:
        _refuse(path, f"it has more than {_MOST_NAMES} entries in one group")
    names = list(group)
    for name in names:
        if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
            _refuse(path, f"{_shown(group.name.rstrip('/') + '/' + name)} is a soft or external link")
    return names


def _check_column(path: Path, dataset: h5py.Dataset, name: str, kind: str, size: int) -> int:
    """Bytes of the file that a column takes, texts included."""
    plan = dataset.id.get_create_plist()
    if dataset.is_virtual or plan.get_external_count():
        _refuse(path, f"the values of {name} are stored in an external file")
    text = kind in (TEXT, WORDS)
    stored_class = dataset.id.get_type().get_class()
    if stored_class not in _PLAIN or (stored_class == h5py.h5t.STRING) != text:
        _refuse(path, f"{name} is not a column of {'texts' if text else 'numbers'}")
    if not text and (dataset.dtype.kind not in _kinds(kind) or dataset.dtype.itemsize > 8):
        _refuse(path, f"{name} is not a column of numbers of type {kind}")
    components = COMPONENTS.get(name.rpartition("/")[2], ())
    two = kind == VECTOR or name == "/token/embedding" or bool(components)
    # A table without rows does not know the length of its vectors.
    is_empty = dataset.shape == (0,)
    if dataset.shape is None or (len(dataset.shape) != 1 + two and not is_empty):
        _refuse(path, f"{name} does not have {1 + two} dimensions")
    if components and dataset.shape[0] and dataset.shape[1] != len(components):
        _refuse(path, f"{name} does not have {len(components)} numbers per row")
    stored = _check_storage(path, dataset, name, plan, size)
    if text and h5py.check_string_dtype(dataset.dtype).length is None:
        stored += _text_bytes(path, dataset, name, size)
    return stored


def _kinds(kind: str) -> str:
    return "f" if kind == VECTOR else {"i": "iu", "f": "f"}[np.dtype(kind).kind]


def _check_storage(path: Path, dataset: h5py.Dataset, name: str, plan: Any, size: int) -> int:
    """Refuse a column that would take more memory than the file has bytes for, compressed within reason."""
    filters = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
    if not set(filters) <= set(_FILTERS):
        _refuse(path, f"{name} uses an unsupported compression")
    if (
        dataset.chunks
        and int(np.prod(dataset.chunks, dtype=object)) * dataset.id.get_type().get_size() > _MOST_CHUNK
    ):
        _refuse(path, f"{name} has chunks that are too large")
    if (stored := int(dataset.id.get_storage_size())) > size:
        _refuse(path, f"{name} declares more than the file stores")
    if filters:
        _check_pieces(path, dataset, name, filters)
    declared = int(np.prod(dataset.shape, dtype=object)) * dataset.id.get_type().get_size()
    if declared > (max(_SMALL, _MOST_RATIO * stored) if filters and stored else stored):
        _refuse(path, f"{name} declares more than the file stores")
    return stored


def _check_pieces(path: Path, dataset: h5py.Dataset, name: str, filters: list[int]) -> None:
    """Refuse compressed pieces that inflate to more than the column's pieces hold: libhdf5 inflates them whole."""
    if len(set(filters)) < len(filters) or {h5py.h5z.FILTER_LZF, h5py.h5z.FILTER_DEFLATE} <= set(filters):
        _refuse(path, f"{name} uses an unsupported compression")
    held = int(np.prod(dataset.chunks, dtype=object)) * dataset.id.get_type().get_size()
    pieces: list[Any] = []
    dataset.id.chunk_iter(pieces.append)
    for piece in pieces:
        # Deflate and LZF make incompressible numbers larger by less than a twentieth.
        too_much = piece.size > 1.05 * held + 1024
        skipped = [piece.filter_mask & 1 << place for place in range(len(filters))]
        kinds = {kind for kind, skip in zip(filters, skipped, strict=True) if not skip}
        if h5py.h5z.FILTER_LZF in kinds:
            too_much |= piece.size * _LZF_RATIO > _MOST_INFLATED
        elif h5py.h5z.FILTER_DEFLATE in kinds and piece.size * _DEFLATE_RATIO > _MOST_INFLATED:
            raw = dataset.id.read_direct_chunk(piece.chunk_offset)[1]
            # Fletcher32's four bytes may have been added first.
            too_much |= len(zlib.decompressobj().decompress(raw, held + 5)) > held + 4
        if too_much:
            _refuse(path, f"{name} decompresses to more than it declares")


def _text_bytes(path: Path, dataset: h5py.Dataset, name: str, size: int) -> int:
    """Bytes of all texts of a column, from their stored lengths: many can name one text of a megabyte."""
    total = 0
    for lengths in _stored_lengths(path, dataset, name):
        if (total := total + int(lengths.sum(dtype=np.uint64))) > size:
            _refuse(path, f"the texts of {name} are longer than the file")
    return total


def _stored_lengths(path: Path, dataset: h5py.Dataset, name: str) -> Iterator[np.ndarray]:
    """Lengths of texts, a few hundred rows at a time. On disk a text is its length (uint32) and where it is kept."""
    n_rows = dataset.shape[0]
    if not n_rows:
        return
    if dataset.chunks is None:  # not how this package or h5repack writes texts
        if n_rows > _MOST_NAMES:
            _refuse(path, f"{name} uses an unsupported storage layout")
        yield from (np.array([len(text)]) for text in (dataset[row] for row in range(n_rows)))
        return
    (rows,) = dataset.chunks
    plan = dataset.id.get_create_plist()
    filters = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
    for first in range(0, n_rows, rows):
        skipped, raw = dataset.id.read_direct_chunk((first,))
        entries = _unfiltered(raw, filters, skipped, dataset.id.get_type().get_size() * rows, rows)
        if len(entries) % rows or len(entries) < 4 * rows:
            _refuse(path, f"{name} uses an unsupported storage layout")
        table = np.frombuffer(entries, np.uint8).reshape(rows, -1)
        yield table[: n_rows - first, :4].copy().view("<u4")[:, 0]


def _unfiltered(raw: bytes, filters: list[int], skipped: int, expected: int, rows: int) -> bytes:
    """A piece of a column as it was before its filters, which are undone from the last to the first."""
    for place in reversed(range(len(filters))):
        if skipped & 1 << place:
            continue
        if filters[place] == h5py.h5z.FILTER_FLETCHER32:
            raw = raw[:-4]
        elif filters[place] == h5py.h5z.FILTER_DEFLATE:
            raw = zlib.decompressobj().decompress(raw, expected)
        elif filters[place] == h5py.h5z.FILTER_SHUFFLE:
            raw = np.frombuffer(raw, np.uint8).reshape(-1, rows).T.tobytes()
        else:
            raise ValueError("texts with an unsupported filter")
    return raw


def _check_whose(path: Path, file: h5py.File, lengths: dict[str, int]) -> None:
    """Refuse series of studies that there are not, or that are not counted with their study."""
    if "slice_axis" in file["series"] and not np.isin(file["series/slice_axis"][()], (0, 1, 2)).all():
        _refuse(path, "/series/slice_axis is not 0, 1 or 2")
    study = file["series/study"][()]
    n_studies = lengths["study"]
    if not ascending(study, n_studies):
        _refuse(path, "/series/study names studies that are not in /study, or in another order")
    if (np.bincount(study.astype(np.int64), minlength=n_studies) != file["study/n_series"][()]).any():
        _refuse(path, "/study/n_series disagrees with /series/study")


def _check_brains(path: Path, series: h5py.Group, n_rows: int) -> None:
    """Refuse volumes, scales and overlaps that no brain can have, and matrices that are no affine."""
    for first in range(0, n_rows, _BLOCK_ROWS):
        rows = slice(first, first + _BLOCK_ROWS)
        for name, most in (("brain_litres", _MOST_LITRES), ("mni_scale", _MOST_SCALE), ("mni_dice", 1.0)):
            values = series[name][rows]
            if not (np.isnan(values) | ((values >= 0) & (values <= most))).all():
                _refuse(path, f"/series/{name} is not from 0 to {most:g}, or NaN")
        matrices = series["to_mni"][rows]
        is_affine = np.isfinite(matrices).all(axis=1) & (matrices[:, 12:] == (0, 0, 0, 1)).all(axis=1)
        if not (is_affine | np.isnan(matrices).all(axis=1)).all():
            _refuse(path, "/series/to_mni is not an affine")


def ascending(rows: np.ndarray, n_rows: int) -> bool:
    """Whether numbers of rows are those of a table, in its order."""
    if not rows.size:
        return True
    return bool(rows[0] >= 0 and rows[-1] < n_rows and (rows[1:] >= rows[:-1]).all())


def _shown(name: str) -> str:
    """A name as it may be printed: short, and without control characters."""
    return "".join(c if c.isprintable() else "?" for c in name.encode("utf-8", "replace").decode()[:80])


def _refuse(path: Path, why: str, error: Exception | None = None) -> NoReturn:
    raise UsageError(
        f"{path} is not an embeddings file written by prima embed, or is damaged: {why}"
    ) from error
