"""What the finder keeps of each file: a small record, so that memory stays flat over any tree."""

from dataclasses import dataclass
from pathlib import Path

from prima_features.studies.dicom.geometry import Vector


@dataclass(frozen=True, slots=True)
class Block:
    """One volume in a file that does not say where each of its slices lies: a mosaic, or frames without positions."""

    n_slices: int | None = None
    """None where a mosaic does not say."""
    is_mosaic: bool = False
    """Its slices are tiles of one picture; their places are in private elements."""
    is_described: bool = True
    """False for a mosaic without the private header that says in which direction its slices are stacked."""


@dataclass(frozen=True, slots=True)
class GeImage:
    """What GE writes into private elements."""

    pulse_sequence: str
    """Name of the pulse sequence (0019,109C), in lower case."""
    is_magnitude: bool | None
    """Of a B0 map's two images, by (0043,1030): 0 marks the field map, 2 the magnitude. None if not written."""
    polarity: int | None
    """Of the sequence `epi_pepolar` (0019,10B3): 0 forward, 1 reversed, 2 and 3 alternating."""


@dataclass(frozen=True, slots=True)
class Header:
    """One slice, which is a file or a frame of one; or a volume (`block`). Missing values are "", () or None."""

    file: Path
    sop_class: str
    sop_uid: str
    study_uid: str
    series_uid: str
    patient_id: str
    patient_name: str
    birth_date: str
    sex: str
    study_date: str
    frame_of_reference: str
    """FrameOfReferenceUID: positions can be compared within one only."""
    modality: str
    study_description: str
    description: str
    """SeriesDescription."""
    protocol: str
    series_number: int | None
    instance_number: int | None
    acquisition: int | None
    temporal_position: int | None
    time: str
    """When it was acquired: AcquisitionDateTime, AcquisitionTime, ContentTime and TriggerTime as written."""
    image_type: tuple[str, ...]
    component: str
    """Of a complex image: MAGNITUDE, PHASE, REAL or IMAGINARY; or FIELD_MAP. By all elements but ImageType."""
    contrast: str
    """AcquisitionContrast."""
    sequence: str
    """ScanningSequence and SequenceName."""
    rows: int
    """0 for what is no image."""
    columns: int
    is_colour: bool
    n_frames: int
    pixel_spacing: Vector
    """Between rows, between columns; mm."""
    thickness: float | None
    """SliceThickness, mm."""
    slice_spacing: float | None
    """SpacingBetweenSlices, mm."""
    orientation: Vector
    position: Vector
    """Centre of the first voxel."""
    echo_time: float | None
    """ms."""
    echo_number: int | None
    repetition_time: float | None
    """ms."""
    inversion_time: float | None
    """ms."""
    flip_angle: float | None
    """Degrees."""
    b_value: float | None
    """s/mm2."""
    ge: GeImage | None = None
    """What GE's private elements say; None for other manufacturers."""
    block: Block | None = None
    """The volume it stands for, None for a slice."""
    frame: int | None = None
    """Number of the slice in a file of several frames, from 0."""
    has_pixels: bool = True
    """False if the file ends before the pixel data that its header declares, or has none."""
