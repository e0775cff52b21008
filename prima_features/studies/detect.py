"""Detecting the format of a source while reading as little as possible."""

from __future__ import annotations

import os
import re
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Literal

from prima_features.errors import NothingUsableError, UsageError
from prima_features.studies.bids.choice import DATATYPES
from prima_features.studies.dicom import find_dicom
from prima_features.studies.dicom.read import is_dicomdir, quiet_pydicom, read_headers
from prima_features.studies.files import (
    ARCHIVES,
    HEADER_OF_PAIR,
    NIFTI,
    OTHER_IMAGES,
    FileKind,
    is_dicom,
    kind_of,
    walk,
)
from prima_features.studies.nifti import find_nifti

SourceFormat = Literal["bids", "dicom", "nifti", "manifest"]

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
    for path in walk(source):
        if path.name == DESCRIPTION:
            raise UsageError(f"{source} is not a BIDS dataset but contains one: give {path.parent}")
        kind = kind_of(path.name)
        if kind is FileKind.OTHER_IMAGE and is_dicom(path):  # DICOM files can also end in .img
            kind, has_dicom = FileKind.UNKNOWN, True
        seen[kind] += 1
        # One DICOM file is enough evidence: a tree may have a million.
        if not has_dicom and kind is not FileKind.NIFTI:
            has_dicom = is_dicom(path)
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
