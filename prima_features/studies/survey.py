"""What scans there are in a folder, by number: quick, and without reading any of them."""

from collections import Counter
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from prima_features.studies.dicom.files import Kind, sniff
from prima_features.studies.endings import FileKind, kind_of
from prima_features.studies.tree import walk

DICOM = "DICOM"
ARCHIVE = "archive"


def is_dicom(file: Path) -> bool:
    """Whether a file is DICOM by its content, compressed or not; False if it cannot be read."""
    try:
        return file.is_file() and sniff(file) is not Kind.OTHER
    except OSError:  # one unreadable file does not say what the rest is
        return False


def is_dicomdir(file: Path) -> bool:
    """Whether a file is the directory of a DICOM disc (PS3.10 section 8), by its name or its class."""
    from prima_features.studies.dicom.read import Unusable, quiet_pydicom, read_headers

    if not is_dicom(file):
        return False
    with quiet_pydicom():
        return file.name.upper() == "DICOMDIR" or read_headers(file) is Unusable.DIRECTORY


def count_scans(root: Path, dicom: bool = False, most: int | None = None) -> Counter[str]:
    """Numbers of files below a folder that are scans or archives: by format (`NIfTI`, `DICOM`, `.mgz`) or `archive`.

    Args:
        root: the folder.
        dicom: count DICOM, too, for which the first bytes of each unknown file are read.
        most: look at this many files at most.
    """
    counts: Counter[str] = Counter()
    for path in islice(walk(root), most):
        kind = kind_of(path.name)
        if kind in (FileKind.UNKNOWN, FileKind.NO_IMAGE, FileKind.PAIR_HEADER) and not dicom:
            continue
        # `.img` and `.gz` are endings of DICOM files, too.
        may_be_dicom = kind is FileKind.ARCHIVE or path.suffix.lower() == ".img" or dicom
        if kind is not FileKind.NIFTI and may_be_dicom and is_dicom(path):
            counts[DICOM] += dicom and path.name.upper() != "DICOMDIR"
        elif kind is FileKind.NIFTI:
            counts["NIfTI"] += 1
        elif kind in (FileKind.OTHER_IMAGE, FileKind.UNREAD):
            counts[path.suffix.lower()] += 1
        elif kind is FileKind.ARCHIVE:
            counts[ARCHIVE] += 1
    return +counts


def count_dicom_series(root: Path) -> int:
    """Number of SeriesInstanceUIDs below a folder."""
    from prima_features.studies.dicom.read import quiet_pydicom, read_headers

    series: set[str] = set()
    with quiet_pydicom():
        for path in walk(root):
            if kind_of(path.name) is not FileKind.NIFTI and isinstance(headers := read_headers(path), list):
                series.update(header.series_uid for header in headers)
    return len(series)


def listed(counts: Mapping[str, int]) -> str:
    """For example `30 DICOM files, 1 NIfTI file`."""
    return ", ".join(f"{n} {name} file{'s' * (n > 1)}" for name, n in counts.items())
