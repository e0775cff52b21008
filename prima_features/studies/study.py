"""Studies and series: the result of a finder. Frozen, small, and without pixel data.

Paths are excluded from `repr`, because a path can carry a patient's name into a log.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from prima_features.studies.labels import is_named

DEFAULT_DESCRIPTION = "MRI BRAIN"

TimeSeries = Literal["skip", "first", "mean"]
"""What to do with several volumes in one series: leave it out, use its first volume, or their mean."""


@dataclass(frozen=True)
class SidecarScale:
    """The intensity scale in a sidecar: fields that dcm2niix writes for Philips scans."""

    manufacturer: str = ""
    precise: bool | None = None
    """UsePhilipsFloatNotDisplayScaling: whether values were divided by the scale slope. None if it is missing."""
    rescale_slope: float = 0.0
    """PhilipsRescaleSlope; 0 if it is missing."""
    rescale_intercept: float = 0.0
    scale_slope: float = 0.0
    """PhilipsScaleSlope; 0 if it is missing."""
    real_world_slope: float = 0.0
    """PhilipsRWVSlope; 0 if it is missing."""
    real_world_intercept: float = 0.0

    @property
    def is_philips(self) -> bool:
        """Whether the scanner is a Philips one."""
        return self.manufacturer.lower().startswith("philips")

    @property
    def has_slopes(self) -> bool:
        """Whether display values can be computed, once the applied scale is known."""
        return self.rescale_slope != 0 and self.scale_slope != 0


@dataclass(frozen=True)
class NiftiImage:
    """One NIfTI file."""

    path: Path = field(repr=False)
    volumes: tuple[int, ...] = (0,)
    """Volumes of a 4-D file that are averaged into one image (a diffusion series' b=0 volumes)."""
    orientation: tuple[float, ...] = ()
    """Direction cosines of the acquired slices' rows and columns in LPS, six numbers as in DICOM's
    ImageOrientationPatient, if a sidecar has them (dcm2niix's ImageOrientationPatientDICOM)."""
    scale: SidecarScale = SidecarScale()
    time_series: TimeSeries = "first"
    """What to do with a file of several volumes without a gradient table."""
    n_b_values: int = 0
    """Number of values in its gradient table, which must equal the number of volumes; 0 without a table."""


@dataclass(frozen=True)
class OtherImage:
    """One volume in a format that is neither NIfTI in one file nor DICOM, such as .mgz, .hdr with .img, or .nrrd."""

    path: Path = field(repr=False)
    """The file to open: the header, if header and voxels are two files."""
    data: Path | None = field(default=None, repr=False)
    """The file with the voxels, if it is another one."""
    volumes: tuple[int, ...] = (0,)
    """As `NiftiImage.volumes`."""
    orientation: tuple[float, ...] = ()
    """As `NiftiImage.orientation`."""
    scale: SidecarScale = SidecarScale()


@dataclass(frozen=True)
class DicomSlices:
    """DICOM slices, each a file or a frame of one."""

    stacks: tuple[tuple[Path, ...], ...] = field(repr=False)
    """Volumes that are averaged into one image, nearly always one. Slices are sorted along their normal, so that the
    axis it follows most closely ascends in LPS."""
    frames: tuple[tuple[int, ...], ...] = ()
    """Index of each slice in its file, from 0; empty if each file has one slice."""


@dataclass(frozen=True)
class DicomFrames:
    """Mosaics, and multi-frame files without a position per frame. They are unpacked by dcm2niix."""

    files: tuple[Path, ...] = field(repr=False)
    volumes: tuple[int, ...] = (0,)
    """Volumes that are averaged into one image, numbered as dcm2niix orders them."""


Image = NiftiImage | OtherImage | DicomSlices | DicomFrames


COPY = "copy"
"""Flag of a series with the same content as another one of its study."""


@dataclass(frozen=True)
class Series:
    """One acquired sequence of a study."""

    name: str
    """Free text for the sequence encoder, e.g. `AX_T2_FLAIR`."""
    image: Image
    source: str = ""
    """Path below the dataset for BIDS and NIfTI; empty for DICOM, where paths can contain names."""
    flags: tuple[str, ...] = ()
    """Doubts about this series, one short word each, such as `orientation-unknown`."""
    mask: Path | None = field(default=None, repr=False)
    """Brain mask of this scan: an image on any grid in the scan's world coordinates."""
    to_mni: Path | None = field(default=None, repr=False)
    """File with the transform of this scan to MNI152."""
    anatomy_from: str = ""
    """Source of both, such as `manifest`, `fMRIPrep`, `FreeSurfer` or `SynthStrip`; empty without them."""

    @property
    def stored_name(self) -> str:
        """The name as written to files: `UNK` where the model reads `UNK-{SeriesInstanceUID}`."""
        return self.name if is_named(self.name) else "UNK"

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file with voxels of this series."""
        match self.image:
            case NiftiImage(path):
                return (path,)
            case OtherImage(path, data):
                return (path,) if data is None else (path, data)
            case DicomSlices(stacks):
                return tuple(dict.fromkeys(path for stack in stacks for path in stack))
            case DicomFrames(files):
                return files

    @property
    def anatomy_files(self) -> tuple[Path, ...]:
        """Brain mask and transform, as far as there are any."""
        return tuple(file for file in (self.mask, self.to_mni) if file is not None)


@dataclass(frozen=True)
class Identity:
    """The patient of a DICOM study. Written to `OUTPUT.ids.tsv` and nowhere else."""

    patient_id: str
    study_uid: str
    folder: str
    day: int | None = None
    """Of the study, on a calendar of the patient's own (`labels.Pseudonyms.day`); None if its date is unknown."""


@dataclass(frozen=True)
class Study:
    """One visit of one subject."""

    id: str
    """`sub-X` or `sub-X_ses-Y`; for DICOM with pseudonyms."""
    subject: str
    session: str
    description: str
    """Free text for the study encoder."""
    series: tuple[Series, ...]
    source: str = ""
    """Path below the dataset; empty for DICOM."""
    identity: Identity | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Failure:
    """A series or study that is not embedded, and why."""

    study: str
    """Id of the study it belongs to, or empty."""
    series: str
    """Name of the series, or path of the file below the dataset (never a path for DICOM); empty for a whole study."""
    stage: str
    """`find`, `read`, `tokenize` or `encode`; `merge` for what was missing when shards were merged."""
    error: str
    hint: str = ""
    defect: bool = True
    """True if something is wrong with the data; False if a rule leaves it out, such as a localizer or a phase image."""


def not_embedded(study: str, series: str, error: str, hint: str = "", defect: bool = False) -> Failure:
    """A `Failure` of the stage `find`: something that a finder leaves out, by a rule unless `defect`."""
    return Failure(study, series, "find", error, hint, defect)


@dataclass(frozen=True)
class Found:
    """The result of finding."""

    format: str
    """`bids`, `dicom`, `nifti` or `manifest`."""
    studies: tuple[Study, ...]
    left_out: tuple[Failure, ...] = ()
    warnings: tuple[str, ...] = ()
    """Warnings about the whole source, one sentence each. They name no patient."""
    anatomy_warnings: tuple[str, ...] = ()
    """Likewise about brain masks and transforms, which matter only to encoders that use them."""
