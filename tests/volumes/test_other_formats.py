"""Formats other than NIfTI and DICOM: the same volume, whatever it is stored as."""

import gzip
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from prima_features.encoders.prima.prepare import read_volume
from prima_features.errors import SeriesError
from prima_features.studies.nifti import find_nifti
from prima_features.studies.study import NiftiImage, OtherImage, Series
from prima_features.studies.voxels import open_other

VALUES = np.random.default_rng(3).integers(0, 3000, (24, 20, 12)).astype(np.int16)


def itk_image() -> sitk.Image:
    image = sitk.GetImageFromArray(VALUES.T)
    lps = np.diag([-1, -1, 1, 1]) @ AFFINE
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


def save_itk(path: Path) -> None:
    sitk.WriteImage(itk_image(), str(path))


def save_nib(kind: type) -> Callable[[Path], None]:
    return lambda path: nib.save(kind(VALUES.astype(np.float32), AFFINE), path)


def rotation(degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    affine = np.eye(4)
    affine[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return affine


AFFINE = rotation(9) @ np.diag([-2.0, -2.0, 4.0, 1.0])
AFFINE[:3, 3] = 30, 40, -20

WRITERS: dict[str, Callable[[Path], None]] = {
    "x.mgz": save_nib(nib.MGHImage),
    "x.mgh": save_nib(nib.MGHImage),
    "x.img": lambda path: nib.save(nib.Nifti1Pair(VALUES, AFFINE), path),
    "y.img": lambda path: nib.save(nib.Nifti2Pair(VALUES, AFFINE), path),
    "x.nrrd": save_itk,
    "x.nhdr": save_itk,
    "x.mha": save_itk,
    "x.mhd": save_itk,
}


def only_series(folder: Path) -> Series:
    found = find_nifti(folder)
    assert not found.left_out
    ((series,),) = [study.series for study in found.studies]
    return series


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_volume_of_its_nifti(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    series = only_series(tmp_path)
    # The number type decides what is outside of the image.
    stored = VALUES.astype(np.float32) if ".mg" in name else VALUES
    nib.save(nib.Nifti1Image(stored, AFFINE), tmp_path / "reference.nii")
    reference = read_volume(replace(series, image=NiftiImage(tmp_path / "reference.nii")))
    volume = read_volume(series)
    assert np.abs(volume.values.astype(float) - reference.values).max() <= 1
    assert np.allclose(volume.spacing, reference.spacing, atol=1e-4)
    assert volume.slice_axis == reference.slice_axis
    assert not series.flags
    assert set(series.files) == {path for path in tmp_path.iterdir() if path.stem == Path(name).stem}


def test_analyze_is_read_and_flagged_because_left_and_right_are_not_known(tmp_path: Path) -> None:
    nib.save(nib.AnalyzeImage(VALUES, np.diag([-2, -2, 4, 1])), tmp_path / "x.img")
    series = only_series(tmp_path)
    assert series.flags == ("orientation-unknown",)
    assert read_volume(series).values.shape == (12, 256, 256)


@pytest.mark.parametrize("name", ["x.mgz", "x.mgh"])
def test_directions_that_the_mgh_header_calls_invalid_are_flagged(tmp_path: Path, name: str) -> None:
    save_nib(nib.MGHImage)(tmp_path / "whole.mgh")
    content = bytearray((tmp_path / "whole.mgh").read_bytes())
    (tmp_path / "whole.mgh").unlink()
    content[28:30] = bytes(2)  # goodRASFlag
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("z") else bytes(content))
    assert only_series(tmp_path).flags == ("orientation-unknown",)


@pytest.mark.parametrize(
    ("space", "flags"),
    [
        ("right-anterior-superior", ()),
        ("LPS", ()),
        ("scanner-xyz", ("orientation-unknown",)),
        ("3D-right-handed", ("orientation-unknown",)),
    ],
)
def test_an_nrrd_space_that_is_not_anatomical_is_flagged(
    tmp_path: Path, space: str, flags: tuple[str, ...]
) -> None:
    header = (
        f"NRRD0004\ntype: short\ndimension: 3\nspace: {space}\nsizes: 24 20 12\n"
        "space directions: (2,0,0) (0,2,0) (0,0,4)\nencoding: raw\nendian: little\n\n"
    )
    (tmp_path / "x.nrrd").write_bytes(header.encode() + VALUES.tobytes("F"))
    assert only_series(tmp_path).flags == flags


def test_nrrd_without_a_space_is_flagged(tmp_path: Path) -> None:
    header = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 24 20 12\nspacings: 2 2 4\nencoding: raw\nendian: little\n\n"
    (tmp_path / "x.nrrd").write_bytes(header + VALUES.tobytes("F"))
    series = only_series(tmp_path)
    assert series.flags == ("orientation-unknown",)
    assert read_volume(series).spacing == (4, 2 * 20 / 256, 2 * 24 / 256)


@pytest.mark.parametrize("name", ["x.mgz", "x.img", "x.nrrd", "x.mha"])
def test_a_file_that_is_cut_short_is_a_failure(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    found = find_nifti(tmp_path)
    if found.left_out:
        assert found.left_out[0].defect
    for study in found.studies:
        with pytest.raises(SeriesError):
            read_volume(study.series[0])


@pytest.mark.parametrize("name", ["x.mgz", "x.img", "x.nrrd", "x.nhdr", "x.mhd", "x.mgh"])
def test_other_content_under_such_a_name_is_a_defect(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"something else entirely" * 100)
    (tmp_path / "p.nii").write_bytes(nib.Nifti1Image(VALUES, AFFINE).to_bytes())
    (item,) = find_nifti(tmp_path).left_out
    assert item.series == name
    assert item.defect


@pytest.mark.parametrize("data", ["../secret.raw", "/etc/hostname", "LIST", "x%03d.raw 1 3 1", "gone.raw"])
def test_a_detached_header_reads_no_file_of_another_folder(tmp_path: Path, data: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.raw").write_bytes(VALUES.tobytes())
    (tmp_path / "in/x.nhdr").write_text(
        f"NRRD0004\ntype: short\ndimension: 3\nsizes: 24 20 12\nencoding: raw\nendian: little\ndata file: {data}\n"
    )
    found = find_nifti(tmp_path / "in")
    assert not found.studies
    assert found.left_out[0].defect


NRRD = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 24 20 12\nendian: little\nencoding: raw\n"
META = b"ObjectType = Image\nNDims = 3\nDimSize = 24 20 12\nElementType = MET_SHORT\n"
LONG = b"a" * 5000
HOSTILE = {
    "another file from .nrrd": ("x.nrrd", NRRD + b"data file: ../secret.raw\n\n"),
    "another file in capital letters": ("x.nrrd", NRRD + b"DATA FILE: ../secret.raw\n\n"),
    "another file after a carriage return": ("x.nrrd", NRRD + b"# a\rdata file: ../secret.raw\n\n"),
    "another file after a key of that name": (
        "x.nhdr",
        NRRD + b"data file:=x.raw\ndata file: ../secret.raw\n",
    ),
    "another file from .mha": ("x.mha", META + b"ElementDataFile = ../secret.raw\n"),
    "another file after a colon": (
        "x.mhd",
        META + b"ElementDataFile : ../secret.raw\nElementDataFile = x.raw\n",
    ),
    "another file after an empty value": (
        "x.mha",
        META + b"Comment =\nElementDataFile = LOCAL\nElementDataFile = ../secret.raw\n",
    ),
    "a list of files": ("x.mha", META + b"ElementDataFile = LIST\n../secret.raw\n"),
    "numbers as text": ("x.nrrd", NRRD.replace(b"raw", b"ascii") + b"\n" + VALUES.tobytes()),
    "a long word for a type": ("x.nrrd", NRRD.replace(b"short", LONG) + b"\n" + VALUES.tobytes()),
    "a long word for a direction": (
        "x.nrrd",
        NRRD + b"space directions: " + LONG + b"\n\n" + VALUES.tobytes(),
    ),
    "sizes of too few axes": ("x.mha", META.replace(b"20 12", b"") + b"ElementDataFile = LOCAL\n"),
    "a header without end": ("x.nrrd", NRRD + b"# a\n" * 300_000),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=list(HOSTILE))
def test_a_header_that_a_library_would_follow_or_crash_on_is_refused(
    tmp_path: Path, content: tuple[str, bytes]
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.raw").write_bytes(VALUES.tobytes())
    (tmp_path / "in/x.raw").write_bytes(VALUES.tobytes())
    name, header = content
    (tmp_path / "in" / name).write_bytes(header)
    found = find_nifti(tmp_path / "in")
    assert not found.studies
    assert found.left_out[0].defect
    with pytest.raises(ValueError, match=r"header|its voxels are in another file"):
        open_other(OtherImage(tmp_path / "in" / name))  # reading checks again


@pytest.mark.parametrize(
    "lines", ["spacings: 2 2 4", "# a comment", "my key:=its value", 'units: "mm" "mm" "mm"']
)
def test_sound_nrrd_headers_are_read(tmp_path: Path, lines: str) -> None:
    for end in (b"\n", b"\r\n"):
        header = (NRRD + lines.encode() + b"\n\n").replace(b"\n", end)
        (tmp_path / "x.nrrd").write_bytes(header + VALUES.astype("<i2").tobytes("F"))
        assert np.array_equal(open_other(OtherImage(tmp_path / "x.nrrd")).first_volume(), VALUES)


def test_a_gzip_header_without_end_is_damage(tmp_path: Path) -> None:
    (tmp_path / "x.nii.gz").write_bytes(b"\x1f\x8b\x08\x08" + bytes(6) + b"a" * 1_000_000)
    assert "damaged" in find_nifti(tmp_path).left_out[0].error
    with pytest.raises(SeriesError, match="damaged"):
        read_volume(Series("x", NiftiImage(tmp_path / "x.nii.gz")))


@pytest.mark.parametrize("spacing", [np.nan, np.inf, 0])
def test_mgh_with_impossible_spacing_is_a_defect(tmp_path: Path, spacing: float) -> None:
    WRITERS["x.mgh"](tmp_path / "x.mgh")
    content = bytearray((tmp_path / "x.mgh").read_bytes())
    content[30:34] = struct.pack(">f", spacing)
    (tmp_path / "x.mgh").write_bytes(content)
    (item,) = find_nifti(tmp_path).left_out
    assert "sizes or positions" in item.error


def test_several_numbers_per_voxel_are_refused(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.Compose(itk_image(), itk_image(), itk_image()), str(tmp_path / "x.nrrd"))
    (item,) = find_nifti(tmp_path).left_out
    assert "3 numbers per voxel" in item.error


def test_several_volumes_follow_the_rule_for_time_series(tmp_path: Path) -> None:
    several = np.stack([VALUES, 3 * VALUES], axis=-1).astype(np.float32)
    nib.save(nib.MGHImage(several, AFFINE), tmp_path / "x.mgz")
    assert "it has 2 volumes" in find_nifti(tmp_path).left_out[0].error
    first = read_volume(find_nifti(tmp_path, "first").studies[0].series[0])
    mean = read_volume(find_nifti(tmp_path, "mean").studies[0].series[0])
    assert np.allclose(mean.values[:, 20:200, 20:200], 2 * first.values[:, 20:200, 20:200])
