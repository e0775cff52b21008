"""The DICOM finder: from a tree to studies, their series, and what is left out and why."""

import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from prima_features.errors import NothingUsableError, UsageError
from prima_features.studies.dicom.examinations import Examination, combine, find_examination
from prima_features.studies.dicom.header import Header, grouped
from prima_features.studies.dicom.index import Listing, Remembered, list_tree, recall, remember
from prima_features.studies.dicom.read import Unusable, quiet_pydicom, read_headers
from prima_features.studies.dicom.rules import DicomOptions
from prima_features.studies.files import FileKind, kind_of
from prima_features.studies.labels import Pseudonyms
from prima_features.studies.study import Found

logger = logging.getLogger(__name__)

_OTHER_FORMATS = (FileKind.NIFTI, FileKind.OTHER_IMAGE, FileKind.UNREAD, FileKind.ARCHIVE)


def find_dicom(
    root: Path,
    options: DicomOptions = DicomOptions(),
    pseudonyms: Pseudonyms | None = None,
    index: Path | None = None,
) -> Found:
    """Find the series in a tree of DICOM files, by their content.

    Files are grouped by StudyInstanceUID and patient, then by acquisition. Slices whose positions tile one volume are
    one series, whatever else their headers state; several images in each place are separated by echo, kind, b-value
    and time. Names of files and folders play no part.

    Args:
        root: a folder; or one file, which stands for its whole series: all files of its folder with the same
            SeriesInstanceUID.
        options: what is embedded.
        pseudonyms: names for subjects and sessions; by default under a new random key.
        index: file that remembers what a folder contained between runs (see `dicom.index`).

    Returns:
        Studies with at least one series, by patient and date; and what is left out. Only `Study.identity`, the files'
        paths, and the UID in the name of a series without a description identify a patient.

    Raises:
        UsageError: `root` does not exist.
        NothingUsableError: `root` is a file that is not a DICOM image.
    """
    pseudonyms = pseudonyms or Pseudonyms()
    with quiet_pydicom():
        if not root.is_dir():
            headers = _read_one_series(root)
            return combine(_find_all(headers, options, pseudonyms), Counter())
        listing = list_tree(root, pseudonyms.key)
        known = Remembered() if index is None else recall(index, listing, options, pseudonyms)
        unread = known.unread(len(listing.names))
        unchanged, unusable, headers = _read_rest(listing, known, unread)
        examinations = unchanged + _find_all(headers, options, pseudonyms)
        found = combine(
            examinations, Counter(unusable.values()) + Counter({Unusable.UNREADABLE: listing.n_unreadable})
        )
        if index is not None and not (known.is_current and not unread):
            remember(index, examinations, unusable, listing, options, pseudonyms)
        return found


def _read_rest(
    listing: Listing, known: Remembered, unread: Iterable[int]
) -> tuple[list[Examination], dict[int, Unusable], list[Header]]:
    """Read what is not known of a tree.

    An examination that lost a file, or to which one was added, is read completely.

    Returns:
        Examinations that are known; files that give no header, by number; and the headers of all other files.
    """
    unusable = dict(known.unusable)
    read: dict[int, list[Header]] = {}

    def read_all(numbers: Iterable[int]) -> None:
        for number in numbers:
            result = _read_file(listing.file(number))
            if isinstance(result, Unusable):
                unusable[number] = result
            else:
                read[number] = result

    read_all(unread)
    changed = {headers[0].study_uid for headers in read.values()}
    kept: list[Examination] = []
    for one in known.examinations:
        if one.examination.study_uid in changed:
            read_all(one.files)
        else:
            kept.append(one.examination)
    headers = [header for number in sorted(read) for header in read[number]]
    n_known = len(listing.names) - len(read) - len(unusable) + len(known.unusable)
    logger.info(
        "%d DICOM records, %d other files, %d files that have not changed",
        len(headers),
        len(unusable),
        n_known,
    )
    return kept, unusable, headers


def _read_file(file: Path) -> list[Header] | Unusable:
    read = read_headers(file)
    is_other = read is Unusable.NOT_DICOM and kind_of(file.name) in _OTHER_FORMATS
    return Unusable.OTHER_FORMAT if is_other else read


def _find_all(headers: list[Header], options: DicomOptions, pseudonyms: Pseudonyms) -> list[Examination]:
    groups = grouped(headers, lambda header: header.study_uid)
    return [find_examination(group, options, pseudonyms) for group in groups]


def _read_one_series(file: Path) -> list[Header]:
    """Headers of the series of one file: all files of its folder with the same SeriesInstanceUID."""
    if not file.exists():
        raise UsageError(f"{file} does not exist: name a folder of DICOM files, or one file of a series")
    first = read_headers(file)
    if isinstance(first, Unusable):
        raise NothingUsableError(f"{file} contains no usable DICOM image: {first.reason}")
    series: list[Header] = []
    for path in sorted(path for path in file.parent.iterdir() if path.is_file()):
        read = read_headers(path)
        if not isinstance(read, Unusable):
            series += [header for header in read if header.series_uid == first[0].series_uid]
    return series
