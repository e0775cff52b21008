"""Reading DICOM: classic slices through SimpleITK, multi-frame files and mosaics through dcm2niix."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import SimpleITK as sitk

from prima_features.errors import SeriesError
from prima_features.studies.study import DicomFrames, DicomSlices

# ITK's warnings quote file paths, and in DICOM trees those carry names. What they warn of (uneven
# slices) the finder has measured already.
sitk.ProcessObject.SetGlobalWarningDisplay(False)


def read_slices(image: DicomSlices) -> sitk.Image:
    """The volume of one or more stacks of single-slice files, averaged where there are several.

    Returns:
        A 3-D image with the rescale slope and intercept applied, in the pixel type that results.

    Raises:
        SeriesError: pixel data that cannot be decoded, or stacks that do not match.
    """
    volumes = [_read_stack(stack) for stack in image.stacks]
    if len(volumes) == 1:
        return volumes[0]
    mean = sitk.Cast(volumes[0], sitk.sitkFloat32)
    for volume in volumes[1:]:
        if volume.GetSize() != mean.GetSize():
            raise SeriesError(f"its volumes differ in size: {mean.GetSize()} and {volume.GetSize()}")
        other = sitk.Cast(volume, sitk.sitkFloat32)
        other.CopyInformation(mean)
        mean = mean + other
    return mean / len(volumes)


def _read_stack(files: tuple[Path, ...]) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileNames([str(file) for file in files])
    try:
        return reader.Execute()
    except RuntimeError as error:
        raise SeriesError(
            "its pixel data cannot be decoded",
            hint="a file may be truncated or use an unsupported compression; export the series again",
        ) from error


def unpack_frames(image: DicomFrames, folder: Path) -> Path:
    """Convert multi-frame files or mosaics to one uncompressed NIfTI file in `folder`.

    Raises:
        SeriesError: dcm2niix fails, or makes no image or several.
    """
    inputs, outputs = folder / "in", folder / "out"
    inputs.mkdir()
    outputs.mkdir()
    for i, file in enumerate(image.files):
        (inputs / f"{i:06d}.dcm").symlink_to(file.resolve())
    # -x i keeps the acquired slice axis third instead of turning 3-D acquisitions; -p n applies the rescale
    # slope, as for classic slices, in place of Philips' private scaling.
    options = ["-b", "n", "-z", "n", "-x", "i", "-p", "n", "-f", "image"]
    _run_dcm2niix([*options, "-o", str(outputs), str(inputs)])
    made = [path for path in sorted(outputs.glob("*.nii")) if not path.stem.endswith(("_Eq_1", "_ph"))]
    if len(made) != 1:
        raise SeriesError(
            f"dcm2niix made {len(made)} images of it, not one",
            hint="convert the series to BIDS yourself and embed that",
        )
    return made[0]


def _run_dcm2niix(arguments: list[str]) -> None:
    from dcm2niix import bin as program

    # Its output names the patient; only the verdict is kept.
    done = subprocess.run([program, *arguments], capture_output=True, check=False)
    if done.returncode not in (0, 8):  # 8: converted, with warnings
        raise SeriesError(
            f"dcm2niix cannot unpack it (exit code {done.returncode})",
            hint="convert the series to BIDS yourself and embed that",
        )


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A private folder for unpacked images, removed when the context ends."""
    with tempfile.TemporaryDirectory(prefix="prima-") as folder:
        yield Path(folder)
