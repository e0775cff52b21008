"""Pictures of series: right side up, never a profile, with a line around what was kept."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prima_features.encoders.base import Picture
from prima_features.encoders.prima.picture import SIDE, draw
from prima_features.encoders.prima.preprocessing import Preprocessing
from prima_features.encoders.prima.subvolumes import cut
from prima_features.studies.study import NiftiImage, Series
from prima_features.volumes import Volume

SHAPES = {0: (24, 256, 256), 1: (256, 24, 256), 2: (256, 256, 24)}
SPACINGS = {0: (6.0, 0.9, 0.9), 1: (0.9, 6.0, 0.9), 2: (0.9, 0.9, 6.0)}


def head(axis: int, bright: tuple[float, float, float]) -> Volume:
    """A ball of 100 with a bright spot at (z, y, x), each -1 to 1: to the head, the back, the left."""
    z, y, x = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in SHAPES[axis])]
    values = np.where(z**2 + y**2 + x**2 < 0.7, 100, 0)
    spot = (z - bright[0]) ** 2 + (y - bright[1]) ** 2 + (x - bright[2]) ** 2 < 0.0625
    return Volume(np.where(spot, 400, values).astype(np.int16), SPACINGS[axis], axis)


def drawn(volume: Volume) -> tuple[Picture, np.ndarray, np.ndarray]:
    """A picture, and its pixels: the axial slice and the coronal one."""
    picture = draw(volume, cut(volume), Preprocessing())
    pixels = np.asarray(Image.open(io.BytesIO(picture.jpeg))).astype(int)
    assert pixels.shape == (picture.height, picture.width)
    mm = np.array(volume.values.shape) * volume.spacing
    height, depth, width = np.rint(SIDE * mm / mm.max()).astype(int)
    tops = [(len(pixels) - rows) // 2 for rows in (depth, height)]
    coronal = pixels[tops[1] : tops[1] + height, -width:]
    return picture, pixels[tops[0] : tops[0] + depth, :width], coronal


def brightest(pixels: np.ndarray) -> tuple[float, float]:
    """Row and column of the bright spot's middle, as shares of height and width."""
    rows, columns = np.nonzero(pixels > 200)
    return rows.mean() / pixels.shape[0], columns.mean() / pixels.shape[1]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_every_series_is_shown_axial_and_coronal_the_patients_left_on_the_right(axis: int) -> None:
    picture, *views = drawn(head(axis, (0.0, 0.0, 0.5)))
    assert picture.width <= 2 * SIDE + 4 and picture.height <= SIDE
    for view in views:
        row, column = brightest(view)
        assert row == pytest.approx(0.5, abs=0.08)
        assert column == pytest.approx(0.75, abs=0.08)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_back_is_at_the_bottom_of_the_axial_and_the_head_at_the_top_of_the_coronal(axis: int) -> None:
    assert brightest(drawn(head(axis, (0.0, 0.5, 0.0)))[1])[0] == pytest.approx(0.75, abs=0.08)
    assert brightest(drawn(head(axis, (0.5, 0.0, 0.0)))[2])[0] == pytest.approx(0.25, abs=0.08)


def inside(outline: str, x: float, y: float) -> bool:
    """Whether a point is within the path: how many of its upright lines lie to the left."""
    lines = re.findall(r"M([\d.]+) ([\d.]+)V([\d.]+)", outline)
    left = [1 for at, top, end in lines if float(at) < x and float(top) <= y < float(end)]
    return len(left) % 2 == 1


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_line_is_around_the_kept_subvolumes(axis: int) -> None:
    picture, view, _ = drawn(head(axis, (0.0, 0.0, 0.3)))
    top, (height, width) = (picture.height - len(view)) // 2, view.shape
    corners = [(1, 1), (width - 1, 1), (1, height - 1), (width - 1, height - 1)]
    assert not any(inside(picture.outline, x, top + y) for x, y in corners)
    rows, columns = np.nonzero(view > 60)
    bright = zip(columns + 0.5, top + rows + 0.5, strict=True)
    assert np.mean([inside(picture.outline, x, y) for x, y in bright]) > 0.97


def test_a_volume_smaller_than_a_subvolume_is_drawn() -> None:
    values = np.zeros((5, 256, 256), np.float32)
    values[:, 100:110, 100:110] = 1.0
    picture, axial, _ = drawn(Volume(values, (5.0, 1.0, 1.0), 0))
    assert axial.max() > 100 and picture.outline
    assert len(picture.jpeg) < 8000


def test_a_picture_that_fails_takes_nothing_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from prima_features.encoders.prima import prepare

    def broken(*given: object) -> Picture:
        raise OSError("no encoder")

    monkeypatch.setattr(prepare, "draw", broken)
    monkeypatch.setattr(prepare, "read_volume", lambda *given: head(0, (0.0, 0.0, 0.0)))
    series = Series("T1w", NiftiImage(Path("T1w.nii")))
    made = prepare.PrimaPreparer(Preprocessing())(series, prepare.ReadOptions(), picture=True)
    assert made.picture is None and made.weight
