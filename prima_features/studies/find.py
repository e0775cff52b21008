"""Finding the studies of any source: the format, the studies, and their texts made safe to store and to show."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal, get_args

from prima_features.errors import NothingUsableError, UsageError
from prima_features.files.text import MODEL_CHARACTERS, bounded, model_text
from prima_features.studies.bids import BidsOptions, find_bids
from prima_features.studies.bids.choice import DATATYPES
from prima_features.studies.dicom import DicomOptions, find_dicom
from prima_features.studies.dicom.read import Unusable, is_dicomdir, quiet_pydicom, read_headers
from prima_features.studies.files import (
    ARCHIVE,
    ARCHIVES,
    HEADER_OF_PAIR,
    NIFTI,
    OTHER_IMAGES,
    FileKind,
    count_scans,
    is_dicom,
    kind_of,
    walk,
    walk_names,
)
from prima_features.studies.labels import Pseudonyms
from prima_features.studies.manifest import find_manifest
from prima_features.studies.nifti import find_nifti
from prima_features.studies.selection import Selection
from prima_features.studies.study import Failure, Found, Series, Study, not_embedded
from prima_features.wording import count

SourceFormat = Literal["bids", "dicom", "nifti", "manifest"]
Format = Literal["auto", SourceFormat]


@dataclass(frozen=True)
class FindOptions:
    """What to find in a source. Raises UsageError if an option is invalid."""

    format: Format = "auto"
    """Input format; `auto` detects it."""
    selection: Selection = Selection()
    """Participants and sessions, for every format."""
    bids: BidsOptions = BidsOptions()
    dicom: DicomOptions = DicomOptions()
    derivatives: tuple[Path, ...] = ()
    """Folders with brain masks and transforms of the scans of a BIDS dataset, in order of preference; its own
    `derivatives` folder is searched, too."""

    def __post_init__(self) -> None:
        if self.format not in get_args(Format):
            raise UsageError(f"The format must be one of {', '.join(get_args(Format))}, not {self.format}")


def find(
    source: Path,
    options: FindOptions = FindOptions(),
    pseudonyms: Pseudonyms | None = None,
    detected: SourceFormat | None = None,
    index: Path | None = None,
) -> Found:
    """Find the studies of a BIDS dataset, a DICOM tree, loose NIfTI files or a manifest.

    Args:
        source: a folder or a file.
        options: what to find.
        pseudonyms: names for DICOM patients and studies; by default with a new random key.
        detected: the result of `format_of` for this source and these options, if it was called before.
        index: file that remembers what a DICOM tree contained between runs.

    Returns:
        Studies, possibly none, with unique ids and at least one series each; and what is left out, with reasons. That
        includes files of other formats, as defects unless the user chose the format. Names and descriptions are escaped
        and cut to the length that the model reads (`tidy_texts`).

    Raises:
        UsageError: the source does not exist, cannot be read, does not match the format, or lacks a requested
            participant or session.
        NothingUsableError: nothing in it has a known format.
    """
    format = detected or format_of(source, options)
    chosen = options.format != "auto"
    if options.derivatives and format != "bids":
        raise UsageError(
            f"--derivatives applies to BIDS datasets, and {source} is read as {format}: leave it out, or name masks "
            "and transforms in a manifest (columns mask and mni_affine)"
        )
    if format == "bids":  # selects while walking, so one participant of thousands is found quickly
        found = find_bids(
            source, options.bids, options.selection, options.dicom.time_series, options.derivatives
        )
        return tidy_texts(_with_distinct_ids(found))
    if format == "dicom":
        if source.is_file() and is_dicomdir(source):
            raise NothingUsableError(
                f"{source} is a DICOMDIR, which contains no images: give its folder {source.parent}"
            )
        found = _with_other_images(find_dicom(source, options.dicom, pseudonyms, index), source, chosen)
    elif format == "nifti":
        found = find_nifti(source, options.dicom.time_series, chosen)
    else:
        found = find_manifest(source, options.dicom, pseudonyms)
    return tidy_texts(_with_distinct_ids(options.selection.apply(found)))


def _with_distinct_ids(found: Found) -> Found:
    """The first study of each id, and a row for each further one: the output needs unique ids."""
    first: dict[str, Study] = {}
    others = [study for study in found.studies if first.setdefault(study.id, study) is not study]
    reason = "another study in the source has the same id; only the first is embedded"
    hint = "rename it, or embed it to a separate output"
    rows = tuple(not_embedded(study.id, study.source, reason, hint, defect=True) for study in others)
    return replace(found, studies=tuple(first.values()), left_out=(*found.left_out, *rows))


def _with_other_images(found: Found, source: Path, chosen: bool) -> Found:
    """Add rows with the numbers of images in a DICOM tree that are not DICOM: their names can identify patients."""
    if not source.is_dir() or not (counts := count_scans(source)):
        return found
    reason = "it has another format, and the source is read as DICOM"
    rows, scans = [], 0
    for name, n in counts.items():
        what = f"{n} {name} file{'s' * (n > 1)}"
        if name == ARCHIVE:
            rows.append(not_embedded("", what, "archives are not opened", "unpack it", defect=True))
        else:
            hint = "embed it separately with --format nifti and another output"
            rows.append(not_embedded("", what, reason, hint, defect=not chosen))
            scans += n
    others = [item for item in found.left_out if item.error != Unusable.OTHER_FORMAT.reason]
    warnings = found.warnings
    if scans and not chosen:
        n = sum(len(study.series) for study in found.studies)
        warnings += (
            f"The source has several formats: DICOM ({n} usable series) and {count(scans, 'image')} in "
            "NIfTI or similar formats. It is read as DICOM, which has at least as many series; choose with --format",
        )
    return replace(found, left_out=(*others, *rows), warnings=warnings)


def format_of(source: Path, options: FindOptions = FindOptions()) -> SourceFormat:
    """The format of a source: by the options, or detected.

    Raises:
        UsageError: the source does not exist, cannot be read, or is part of a BIDS dataset.
        NothingUsableError: nothing in it has a known format.
    """
    _check_readable(source)
    return detect(source) if options.format == "auto" else options.format


def _check_readable(source: Path) -> None:
    try:
        kind = source.stat().st_mode
        if stat.S_ISDIR(kind):
            os.scandir(source).close()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"{source} does not exist: check the path") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise UsageError(f"{source} cannot be read: {getattr(error, 'strerror', error)}") from error
    if not stat.S_ISDIR(kind) and not stat.S_ISREG(kind):  # reading a pipe or a device may block forever
        raise UsageError(f"{source} is a pipe or a device: give a folder or a file")


# ---- the format ----

DESCRIPTION = "dataset_description.json"
TABLES = (".csv", ".tsv")
_SUBJECTS_LOOKED_AT = 50
"""Number of `sub-X` folders checked. Subjects without data are rare, and a DICOM tree can have thousands of them."""


def detect(source: Path) -> SourceFormat:
    """The format of `source`.

    A folder is a BIDS dataset if it contains dataset_description.json, or `sub-X` folders with BIDS files in datatype
    folders. Otherwise DICOM files are recognised by their content, and images in NIfTI and similar formats by their
    names. If there are both, the format with more series that can be embedded is used, or DICOM if the numbers are
    equal.

    Raises:
        UsageError: it is part of a BIDS dataset, or contains one.
        NothingUsableError: nothing is recognised.
    """
    if source.is_file():
        return _detect_file(source)
    if is_bids(source):
        return "bids"
    _refuse_part_of_bids(source)
    seen, has_dicom = Counter[FileKind](), False
    for folder, name in walk_names(source):
        if name == DESCRIPTION:
            raise UsageError(f"{source} is not a BIDS dataset but contains one: give {Path(folder)}")
        kind = kind_of(name)
        if kind is FileKind.OTHER_IMAGE and is_dicom(Path(folder, name)):  # DICOM files can also end in .img
            kind, has_dicom = FileKind.UNKNOWN, True
        seen[kind] += 1
        # One DICOM file is enough evidence: a tree may have a million.
        if not has_dicom and kind is not FileKind.NIFTI:
            has_dicom = is_dicom(Path(folder, name))
    n_images = seen[FileKind.NIFTI] + seen[FileKind.OTHER_IMAGE]
    if n_images and has_dicom:
        return "nifti" if _count_nifti(source, n_images) > _count_dicom(source) else "dicom"
    if n_images or has_dicom:
        return "nifti" if n_images else "dicom"
    raise NothingUsableError(f"{source} contains no scans: {_why_no_scans(seen)}")


def _count_nifti(source: Path, n_images: int) -> tuple[int, int]:
    """Numbers of series that can be embedded, and of files, if the source is read as NIfTI."""
    return sum(len(study.series) for study in find_nifti(source).studies), n_images


def _count_dicom(source: Path) -> tuple[int, int]:
    """Numbers of series that can be embedded, and of SeriesInstanceUIDs, if the source is read as DICOM."""
    usable = sum(len(study.series) for study in find_dicom(source).studies)
    series: set[str] = set()
    with quiet_pydicom():
        for path in walk(source):
            if kind_of(path.name) is not FileKind.NIFTI and isinstance(headers := read_headers(path), list):
                series.update(header.series_uid for header in headers)
    return usable, len(series)


def _why_no_scans(seen: Counter[FileKind]) -> str:
    if not (files := seen.total()):
        return "it is empty"
    why = (
        f"none of its {files} files is DICOM or NIfTI" if files > 1 else "its one file is not DICOM or NIfTI"
    )
    if n := seen[FileKind.ARCHIVE]:
        why += f"; {n} {'is an archive' if n == 1 else 'are archives'} (such as .zip): unpack first"
    if n := seen[FileKind.UNREAD]:
        why += f"; {n} {'is an image' if n == 1 else 'are images'} in an unsupported format: convert to NIfTI"
    return why


def is_bids(folder: Path) -> bool:
    """Whether a folder is a BIDS dataset. Derivatives and sourcedata are not searched."""
    if (folder / DESCRIPTION).is_file():
        return True
    with os.scandir(folder) as entries:
        subjects = islice(
            (entry.path for entry in entries if entry.name.startswith("sub-")), _SUBJECTS_LOOKED_AT
        )
        return any(_is_subject(Path(subject)) for subject in subjects)


def _is_subject(folder: Path) -> bool:
    return any(
        any((visit / datatype).glob("sub-*"))
        for visit in (folder, *islice(folder.glob("ses-*"), 3))
        for datatype in DATATYPES
    )


def _refuse_part_of_bids(folder: Path) -> None:
    """A subject's folder looks like loose NIfTI files, and would be embedded by the wrong rules."""
    whole = folder.resolve()
    for part in (whole, *whole.parents):
        if (match := re.fullmatch(r"sub-([a-zA-Z0-9+]+)", part.name)) and is_bids(part.parent):
            raise UsageError(
                f"{folder} is part of the BIDS dataset {part.parent}: give the dataset with --participant-label "
                f"{match[1]}, or set --format"
            )


def _detect_file(file: Path) -> SourceFormat:
    name = file.name.lower()
    if name.endswith(NIFTI):
        return "nifti"
    if name.endswith(TABLES):
        return "manifest"
    if is_dicomdir(file):
        raise NothingUsableError(
            f"{file} is a DICOMDIR, which contains no images: give its folder {file.parent}"
        )
    if is_dicom(file):
        return "dicom"
    if name.endswith(OTHER_IMAGES):
        return "nifti"
    advice = "give one of these, or a folder"
    if name.endswith(ARCHIVES):
        advice = "unpack it and give the folder"
    elif name.endswith(HEADER_OF_PAIR):
        advice = "give the .img file that it belongs to"
    raise NothingUsableError(
        f"{file} is not NIfTI (.nii, .nii.gz), DICOM or a manifest (.csv, .tsv), nor another supported image "
        f"format ({', '.join(OTHER_IMAGES)}): {advice}"
    )


# ---- texts ----

CUT_NAME = "name-cut"
"""Flag of a series whose name is longer than the model reads."""


def tidy_texts(found: Found) -> Found:
    """Escape texts that are not printable, and cut texts for the model to `MODEL_CHARACTERS` characters.

    Returns:
        The same studies. Series with a cut name get the flag `name-cut`; a warning lists cut descriptions.
    """
    cut = [study.id for study in found.studies if len(study.description) > MODEL_CHARACTERS]
    warnings = found.warnings
    if cut:
        whose = f"The description of {cut[0]}"
        if len(cut) > 1:
            whose = f"The descriptions of {len(cut)} studies, such as {cut[0]},"
        warnings += (
            f"{whose} {'is' if len(cut) == 1 else 'are'} longer than {MODEL_CHARACTERS:,} characters; the model "
            "reads the beginning only",
        )
    return replace(
        found,
        studies=tuple(map(_tidy_study, found.studies)),
        left_out=tuple(map(_tidy_left_out, found.left_out)),
        warnings=tuple(map(bounded, warnings)),
        anatomy_warnings=tuple(map(bounded, found.anatomy_warnings)),
    )


def _tidy_study(study: Study) -> Study:
    return replace(
        study,
        subject=bounded(study.subject),
        session=bounded(study.session),
        source=bounded(study.source),
        description=model_text(study.description),
        series=tuple(map(_tidy_series, study.series)),
    )


def _tidy_series(series: Series) -> Series:
    name, source = model_text(series.name), bounded(series.source)
    if (name, source) == (series.name, series.source):
        return series
    flags = (*series.flags, CUT_NAME) if len(series.name) > MODEL_CHARACTERS else series.flags
    return replace(series, name=name, source=source, flags=flags)


def _tidy_left_out(item: Failure) -> Failure:
    return replace(item, series=bounded(item.series), error=bounded(item.error), hint=bounded(item.hint))
