"""Which volumes of a part become images, and whether their slices make up a volume."""

from collections.abc import Sequence

from prima_features.studies.dicom.geometry import depth, spacing_defect
from prima_features.studies.dicom.header import Header
from prima_features.studies.dicom.kinds import is_diffusion_map, is_function
from prima_features.studies.dicom.options import DicomOptions
from prima_features.studies.dicom.rules import Rejection
from prima_features.studies.dicom.volumes import Volume, b_group
from prima_features.studies.study import DicomFrames, DicomSlices


def choose_volumes(
    volumes: Sequence[Volume], n_acquired: int, options: DicomOptions, diffusion: bool
) -> list[list[Volume]] | Rejection:
    """Volumes to embed, one list an image; volumes of one list are averaged.

    Diffusion keeps its first volume of the lowest b-value. Maps of it, such as the trace at several
    b-values, keep one volume each. Anything else with several volumes is a time series, and single volumes
    of function or perfusion (a reference scan, a map of blood flow) are treated alike.

    Args:
        volumes: complete ones, by ascending b-value, then in the order acquired.
        n_acquired: number of volumes, including those that lack slices.
        options: what is embedded.
        diffusion: whether any image of the part, also of volumes that lack slices, is of diffusion.
    """
    if diffusion:
        firsts = {b_group(volume[0]): volume for volume in reversed(volumes)}
        return [[firsts[b]] for b in sorted(firsts)] if is_diffusion_map(volumes[0][0]) else [[volumes[0]]]
    if options.time_series == "skip":
        return _reject_time_series(volumes[0][0], n_acquired) or [[volumes[0]]]
    if options.time_series == "first":
        return [[volumes[0]]]
    return [list(volumes)]


def _reject_time_series(first: Header, n_acquired: int) -> Rejection | None:
    hint = "use --time-series first or mean to embed it"
    if n_acquired > 1:
        return Rejection(f"it is a time series of {n_acquired} volumes", hint)
    if is_function(first):
        return Rejection("it shows brain function or perfusion", hint)
    return None


def reject_stack(volume: Volume, options: DicomOptions) -> Rejection | None:
    """Leave out too few slices, and missing or uneven ones."""
    block = volume[0].block
    n_slices = block.n_slices if block else len(volume)
    if n_slices is not None and n_slices < options.min_slices:
        count = f"{n_slices} {'slice' if n_slices == 1 else 'slices'}"
        return Rejection(
            f"it has {count}, fewer than {options.min_slices}",
            hint=f"use --min-slices {n_slices} to embed it",
        )
    if block or len(volume) == 1:
        return None
    orientation = volume[0].orientation
    ordered = sorted(
        (header.position for header in volume), key=lambda position: depth(position, orientation)
    )
    if defect := spacing_defect(ordered, orientation, options.slice_tolerance):
        return Rejection(defect, hint="export the whole series again", defect=True)
    return None


def to_image(volumes: Sequence[Volume]) -> DicomSlices | DicomFrames:
    """What the reader is given of volumes that are averaged."""
    if volumes[0][0].block:
        return DicomFrames(tuple(header.file for (header,) in volumes), tuple(range(len(volumes))))
    stacks = tuple(tuple(header.file for header in volume) for volume in volumes)
    if all(header.frame is None for volume in volumes for header in volume):
        return DicomSlices(stacks)
    return DicomSlices(stacks, tuple(tuple(header.frame or 0 for header in volume) for volume in volumes))
