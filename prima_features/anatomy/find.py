"""The brain mask of a scan and its transform to MNI152: from files, from the image, from a program, by registration."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

from prima_features.anatomy.cache import cached
from prima_features.anatomy.fit import mask_doubts
from prima_features.anatomy.mask_files import read_mask
from prima_features.anatomy.registration import REGISTERED, register
from prima_features.anatomy.stripped import STRIPPED, stripped_mask
from prima_features.anatomy.tools import MaskTool, find_program, run_program
from prima_features.anatomy.transforms import read_transform
from prima_features.studies.study import Series
from prima_features.volumes.sharing import shared_with_errors

IN_MNI = "stated: the scan is in MNI space"
"""`Anatomy.to_mni_from` with `space=mni`."""
_FILE = "file"
"""Source of a file that a finder did not name."""


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What is known of the brain in one scan."""

    mask: np.ndarray | None = None
    """Bool, True in the brain, on the grid of the scan as stored (`volume.StoredGrid`); None if unknown. Read-only."""
    to_mni: np.ndarray | None = None
    """(4, 4) float64, from the scan's to MNI152 coordinates, both mm in RAS; None if unknown."""
    mask_from: str = ""
    """Source of the mask, for the embeddings file."""
    to_mni_from: str = ""
    """Source of the transform."""
    doubts: tuple[str, ...] = ()
    """Flags of a mask that does not fit the scan (`fit.mask_doubts`)."""

    def __post_init__(self) -> None:
        """Make the arrays read-only: several encoders may share them."""
        for array in (self.mask, self.to_mni):
            if array is not None:
                array.setflags(write=False)


@dataclass(frozen=True)
class AnatomyOptions:
    """How to find what no file states."""

    mask_tool: MaskTool = "none"
    """Program for masks of scans that are not skull-stripped."""
    registration: Literal["auto", "none"] = "none"
    """`auto`: register scans with a mask but without a transform."""
    space: Literal["scanner", "mni"] = "scanner"
    """`mni`: the coordinates of scans without a transform are those of MNI152."""


def find_anatomy(series: Series, values: np.ndarray, affine: np.ndarray, options: AnatomyOptions) -> Anatomy:
    """Find mask and transform, in this order of preference.

    | mask | transform |
    |---|---|
    | the file of the series | the file of the series |
    | the nonzero voxels, if the scan is skull-stripped | none, if `options.space` states MNI152 |
    | a program | registration, if there is a mask: a whole head would be fitted to the template's brain |

    Args:
        series: its files.
        values: (i, j, k) float32, its stored voxels (`volumes.resampling.stored_values`).
        affine: (4, 4), voxel indices to mm in RAS.
        options: what may be computed.

    Raises:
        SeriesError: a file cannot be used, or a program or the registration failed.
    """
    # Encoders that read a scan together share what is found, if they read it with the same options.
    voxels = (values.shape, affine.tobytes(), float(values.sum(dtype=np.float64)))
    anatomy = shared_with_errors(
        ("mask", series, options.mask_tool, voxels), lambda: _with_mask(series, values, affine, options)
    )
    if series.to_mni is not None:
        matrix, note = shared_with_errors(("transform", series), partial(read_transform, series.to_mni))
        return replace(anatomy, to_mni=matrix, to_mni_from=_source(series, note))
    if options.space == "mni":
        return replace(anatomy, to_mni=np.eye(4), to_mni_from=IN_MNI)
    mask = anatomy.mask
    if mask is None or options.registration == "none":
        return anatomy
    matrix = shared_with_errors(
        ("registration", series, options.mask_tool, voxels),
        lambda: cached(
            REGISTERED, [values, affine, mask], (4, 4), np.float64, lambda: register(values, affine, mask)
        ),
    )
    return replace(anatomy, to_mni=matrix, to_mni_from=REGISTERED)


def _with_mask(series: Series, values: np.ndarray, affine: np.ndarray, options: AnatomyOptions) -> Anatomy:
    if series.mask is not None:
        mask, note = read_mask(series.mask, values, affine)
        return _checked(mask, _source(series, note), values, affine)
    if (found := stripped_mask(values, affine)) is not None:
        return Anatomy(mask=found, mask_from=STRIPPED)
    program = find_program(options.mask_tool, series.name)
    if program is None:
        return Anatomy()
    made = cached(
        program.version,
        [values, affine],
        values.shape,
        np.bool_,
        lambda: run_program(program, values, affine),
    )
    return _checked(made, program.name, values, affine)


def _checked(mask: np.ndarray, source: str, values: np.ndarray, affine: np.ndarray) -> Anatomy:
    return Anatomy(mask=mask, mask_from=source, doubts=mask_doubts(values, affine, mask))


def _source(series: Series, note: str) -> str:
    source = series.anatomy_from or _FILE
    return f"{source} ({note})" if note else source
