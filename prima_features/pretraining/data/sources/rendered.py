"""Series that are made rather than read: voxels and an affine, from any function."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np

from prima_features.encoders.prima.prepare import read_volume
from prima_features.encoders.prima.preprocessing import Preprocessing
from prima_features.encoders.prima.subvolumes import Subvolumes
from prima_features.files.disk import output_errors
from prima_features.pretraining.data.records import Annotations
from prima_features.studies.study import NiftiImage, Series
from prima_features.volumes import ReadOptions, Volume

Annotate = Callable[[Subvolumes, Preprocessing], Annotations]
"""Returns what `RawSeries.annotations` does."""
Render = Callable[[], tuple[np.ndarray, np.ndarray]]
"""Gives voxels (columns, rows, slices), slices stacked along the last axis, and the affine (4, 4) from voxels to mm
in R, A, S."""


@dataclass(frozen=True)
class RenderedSeries:
    """A series that is made when it is asked for."""

    name: str
    fingerprint: str
    """Changes when what would be made does, such as a seed with the version of what makes it."""
    render: Render = field(repr=False)
    options: ReadOptions = ReadOptions()
    annotate: Annotate | None = field(default=None, repr=False)

    @property
    def stored_name(self) -> str:
        """The name; nothing in it is a patient's."""
        return self.name

    def volume(self, preprocessing: Preprocessing) -> Volume:
        """Make it, and read it as a NIfTI file of the same content would be read.

        Raises:
            SeriesError: it cannot be used.
            OutputError: the disk with the temporary folder is full.
        """
        voxels, affine = self.render()
        with output_errors(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "series.nii"
            nib.save(nib.Nifti1Image(voxels, affine), path)
            image = NiftiImage(path, orientation=_in_plane(affine))
            return read_volume(Series(self.name, image), preprocessing, self.options)

    def annotations(self, tokens: Subvolumes, preprocessing: Preprocessing) -> Annotations:
        """Ground truth from the generator, if it gives any."""
        return Annotations() if self.annotate is None else self.annotate(tokens, preprocessing)


def _in_plane(affine: np.ndarray) -> tuple[float, ...]:
    """Direction cosines of columns and rows in LPS, which say that the slices run along the third axis."""
    lps = np.diag([-1.0, -1.0, 1.0]) @ affine[:3, :2]
    return tuple((lps / np.linalg.norm(lps, axis=0)).T.ravel().tolist())
