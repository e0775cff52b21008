"""Brain masks and transforms to MNI152 in BIDS derivatives, and the scan that each of them was made of.

Known layouts: fMRIPrep, sMRIPrep and other BIDS derivatives (`sub-X[/ses-Y]/anat/*_desc-brain_mask.nii.gz`,
`*_from-T1w_to-MNI152NLin6Asym_mode-image_xfm.h5`), SynthStrip's usual names, and FreeSurfer's subjects
(`sub-X[_ses-Y]/mri/brainmask.mgz`, `mri/transforms/talairach.xfm`).

A mask is used for the one scan that it was made of: by its JSON sidecar (`Sources`, `RawSources`), by the name of the
scan in its own name, or by its entities if only one scan has them. A mask that several scans match is used for none.
Masks that match no scan, or are in MNI space, are reported if the subject has no other mask.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from prima_features.errors import UsageError
from prima_features.files.paths import is_folder
from prima_features.files.safe import UnsafeFileError, read_text
from prima_features.files.text import bounded
from prima_features.studies.bids.image import BidsImage
from prima_features.studies.labels import study_id
from prima_features.studies.sidecar import SidecarError, read_json

_TOOLS = {
    "fmriprep": "fMRIPrep",
    "smriprep": "sMRIPrep",
    "freesurfer": "FreeSurfer",
    "synthstrip": "SynthStrip",
}
"""Names as written by their authors, by the names of folders. The first three are preferred, in this order."""
_PREFERRED = ("fMRIPrep", "sMRIPrep", "FreeSurfer")
_OF_T1W = ("fmriprep", "smriprep", "qsiprep", "aslprep", "petprep")
"""Tools whose anatomical reference is the T1w image unless they say otherwise."""
_LONGEST_NAME = 40
_MASK = re.compile(
    r"(.*?)_(?:desc-|label-)?(brain|brainmask|synthstrip|hdbet|hd-bet|bet|robex)_?mask(\.nii(?:\.gz)?|\.mg[hz])",
    re.IGNORECASE,
)
_KINDS = ("brain", "brainmask", "synthstrip")
"""Kinds of masks of one scan, in order of preference; others are equal."""
_SPACES = ("MNI152NLin6Asym", "MNI152NLin2009cAsym")
"""Templates of transforms, in order of preference."""
_OTHER_SPACES = ("MNI", "ACPC", "fs")
"""Beginnings of names of spaces that are not the scan's."""
_TRANSFORMS = (".h5", ".txt", ".mat", ".tfm")
_DERIVED = (
    "desc",
    "space",
    "res",
    "den",
    "label",
    "suffix",
    "ext",
    "datatype",
    "from",
    "to",
    "mode",
    "cohort",
)
"""Entities that say what a file is, and not of which scan."""
_INDICES = ("run", "echo", "flip", "inv", "split")
_MOST_BYTES = 1 << 16
_ANGLE, _SHIFT = 1e-4, 1e-2
"""Largest difference from the identity, in cosines and in mm."""


@dataclass(frozen=True)
class Derived:
    """What one tool made of one scan."""

    mask: Path | None
    to_mni: Path | None
    tool: str


@dataclass(frozen=True)
class _File:
    """A mask or a transform in the folder of a subject."""

    path: Path
    entities: Mapping[str, str]

    @property
    def raw(self) -> dict[str, str]:
        """The entities that it shares with its scan."""
        return _raw(self.entities)

    @property
    def key(self) -> frozenset[tuple[str, str]]:
        """`raw`, for comparisons."""
        return frozenset(self.raw.items())


@dataclass(frozen=True)
class _Files:
    """The files of one subject in a dataset."""

    masks: list[_File] = field(default_factory=list)
    elsewhere: list[_File] = field(default_factory=list)
    """Masks in the space of a template."""
    transforms: list[_File] = field(default_factory=list)
    """To MNI152."""
    originals: list[_File] = field(default_factory=list)
    """From scans to the tool's reference image."""
    images: list[_File] = field(default_factory=list)
    """In the space of their scans."""


class Derivatives:
    """Looks up masks and transforms of the scans of a dataset.

    Args:
        root: the dataset; its `derivatives` folder is searched.
        folders: further derivative datasets, or folders of them, which take precedence in this order.

    Attributes:
        problems: masks and transforms that are not used, one sentence each.

    Raises:
        UsageError: one of the folders does not exist, or is no derivative dataset.
    """

    def __init__(self, root: Path, folders: Sequence[Path] = ()):
        self.problems: list[str] = []
        self._root = root
        self._datasets = [dataset for folder in folders for dataset in _given(folder)]
        known = {_real(one.folder) for one in self._datasets}
        inside = [one for one in _datasets_in(root / "derivatives") if _real(one.folder) not in known]
        self._datasets += [*inside, _Dataset(root, _tool(root))]
        self._datasets = [one for dataset in self._datasets for one in (dataset, *dataset.nested)]
        self._folders = folders
        self._met: set[str] = set()

    def unrelated(self) -> list[Path]:
        """Folders among `folders` that contain none of the subjects that `of_subject` was asked for."""
        return [
            folder
            for folder in self._folders
            if not any(Path(one).is_relative_to(_real(folder)) for one in self._met)
        ]

    def of_subject(self, subject: str, images: Sequence[BidsImage]) -> dict[str, Derived]:
        """What was made of the scans of one subject.

        Args:
            subject: label.
            images: all images of the subject, also those that are not embedded.

        Returns:
            By `BidsImage.source`; mask and transform of one tool, the first that has a mask of the scan.
        """
        found: dict[str, Derived] = {}
        unused: list[str] = []
        for dataset in self._datasets:
            for source, derived in self._in_dataset(dataset, subject, images, unused).items():
                known = found.get(source)
                if known is None or (known.mask is None and derived.mask is not None):
                    found[source] = derived
        if not any(derived.mask for derived in found.values()):
            self.problems += unused
        return found

    def _in_dataset(
        self, dataset: _Dataset, subject: str, images: Sequence[BidsImage], unused: list[str]
    ) -> dict[str, Derived]:
        """What one dataset has; masks that match no scan are added to `unused`."""
        if not dataset.has_subject(subject):
            return {}
        self._met.add(_real(dataset.folder))
        sessions = sorted({image.session for image in images if image.session})
        if dataset.is_freesurfer(subject, sessions):
            return self._in_freesurfer(dataset, subject, images)
        files = dataset.files(subject, sessions)
        owners = _Owners(
            images=images,
            files=files,
            own=dataset.folder == self._root,
            is_t1w=any(word in dataset.tool.lower() for word in _OF_T1W),
            has_one_session=len(sessions) < 2 and _count_sessions(self._root / f"sub-{subject}") < 2,
        )
        masks: dict[str, list[Path]] = {}
        transforms: dict[str, list[Path]] = {}
        of_raw: dict[frozenset[tuple[str, str]], tuple[str, str]] = {}
        for file in files.masks:
            owner, problem = of_raw[file.key] = owners.of(file)
            if owner:
                masks.setdefault(owner, []).append(file.path)
            elif problem:
                self._note(dataset, file.path, problem)
            else:
                unused.append(_problem(dataset, file.path, "no scan of the subject matches it"))
        for file in files.elsewhere:
            space = file.entities["space"]
            unused.append(_problem(dataset, file.path, f"it is in the space {space}, not in that of a scan"))
        for file in files.transforms:
            # A tool that merges scans names them only next to its mask.
            owner, problem = of_raw.get(file.key) or owners.of(file)
            if owner:
                transforms.setdefault(owner, []).append(file.path)
            elif problem and file.key not in of_raw:
                self._note(dataset, file.path, problem)
        return {
            owner: self._choose(dataset, masks.get(owner, []), transforms.get(owner, []))
            for owner in {**masks, **transforms}
        }

    def _choose(self, dataset: _Dataset, masks: list[Path], transforms: list[Path]) -> Derived:
        """One mask and one transform of a scan."""
        masks, transforms = sorted(masks, key=_preference), sorted(transforms, key=_space_preference)
        mask = masks[0] if masks else None
        if len(masks) > 1 and _preference(masks[0])[:2] == _preference(masks[1])[:2]:
            self._note(dataset, masks[0], f"{masks[1].name} is another mask of the same scan")
            mask = None
        to_mni = transforms[0] if transforms else None
        tool = dataset.tool
        if mask is not None and "synthstrip" in mask.name.lower():
            tool = _TOOLS["synthstrip"]
        return Derived(mask, to_mni, tool)

    def _in_freesurfer(
        self, dataset: _Dataset, subject: str, images: Sequence[BidsImage]
    ) -> dict[str, Derived]:
        t1w = [image for image in images if image.suffix == "T1w" and image.datatype == "anat"]
        found = {}
        for folder, session in dataset.freesurfer(
            subject, sorted({one.session for one in t1w if one.session})
        ):
            mask, to_mni = folder / "mri/brainmask.mgz", folder / "mri/transforms/talairach.xfm"
            owners = [image for image in t1w if not session or image.session == session]
            one_session = bool(session) or _count_sessions(self._root / f"sub-{subject}") < 2
            if len(owners) == 1 and one_session:
                if mask.is_file() and owners[0].source not in found:
                    transform = to_mni if to_mni.is_file() else None
                    found[owners[0].source] = Derived(mask, transform, _TOOLS["freesurfer"])
            elif owners and not session and all(image.source in found for image in owners):
                continue
            elif owners and mask.is_file():
                self._note(
                    dataset, mask, f"{len(owners)} T1w images match" if one_session else _SEVERAL_SESSIONS
                )
        return found

    def _note(self, dataset: _Dataset, path: Path, why: str) -> None:
        self.problems.append(_problem(dataset, path, why))


def _problem(dataset: _Dataset, path: Path, why: str) -> str:
    return f"{path.relative_to(dataset.folder).as_posix()} of {dataset.tool}: {why}"


_SEVERAL_SESSIONS = "it names no session, and the subject has several"
_MERGED = "it was made of several scans"


@dataclass(frozen=True)
class _Owners:
    """Decides of which scan a mask or transform was made."""

    images: Sequence[BidsImage]
    files: _Files
    own: bool
    """Whether the derivatives are the source itself, so that `Sources` name scans of another dataset."""
    is_t1w: bool
    """Whether the tool's reference is the T1w image."""
    has_one_session: bool

    def of(self, file: _File) -> tuple[str, str]:
        """The scan's `BidsImage.source`, and why none can be named; both empty if the scan is not in the source."""
        if by_name := self._by_name(file):
            return by_name.source, ""
        if not self.own and (sources := self._sources(file)):
            owners = [image for image in self.images if any(_is_path_of(one, image) for one in sources)]
            if len(sources) == 1:
                return self._checked(owners[0]) if owners else ("", "")
            # The reference of several scans is the first of them if its transform is the identity.
            exact = [image for image in owners if (xfm := self._original(image)) and _is_identity(xfm.path)]
            return (exact[0].source, "") if len(exact) == 1 else ("", _MERGED)
        if "ses" not in file.raw and not self.has_one_session:
            return "", _SEVERAL_SESSIONS
        matching = self._by_entities(file)
        if len(matching) == 1:
            return self._checked(matching[0])
        return "", f"{len(matching)} images match" if matching else ""

    def _by_name(self, file: _File) -> BidsImage | None:
        """The scan whose whole name, `sub-01_T1w`, begins the name of the mask."""
        named = [image for image in self.images if file.path.name.startswith(f"{_stem(image.path)}_")]
        return max(named, key=lambda image: len(image.path.name), default=None)

    def _by_entities(self, file: _File) -> list[BidsImage]:
        suffixes = self._suffixes(file)
        named = {mask.key for mask in self.files.masks}
        found = []
        for image in self.images:
            raw = _raw(image.entities)
            if image.datatype != "anat" or image.entities.get("part", "mag") != "mag":
                continue
            if suffixes and image.suffix not in suffixes:
                continue
            has_its_own = frozenset(raw.items()) in named
            if raw == file.raw or (file.raw.items() <= raw.items() and not has_its_own):
                found.append(image)
        return found

    def _suffixes(self, file: _File) -> set[str]:
        """Suffixes of the scans that a file can be of; empty for any."""
        if "from" in file.entities:
            return {file.entities["from"]}
        present = {image.suffix for image in self.images}
        space = file.entities.get("space", "orig")
        if space != "orig":
            return {space}
        shown = {one.entities["suffix"] for one in self.files.images if one.raw == file.raw} & present
        if self.is_t1w and (not shown or "T1w" in shown):
            return {"T1w"}
        return shown

    def _sources(self, file: _File) -> list[str]:
        """Raw scans that the sidecar names."""
        sidecar = file.path.with_name(f"{_stem(file.path)}.json")
        try:
            fields = read_json(sidecar) if os.path.lexists(sidecar) else {}
        except SidecarError:
            return []
        named: Any = fields.get("RawSources") or fields.get("Sources") or []
        named = [named] if isinstance(named, str) else named
        if not isinstance(named, list):
            return []
        paths = [re.sub(r"^bids:[^:]*:", "", one) for one in named if isinstance(one, str)]
        return [
            one for one in dict.fromkeys(paths) if re.search(r"(^|/)sub-(?!.*_(desc|space|from)-)[^/]*$", one)
        ]

    def _original(self, image: BidsImage) -> _File | None:
        raw, suffix = _raw(image.entities), image.suffix
        originals = self.files.originals
        return next((one for one in originals if one.raw == raw and one.entities["to"] == suffix), None)

    def _checked(self, image: BidsImage) -> tuple[str, str]:
        """The scan, unless its transform to the tool's reference is not the identity."""
        xfm = None if self.own else self._original(image)
        if xfm is not None and not _is_identity(xfm.path):
            return "", f"it is in another space than {image.path.name} ({xfm.path.name})"
        return image.source, ""


@dataclass(frozen=True)
class _Dataset:
    """One folder of derivatives."""

    folder: Path
    tool: str

    @cached_property
    def _subjects(self) -> set[str]:
        return {name for name in _names(self.folder) if name.startswith("sub-")}

    @cached_property
    def nested(self) -> list[_Dataset]:
        """FreeSurfer's subjects as fMRIPrep keeps them."""
        folder = self.folder / "sourcedata" / "freesurfer"
        return [_Dataset(folder, _TOOLS["freesurfer"])] if is_folder(folder) else []

    def has_subject(self, subject: str) -> bool:
        name = f"sub-{subject}"
        return any(one == name or one.startswith(f"{name}_ses-") for one in self._subjects)

    def freesurfer(self, subject: str, sessions: Sequence[str]) -> list[tuple[Path, str]]:
        """Folders of FreeSurfer subjects with the session that each is named after."""
        names = [(study_id(subject, session), session) for session in (*sessions, "")]
        return [(self.folder / name, session) for name, session in names if name in self._subjects]

    def is_freesurfer(self, subject: str, sessions: Sequence[str]) -> bool:
        return any(is_folder(folder / "mri") for folder, _ in self.freesurfer(subject, sessions))

    def files(self, subject: str, sessions: Sequence[str]) -> _Files:
        """The files of one subject."""
        from bids2table import parse_bids_entities

        files = _Files()
        for path in self._paths(subject, sessions):
            entities = parse_bids_entities(path.name)
            file, space = _File(path, entities), entities.get("space", "")
            if _MASK.fullmatch(path.name):
                (files.elsewhere if space.startswith(_OTHER_SPACES) else files.masks).append(file)
            elif "from" in entities and path.suffix in _TRANSFORMS:
                if entities["from"] == "orig" and "to" in entities:
                    files.originals.append(file)
                elif entities.get("to", "").startswith("MNI152"):
                    files.transforms.append(file)
            elif "desc" in entities and "suffix" in entities and not space and ".nii" in path.name:
                files.images.append(file)
        return files

    def _paths(self, subject: str, sessions: Sequence[str]) -> Iterator[Path]:
        whole = self.folder / f"sub-{subject}"
        for visit in (whole, *(whole / f"ses-{session}" for session in sessions)):
            for folder in (visit, visit / "anat"):
                names = sorted(_names(folder))
                yield from (folder / name for name in names if name.startswith(whole.name))


def _given(folder: Path) -> list[_Dataset]:
    """The derivative datasets of a folder that the user names.

    Raises:
        UsageError: there are none.
    """
    if not is_folder(folder):
        raise UsageError(
            f"The folder of derivatives {folder} does not exist or is a file: check --derivatives"
        )
    if not (found := _datasets_in(folder)):
        raise UsageError(
            f"{folder} contains no derivatives: give a folder with sub-X folders, or a folder of such folders"
        )
    return found


def _datasets_in(folder: Path) -> list[_Dataset]:
    """A derivative dataset, or those in a folder, in order of preference.

    A tool's folder may have one folder per version, as in `fmriprep/23.1.3`; later versions come first.
    """
    if _has_subjects(folder):
        return [_Dataset(folder, _tool(folder))]
    found = []
    for one in _inside(folder):
        versions = [one] if _has_subjects(one) else [v for v in _inside(one)[::-1] if _has_subjects(v)]
        found += [_Dataset(version, _tool(version, one.name)) for version in versions]
    ranks = {tool: rank for rank, tool in enumerate(_PREFERRED)}
    return sorted(found, key=lambda one: ranks.get(one.tool, len(ranks)))


def _inside(folder: Path) -> list[Path]:
    """What a folder contains, by name, with the numbers in names compared as numbers."""
    names = [name for name in _names(folder) if not name.startswith(".")]
    return [folder / name for name in sorted(names, key=_natural)]


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _has_subjects(folder: Path) -> bool:
    return any(name.startswith("sub-") for name in _names(folder))


def _tool(folder: Path, name: str = "") -> str:
    """The tool that made a dataset, by its description or the name of its folder, unless `name` is given."""
    name = name or folder.name
    try:
        described = read_json(folder / "dataset_description.json")
        made_by = described.get("GeneratedBy") or described.get("PipelineDescription") or {}
        first = made_by[0] if isinstance(made_by, list) else made_by
        if isinstance(first, dict) and isinstance(first.get("Name"), str) and first["Name"].strip():
            name = first["Name"].strip()
    except SidecarError:
        pass
    known = next((tool for word, tool in _TOOLS.items() if name.lower().startswith(word)), name)
    return bounded(known, _LONGEST_NAME)


def _names(folder: Path) -> list[str]:
    """Names in a folder; none if it cannot be listed."""
    try:
        return os.listdir(folder)  # noqa: PTH208 (Path objects take longer than the listing)
    except OSError:
        return []


def _real(folder: Path) -> str:
    return os.path.realpath(folder)


def _count_sessions(subject: Path) -> int:
    return sum(name.startswith("ses-") for name in _names(subject))


def _raw(entities: Mapping[str, str]) -> dict[str, str]:
    """The entities that scans and what is made of them share, with indices as numbers: tools write run-1 for run-01."""
    return {
        name: str(int(value)) if name in _INDICES and value.isdecimal() else value
        for name, value in entities.items()
        if name not in _DERIVED
    }


def _stem(path: Path) -> str:
    return path.name.partition(".")[0]


def _is_path_of(named: str, image: BidsImage) -> bool:
    return named == image.source or named.endswith(f"/{image.source}")


def _preference(mask: Path) -> tuple[bool, int, str]:
    """Masks on the scan's own grid come before resampled ones."""
    match = _MASK.fullmatch(mask.name)
    kind = match[2].lower() if match else ""
    resampled = "_res-" in mask.name
    return resampled, _KINDS.index(kind) if kind in _KINDS else len(_KINDS), mask.name


def _space_preference(transform: Path) -> tuple[int, str]:
    rank = next((i for i, space in enumerate(_SPACES) if f"_to-{space}_" in transform.name), len(_SPACES))
    return rank, transform.name


def _is_identity(path: Path) -> bool:
    """Whether an ITK text transform is the identity; False for other files."""
    try:
        match = re.search(r"^Parameters:((?: +\S+){12})\s*$", read_text(path, _MOST_BYTES), re.MULTILINE)
        numbers = [float(number) for number in match[1].split()] if match else []
    except (OSError, ValueError, UnsafeFileError):
        return False
    tolerances = (*(_ANGLE,) * 9, *(_SHIFT,) * 3)
    return len(numbers) == 12 and all(
        abs(number - (place in (0, 4, 8))) < tolerance
        for place, (number, tolerance) in enumerate(zip(numbers, tolerances, strict=True))
    )
