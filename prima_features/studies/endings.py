"""What kinds of files a source can have, by the endings of their names."""

from __future__ import annotations

from enum import Enum

NIFTI = (".nii", ".nii.gz")
OTHER_IMAGES = (".mgz", ".mgh", ".img", ".nrrd", ".nhdr", ".mha", ".mhd")
"""Formats that are read besides NIfTI and DICOM. The `.hdr` of an `.img` is no image of its own."""
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

_UNREAD = tuple(UNREAD)

ARCHIVES = (
    *(
        ".zip",
        ".tar",
        ".tgz",
        ".tar.gz",
        ".tbz2",
        ".txz",
        ".7z",
        ".rar",
        ".gz",
        ".bz2",
        ".xz",
        ".zst",
        ".iso",
    ),
)

_NOT_IMAGES = frozenset(
    (
        *(
            ".json",
            ".bval",
            ".bvec",
            ".bvals",
            ".bvecs",
            ".tsv",
            ".csv",
            ".txt",
            ".md",
            ".rst",
            ".html",
            ".htm",
        ),
        *(".xml", ".yml", ".yaml", ".toml", ".ini", ".cfg", ".log", ".pdf", ".doc", ".docx", ".xls", ".xlsx"),
        *(".png", ".jpg", ".jpeg", ".gif", ".svg", ".tif", ".tiff", ".bmp", ".mp4", ".py", ".m", ".sh", ".r"),
        *(".ipynb", ".bib", ".tex", ".mat", ".xfm", ".lta", ".dat", ".h5", ".hdf5", ".raw", ".zraw", ".gii"),
        *(".css", ".js", ".db", ".ds_store", ".lnk", ".url", ".sha1", ".sha256", ".md5", ".bidsignore"),
    )
)
"""Endings of texts, tables, pictures, transforms and data of detached headers."""


class FileKind(Enum):
    """Kind of a file by its name. DICOM is recognised by content and not here."""

    NIFTI = "NIfTI image"
    OTHER_IMAGE = "image in another format"
    PAIR_HEADER = "header of a pair"
    UNREAD = "image in an unsupported format"
    ARCHIVE = "archive"
    NO_IMAGE = "file without image"
    UNKNOWN = "file"


def kind_of(name: str) -> FileKind:
    """Kind of the file called `name`, in any case."""
    name = name.lower()
    ending = name[name.rfind(".") :] if "." in name else ""
    if ending in _NOT_IMAGES:  # first, because sidecars are many
        return FileKind.NO_IMAGE
    if name.endswith(NIFTI):
        return FileKind.NIFTI
    if name.endswith(OTHER_IMAGES):
        return FileKind.OTHER_IMAGE
    if name.endswith(HEADER_OF_PAIR):
        return FileKind.PAIR_HEADER
    if name.endswith(_UNREAD):
        return FileKind.UNREAD
    if name.endswith(ARCHIVES):
        return FileKind.ARCHIVE
    return FileKind.UNKNOWN


def format_name(name: str) -> str:
    """Name of the format of an image that is not read."""
    return next(format for ending, format in UNREAD.items() if name.lower().endswith(ending))
