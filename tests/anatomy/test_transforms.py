"""Transforms to MNI152: every kind of file, directions, refusals; rigid parts and scales."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import SimpleITK as sitk
from brains import turned

from prima_features.anatomy.quality import litres, scale
from prima_features.anatomy.transforms import AFFINE_PART, MNI305_TO_MNI152, read_transform, rigid
from prima_features.errors import SeriesError

TO_MNI = turned(9, (3.0, -12.0, 20.0), (1.08, 1.03, 1.1))
"""From a scan to MNI152, mm in RAS."""
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def itk(to_mni: np.ndarray = TO_MNI) -> sitk.AffineTransform:
    """As ANTs writes it: from points in MNI152 to points in the scan, LPS."""
    matrix = LPS @ np.linalg.inv(to_mni) @ LPS
    made = sitk.AffineTransform(3)
    made.SetCenter((5.0, 6.0, -7.0))
    made.SetMatrix(matrix[:3, :3].ravel().tolist())
    shift = matrix[:3, 3] - np.array(made.GetCenter()) + matrix[:3, :3] @ made.GetCenter()
    made.SetTranslation(shift.tolist())
    return made


def warp() -> sitk.DisplacementFieldTransform:
    field = sitk.Image([8, 8, 8], sitk.sitkVectorFloat64, 3) + 1.5
    return sitk.DisplacementFieldTransform(field)


def text(matrix: np.ndarray) -> str:
    return "\n".join(" ".join(map(repr, row)) for row in matrix.tolist())


@pytest.mark.parametrize("name", ["affine.txt", "affine.tsv", "affine"])
def test_sixteen_numbers_map_the_scan_to_mni(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("# to MNI152\n" + text(TO_MNI))
    found, note = read_transform(tmp_path / name)
    np.testing.assert_array_equal(found, TO_MNI)
    assert not note


@pytest.mark.parametrize("name", ["x.txt", "x.tfm", "x.mat", "x.h5", "from-T1w_to-MNI152NLin6Asym_xfm.h5"])
def test_transforms_of_itk_resample_and_are_inverted(name: str, tmp_path: Path) -> None:
    sitk.WriteTransform(itk(), str(tmp_path / name))
    found, note = read_transform(tmp_path / name)
    np.testing.assert_allclose(found, TO_MNI, atol=1e-6)
    assert not note


@pytest.mark.parametrize("suffix", [".h5", ".txt"])
def test_the_affine_part_of_a_composite_is_used_and_reported(suffix: str, tmp_path: Path) -> None:
    """As fMRIPrep writes it: a rigid and an affine part, then a displacement field."""
    rigid_part = sitk.Euler3DTransform((1.0, 2.0, 3.0), 0.1, -0.05, 0.2, (4.0, -5.0, 6.0))
    point = (11.0, -20.0, 33.0)
    whole = sitk.CompositeTransform([rigid_part, itk(), *([warp()] if suffix == ".h5" else [])])
    path = tmp_path / f"sub-1_from-T1w_to-MNI152NLin2009cAsym_mode-image_xfm{suffix}"
    sitk.WriteTransform(whole, str(path))
    found, note = read_transform(path)
    assert note == (AFFINE_PART if suffix == ".h5" else "")
    in_scan = np.array(sitk.CompositeTransform([rigid_part, itk()]).TransformPoint(point))
    np.testing.assert_allclose((found @ LPS @ [*in_scan, 1])[:3], (LPS @ [*point, 1])[:3], atol=1e-9)


def test_the_older_spelling_of_itk_is_read(tmp_path: Path) -> None:
    sitk.WriteTransform(itk(), str(tmp_path / "x.h5"))
    with h5py.File(tmp_path / "x.h5", "r+") as file:
        for part in file["TransformGroup"].values():
            for which in ("Parameters", "FixedParameters"):
                if f"Transform{which}" in part:
                    part.move(f"Transform{which}", f"Tranform{which}")
    np.testing.assert_allclose(read_transform(tmp_path / "x.h5")[0], TO_MNI, atol=1e-6)


def test_a_name_that_states_from_mni_gives_the_direction(tmp_path: Path) -> None:
    inverse = sitk.AffineTransform(itk().GetInverse())
    path = tmp_path / "sub-1_from-MNI152NLin6Asym_to-T1w_mode-image_xfm.txt"
    sitk.WriteTransform(inverse, str(path))
    np.testing.assert_allclose(read_transform(path)[0], TO_MNI, atol=1e-6)


def test_talairach_xfm_is_composed_with_the_matrix_from_mni305(tmp_path: Path) -> None:
    rows = text(TO_MNI[:3])
    (tmp_path / "talairach.xfm").write_text(
        f"MNI Transform File\n% avi2talxfm\n\nTransform_Type = Linear;\nLinear_Transform =\n{rows};\n"
    )
    np.testing.assert_allclose(read_transform(tmp_path / "talairach.xfm")[0], MNI305_TO_MNI152 @ TO_MNI)


LTA = """type      = {kind} # LINEAR_RAS_TO_RAS
nxforms   = 1
mean      = 0.0000 0.0000 0.0000
sigma     = 1.0000
1 4 4
{rows}
src volume info
valid = 1
filename = /data/orig.mgz
dst volume info
valid = 1
filename = {target}
"""


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("mni305.cor.mgz", MNI305_TO_MNI152 @ TO_MNI),
        ("/study152/average305_t1_tal_lin.mgz", MNI305_TO_MNI152 @ TO_MNI),
        ("/305/MNI152_T1_1mm.nii.gz", TO_MNI),
        ("mni_icbm152_t1_tal_nlin_sym_09c.nii", TO_MNI),
    ],
)
def test_lta_files_name_their_space(target: str, expected: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "x.lta").write_text(LTA.format(kind=1, rows=text(TO_MNI), target=target))
    np.testing.assert_allclose(read_transform(tmp_path / "x.lta")[0], expected)


SINGULAR = np.diag([1.0, 1.0, 0.0, 1.0])
REFUSED = {
    "flirt.mat": (text(TO_MNI), "FSL FLIRT"),
    "twelve.txt": (text(TO_MNI[:3]), "12 numbers, not 16"),
    "words.txt": ("a transform", "neither 16 numbers nor a transform of ITK"),
    "empty.txt": ("", "0 numbers"),
    "nan.txt": (text(TO_MNI * np.nan), "singular or not finite"),
    "singular.txt": (text(SINGULAR), "singular or not finite"),
    "mirrored.txt": (text(np.diag([-1.0, 1.0, 1.0, 1.0])), "exchanges left and right"),
    "metres.txt": (text(np.diag([1e-3, 1e-3, 1e-3, 1.0])), "the unit must be mm"),
    "transposed.txt": (text(TO_MNI.T), "last row"),
    "far.txt": (text(turned(0, (1e6, 0, 0), (1, 1, 1))), "more than 10 m"),
    "other.xfm": (text(TO_MNI), "not talairach.xfm"),
    "voxels.lta": (LTA.format(kind=0, rows=text(TO_MNI), target="mni305.mgz"), "lta_convert"),
    "subject.lta": (LTA.format(kind=1, rows=text(TO_MNI), target="sub-152_T1w.mgz"), "its space is unknown"),
    "folder.lta": (LTA.format(kind=1, rows=text(TO_MNI), target="/mni152/orig.mgz"), "its space is unknown"),
    "flat.txt": (text(np.diag([10.0, 10.0, 0.01, 1.0])), "the unit must be mm"),
    "from-T1w_to-fsnative_xfm.txt": (text(TO_MNI), "the space fsnative, not MNI152"),
    "sub-1_from-orig_to-T1w_mode-image_xfm.txt": (text(TO_MNI), "the space T1w, not MNI152"),
    "sub-1_from-T1w_to-MNI305_xfm.txt": (text(TO_MNI), "the space MNI305, not MNI152"),
    "from-MNI152NLin6Asym_to-T1w_xfm.txt": (text(TO_MNI), "give the inverse"),
    "unknown.lta": (LTA.format(kind=1, rows=text(TO_MNI), target="brain.mgz"), "its space is unknown"),
    "not.h5": ("no HDF5", "not a transform of ITK"),
    "bad.tfm": ("#Insight Transform File V1.0\nnonsense", "not.*ITK|ITK"),
    "large.txt": ("0 " * (1 << 20), "limit"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_files_are_refused_with_what_to_give(name: str, tmp_path: Path) -> None:
    content, message = REFUSED[name]
    (tmp_path / name).write_text(content)
    with pytest.raises(SeriesError, match=message) as error:
        read_transform(tmp_path / name)
    assert error.value.hint and str(tmp_path) not in str(error.value) + error.value.hint


def test_a_composite_without_an_affine_part_is_refused(tmp_path: Path) -> None:
    sitk.WriteTransform(sitk.CompositeTransform([warp()]), str(tmp_path / "x.h5"))
    with pytest.raises(SeriesError, match="no affine part"):
        read_transform(tmp_path / "x.h5")


KINDS = [
    "AffineTransform",
    "ComposeScaleSkewVersor3DTransform",
    "Euler3DTransform",
    "ScaleSkewVersor3DTransform",
    "ScaleTransform",
    "ScaleVersor3DTransform",
    "Similarity3DTransform",
    "TranslationTransform",
    "VersorRigid3DTransform",
    "VersorTransform",
]


@pytest.mark.parametrize("suffix", [".h5", ".tfm"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_linear_kind_is_read_or_refused_but_never_left_out(
    kind: str, suffix: str, tmp_path: Path
) -> None:
    sized = kind in ("AffineTransform", "ScaleTransform", "TranslationTransform")
    part = getattr(sitk, kind)(*([3] if sized else []))
    part.SetParameters([value + 0.05 * (number + 1) for number, value in enumerate(part.GetParameters())])
    whole, point = sitk.CompositeTransform([itk(), part]), (11.0, -20.0, 33.0)
    sitk.WriteTransform(whole, str(tmp_path / f"x{suffix}"))
    try:
        found, note = read_transform(tmp_path / f"x{suffix}")
    except SeriesError as error:
        assert kind.startswith("Compose")
        assert "not supported" in str(error) or "that can be read" in str(error)
        return
    assert not note
    in_scan = LPS @ [*whole.TransformPoint(point), 1]
    np.testing.assert_allclose((found @ in_scan)[:3], (LPS @ [*point, 1])[:3], atol=1e-9)


@pytest.mark.parametrize("suffix", [".h5", ".tfm", ".mat"])
def test_transforms_of_two_dimensions_are_refused(suffix: str, tmp_path: Path) -> None:
    sitk.WriteTransform(sitk.AffineTransform(2), str(tmp_path / f"x{suffix}"))
    with pytest.raises(SeriesError, match=r"ITK|2 dimensions"):
        read_transform(tmp_path / f"x{suffix}")


def test_a_composite_of_many_parts_is_refused_and_not_cut(tmp_path: Path) -> None:
    sitk.WriteTransform(
        sitk.CompositeTransform([itk()] + 19 * [sitk.Euler3DTransform()]), str(tmp_path / "x.h5")
    )
    with pytest.raises(SeriesError, match="21 parts"):
        read_transform(tmp_path / "x.h5")


def test_hdf5_of_another_kind_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["TransformGroup/0/TransformType"] = 3
    with pytest.raises(SeriesError):
        read_transform(tmp_path / "x.h5")


@pytest.mark.parametrize("degrees", [0, 13, -40])
def test_the_rigid_part_of_a_scaled_rotation_is_that_rotation(degrees: float) -> None:
    centre = np.array([1.0, -17.0, 12.0])
    affine = turned(degrees, (4, 5, 6), (1.1, 1.1, 1.1))
    found = rigid(affine, centre)
    np.testing.assert_allclose(found[:3, :3], turned(degrees, (0, 0, 0), (1, 1, 1))[:3, :3], atol=1e-12)
    point = np.linalg.solve(affine, [*centre, 1])
    np.testing.assert_allclose((found @ point)[:3], centre, atol=1e-12)


def test_a_rigid_affine_is_its_own_rigid_part() -> None:
    affine = turned(25, (4, 5, 6), (1, 1, 1))
    np.testing.assert_allclose(rigid(affine, np.array([9.0, 8.0, 7.0])), affine, atol=1e-12)


def test_scale_and_litres() -> None:
    affine = turned(30, (0, 0, 0), (2, -1, 4))
    assert scale(affine) == pytest.approx(2)
    assert litres(np.ones((10, 10, 10)), affine) == pytest.approx(0.008)
