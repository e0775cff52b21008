"""Telling what a source is, by the first evidence met: quick on any tree."""

from __future__ import annotations

import os
import re
from itertools import islice
from pathlib import Path
from typing import Literal

from prima_features.errors import NothingUsableError, UsageError
from prima_features.studies.bids.choice import DATATYPES
from prima_features.studies.dicom.files import Kind, sniff
from prima_features.studies.nifti import IMAGES
from prima_features.studies.tree import walk

SourceFormat = Literal["bids", "dicom", "nifti", "manifest"]

DESCRIPTION = "dataset_description.json"
TABLES = (".csv", ".tsv")
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z")
_SUBJECTS_LOOKED_AT = 50
"""Subjects without data are rare, and a DICOM tree of a thousand folders `sub-X` must not take long."""


def detect(source: Path) -> SourceFormat:
    """What is at `source`.

    A folder is a BIDS dataset where it holds dataset_description.json or folders `sub-X` with BIDS files in a
    datatype's folder; else the first DICOM file, by its content, or .nii or .nii.gz, by its name, decides.

    Raises:
        UsageError: it is part of a BIDS dataset, or holds several.
        NothingUsableError: nothing is recognised.
    """
    if source.is_file():
        return _detect_file(source)
    if is_bids(source):
        return "bids"
    _refuse_part_of_bids(source)
    files = 0
    for path in walk(source):
        if path.name == DESCRIPTION:
            raise UsageError(f"{source} is no BIDS dataset, but holds one: give {path.parent}")
        if path.name.lower().endswith(IMAGES):
            return "nifti"
        if _is_dicom(path):
            return "dicom"
        files += 1
    what = f"none of its {files} files is DICOM or NIfTI" if files else "it is empty"
    raise NothingUsableError(f"{source} holds no scans: {what}")


def is_bids(folder: Path) -> bool:
    """Whether a folder is a BIDS dataset, at a glance: derivatives and sourcedata are not looked into."""
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
    """A subject's folder looks like loose NIfTI, and would be embedded by the wrong rules."""
    whole = folder.resolve()
    for part in (whole, *whole.parents):
        if (match := re.fullmatch(r"sub-([a-zA-Z0-9+]+)", part.name)) and is_bids(part.parent):
            raise UsageError(
                f"{folder} is part of the BIDS dataset {part.parent}: give that, "
                f"with --participant-label {match[1]}, or say what the folder is with --format"
            )


def _detect_file(file: Path) -> SourceFormat:
    name = file.name.lower()
    if name.endswith(IMAGES):
        return "nifti"
    if name.endswith(TABLES):
        return "manifest"
    if _is_dicom(file):
        return "dicom"
    advice = "unpack it first" if name.endswith(_ARCHIVES) else "give one of these, or a folder"
    raise NothingUsableError(
        f"{file} is not NIfTI (.nii, .nii.gz), DICOM or a manifest (.csv, .tsv): {advice}"
    )


def _is_dicom(file: Path) -> bool:
    try:
        return file.is_file() and sniff(file) is not Kind.OTHER
    except OSError:  # one unreadable file does not say what the rest is
        return False
