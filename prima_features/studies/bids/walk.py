"""Walking a BIDS dataset: `sub-X[/ses-Y]/datatype/` and no deeper, to limit the time."""

from __future__ import annotations

import os
import re
from pathlib import Path

from prima_features.errors import NothingUsableError
from prima_features.files.text import bounded
from prima_features.studies.bids.choice import DATATYPES, NOT_WALKED, SUFFIXES
from prima_features.studies.bids.image import BidsImage, parse_image
from prima_features.studies.files import DICOM, FileKind, count_scans, format_counts, is_dicom, kind_of
from prima_features.studies.labels import study_id
from prima_features.studies.selection import Selection
from prima_features.studies.study import Failure, not_embedded

_FOLDER = re.compile(r"(sub|ses)-([a-zA-Z0-9+]+)")
_BAD_LABEL = "its name is not a valid BIDS name: only letters and digits may follow sub- and ses-"
_MOST_FILES = 5000
"""Most files examined in a folder that is not part of BIDS."""
_MOST_DICOM = 100
"""Most files of one folder whose content is checked for DICOM."""
_NO_SCANS = ("code", "stimuli", "phenotype", "logs", "figures", "xnat")
"""Folders at the top of a dataset that contain no scans."""
_DICOM_HINT = "convert the scans to BIDS, or embed the folder with --format dicom and another output"
_PLACE_HINT = "move the scans to BIDS folders, or embed the folder with --format nifti"
_BAD_LABEL_HINT = "rename the folder and its files, or list the images in a manifest"


def walk_dataset(root: Path, selection: Selection = Selection()) -> tuple[list[BidsImage], list[Failure]]:
    """NIfTI images of the selected participants and sessions, by path; and scans that are not valid in BIDS.

    Raises:
        NothingUsableError: it contains no folder `sub-X`.
        UsageError: a selected participant or session does not exist.
    """
    walk = _Walk(root, selection)
    walk.run()
    return sorted(walk.images, key=lambda image: image.source), walk.left_out


class _Walk:
    """Collects images and what is left out."""

    def __init__(self, root: Path, selection: Selection):
        self.root, self.selection = root, selection
        self.images: list[BidsImage] = []
        self.left_out: list[Failure] = []
        self._sessions: set[str] = set()

    def run(self) -> None:
        folders, files = self._list("", self.root)
        for folder in folders:
            if folder.name in NOT_WALKED:
                self._leave_out("", folder, NOT_WALKED[folder.name])
            elif not folder.name.startswith("sub-") and folder.name not in _NO_SCANS:
                self._survey("", folder)
        self._leave_out_files("", self.root, files, "it is not in a subject's folder")
        subjects = self._labelled("sub", folders)
        if not subjects and (wrong := [item for item in self.left_out if item.error == _BAD_LABEL]):
            raise NothingUsableError(
                f"{self.root}: none of its sub-X folders can be used; {bounded(wrong[0].series, 100)}, for "
                f"example: {_BAD_LABEL} ({_BAD_LABEL_HINT})"
            )
        if not subjects:
            raise NothingUsableError(
                f"{self.root} contains no sub-X folders, so it is not a BIDS dataset: "
                f"check the path, or give another --format"
            )
        self.selection.check_participants(subjects)
        for subject, folder in subjects.items():
            if self.selection.takes_participant(subject):
                self._walk_subject(subject, folder)
        self.selection.check_sessions(self._sessions)

    def _walk_subject(self, subject: str, folder: Path) -> None:
        before = len(self.images) + len(self.left_out)
        sessions = self._labelled("ses", self._walk_visit(subject, "", folder))
        self._sessions.update(sessions)
        for session, visit in sessions.items():
            if self.selection.takes_session(session):
                self._walk_visit(subject, session, visit)
        if len(self.images) + len(self.left_out) == before and not self.selection.sessions:
            self._leave_out(study_id(subject), folder, "the folder contains no images")

    def _walk_visit(self, subject: str, session: str, folder: Path) -> list[Path]:
        """Collect the images of one visit; returns its folders, including sessions."""
        study = study_id(subject, session)
        folders, files = self._list(study, folder)
        self._leave_out_files(study, folder, files, "it is not in a datatype folder such as anat")
        for datatype in folders:
            if not datatype.name.startswith("ses-"):
                self._walk_datatype(subject, session, datatype)
        return folders

    def _walk_datatype(self, subject: str, session: str, folder: Path) -> None:
        study = study_id(subject, session)
        folders, files = self._list(study, folder)
        before = len(self.images) + len(self.left_out)
        others = []
        for file in files:
            if (kind := kind_of(file.name)) is FileKind.NIFTI:
                self._take(subject, session, file)
            elif kind is not FileKind.NO_IMAGE:
                others.append(file)
        if (others or folders) and not DATATYPES.get(
            folder.name
        ):  # files of other datatypes, such as EEG, have formats of their own
            self._leave_out_files(study, folder, others, "")
            for nested in folders:
                self._survey(study, nested)
        if DATATYPES.get(folder.name) and len(self.images) + len(self.left_out) == before:
            # EEG, microscopy and others are not NIfTI: one row per folder.
            self._leave_out(study, folder, DATATYPES[folder.name])

    def _leave_out_files(self, study: str, folder: Path, files: list[Path], place: str) -> None:
        """Rows for files that are scans or archives in a place or a format that BIDS does not define.

        Args:
            place: why a NIfTI file is in the wrong place.
        """
        unknown: list[Path] = []
        for file in files:
            kind = kind_of(file.name)
            if kind in (FileKind.UNKNOWN, FileKind.ARCHIVE) or file.suffix.lower() == ".img":
                unknown.append(file)
            elif kind is FileKind.NIFTI:
                self._leave_out(
                    study, file, place, "move it to the BIDS folder for its datatype", defect=True
                )
            elif kind in (FileKind.OTHER_IMAGE, FileKind.UNREAD):
                self._leave_out_format(study, file)
        n_dicom = 0
        for i, file in enumerate(unknown):
            # A folder of slices is recognised by its first ones.
            if n_dicom == i if i > _MOST_DICOM else is_dicom(file):
                n_dicom += 1
            elif kind_of(file.name) is FileKind.ARCHIVE:
                self._leave_out(
                    study, file, "it is an archive, which is not opened", "unpack it", defect=True
                )
            elif kind_of(file.name) is FileKind.OTHER_IMAGE:
                self._leave_out_format(study, file)
            elif file.suffix.lower() == ".dcm":
                self._leave_out(study, file, "its content is not DICOM", "copy it again", defect=True)
        if n_dicom:
            reason = (
                f"the folder has {n_dicom} DICOM file{'s' * (n_dicom > 1)}, but BIDS images are NIfTI files"
            )
            self._leave_out(study, folder, reason, _DICOM_HINT, defect=True)

    def _leave_out_format(self, study: str, file: Path) -> None:
        reason = f"BIDS images are .nii or .nii.gz files, not {file.suffix}"
        self._leave_out(study, file, reason, "convert it to NIfTI", defect=True)

    def _survey(self, study: str, folder: Path) -> None:
        """A row for a folder that BIDS does not define: a defect if it contains scans."""
        if folder.is_symlink() and folder.resolve().is_relative_to(self.root.resolve()):
            self._leave_out(study, folder, "a link to another place in the dataset")
            return
        counts = count_scans(folder, dicom=True, most=_MOST_FILES)
        if counts:
            reason = f"not a BIDS folder; it contains {format_counts(counts)}"
            self._leave_out(
                study, folder, reason, _DICOM_HINT if DICOM in counts else _PLACE_HINT, defect=True
            )
        elif folder.parent.name in SUFFIXES:
            self._leave_out(study, folder, "not a BIDS folder; it is not searched")

    def _take(self, subject: str, session: str, file: Path) -> None:
        image = parse_image(file, self._below(file), subject, session)
        if isinstance(image, Failure):
            self.left_out.append(image)
            return
        self._sessions.add(image.session)
        if self.selection.takes_session(image.session):
            self.images.append(image)

    def _list(self, study: str, folder: Path) -> tuple[list[Path], list[Path]]:
        """Folders and files by name, without hidden ones."""
        folders: list[Path] = []
        files: list[Path] = []
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self._leave_out(study, folder, f"the folder cannot be read: {error.strerror}", defect=True)
            return [], []
        for entry in entries:
            if not entry.name.startswith("."):
                (folders if _is_folder(entry) else files).append(Path(entry.path))
        return folders, files

    def _labelled(self, prefix: str, folders: list[Path]) -> dict[str, Path]:
        """Folders called `prefix-LABEL`, by their labels."""
        labelled = {}
        for folder in folders:
            if match := _FOLDER.fullmatch(folder.name):
                if match[1] == prefix:
                    labelled[match[2]] = folder
            elif folder.name.startswith(f"{prefix}-"):
                self._leave_out("", folder, _BAD_LABEL, _BAD_LABEL_HINT, defect=True)
        return labelled

    def _leave_out(self, study: str, path: Path, reason: str, hint: str = "", defect: bool = False) -> None:
        self.left_out.append(not_embedded(study, self._below(path), reason, hint, defect))

    def _below(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
