"""One pass over a tree: a header record for each DICOM image, a count of everything else."""

import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from prima_features.errors import NothingUsableError, UsageError
from prima_features.studies.dicom.files import walk
from prima_features.studies.dicom.header import Header
from prima_features.studies.dicom.read import read_headers
from prima_features.studies.dicom.unusable import Unusable, to_left_out
from prima_features.studies.endings import FileKind, kind_of
from prima_features.studies.study import Failure

logger = logging.getLogger(__name__)
_OTHER_FORMATS = (FileKind.NIFTI, FileKind.OTHER_IMAGE, FileKind.UNREAD, FileKind.ARCHIVE)


@dataclass(frozen=True)
class Index:
    """What a tree holds."""

    headers: tuple[Header, ...]
    left_out: tuple[Failure, ...] = ()
    """Files that give no header, counted by reason: a file's name can carry a patient's."""


def read_index(root: Path) -> Index:
    """Index of a folder and all below it, or of the series that one file belongs to.

    A single file stands for its whole series: the files beside it with the same SeriesInstanceUID.

    Raises:
        UsageError: no such file or folder.
        NothingUsableError: a file that is no DICOM image.
    """
    if root.is_dir():
        return _read_folder(root)
    if not root.exists():
        raise UsageError(f"{root} does not exist: name a folder of DICOM files, or one file of a series")
    read = read_headers(root)
    if isinstance(read, Unusable):
        raise NothingUsableError(f"{root} contains no usable DICOM image: {read.reason}")
    return Index(tuple(_read_siblings(root, read[0])))


def _read_folder(root: Path) -> Index:
    headers: list[Header] = []
    unusable: Counter[Unusable] = Counter()

    def count_unreadable() -> None:
        unusable[Unusable.UNREADABLE] += 1

    for file in walk(root, count_unreadable):
        read = read_headers(file)
        if read is Unusable.NOT_DICOM and kind_of(file.name) in _OTHER_FORMATS:
            unusable[Unusable.OTHER_FORMAT] += 1
        elif isinstance(read, Unusable):
            unusable[read] += 1
        else:
            headers += read
    logger.info("%d DICOM records, %d other files", len(headers), sum(unusable.values()))
    return Index(tuple(headers), tuple(to_left_out(unusable)))


def _read_siblings(file: Path, header: Header) -> list[Header]:
    siblings: list[Header] = []
    for path in sorted(path for path in file.parent.iterdir() if path.is_file()):
        read = read_headers(path)
        if not isinstance(read, Unusable):
            siblings += [item for item in read if item.series_uid == header.series_uid]
    return siblings
