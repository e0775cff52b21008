"""Maps and pictures of `explain()` are where the scan is: a bright block is found at its place in the scanner."""

import base64
import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from PIL import Image

from prima_features.encoders.prima.subvolumes import divide
from prima_features.explain import explain
from prima_features.explain.methods import Attribution
from prima_features.explain.run import ExplainedSeries
from prima_features.explain.targets import Target
from prima_features.synthetic import Rendered, draw_acquisitions, draw_subject
from prima_features.synthetic.acquisition import Sequence, series_affine
from prima_features.synthetic.output.dicom import write_dicom

LESION = np.array([-45.0, 30.0, 20.0])
"""Centre of the bright block, mm to the right, front and head: left frontal."""
HALF = 12.0


def affine_of(codes: str, spacing: tuple[float, ...], shape: tuple[int, ...], degrees: float) -> np.ndarray:
    """Voxels to mm for axes in the directions of `codes`, turned about the head's axis; the middle is at 0."""
    affine = np.eye(4)
    for axis, code in enumerate(codes):
        world = next(i for i, pair in enumerate(("LR", "PA", "IS")) if code in pair)
        affine[:3, axis] = 0
        affine[world, axis] = spacing[axis] * (1 if code in "RAS" else -1)
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turned = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) @ [[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]
    affine[:3, :3] = turned @ affine[:3, :3]
    affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) - 1) / 2
    return affine


SCANS = {
    "RAS": ("RAS", (1.1, 1.1, 5), (180, 200, 26), 0),
    "as displayed": ("LPS", (1.1, 1.1, 5), (180, 200, 26), 0),
    "oblique": ("LAS", (1.1, 1.1, 5), (180, 200, 26), 14),
    "sagittal, slices last": ("PSR", (1, 1, 6), (200, 180, 28), 0),
    "sagittal, slices first, oblique": ("RAS", (6, 1, 1), (28, 200, 180), -9),
    "coronal": ("RPS", (1, 6, 1), (180, 32, 170), 6),
}


def brain(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """An ellipsoid with the bright block in it."""
    voxels = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    world = voxels @ affine[:3, :3].T + affine[:3, 3]
    rng = np.random.default_rng(0)
    values = rng.integers(0, 60, shape).astype(np.int16)
    values[(np.linalg.norm(world / [75, 90, 75], axis=-1) < 1)] += 200
    values[(np.abs(world - LESION) < HALF).all(axis=-1)] = 1500
    return values


def write(path: Path, name: str) -> nib.Nifti1Image:
    codes, spacing, shape, degrees = SCANS[name]
    affine = affine_of(codes, spacing, shape, degrees)
    image = nib.Nifti1Image(brain(shape, affine), affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    return image


@pytest.fixture
def brightness(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every token's coefficient is its mean brightness beyond the brain's, in place of what a model does."""

    def found(one: Any, passes: Any, index: int, target: Any, how: Any, on_pass: Any) -> ExplainedSeries:
        volume, coord = one.volume, one.tokens.coord
        grid = divide(volume).values.astype(float).mean(axis=(1, 3, 5))
        mean = grid[tuple((coord // one.placement.size).T)] - 270
        a = Attribution("lime", np.maximum(mean, 0), np.full(len(coord), 1.0), np.arange(len(coord)))
        return ExplainedSeries(one.label, volume, one.tokens, one.placement, a, 0.0, None)

    monkeypatch.setattr("prima_features.explain.run._explain_series", found)


def first_number(model: Any, device: torch.device) -> Target:
    return Target("first", "first number", lambda output: output.embedding[:, 0])


def weighted_centre(image: nib.Nifti1Image) -> np.ndarray:
    values = image.get_fdata()
    voxel = np.average(np.argwhere(values > 0), axis=0, weights=values[values > 0])
    return np.asarray(nib.affines.apply_affine(image.affine, voxel))


@pytest.mark.usefixtures("brightness")
@pytest.mark.parametrize("name", SCANS)
def test_the_hot_spot_is_at_the_lesion_and_the_map_on_the_grid_of_the_file(name: str, tmp_path: Path) -> None:
    original = write(tmp_path / "scan.nii.gz", name)
    explain(tmp_path / "scan.nii.gz", tmp_path / "out", first_number, "prima-untrained")
    (path,) = (tmp_path / "out").glob("map_*.nii.gz")
    found = nib.load(path)
    assert found.shape == original.shape
    np.testing.assert_allclose(found.affine, original.affine, atol=1e-5)
    # Other programs read the same grid.
    ours, theirs = sitk.ReadImage(str(path)), sitk.ReadImage(str(tmp_path / "scan.nii.gz"))
    np.testing.assert_allclose(ours.GetDirection(), theirs.GetDirection(), atol=1e-5)
    np.testing.assert_allclose(ours.GetOrigin(), theirs.GetOrigin(), atol=1e-3)
    values = found.get_fdata()
    hottest = nib.affines.apply_affine(found.affine, np.argwhere(values == values.max()).mean(axis=0))
    assert np.abs(hottest - LESION).max() < 20  # a token is up to 36 mm long
    assert np.abs(weighted_centre(found) - LESION).max() < 6


@pytest.mark.usefixtures("brightness")
@pytest.mark.parametrize("name", ["RAS", "oblique", "sagittal, slices last", "coronal"])
def test_the_picture_shows_the_lesion_where_its_letters_say(name: str, tmp_path: Path) -> None:
    write(tmp_path / "scan.nii.gz", name)
    explain(tmp_path / "scan.nii.gz", tmp_path / "out", first_number, "prima-untrained")
    text = (tmp_path / "out" / "explanation.html").read_text()
    (svg,) = re.findall(r'<svg class="overlay".*?</svg>', text, re.DOTALL)
    (data,) = re.findall(r"base64,([^\"]+)", svg)
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).astype(int)
    places = [
        (letter, np.array([int(x), int(y)]))
        for x, y, letter in re.findall(r'<text x="(\d+)" y="(\d+)"[^>]*>(\w)</text>', svg)
    ]
    # Of the slices without and with the map, axial and coronal in turn.
    assert [letter for letter, _ in places] == list("RLAP" * 2 + "RLSI" * 2)
    rose = (picture[..., 0] - picture[..., 1] > 20) & (picture[..., 0] > 60)
    rows, columns = np.nonzero(rose)
    assert columns.min() > picture.shape[1] // 2
    end = places[7][1][1] + 7
    for edges, here in ((places[4:8], rows < end), (places[12:], rows >= end)):
        spot = np.array([columns[here].mean(), rows[here].mean()])
        right, left, up, down = (place for _, place in edges)
        # The lesion is left, in front and above the middle.
        assert abs(left - spot)[0] < abs(right - spot)[0]
        assert abs(up - spot)[1] < abs(down - spot)[1]


@pytest.mark.usefixtures("brightness")
@pytest.mark.parametrize("sequence", ["FLAIR", "T1w"])
def test_the_map_of_a_dicom_series_is_at_the_lesion(sequence: Sequence, tmp_path: Path) -> None:
    subject = draw_subject(0, 0, condition="control")
    (scan,) = draw_acquisitions(0, 0, subject.site, sequences=(sequence,))
    scan = replace(scan, angulation=(12.0, -5.0, 3.0), centre=(4.0, -6.0, 3.0))
    affine = series_affine(scan)
    values = brain((*scan.matrix, scan.n_slices), affine)
    write_dicom(tmp_path / "dicom", subject, [Rendered(values, affine, scan)])
    explain(tmp_path / "dicom", tmp_path / "out", first_number, "prima-untrained")
    (path,) = (tmp_path / "out").glob("map_*.nii.gz")
    found = nib.load(path)
    assert found.shape == values.shape
    np.testing.assert_allclose(found.affine, affine, atol=1e-3)
    assert np.abs(weighted_centre(found) - LESION).max() < 6
