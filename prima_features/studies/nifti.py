"""Loose images: one file in NIfTI or a similar format, or a folder of them that is not a BIDS dataset."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prima_features.errors import NothingUsableError
from prima_features.studies.content import find_absence, find_copies, find_same_names, inflated, left_out_copy
from prima_features.studies.files import FileKind, format_name, is_dicom, kind_of, walk
from prima_features.studies.labels import MAX_LABEL, bare, digest, safe_label, study_id
from prima_features.studies.sidecar import (
    HINT,
    SidecarError,
    b0_volumes,
    name_of,
    naming,
    orientation_of,
    other_kind,
    read_b_values,
    read_json,
    scale_of,
    with_ending,
)
from prima_features.studies.study import (
    DEFAULT_DESCRIPTION,
    Failure,
    Found,
    NiftiImage,
    OtherImage,
    Series,
    Study,
    TimeSeries,
    not_embedded,
)
from prima_features.wording import count

if TYPE_CHECKING:
    from prima_features.studies.voxels import Opened

_NOT_IMAGES = re.compile(
    r"\w*(mask|msk|seg|segmentation|parcellation|roi|rois|masks)"
    r"|labels?|labelmap|lesions?|aparc|wmh|pve|annotations?|contours?|groundtruth"
)
"""Words in the name of a mask, or of a map of labels."""
_PHASE = re.compile(r"[_-](ph|phase|imaginary|fieldmaphz)$", re.IGNORECASE)
"""How dcm2niix ends the names of images that are not magnitude images."""
_BRAIN_MASK = re.compile(
    r"(.+?)_(?:(?:desc-)?(?:brain|synthstrip|hdbet|hd-bet|bet|robex)_?)?mask", re.IGNORECASE
)
"""Name of the brain mask of a scan, after the scan's own name."""
_MASK = "its name says that it is a mask or a segmentation"
_NOT_AN_IMAGE = {
    "mask": "its voxels have at most three distinct values: a mask, not an image",
    "labels": "its voxels are labels of regions: a segmentation, not an image",
    "fractions": "its voxels are fractions from 0 to 1, next to an image of the same grid: a tissue or "
    "probability map",
}
_SCAN_HINT = "if it is a scan, list it in a manifest"
_EMBED_HINT = "embed them separately with --format {} and another output"


@dataclass
class _Others:
    """Files of a folder that are not images to read, by kind."""

    dicom: int = 0
    dicom_folders: set[Path] = field(default_factory=set)
    unknown: Counter[str] = field(default_factory=Counter)
    rows: list[Failure] = field(default_factory=list)


def find_nifti(source: Path, time_series: TimeSeries = "skip", chosen: bool = True) -> Found:
    """Studies of an image file, or of a folder of images that is no BIDS dataset.

    Each file at the top of the folder is a study; so is each subfolder, with all files below it. (List subfolders with
    several visits in a manifest.) Ids are made from the names of files and folders. A JSON sidecar and a .bval file
    next to an image are used as in BIDS.

    Besides .nii and .nii.gz, the formats of `prima_features.studies.files.OTHER_IMAGES` are read. Masks,
    segmentations and maps of tissue are recognised by name and by voxels. `X_mask`, `X_brain_mask` and
    `X_desc-brain_mask` next to a scan `X` are its brain mask. Copies of an image in one study are embedded
    once. Everything else that may be a scan is left out with its reason.

    Args:
        source: an image file, or a folder.
        time_series: what to do with files of several volumes that have no gradient table.
        chosen: whether the user chose the format; if not, DICOM files in the folder count as defects.

    Raises:
        NothingUsableError: there are no images.
    """
    root = source if source.is_dir() else source.parent
    others = _Others()
    files = _list_images(source, others, chosen) if source.is_dir() else [source]
    if not files:
        raise NothingUsableError(
            f"{source} has no NIfTI files (.nii, .nii.gz) and no images of similar formats"
        )
    members: dict[str, list[Path]] = {}
    for file in files:
        members.setdefault(file.relative_to(root).parts[0], []).append(file)
    at_top = [paths[0] for name, paths in members.items() if (root / name) == paths[0]]
    same_names = find_same_names(at_top)
    ids = _name_studies([name for name in members if root / name not in same_names])
    ids |= {path.name: ids[copy.of.name] for path, copy in same_names.items()}
    studies, left_out = [], []
    masks, unclear = _brain_masks(files)
    of_masks = {mask: scan for scan, mask in masks.items()}
    for name, paths in members.items():
        study = study_id(ids[name])
        copies = find_copies(paths) | same_names
        made: list[tuple[Series | Failure, Opened | None]] = []
        for path in paths:
            what = path.relative_to(root).as_posix()
            if (copy := copies.get(path)) is not None:
                made.append(
                    (left_out_copy(study, what, copy.of.relative_to(root).as_posix(), copy.same), None)
                )
            else:
                item, opened = _make_unless_mask(path, what, study, time_series)
                if isinstance(item, Series) and (mask := masks.get(path)) is not None:
                    item = replace(item, mask=mask, anatomy_from="mask file")
                elif isinstance(item, Failure) and (scan := of_masks.get(path)) is not None:
                    item = not_embedded(study, what, f"it is the brain mask of {scan.name}")
                made.append((item, opened))
        items = _without_fractions(made, study)
        series = tuple(item for item in items if isinstance(item, Series))
        left_out += [item for item in items if isinstance(item, Failure)]
        if series:
            studies.append(Study(study, _subject(name), "", DEFAULT_DESCRIPTION, series, name))
    return Found(
        "nifti", tuple(studies), (*left_out, *others.rows), _warnings(others, studies, chosen), unclear
    )


def make_series(
    path: Path, source: str, study: str, time_series: TimeSeries = "skip", by_content: bool = False
) -> tuple[Series | Failure, Opened | None]:
    """The series of an image file, with its JSON sidecar and .bval file; or why it is left out.

    Args:
        path: of a format that is read.
        source: the path to show in messages.
        study: id of its study.
        time_series: as in `find_nifti`.
        by_content: leave out masks and segmentations that are recognised by their voxels.

    Returns:
        The series or the reason, and the opened file if its header could be read.
    """
    if absence := find_absence(path, study, source):
        return absence, None
    try:
        fields, table = _describing(path)
        orientation = orientation_of(fields)
    except SidecarError as error:
        return not_embedded(study, source, f"its sidecar {error}", HINT, defect=True), None
    if part := other_kind(fields):
        return not_embedded(study, source, f"its sidecar says that it is {part}", _SCAN_HINT), None
    if not fields.get("ImageType") and by_content and _PHASE.search(_stem(path)):
        return not_embedded(study, source, "its name says that it is a phase image", _SCAN_HINT), None
    try:
        image, opened = _open(path)
    except OSError as error:
        reason = f"it cannot be read: {error.strerror or 'input/output error'}"
        return not_embedded(study, source, reason, "check permissions and the disk", defect=True), None
    except ValueError as error:
        return not_embedded(
            study, source, str(error), "copy it again or convert it to NIfTI", defect=True
        ), None
    if table and len(table) != opened.n_volumes:
        reason = f"its .bval file has {len(table)} b-values, but the image has {opened.n_volumes} volumes"
        return not_embedded(study, source, reason, HINT, defect=True), opened
    if not (volumes := _choose_volumes(opened.n_volumes, table, time_series)):
        reason = f"it has {opened.n_volumes} volumes, such as a time series"
        return not_embedded(study, source, reason, "embed it with --time-series first or mean"), opened
    if by_content and (kind := _classify(opened)) in ("mask", "labels"):
        return not_embedded(study, source, _NOT_AN_IMAGE[kind], _SCAN_HINT), opened
    image = replace(image, volumes=volumes, orientation=orientation, scale=scale_of(fields))
    flags = ("orientation-unknown",) if isinstance(image, OtherImage) and lacks_orientation(opened) else ()
    return Series(name_of(fields) or _stem(path), image, source, flags), opened


def stem_of(name: str) -> str:
    """A file's name without the ending of an image format, such as `.nii.gz`."""
    return re.sub(r"\.(nii(\.gz)?|mg[zh]|img|hdr|nrrd|nhdr|mh[ad])$", "", name, flags=re.IGNORECASE)


def is_mask(stem: str) -> bool:
    """Whether one of the words in a file's name is mask, segmentation, lesion or similar."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", stem).lower()
    return any(_NOT_IMAGES.fullmatch(word) for word in re.split(r"[^a-z0-9]+", words))


def _list_images(source: Path, others: _Others, chosen: bool) -> list[Path]:
    """Images to read below a folder; other files go to `others`."""
    images: list[Path] = []
    unreadable: list[str] = []

    def note(error: OSError) -> None:
        unreadable.append(os.path.relpath(error.filename, source))

    def leave_out(path: Path, reason: str, hint: str) -> None:
        others.rows.append(not_embedded("", path.relative_to(source).as_posix(), reason, hint, defect=True))

    for path in walk(source, note):
        kind = kind_of(path.name)
        # DICOM files can also end in `.img`.
        is_image = kind in (FileKind.NIFTI, FileKind.OTHER_IMAGE)
        if is_image and not (path.suffix.lower() == ".img" and is_dicom(path)):
            images.append(path)
        elif is_dicom(path):
            if path.name.upper() != "DICOMDIR":
                others.dicom += 1
                others.dicom_folders.add(path.parent)
        elif kind is FileKind.PAIR_HEADER:
            if _partner(path, ".img") is None:
                leave_out(path, "it is the header of a pair, but its .img file is missing", "copy both files")
        elif kind is FileKind.UNREAD:
            leave_out(path, f"the format is not supported ({format_name(path.name)})", "convert it to NIfTI")
        elif kind is FileKind.ARCHIVE:
            leave_out(path, "it is an archive, which is not opened", "unpack it")
        elif kind is FileKind.UNKNOWN:
            others.unknown[path.suffix.lower() or "without an extension"] += 1
    for name in unreadable:
        others.rows.append(
            not_embedded(
                "", Path(name).as_posix(), "the folder cannot be read", "check permissions", defect=True
            )
        )
    if others.dicom:
        where = len(others.dicom_folders)
        what = f"{others.dicom} DICOM file{'s' * (others.dicom > 1)} in {where} folder{'s' * (where > 1)}"
        reason = "they have another format, and the source is read as NIfTI"
        others.rows.append(not_embedded("", what, reason, _EMBED_HINT.format("dicom"), defect=not chosen))
    if others.unknown:
        n = others.unknown.total()
        endings = ", ".join(f"{ending} ({count})" for ending, count in others.unknown.most_common(5))
        what = f"{n} other file{'s' * (n > 1)}: {endings}"
        others.rows.append(not_embedded("", what, "not a known image format, by name or content"))
    return images


def _warnings(others: _Others, studies: Sequence[Study], chosen: bool) -> tuple[str, ...]:
    if not others.dicom or chosen:
        return ()
    n = sum(len(study.series) for study in studies)
    return (
        f"The source has several formats: {n} NIfTI series and {count(others.dicom, 'DICOM file')} in "
        f"{count(len(others.dicom_folders), 'folder')}. It is read as NIfTI, which has more series; "
        "choose with --format",
    )


def _brain_masks(files: Sequence[Path]) -> tuple[dict[Path, Path], tuple[str, ...]]:
    """The brain mask next to each scan, and a warning if some scans have several."""
    folders: dict[Path, dict[str, list[Path]]] = {}
    for file in files:
        if not is_mask(stem := _stem(file)):
            folders.setdefault(file.parent, {}).setdefault(stem, []).append(file)
    masks: dict[Path, list[Path]] = {}
    for folder, scans in folders.items():
        for name in _image_names(folder):
            if match := _BRAIN_MASK.fullmatch(stem_of(name)):
                # Of `T1_brain_mask` the scan is T1, or T1_brain if there is no T1.
                for scan in scans.get(match[1]) or scans.get(stem_of(name)[: -len("_mask")], []):
                    masks.setdefault(scan, []).append(folder / name)
    several = [found for found in masks.values() if len(found) > 1]
    warnings: tuple[str, ...] = ()
    if several:
        names = " and ".join(mask.name for mask in several[0][:2])
        warnings = (
            f"{count(len(several), 'image has', 'images have')} several brain masks, which are not used, such as "
            f"{names}: keep one, or name it in a manifest (column mask)",
        )
    return {scan: found[0] for scan, found in masks.items() if len(found) == 1}, warnings


def _image_names(folder: Path) -> list[str]:
    """Names of images in a folder, sorted; none if it cannot be listed."""
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 (Path objects take longer than the listing)
    except OSError:
        return []
    return [name for name in names if kind_of(name) in (FileKind.NIFTI, FileKind.OTHER_IMAGE)]


def _make_unless_mask(
    path: Path, source: str, study: str, time_series: TimeSeries
) -> tuple[Series | Failure, Opened | None]:
    if is_mask(_stem(path)):
        return not_embedded(study, source, _MASK, _SCAN_HINT), None
    return make_series(path, source, study, time_series, by_content=True)


def _without_fractions(
    made: Sequence[tuple[Series | Failure, Opened | None]], study: str
) -> list[Series | Failure]:
    """Leave out maps of fractions with the grid of an image of the same study."""
    opened = [(item, file) for item, file in made if isinstance(item, Series) and file is not None]
    maps = {id(item) for item, file in opened if len(opened) > 1 and _classify(file) == "fractions"}
    images = [file for item, file in opened if id(item) not in maps]
    result: list[Series | Failure] = []
    for item, file in made:
        if isinstance(item, Series) and id(item) in maps and file and any(map(file.same_grid, images)):
            result.append(not_embedded(study, item.source, _NOT_AN_IMAGE["fractions"], _SCAN_HINT))
        else:
            result.append(item)
    return result


def _describing(path: Path) -> tuple[dict[str, Any], tuple[float, ...]]:
    """Fields of the JSON sidecar next to an image, and b-values of its gradient table; empty if there is none.

    Raises:
        SidecarError: one exists and cannot be read.
    """
    sidecar, table = (with_ending(path.with_name(_stem(path)), ending) for ending in (".json", ".bval"))
    with naming(sidecar.name):
        fields: dict[str, Any] = read_json(sidecar) if os.path.lexists(sidecar) else {}
    with naming(table.name):
        return fields, read_b_values(table) if os.path.lexists(table) else ()


def _choose_volumes(n: int, b_values: Sequence[float], time_series: TimeSeries) -> tuple[int, ...]:
    """Which of a file's volumes are averaged; none if it is left out."""
    if b_values:
        return b0_volumes(tuple(b_values))
    if n == 1 or time_series == "first":
        return (0,)
    return tuple(range(n)) if time_series == "mean" else ()


def _open(path: Path) -> tuple[NiftiImage | OtherImage, Opened]:
    from prima_features.studies.voxels import find_data_file, open_nifti, open_other

    if kind_of(path.name) is FileKind.NIFTI:
        return NiftiImage(path), open_nifti(path)
    if path.suffix.lower() == ".img":
        if (header := _partner(path, ".hdr")) is None:
            raise ValueError("its .hdr file is missing")
        image = OtherImage(header, path)
    else:
        data = find_data_file(path)
        if data is not None and (absence := find_absence(data, "", "")):
            raise ValueError(f"the file with its voxels cannot be used: {absence.error}")
        image = OtherImage(path, data)
    return image, open_other(image)


def _classify(opened: Opened) -> str:
    from prima_features.studies.voxels import classify_file

    return classify_file(opened)


_ANATOMICAL = re.compile(
    rb"\nspace: *((left|right)-(anterior|posterior)-(superior|inferior)|[LR][AP][SI])(-time)? *\r?\n",
    re.IGNORECASE,
)
"""The line of an NRRD header with the anatomical directions of its axes."""


def lacks_orientation(opened: Opened) -> bool:
    """Whether a header does not state which side is left: Analyze 7.5, MGH without valid directions, and NRRD or
    MetaImage without these fields."""
    ending = opened.path.suffix.lower()
    if ending == ".hdr":
        return not type(opened.other).__name__.endswith("Pair")
    if ending in (".mgz", ".mgh"):
        with inflated(opened.path) as stream:
            return stream.read(30)[28:] == b"\0\0"  # goodRASFlag
    if ending in (".nrrd", ".nhdr", ".mha", ".mhd"):
        with opened.path.open("rb") as file:
            start = file.read(4096)
        return b"TransformMatrix" not in start if ending.startswith(".m") else not _ANATOMICAL.search(start)
    return False


def _partner(path: Path, ending: str) -> Path | None:
    """The other file of a pair of header and voxels, in lower or upper case."""
    names = (path.with_suffix(ending), path.with_suffix(ending.upper()))
    return next((name for name in names if os.path.lexists(name)), None)


def _stem(path: Path) -> str:
    return stem_of(path.name)


def _subject(name: str) -> str:
    return bare(stem_of(name), "sub-")


def _name_studies(names: Sequence[str]) -> dict[str, str]:
    """Labels for files and folders: a name's letters and digits, and its digest if two labels would be equal."""
    labels: Mapping[str, str] = {name: safe_label(_subject(name)) for name in names}
    # Compared without case: ids become file names, on disks that may ignore case.
    counts = Counter(label.lower() for label in labels.values())
    taken = {label.lower() for label in labels.values() if counts[label.lower()] == 1}
    named = {}
    for name, label in labels.items():
        if counts[label.lower()] > 1:
            label = label[: MAX_LABEL - 8] + digest(name)
            while label.lower() in taken:
                label = label[:-8] + digest(label)
            taken.add(label.lower())
        named[name] = label
    return named
