"""Build the atlas from the Colin 27 template.

    python -m prima_features.synthetic.atlas.build ch2.nii.gz ch2bet.nii.gz

The two files are the MNI's average of 27 scans of one head and its brain, as in Debian's package mricron-data. The
result, `colin27.xz` next to this file, contains no image of the head but two maps at 1.25 mm: `tone`, the position of a
voxel between fluid, grey and white matter (inside the skull) or bone, muscle and fat (outside), in 33 steps; and
`label`, its `Region`. Ventricles and cerebellum are grown in the tones from seeds at known places; hippocampi, eyes,
sinuses and arteries come from curves in MNI coordinates (after Talairach and Tournoux 1988), refined by the tones.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import scipy.ndimage as nd
import SimpleITK as sitk

from prima_features.synthetic.atlas.curves import distance_to_curve
from prima_features.synthetic.atlas.file import ORIGIN, SHAPE, SPACING, TEMPLATE_END, write
from prima_features.synthetic.atlas.labels import Region

FLUID, GREY, WHITE = 42.0, 111.0, 148.0
"""Peaks of the template's histogram within the brain after bias correction."""
BONE, MUSCLE, FAT = 22.0, 78.0, 185.0
"""The same outside the skull, without correction."""

HIPPOCAMPUS = ((24, -8, -19), (27, -14, -16.5), (29, -22, -12.5), (28, -29, -7), (24, -36, 1), (17, -40, 6))
CHOROID = ((17, -24, 17), (22, -36, 14), (24, -42, 8))
EYE, EYE_RADIUS = (34, 61, -38), 13.0
PITUITARY = (0, 4, -31)
BASILAR = ((0, -30, -45), (0, -24, -35), (0, -20, -24), (0, -17, -15))
CAROTID = ((24, -20, -50), (20, -10, -40), (13, 6, -32), (12, 2, -22), (14, 2, -15))
MIDDLE_CEREBRAL = ((14, 2, -15), (24, 4, -15), (34, 3, -16), (40, -2, -8), (41, -12, 4))
ANTERIOR_CEREBRAL = ((14, 2, -15), (5, 12, -13), (2, 26, -6), (2, 34, 8), (2, 26, 24))
POSTERIOR_CEREBRAL = ((0, -17, -15), (12, -20, -13), (20, -30, -8), (16, -44, -4))
ARTERIES = (
    (BASILAR, 1.7),
    *((curve, radius) for curve, radius in ((CAROTID, 2.3), (MIDDLE_CEREBRAL, 1.4))),
    *((curve, radius) for curve, radius in ((ANTERIOR_CEREBRAL, 1.2), (POSTERIOR_CEREBRAL, 1.2))),
)


def main(head_file: str, brain_file: str) -> None:
    """Build and write the atlas."""
    head, brain = sitk.ReadImage(head_file, sitk.sitkFloat32), sitk.ReadImage(brain_file) > 0
    raw, even, inside = (on_grid(image) for image in (head, without_bias(head, brain), brain))
    inside = inside > 0.5
    skull = intracranial(inside, even)
    tone = np.where(skull, brain_tone(even), head_tone(raw))
    label = regions(tone, skull, raw)
    tone[label == Region.AIR] = 0
    write(Path(__file__).with_name("colin27.xz"), tone, label)
    for region in Region:
        print(f"{region.name:18} {np.sum(label == region) * SPACING**3 / 1000:8.1f} ml")


def without_bias(head: sitk.Image, brain: sitk.Image) -> sitk.Image:
    """The head with its receive field evened out within the brain (N4, on every third voxel)."""
    correct = sitk.N4BiasFieldCorrectionImageFilter()
    correct.SetMaximumNumberOfIterations([30, 30, 20])
    correct.Execute(sitk.Shrink(head, [3] * 3), sitk.Shrink(brain, [3] * 3))
    return head / sitk.Exp(correct.GetLogBiasFieldAsImage(head))


def on_grid(image: sitk.Image) -> np.ndarray:
    """(x, y, z) on the atlas's grid with axes R, A, S; the lowest slice is repeated downwards."""
    # The template's files say RAS; SimpleITK turns that to LPS, so that here x and y change sign.
    # ITK reads NIfTI as LPS with signs in the directions, so physical points are enough.
    x, y, z = (np.arange(n) * SPACING + o for n, o in zip(SHAPE, ORIGIN, strict=True))
    smooth = sitk.DiscreteGaussian(sitk.Cast(image, sitk.sitkFloat32), [0.25] * 3)
    array = sitk.GetArrayFromImage(smooth).transpose(2, 1, 0)
    to_index = [
        (axis - origin * sign) / spacing
        for axis, origin, spacing, sign in zip(
            (x, y, np.maximum(z, TEMPLATE_END)),
            image.GetOrigin(),
            image.GetSpacing(),
            (-1, -1, 1),
            strict=True,
        )
    ]
    points = np.stack(np.meshgrid(*to_index, indexing="ij"))
    return nd.map_coordinates(array, points, order=1, mode="constant").astype(np.float32)


def brain_tone(values: np.ndarray) -> np.ndarray:
    """0 fluid, 1 grey, 2 white; flat around each peak, which removes the template's noise."""
    knots = (FLUID + 8, GREY - 9, GREY + 5, WHITE - 8)
    return np.interp(values, knots, (0, 0.98, 1.02, 2)).astype(np.float32)


def head_tone(values: np.ndarray) -> np.ndarray:
    """0 bone and air, 1 muscle, 2 fat."""
    return np.interp(values, (BONE, MUSCLE, MUSCLE + 15, FAT), (0, 0.95, 1.05, 2)).astype(np.float32)


def grid() -> list[np.ndarray]:
    """x, y, z in mm, to be broadcast."""
    axes = (np.arange(n) * SPACING + o for n, o in zip(SHAPE, ORIGIN, strict=True))
    return list(np.meshgrid(*axes, indexing="ij", sparse=True))


def intracranial(brain: np.ndarray, even: np.ndarray) -> np.ndarray:
    """The brain with its sulci and fluid spaces, and the canal of the cord below it."""
    x, y, z = grid()
    filled = nd.binary_closing(np.pad(brain, 12), ball(9))[12:-12, 12:-12, 12:-12]
    skull = nd.binary_dilation(brain | (filled & (z > -20)), ball(1.0))
    tissue = (even > GREY - 25) & (np.hypot(x - 1, y + 41) < 16) & (z < -38)
    for k in range(int((-38 - ORIGIN[2]) / SPACING), -1, -1):
        cord = nd.label(tissue[:, :, k])[0]
        middle = cord[int((1 - ORIGIN[0]) / SPACING)]
        seed = np.bincount(middle[middle > 0]).argmax() if middle.any() else 0
        if seed:
            skull[:, :, k] |= nd.binary_dilation(cord == seed, ball(4.5)[:, :, 4])
    return nd.binary_fill_holes(skull)


def regions(tone: np.ndarray, skull: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """(x, y, z) uint8, `Region`."""
    x, y, z = grid()
    label = np.zeros(SHAPE, np.uint8)
    label[head_mask(raw)] = Region.HEAD
    label[skull] = Region.SUBARACHNOID
    label[skull & (tone > 0.5)] = Region.CEREBRUM
    behind = split_tentorium(tone, label == Region.CEREBRUM)
    label[behind & (label == Region.CEREBRUM)] = Region.CEREBELLUM
    stem = (np.hypot(x / 20, (y + 27) / 16) < 1) & (z < -14) & (y < -14)
    stem |= (np.hypot(x - 1, y + 41) < 13) & (z < -48)
    label[stem & (tone > 0.5) & skull & ((z < -48) | (y > -40))] = Region.BRAIN_STEM
    paint_ventricles(label, tone, skull)
    side = np.abs(x) + 0 * y + 0 * z
    near = distance_to_curve((side, y, z), HIPPOCAMPUS)
    radius = np.interp(y, (-41, -30, -14, -8), (3.6, 4.6, 6.2, 6.0))
    label[(near < radius) & (tone < 1.6) & (tone > 0.35) & (label == Region.CEREBRUM)] = Region.HIPPOCAMPUS
    paint_vessels(label, tone, skull)
    eye = np.sqrt((side - EYE[0]) ** 2 + (y - EYE[1]) ** 2 + (z - EYE[2]) ** 2)
    label[eye < EYE_RADIUS] = Region.EYE
    return label


def head_mask(raw: np.ndarray) -> np.ndarray:
    """The head with the air inside it."""
    solid = nd.binary_closing(np.pad(raw > 18, 8), ball(6))[8:-8, 8:-8, 8:-8]
    solid = nd.binary_opening(solid, ball(2))
    names, _ = nd.label(solid)
    return nd.binary_fill_holes(names == np.bincount(names[names > 0]).argmax())


def split_tentorium(tone: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Cerebellum and brain stem: watershed from above and below the tentorium along the dark gap."""
    x, y, z = grid()
    tent = 3 + 0.43 * (y + 45) - 0.45 * np.abs(x)
    tent = np.where(y > -35, np.minimum(tent, -14 - 0.35 * np.abs(x)), tent)
    height = z - tent
    markers = np.zeros(SHAPE, np.int8)
    markers[brain & (height > 7)] = 1
    markers[brain & (height < -6) & (y < -30)] = 2
    markers[brain & (z < -62)] = 2
    cost = np.where(brain, (2 - np.clip(tone, 0, 2)) * 100, 255).astype(np.uint8)
    return nd.watershed_ift(cost, markers) == 2


def paint_ventricles(label: np.ndarray, tone: np.ndarray, skull: np.ndarray) -> None:
    """Connected fluid inside the brain, with a rim of one voxel for partial volumes."""
    x, y, z = grid()
    side = np.abs(x)
    fluid = (tone < 0.62) & skull
    lateral = (side < 40) & (y > -74) & (y < 38) & (z > -4) & (z < 34)
    lateral &= ~((side < 2.6) & (z > 26)) & ~((y < -34) & (side < 9)) & ~((side < 11) & (z < 4) & (y > 12))
    lateral &= ~((side > 30) & (y > -30))
    horn = (side > 20) & (side < 41) & (y > -45) & (y < 2) & (z <= -4) & (z > -26)
    third = (side < 4.5) & (y > -32) & (y < 6) & (z > -12) & (z < 8)
    fourth = (side < 11) & (y > -54) & (y < -28) & (z > -48) & (z < -18)
    seeds = {
        Region.LATERAL_VENTRICLE: (lateral, ((10, 10, 12), (-10, 10, 12), (16, -25, 18), (-16, -25, 18))),
        Region.THIRD_VENTRICLE: (third, ((0, -8, 0), (0, -14, -2), (0, 0, -4))),
        Region.FOURTH_VENTRICLE: (fourth, ((0, -42, -30), (0, -45, -32), (0, -40, -34))),
    }
    for region, (place, points) in seeds.items():
        names, _ = nd.label(fluid & place)
        found = {names[tuple(around(names, point))] for point in points} - {0}
        part = np.isin(names, list(found))
        rim = nd.binary_dilation(part, ball(1.3)) & place & skull & (tone < 1.9)
        label[part | (rim & np.isin(label, (Region.CEREBRUM, Region.CEREBELLUM, Region.BRAIN_STEM)))] = region
    # The horn is thin: it need not be connected, but must be inside the lobe.
    deep = nd.distance_transform_edt(nd.binary_closing(label == Region.CEREBRUM, ball(3))) * SPACING > 9
    part = fluid & horn & deep
    label[nd.binary_dilation(part, ball(1.3)) & horn & (label <= Region.CEREBRUM)] = Region.TEMPORAL_HORN
    near = distance_to_curve((side + 0 * y + 0 * z, y, z), CHOROID)
    label[(near < 2.4) & (label == Region.LATERAL_VENTRICLE)] = Region.CHOROID_PLEXUS


def around(names: np.ndarray, point: tuple[float, float, float]) -> np.ndarray:
    """Index of the nearest named voxel within 5 mm of a point, or of the point."""
    at = np.round((np.array(point) - ORIGIN) / SPACING).astype(int)
    low = at - 4
    box = names[tuple(slice(a, a + 9) for a in low)]
    if not box.any():
        return at
    inside = np.argwhere(box)
    return low + inside[np.argmin(np.sum((inside - 4) ** 2, axis=1))]


def paint_vessels(label: np.ndarray, tone: np.ndarray, skull: np.ndarray) -> None:
    """Dural sinuses, falx, arteries and pituitary gland."""
    x, y, z = grid()
    side = np.abs(x) + 0 * y + 0 * z
    free = label == Region.SUBARACHNOID
    outer = nd.distance_transform_edt(skull) * SPACING
    behind = (z > 0) | (y < -70)
    label[free & (side < 0.9) & behind & (outer < 34) & (tone < 0.9)] = Region.DURA
    label[
        skull
        & (side < 4.5)
        & (outer < 6.0)
        & (z > -22)
        & (y > -112)
        & (side + outer < 8)
        & ((z > 20) | (y < -60))
        & (label != Region.CEREBELLUM)
    ] = Region.VENOUS_SINUS
    transverse = (
        (2, -100, -14),
        (20, -96, -20),
        (42, -80, -25),
        (54, -60, -30),
        (52, -44, -36),
        (40, -36, -48),
    )
    near = distance_to_curve((side, y, z), transverse)
    label[skull & (near < 4.2) & (outer < 7)] = Region.VENOUS_SINUS
    straight = ((0, -48, 4), (0, -70, -4), (0, -96, -13))
    label[free & (distance_to_curve((side, y, z), straight) < 2.4)] = Region.VENOUS_SINUS
    for curve, radius in ARTERIES:
        near = distance_to_curve((side, y, z), curve)
        inside = np.isin(label, (Region.SUBARACHNOID, Region.HEAD))
        label[inside & (near < radius)] = Region.ARTERY
    gland = ((x - PITUITARY[0]) / 6) ** 2 + ((y - PITUITARY[1]) / 5) ** 2 + ((z - PITUITARY[2]) / 3.5) ** 2
    label[gland < 1] = Region.PITUITARY


def ball(radius: float) -> np.ndarray:
    """A structuring element of a radius in mm."""
    n = int(radius / SPACING)
    x, y, z = np.ogrid[-n : n + 1, -n : n + 1, -n : n + 1]
    return np.sqrt(x**2 + y**2 + z**2) * SPACING <= radius


if __name__ == "__main__":
    main(*sys.argv[1:])
