"""Loose NIfTI: one file, or a folder of them that is no BIDS dataset."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prima_features.errors import NothingUsableError
from prima_features.studies.content import find_absence
from prima_features.studies.labels import bare, digest, safe_label, study_id
from prima_features.studies.sidecar import b0_volumes, is_phase, name_of, orientation_of, read_json, scale_of
from prima_features.studies.study import DEFAULT_DESCRIPTION, Found, LeftOut, NiftiImage, Series, Study
from prima_features.studies.tree import walk

IMAGES = (".nii", ".nii.gz")

_NOT_IMAGES = re.compile(
    r"\w*(mask|msk|seg|segmentation|parcellation|roi|rois|masks)"
    r"|labels?|labelmap|lesions?|aparc|wmh|pve|annotations?|contours?|groundtruth"
)
"""Words in a name that make it a mask, or a map of labels."""
_MASK = "its name says that it is a mask or a segmentation"
_SCAN_HINT = "list it in a manifest if it is a scan all the same"


def find_nifti(source: Path) -> Found:
    """Studies of a NIfTI file, or of a folder.

    Each file at the top of the folder is a study; each subfolder is one, with all the files in and below it:
    where it holds several visits, list them in a manifest. Ids come from the file's or folder's name. A JSON
    sidecar and a .bval file beside an image are used as in BIDS.

    Args:
        source: a .nii or .nii.gz file, or a folder.

    Raises:
        NothingUsableError: the folder holds no NIfTI files.
    """
    root = source if source.is_dir() else source.parent
    files = [source]
    if source.is_dir():
        files = [path for path in walk(source) if path.name.lower().endswith(IMAGES)]
    if not files:
        raise NothingUsableError(f"{source} holds no NIfTI files (.nii, .nii.gz)")
    members: dict[str, list[Path]] = {}
    for file in files:
        members.setdefault(file.relative_to(root).parts[0], []).append(file)
    ids = _name_studies(list(members))
    studies, left_out = [], []
    for name, paths in members.items():
        made = [_judge(path, path.relative_to(root).as_posix(), study_id(ids[name])) for path in paths]
        series = tuple(item for item in made if isinstance(item, Series))
        left_out += [item for item in made if isinstance(item, LeftOut)]
        if series:
            studies.append(Study(study_id(ids[name]), _subject(name), "", DEFAULT_DESCRIPTION, series, name))
    return Found("nifti", tuple(studies), tuple(left_out))


def make_series(path: Path, source: str, fields: Mapping[str, Any]) -> Series:
    """The series of a NIfTI file, with the .bval file beside it.

    Args:
        fields: those of its sidecar (`fields_beside`).
    """
    bvals = path.with_name(f"{stem_of(path.name)}.bval")
    volumes = b0_volumes(bvals) if bvals.is_file() else (0,)
    image = NiftiImage(path, volumes, orientation_of(fields), scale_of(fields))
    return Series(name_of(fields) or stem_of(path.name), image, source)


def fields_beside(path: Path) -> dict[str, Any]:
    """Fields of the JSON sidecar beside an image, none where there is no sidecar."""
    sidecar = path.with_name(f"{stem_of(path.name)}.json")
    return read_json(sidecar) if sidecar.is_file() else {}


def stem_of(name: str) -> str:
    """A file's name without `.nii` or `.nii.gz`."""
    return re.sub(r"\.nii(\.gz)?$", "", name, flags=re.IGNORECASE)


def _judge(path: Path, source: str, study: str) -> Series | LeftOut:
    if is_mask(stem_of(path.name)):
        return LeftOut(study, source, _MASK, _SCAN_HINT)
    if absence := find_absence(path, study, source):
        return absence
    fields = fields_beside(path)
    if is_phase(fields):
        return LeftOut(study, source, "its sidecar says that it is a phase image", _SCAN_HINT)
    return make_series(path, source, fields)


def is_mask(stem: str) -> bool:
    """Whether one of the words of a file's name says mask, segmentation, lesion or the like."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", stem).lower()
    return any(_NOT_IMAGES.fullmatch(word) for word in re.split(r"[^a-z0-9]+", words))


def _subject(name: str) -> str:
    return bare(stem_of(name), "sub-")


def _name_studies(names: Sequence[str]) -> dict[str, str]:
    """Labels for files and folders: a name's letters and digits, and its digest where two would be alike."""
    labels = {name: safe_label(_subject(name)) for name in names}
    # Compared without case: studies' ids are file names too, on disks that may ignore it.
    counts = Counter(label.lower() for label in labels.values())
    return {
        name: label if counts[label.lower()] == 1 else label + digest(name) for name, label in labels.items()
    }
