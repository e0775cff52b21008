"""Finding the studies of any source."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from prima_features.errors import UsageError
from prima_features.studies.bids import BidsOptions, find_bids
from prima_features.studies.detect import SourceFormat, detect
from prima_features.studies.dicom import DicomOptions, find_dicom
from prima_features.studies.manifest import find_manifest
from prima_features.studies.nifti import find_nifti
from prima_features.studies.pseudonyms import Pseudonyms
from prima_features.studies.selection import Selection
from prima_features.studies.study import Found
from prima_features.studies.texts import tidy_texts

Format = Literal["auto", SourceFormat]


@dataclass(frozen=True)
class FindOptions:
    """What to look for in a source. Raises UsageError where a choice cannot be."""

    format: Format = "auto"
    """What the source is; `auto` finds out."""
    selection: Selection = Selection()
    """Which participants and sessions, whatever the format."""
    bids: BidsOptions = BidsOptions()
    dicom: DicomOptions = DicomOptions()

    def __post_init__(self) -> None:
        if self.format not in get_args(Format):
            raise UsageError(f"The format is one of {', '.join(get_args(Format))}, not {self.format}")


def find(source: Path, options: FindOptions = FindOptions(), pseudonyms: Pseudonyms | None = None) -> Found:
    """Find the studies of a BIDS dataset, a DICOM tree, loose NIfTI files or a manifest.

    Args:
        source: a folder or a file.
        options: what to look for.
        pseudonyms: names for DICOM's patients and studies; by default under a new random key.

    Returns:
        Studies, perhaps none, with unique ids and at least one series each; what is left out, with reasons. Names
        and descriptions are escaped and cut to what the model reads (`texts.tidy_texts`).

    Raises:
        UsageError: the source does not exist, cannot be read, does not fit the format, or lacks a participant
            or session that was asked for.
        NothingUsableError: nothing in it is of a known format.
    """
    format = format_of(source, options)
    if format == "bids":  # selects as it walks, so that one participant of thousands is found at once
        return tidy_texts(find_bids(source, options.bids, options.selection))
    if format == "dicom":
        found = find_dicom(source, options.dicom, pseudonyms)
    elif format == "nifti":
        found = find_nifti(source)
    else:
        found = find_manifest(source, options.dicom, pseudonyms)
    return tidy_texts(options.selection.apply(found))


def format_of(source: Path, options: FindOptions = FindOptions()) -> SourceFormat:
    """What a source is: what the options say, or what is found.

    Raises:
        UsageError: the source does not exist, cannot be read, or is part of a BIDS dataset.
        NothingUsableError: nothing in it is of a known format.
    """
    _check_readable(source)
    return detect(source) if options.format == "auto" else options.format


def _check_readable(source: Path) -> None:
    try:
        if source.is_dir():
            os.scandir(source).close()
        else:
            source.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"{source} does not exist: check the path") from error
    except OSError as error:
        raise UsageError(f"{source} cannot be read: {error.strerror}") from error
