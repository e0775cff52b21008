"""A manifest: a table that assigns images to studies."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from prima_features.errors import NothingUsableError, UsageError
from prima_features.files.paths import expanded, is_folder
from prima_features.files.tables import EmptyTableError, Table, read_table, spelling
from prima_features.studies.content import find_absence, find_copies, left_out_copy
from prima_features.studies.dicom import DicomOptions, find_dicom
from prima_features.studies.files import NIFTI, OTHER_IMAGES, is_dicom
from prima_features.studies.labels import Pseudonyms, bare, safe_label, study_id
from prima_features.studies.nifti import make_series
from prima_features.studies.study import DEFAULT_DESCRIPTION, Failure, Found, Series, Study, not_embedded

logger = logging.getLogger(__name__)

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "path": ("path", "file", "filename", "file_path", "filepath", "image", "image_path", "scan"),
    "subject": ("subject", "subject_id", "sub", "participant", "participant_id", "participant_label"),
    "session": ("session", "session_id", "ses", "session_label", "visit"),
    "series": ("series", "series_name", "series_description", "sequence", "name"),
    "description": ("description", "study_description"),
    "mask": ("mask", "brain_mask", "mask_path"),
    "mni_affine": ("mni_affine", "mni_transform", "to_mni"),
}
"""Columns and their accepted spellings, in any case, with words separated by `_`, `-` or a space. `path` and `subject`
are required. Further columns are ignored."""

_REQUIRED = ("path", "subject")
_EMPTY = ("", "n/a", "N/A")
"""BIDS writes n/a for missing values."""


@dataclass(frozen=True)
class Row:
    """One row: an image and its subject."""

    number: int
    """As counted in a spreadsheet: the header is row 1."""
    path: Path
    """Relative paths are relative to the manifest's folder."""
    written: str
    """The path as written in the table."""
    subject: str
    """Without `sub-`."""
    session: str
    """Without `ses-`, or empty."""
    series: str
    """The series' name, or empty."""
    description: str
    """The study's description, or empty."""
    mask: Path | None = None
    """Brain mask of the image, if it is named. Relative paths as for `path`."""
    mni_affine: Path | None = None
    """File with the transform of the image to MNI152, likewise."""


def read_rows(table: Path) -> list[Row]:
    """Rows of a manifest, in the order of the table.

    TSV, CSV and Excel are read (see `files.tables.read_table`).

    Raises:
        UsageError: it cannot be read, lacks a column, or has an empty path or subject, or a path twice. The message
            names the row.
        NothingUsableError: it has no rows.
    """
    try:
        cells = read_table(table, "The manifest")
    except EmptyTableError as error:
        raise NothingUsableError(
            f"{table} is empty: a manifest has the columns {', '.join(COLUMNS)}"
        ) from error
    for warning in cells.warnings:
        logger.warning("%s", warning)
    if any("\0" in cell for row in cells.rows for cell in row):
        raise UsageError(f"The manifest {table} is not text in UTF-8: save it as CSV in UTF-8")
    rows = list(_rows(table, _find_columns(table, cells.header), cells))
    if not rows:
        raise NothingUsableError(f"{table} has a header and no rows")
    return rows


def _find_columns(table: Path, header: Sequence[str]) -> dict[str, int]:
    """Index of each known column."""
    spelled = [spelling(name) for name in header]
    columns: dict[str, int] = {}
    for column, spellings in COLUMNS.items():
        places = [i for i, name in enumerate(spelled) if name in spellings]
        if len(places) > 1:
            names = " and ".join(header[i] for i in places)
            raise UsageError(f"{table} has several columns for the {column}: {names}; keep one")
        if not places and column in _REQUIRED:
            raise UsageError(
                f"{table} has no column `{column}`; it has {', '.join(filter(None, header)) or 'none'}"
            )
        if places:
            columns[column] = places[0]
    return columns


def _rows(table: Path, columns: Mapping[str, int], cells: Table) -> Iterator[Row]:
    first_rows: dict[str, int] = {}
    for number, row in zip(cells.numbers, cells.rows, strict=True):
        values = {column: _value(row, place) for column, place in columns.items()}
        for column in _REQUIRED:
            if not values[column]:
                raise UsageError(f"{table}, row {number}: the {column} is empty")
        path = _path(table, values["path"]) or Path()
        first = first_rows.setdefault(os.path.normpath(path), number)
        if first != number:
            raise UsageError(
                f"{table}, row {number}: the path is already in row {first}; list each image once"
            )
        yield Row(
            number=number,
            path=path,
            written=Path(values["path"]).as_posix(),
            subject=bare(values["subject"], "sub-"),
            session=bare(values.get("session", ""), "ses-"),
            series=values.get("series", ""),
            description=values.get("description", ""),
            mask=_path(table, values.get("mask", "")),
            mni_affine=_path(table, values.get("mni_affine", "")),
        )


def _path(table: Path, cell: str) -> Path | None:
    return table.parent / expanded(Path(cell)) if cell else None


def _value(row: Sequence[str], place: int) -> str:
    value = row[place].strip()
    return "" if value in _EMPTY else value


@dataclass(frozen=True)
class _Content:
    """What the path of a row contains."""

    series: tuple[Series, ...] = ()
    left_out: tuple[Failure, ...] = ()
    description: str = ""


def find_manifest(
    table: Path, options: DicomOptions = DicomOptions(), pseudonyms: Pseudonyms | None = None
) -> Found:
    """Studies of a manifest, in the order of its rows: rows that share subject and session are one study.

    A path is a NIfTI file, a DICOM folder, or one DICOM file, which stands for its series. All series of a DICOM folder
    are embedded, with the row's series name if there is one; a folder with several DICOM studies is left out. An image
    is embedded even if its name or its voxels suggest that it is a mask. Rows whose paths do not exist are left out. So
    are rows whose brain mask or transform does not exist.

    Args:
        table: a CSV, TSV or Excel file with the columns `COLUMNS`.
        options: for DICOM paths.
        pseudonyms: passed to the DICOM finder, but not stored: the manifest names its subjects.

    Raises:
        UsageError: the table cannot be used (see `read_rows`), names of subjects differ only in characters that ids
            cannot contain, or one study has two descriptions. The message names the rows.
        NothingUsableError: it has no rows.
    """
    if table.is_dir():
        raise UsageError(f"{table} is a folder, but a manifest is a CSV or TSV file")
    studies: dict[str, list[Row]] = {}
    for row in read_rows(table):
        session = safe_label(row.session) if row.session else ""
        studies.setdefault(study_id(safe_label(row.subject), session), []).append(row)
    made = [_make_study(table, study, rows, options, pseudonyms) for study, rows in studies.items()]
    return Found(
        format="manifest",
        studies=tuple(study for study, _ in made if study.series),
        left_out=tuple(item for _, left_out in made for item in left_out),
    )


def _make_study(
    table: Path, study: str, rows: Sequence[Row], options: DicomOptions, pseudonyms: Pseudonyms | None
) -> tuple[Study, list[Failure]]:
    first = rows[0]
    for row in rows:
        if (row.subject, row.session) != (first.subject, first.session):
            raise UsageError(
                f"{table}, rows {first.number} and {row.number}: their subjects or sessions differ, but both "
                f"become {study}, because ids contain only letters and digits; rename one"
            )
    # A path that cannot be looked up affects only its own row.
    absent = {row.path: absence for row in rows if (absence := _find_absence(row, study)) is not None}
    copies = find_copies([row.path for row in rows if row.path not in absent and _is_image(row.path)])
    written = {row.path: row.written for row in rows}
    contents = []
    for row in rows:
        if row.path in absent:
            contents.append(_Content(left_out=(absent[row.path],)))
        elif copy := copies.get(row.path):
            what = f"row {row.number}: {row.written}"
            contents.append(_Content(left_out=(left_out_copy(study, what, written[copy.of], copy.same),)))
        else:
            contents.append(_with_anatomy(row, study, _open_row(row, study, options, pseudonyms)))
    scans_own = [content.description for content in contents if content.description]
    return Study(
        id=study,
        subject=first.subject,
        session=first.session,
        description=_description(table, rows) or next(iter(scans_own), DEFAULT_DESCRIPTION),
        series=_each_once([series for content in contents for series in content.series]),
    ), [item for content in contents for item in content.left_out]


def _each_once(series: Sequence[Series]) -> tuple[Series, ...]:
    """Series without repetition: a table may list every file of a DICOM series. One row with its mask suffices."""
    found: dict[Series, Series] = {}
    for one in series:
        bare = replace(one, mask=None, to_mni=None, anatomy_from="")
        if found.setdefault(bare, one) == bare:
            found[bare] = one
    return tuple(found.values())


def _description(table: Path, rows: Sequence[Row]) -> str:
    described = [row for row in rows if row.description]
    for row in described:
        if row.description != described[0].description:
            raise UsageError(
                f"{table}, rows {described[0].number} and {row.number}: one study has two descriptions; "
                "keep one"
            )
    return described[0].description if described else ""


def _what(row: Row) -> str:
    """How messages name a row: by its number alone if the path may be a DICOM file, which can name the patient."""
    return f"row {row.number}: {row.written}" if _is_image(row.path) else f"row {row.number}"


def _find_absence(row: Row, study: str) -> Failure | None:
    return None if is_folder(row.path) else find_absence(row.path, study, _what(row))


def _open_row(row: Row, study: str, options: DicomOptions, pseudonyms: Pseudonyms | None) -> _Content:
    what = _what(row)
    if _is_image(row.path):
        made, _ = make_series(row.path, row.written, study, options.time_series)
        if isinstance(made, Failure):
            return _Content(left_out=(replace(made, series=what),))
        return _Content((replace(made, name=row.series or made.name),))
    if row.path.is_file() and not is_dicom(row.path):
        reason, hint = (
            f"the file is neither NIfTI (.nii, .nii.gz) nor DICOM, nor {' '.join(OTHER_IMAGES)}",
            "convert it, or remove the row",
        )
        return _Content(left_out=(not_embedded(study, what, reason, hint, defect=True),))
    return _open_dicom(row, study, find_dicom(row.path, options, pseudonyms))


def _with_anatomy(row: Row, study: str, content: _Content) -> _Content:
    """The content with the row's brain mask and transform, or left out if they cannot be used."""
    named = {"brain mask": row.mask, "transform to MNI152": row.mni_affine}
    if not content.series or not any(named.values()):
        return content

    def without(reason: str, hint: str) -> _Content:
        failure = not_embedded(study, _what(row), reason, hint, defect=True)
        return _Content(left_out=(*content.left_out, failure))

    if len(content.series) > 1:
        reason = (
            f"it names a brain mask or transform, which is of one scan, and has {len(content.series)} series"
        )
        return without(reason, "list each series in a separate row")
    for kind, path in named.items():
        if path is None:
            continue
        absence = find_absence(path, study, "")
        if absence or is_folder(path):
            why = absence.error if absence else "it is a folder"
            column = "mask" if kind == "brain mask" else "mni_affine"
            # Not the path: next to DICOM files it can name the patient.
            return without(f"its {kind} cannot be used: {why}", f"correct the column {column}")
    (one,) = content.series
    one = replace(one, mask=row.mask, to_mni=row.mni_affine, anatomy_from="manifest")
    return replace(content, series=(one,))


def _is_image(path: Path) -> bool:
    """Whether a file has the name of an image that is not DICOM. DICOM files can also end in `.img`."""
    name = path.name.lower()
    if name.endswith(".img") and is_dicom(path):
        return False
    return name.endswith((*NIFTI, *OTHER_IMAGES))


def _open_dicom(row: Row, study: str, found: Found) -> _Content:
    if len(found.studies) > 1:
        reason = f"the folder contains {len(found.studies)} DICOM studies, but a row is one study"
        hint = "list each study's folder in a separate row"
        return _Content(left_out=(not_embedded(study, f"row {row.number}", reason, hint, defect=True),))
    left_out = tuple(
        replace(item, study=study, series=f"row {row.number}: {item.series}") for item in found.left_out
    )
    if not found.studies:
        none = not_embedded(
            study, f"row {row.number}", "the folder contains no DICOM series to embed", defect=True
        )
        return _Content(left_out=left_out or (none,))
    (one,) = found.studies
    series = tuple(replace(series, name=row.series or series.name) for series in one.series)
    return _Content(series, left_out, one.description)
