"""The files of a source: which there are, and what each is by its name and by its first bytes."""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from enum import Enum, auto
from itertools import islice
from pathlib import Path
from typing import BinaryIO

# ---- walking ----


def walk(root: Path, on_error: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """Files at and below `root` in the order of their names, a folder's own before those of its subfolders.

    Hidden files and folders are skipped. Links are followed, but never in circles.

    Args:
        root: a folder.
        on_error: called with the error of each folder that cannot be listed.
    """
    return (Path(folder, name) for folder, name in walk_names(root, on_error))


def walk_names(root: Path, on_error: Callable[[OSError], None] | None = None) -> Iterator[tuple[str, str]]:
    """As `walk`: folder and name of each file. Making a `Path` takes longer than listing a file."""
    seen = set()
    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=on_error):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield from ((folder, name) for name in sorted(names) if not name.startswith("."))


def walk_status(root: Path, on_unreadable: Callable[[], None]) -> Iterator[tuple[str, os.stat_result]]:
    """Regular files below `root` with their status, in the order of their names, hidden ones too, each once.

    Links are followed, but never in circles. `on_unreadable` is called for each folder that cannot be listed and each
    broken link.
    """
    seen: set[tuple[int, int]] = set()

    def is_new(status: os.stat_result) -> bool:
        identity = (status.st_dev, status.st_ino)
        known = identity in seen
        seen.add(identity)
        return not known

    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=lambda _: on_unreadable()):
        if not is_new(os.stat(folder)):  # noqa: PTH116
            subfolders.clear()
            continue
        subfolders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)  # noqa: PTH118 (see `walk_names`)
            try:
                status = os.stat(path)  # noqa: PTH116
            except OSError:
                on_unreadable()
                continue
            # A link and its target are one file: git-annex trees have both. Pipes and devices would hang the reader.
            if stat.S_ISREG(status.st_mode) and is_new(status):
                yield path, status


# ---- kinds by name ----

NIFTI = (".nii", ".nii.gz")
OTHER_IMAGES = (".mgz", ".mgh", ".img", ".nrrd", ".nhdr", ".mha", ".mhd")
"""Formats that are read besides NIfTI and DICOM. The `.hdr` of an `.img` is not an image by itself."""
HEADER_OF_PAIR = ".hdr"

UNREAD = {
    ".par": "Philips PAR/REC",
    ".rec": "Philips PAR/REC",
    ".mnc": "MINC",
    ".mnc.gz": "MINC",
    ".head": "AFNI",
    ".brik": "AFNI",
    ".brik.gz": "AFNI",
    ".mif": "MRtrix",
    ".mif.gz": "MRtrix",
    ".mih": "MRtrix",
    ".gipl": "GIPL",
    ".vtk": "VTK",
    ".vti": "VTK",
    ".fid": "Bruker or Varian raw data",
    ".2dseq": "Bruker",
    ".img.gz": "Analyze, compressed",
    ".hdr.gz": "Analyze, compressed",
    ".nii.bz2": "NIfTI, compressed with bzip2",
    ".nii.xz": "NIfTI, compressed with xz",
    ".nii.zst": "NIfTI, compressed with zstd",
    ".npy": "NumPy",
    ".npz": "NumPy",
}
"""Formats of images that are not read, by ending."""

ARCHIVES = (
    ".zip", ".tar", ".tgz", ".tar.gz", ".tbz2", ".txz", ".7z", ".rar", ".gz", ".bz2", ".xz", ".zst", ".iso",
)  # fmt: skip

_NOT_IMAGES = frozenset((
    ".json", ".bval", ".bvec", ".bvals", ".bvecs", ".tsv", ".csv", ".txt", ".md", ".rst", ".html", ".htm",
    ".xml", ".yml", ".yaml", ".toml", ".ini", ".cfg", ".log", ".pdf", ".doc", ".docx", ".xls", ".xlsx",
    ".png", ".jpg", ".jpeg", ".gif", ".svg", ".tif", ".tiff", ".bmp", ".mp4", ".py", ".m", ".sh", ".r",
    ".ipynb", ".bib", ".tex", ".mat", ".xfm", ".lta", ".dat", ".h5", ".hdf5", ".raw", ".zraw", ".gii",
    ".css", ".js", ".db", ".ds_store", ".lnk", ".url", ".sha1", ".sha256", ".md5", ".bidsignore",
))  # fmt: skip
"""Endings of texts, tables, pictures, transforms and data of detached headers."""


class FileKind(Enum):
    """Kind of a file by its name. DICOM is recognised by content only."""

    NIFTI = auto()
    OTHER_IMAGE = auto()
    PAIR_HEADER = auto()
    """The header of an image in two files."""
    UNREAD = auto()
    """An image in a format that is not supported."""
    ARCHIVE = auto()
    NO_IMAGE = auto()
    UNKNOWN = auto()


_ENDINGS = (
    (FileKind.NIFTI, NIFTI),
    (FileKind.OTHER_IMAGE, OTHER_IMAGES),
    (FileKind.PAIR_HEADER, HEADER_OF_PAIR),
    (FileKind.UNREAD, tuple(UNREAD)),
    (FileKind.ARCHIVE, ARCHIVES),
)
"""In the order in which they are tried: `.nii.gz` is not an archive."""


def kind_of(name: str) -> FileKind:
    """Kind of the file called `name`, in any case."""
    name = name.lower()
    ending = name[name.rfind(".") :] if "." in name else ""
    if ending in _NOT_IMAGES:  # first, because sidecars are many
        return FileKind.NO_IMAGE
    return next((kind for kind, endings in _ENDINGS if name.endswith(endings)), FileKind.UNKNOWN)


def format_name(name: str) -> str:
    """Name of the format of an image that is not read."""
    return next(format for ending, format in UNREAD.items() if name.lower().endswith(ending))


# ---- DICOM, by the first bytes ----

DICOM_START = 132
"""Bytes up to and including the `DICM` that a DICOM file starts with (PS3.10 section 7.1)."""


class DicomKind(Enum):
    """How a file contains DICOM, by its first bytes."""

    DICOM = auto()
    BARE = auto()
    """A DICOM data set without preamble, as old archives wrote them."""
    GZIPPED = auto()
    """A DICOM file inside gzip."""
    OTHER = auto()
    """Not DICOM."""


def sniff(file: Path) -> DicomKind:
    """Kind of a file. Raises OSError if it cannot be opened."""
    with file.open("rb") as stream:
        return sniff_stream(stream)


def sniff_stream(stream: BinaryIO) -> DicomKind:
    """Kind of an open file, which is left at its start. Raises OSError if it cannot be read."""
    start = stream.read(DICOM_START)
    stream.seek(0)
    if start[128:] == b"DICM":
        return DicomKind.DICOM
    if start[:2] == b"\x1f\x8b":
        return DicomKind.GZIPPED if _is_gzipped_dicom(stream) else DicomKind.OTHER
    return DicomKind.BARE if _starts_a_data_set(start) else DicomKind.OTHER


def is_dicom(file: Path) -> bool:
    """Whether a file is DICOM by its content, compressed or not; False if it cannot be read."""
    try:
        return file.is_file() and sniff(file) is not DicomKind.OTHER
    except OSError:  # one unreadable file says nothing about the others
        return False


def _is_gzipped_dicom(gzipped: BinaryIO) -> bool:
    try:
        with gzip.open(gzipped) as stream:
            return stream.read(DICOM_START)[128:] == b"DICM"
    except (gzip.BadGzipFile, EOFError, zlib.error):
        return False
    finally:
        gzipped.seek(0)


def _starts_a_data_set(start: bytes) -> bool:
    """Whether the first element is one of groups 0002 or 0008 that can come first, little-endian."""
    is_first = start[:2] in (b"\x02\x00", b"\x08\x00") and len(start) >= DICOM_START
    if not is_first or start[3] != 0 or start[2] > 0x60:
        return False
    explicit = start[4:6].isalpha() and start[4:6].isupper()
    return explicit or int.from_bytes(start[4:8], "little") < 256


# ---- counting ----

DICOM = "DICOM"
ARCHIVE = "archive"


def count_scans(root: Path, dicom: bool = False, most: int | None = None) -> Counter[str]:
    """Numbers of files below a folder that are scans or archives: by format (`NIfTI`, `DICOM`, `.mgz`) or `archive`.

    Args:
        root: the folder.
        dicom: count DICOM, too, for which the first bytes of each unknown file are read.
        most: largest number of files to look at.
    """
    counts: Counter[str] = Counter()
    for folder, name in islice(walk_names(root), most):
        kind = kind_of(name)
        if kind in (FileKind.UNKNOWN, FileKind.NO_IMAGE, FileKind.PAIR_HEADER) and not dicom:
            continue
        path = Path(folder, name)
        # `.img` and `.gz` are endings of DICOM files, too.
        may_be_dicom = kind is FileKind.ARCHIVE or path.suffix.lower() == ".img" or dicom
        if kind is not FileKind.NIFTI and may_be_dicom and is_dicom(path):
            counts[DICOM] += dicom and name.upper() != "DICOMDIR"
        elif kind is FileKind.NIFTI:
            counts["NIfTI"] += 1
        elif kind in (FileKind.OTHER_IMAGE, FileKind.UNREAD):
            counts[path.suffix.lower()] += 1
        elif kind is FileKind.ARCHIVE:
            counts[ARCHIVE] += 1
    return +counts


def format_counts(counts: Mapping[str, int]) -> str:
    """For example `30 DICOM files, 1 NIfTI file`."""
    return ", ".join(f"{n} {name} file{'s' * (n > 1)}" for name, n in counts.items())
