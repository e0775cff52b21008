"""Files that give no header, and how they are told to the user: by number, for names can name patients."""

from collections import Counter
from enum import Enum

from prima_features.studies.study import Failure, not_embedded


class Unusable(Enum):
    """Why a file gives no header: (one file, several, the reason, what to do)."""

    NOT_DICOM = ("file that is not DICOM", "files that are not DICOM", "the source is read as DICOM", "")
    OTHER_FORMAT = (
        "image or archive in another format",
        "images and archives in other formats",
        "it has another format, and the source is read as DICOM",
        "embed it separately",
    )
    GZIPPED = (
        "gzip-compressed DICOM file",
        "gzip-compressed DICOM files",
        "compressed files are not opened",
        "unpack with gunzip",
    )
    UNREADABLE = (
        "file or folder that cannot be opened",
        "files or folders that cannot be opened",
        "permission denied, or a broken link",
        "check permissions and links",
    )
    DAMAGED = (
        "damaged DICOM file",
        "damaged DICOM files",
        "the header cannot be read",
        "copy or export again",
    )
    OUT_OF_BOUNDS = (
        "DICOM file with an implausible header",
        "DICOM files with an implausible header",
        "the header is larger or more deeply nested than in any scan",
        "leave it out, or export again",
    )
    NO_UIDS = (
        "DICOM file without UIDs",
        "DICOM files without UIDs",
        "a StudyInstanceUID and a SeriesInstanceUID are needed to distinguish series",
        "anonymise with a tool that replaces UIDs instead of removing them",
    )
    DIRECTORY = ("DICOMDIR", "DICOMDIRs", "it lists files and contains no image", "")

    def __init__(self, one: str, many: str, reason: str, hint: str):
        self.one = one
        self.many = many
        self.reason = reason
        self.hint = hint


_DEFECTS = (Unusable.GZIPPED, Unusable.UNREADABLE, Unusable.DAMAGED, Unusable.OUT_OF_BOUNDS, Unusable.NO_UIDS)
_SILENT = (Unusable.DIRECTORY,)
"""Part of every exported disc: nothing that a user would miss."""


def to_left_out(counts: Counter[Unusable]) -> list[Failure]:
    """One line a reason."""
    return [
        not_embedded(
            study="",
            series=f"{counts[kind]} {kind.one if counts[kind] == 1 else kind.many}",
            error=kind.reason,
            hint=kind.hint,
            defect=kind in _DEFECTS,
        )
        for kind in Unusable
        if counts[kind] and kind not in _SILENT
    ]
