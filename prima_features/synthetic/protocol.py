"""Draws the series of a study: the usual settings of a site, and deviations of single studies."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from prima_features.synthetic.acquisition import Acquisition, Plane, Sequence, check_known
from prima_features.synthetic.randomness import generator
from prima_features.synthetic.sites import EXAMS, SITES, Site, draw_name

Settings = Literal["usual", "varied", "wide"]
PLAIN: tuple[Sequence, ...] = ("T1w", "T2w", "FLAIR", "DWI", "ADC")
_PLANES: tuple[Plane, ...] = ("axial", "coronal", "sagittal")
_COVER: dict[Plane, float] = {"axial": 152.0, "coronal": 190.0, "sagittal": 156.0}
"""mm across the slices."""
_FIELD: dict[Plane, float] = {"axial": 236.0, "coronal": 232.0, "sagittal": 250.0}
"""Of view along the longer side, mm."""


@dataclass(frozen=True)
class Ranges:
    """Ranges of scanner settings, drawn uniformly unless stated otherwise."""

    thickness: tuple[float, float] | None
    """mm; None: the site's."""
    gap: tuple[float, float] = (0.0, 0.3)
    """Over the thickness."""
    voxels: tuple[float, ...] = (1.0, 1.0, 1.0, 1.1, 1.2)
    """Of three-dimensional series, mm."""
    matrix: tuple[int, ...] = (224, 256, 256, 288, 320)
    field: tuple[float, float] = (0.94, 1.06)
    """Of view, over the plane's usual."""
    tilt: float = 3.0
    """Standard deviation of the head's and the slices' angles, degrees."""
    shift: float = 3.0
    """Standard deviation of the stack's place, mm."""
    bias: tuple[float, float] = (0.06, 0.22)
    """Standard deviation of the logarithm of the receive field."""
    noise: tuple[float, float] = (0.012, 0.05)
    """Standard deviation over the signal of grey matter."""
    blur: tuple[float, float] = (0.0, 0.45)
    """Standard deviation of the point spread in plane, mm."""
    gain: tuple[float, float] = (250.0, 900.0)
    """Stored value of grey matter."""
    jitter: float = 0.04
    """Standard deviation of the logarithm of each tissue's signal."""
    timing: float = 0.08
    """Standard deviation of the logarithm of TR, TE and TI."""
    any_plane: float = 0.0
    """Share of series in a plane drawn at random."""


RANGES: dict[str, Ranges] = {
    "usual": Ranges(thickness=None),
    "varied": Ranges(
        thickness=(2.0, 5.5),
        gap=(0.0, 0.4),
        voxels=(1.0, 1.5, 1.5, 2.0),
        matrix=(160, 192, 224, 256, 320, 384),
        field=(0.9, 1.18),
        tilt=6.0,
        shift=5.0,
        bias=(0.05, 0.35),
        noise=(0.008, 0.08),
        blur=(0.0, 0.8),
        gain=(200.0, 1800.0),
        jitter=0.1,
        timing=0.14,
        any_plane=0.3,
    ),
    "wide": Ranges(
        thickness=(1.0, 6.0),
        gap=(0.0, 0.5),
        voxels=(0.9, 1.0, 1.2, 1.5),
        matrix=(128, 160, 192, 256, 320, 384, 448),
        field=(0.85, 1.3),
        tilt=10.0,
        shift=8.0,
        bias=(0.05, 0.5),
        noise=(0.005, 0.12),
        blur=(0.0, 1.2),
        gain=(150.0, 3000.0),
        jitter=0.15,
        timing=0.2,
        any_plane=0.4,
    ),
}
"""By name: the usual settings of each site, varied ones for training, and wide ones to test generalisation."""


def draw_acquisitions(
    seed: int,
    index: int,
    site: str,
    *,
    settings: Settings = "usual",
    sequences: tuple[Sequence, ...] | None = None,
    visit: int = 0,
) -> tuple[Acquisition, ...]:
    """The series of one study at a site. They do not depend on the subject.

    Args:
        settings: name of the `RANGES` that scanner settings are drawn from.
        sequences: which series; by default T1w, T2w, FLAIR, DWI and ADC, and in half of the studies T1w with
            contrast agent.
        visit: which study of the subject it is, from 0.

    Raises:
        ValueError: unknown settings or site.
    """
    check_known("settings", settings, RANGES)
    check_known("site", site, SITES)
    rng = generator(seed, index, f"study {visit}" if visit else "study")
    place, ranges = SITES[site], RANGES[settings]
    if sequences is None:
        sequences = (*PLAIN, "T1c") if rng.random() < 0.5 else PLAIN
    tilt = _angles(rng, ranges.tilt)
    exam, study_seed = str(rng.choice(EXAMS)), int(rng.integers(2**31))
    scans = []
    for number, sequence in enumerate(sequences, start=1):
        # An ADC map is computed from the weighted images: it shares their grid.
        kind = "DWI" if sequence == "ADC" else sequence
        own = np.random.default_rng((study_seed, zlib.crc32(kind.encode())))
        scan = _draw(own, sequence, place, ranges, exam)
        scans.append(replace(scan, number=number, head_tilt=tilt, seed=int(own.integers(2**31)) + number))
    return tuple(scans)


def _draw(rng: np.random.Generator, sequence: Sequence, site: Site, ranges: Ranges, exam: str) -> Acquisition:
    three_d = sequence in ("T1w", "T1c") and rng.random() < site.three_d
    plane = _draw_plane(rng, sequence, site, ranges, three_d)
    description, protocol = draw_name(rng, site.vendor, sequence, plane, three_d, exam)
    grid = _draw_volume(rng, plane, ranges) if three_d else _draw_slices(rng, plane, site, ranges)
    if sequence in ("DWI", "ADC"):
        grid = _low_resolution(grid)
    return Acquisition(
        sequence=sequence,
        plane=plane,
        description=description,
        protocol=protocol,
        **grid,
        **_timing(rng, sequence, site, ranges, three_d),
        field_strength=site.field_strength,
        three_d=three_d,
        contrast_dose=float(rng.uniform(0.8, 1.2)) if sequence == "T1c" else 0.0,
        angulation=_angles(rng, ranges.tilt * (0.3 if three_d else 1.0)),
        centre=_centre(rng, plane, ranges),
        codes=_draw_codes(rng, plane),
        bias=float(rng.uniform(*ranges.bias)) * (1.3 if site.field_strength > 2 else 1.0),
        noise=float(rng.uniform(*ranges.noise)) * (1.6 if sequence == "DWI" else 1.0),
        blur=float(rng.uniform(*ranges.blur)) + (0.6 if sequence in ("DWI", "ADC") else 0.0),
        gain=float(np.exp(rng.uniform(*np.log(ranges.gain)))),
        contrast_jitter=ranges.jitter,
        manufacturer=site.manufacturer,
        model=site.model,
    )


def _draw_plane(
    rng: np.random.Generator, sequence: Sequence, site: Site, ranges: Ranges, three_d: bool
) -> Plane:
    usual: Plane = "sagittal" if three_d or (sequence == "T1w" and rng.random() < 0.4) else "axial"
    departs = rng.random() < (site.coronal / 4 + ranges.any_plane) and sequence not in ("DWI", "ADC")
    return _PLANES[int(rng.integers(3))] if departs else usual


def _draw_slices(rng: np.random.Generator, plane: Plane, site: Site, ranges: Ranges) -> dict:
    thickness = round(float(rng.uniform(*(ranges.thickness or site.thickness))) * 2) / 2
    gap = round(thickness * float(rng.uniform(*ranges.gap)), 1)
    field = _FIELD[plane] * float(rng.uniform(*ranges.field))
    matrix = int(rng.choice(ranges.matrix))
    # A rectangular field of view in one study of three.
    columns = matrix if rng.random() < 0.67 else round(matrix * 0.85 / 8) * 8
    shape = (matrix, columns) if plane == "sagittal" and rng.random() < 0.5 else (columns, matrix)
    spacing = round(field / matrix, 4)
    return {
        "matrix": shape,
        "spacing": (spacing, spacing),
        "thickness": thickness,
        "gap": gap,
        "n_slices": int(np.ceil(_COVER[plane] / (thickness + gap))),
    }


def _draw_volume(rng: np.random.Generator, plane: Plane, ranges: Ranges) -> dict:
    size = float(rng.choice(ranges.voxels))
    matrix = int(np.ceil(_FIELD[plane] / size / 16)) * 16
    return {
        "matrix": (matrix, matrix),
        "spacing": (size, size),
        "thickness": size,
        "gap": 0.0,
        "n_slices": int(np.ceil((_COVER[plane] + 8) / size / 8)) * 8,
    }


def _low_resolution(grid: dict) -> dict:
    """Echo-planar images have about half the matrix."""
    columns, rows = (max(96, round(n * 0.55 / 8) * 8) for n in grid["matrix"])
    scale = grid["matrix"][1] / rows
    spacing = round(grid["spacing"][1] * scale, 4)
    return grid | {"matrix": (columns, rows), "spacing": (spacing, spacing)}


def _timing(rng: np.random.Generator, sequence: Sequence, site: Site, ranges: Ranges, three_d: bool) -> dict:
    def vary(value: float) -> float:
        return round(value * float(np.exp(rng.normal(0, ranges.timing))), 1)

    high = site.field_strength > 2
    if sequence in ("T1w", "T1c"):
        if three_d:
            return {"tr": vary(2100), "te": vary(3.2), "ti": vary(1020 if high else 900)}
        if high and sequence == "T1w" and rng.random() < 0.7:
            return {"tr": vary(2000), "te": vary(9), "ti": vary(850)}
        return {"tr": vary(520 if high else 480), "te": vary(11), "fat_suppressed": bool(rng.random() < 0.15)}
    if sequence == "T2w":
        return {"tr": vary(4800), "te": vary(96)}
    if sequence == "FLAIR":
        # The inversion time at which fluid gives nothing follows from the repetition time.
        tr = vary(9000)
        null = 4300 * float(np.log(2 / (1 + np.exp(-tr / 4300))))
        return {
            "tr": tr,
            "te": vary(112),
            "ti": round(null * float(np.exp(rng.normal(0, 0.02))), 1),
            "fat_suppressed": bool(rng.random() < 0.6),
        }
    return {"tr": vary(6000), "te": vary(80), "b_value": 1000.0, "fat_suppressed": True}


def _angles(rng: np.random.Generator, sd: float) -> tuple[float, float, float]:
    nod, roll, turn = np.clip(rng.normal(0, 1, 3) * sd * np.array([1.5, 0.8, 1.0]), -3 * sd, 3 * sd)
    return float(nod), float(roll), float(turn)


def _centre(rng: np.random.Generator, plane: Plane, ranges: Ranges) -> tuple[float, float, float]:
    forward, down = (0.0 if plane == "coronal" else 4.0), (6.0 if plane == "sagittal" else 0.0)
    x, y, z = rng.normal(0, ranges.shift, 3) + np.array([0.0, forward, -down])
    return float(x), float(y), float(z)


def _draw_codes(rng: np.random.Generator, plane: Plane) -> str:
    """Directions in which a converter stores the axes: as dcm2niix does, or otherwise."""
    as_displayed = {"axial": "LPS", "coronal": "LIP", "sagittal": "PIL"}[plane]
    usual = {"axial": "LAS", "coronal": "LSP", "sagittal": "PSL"}[plane]
    letters = list(as_displayed)
    rng.shuffle(letters)
    opposite = dict(zip("LRPAIS", "RLAPSI", strict=True))
    any_order = "".join(opposite[c] if rng.random() < 0.5 else c for c in letters)
    return str(rng.choice((usual, as_displayed, "RAS", any_order), p=(0.5, 0.15, 0.15, 0.2)))
