"""Which volumes of a part become images, and whether their slices make up a volume."""

from collections.abc import Sequence

from prima_features.studies.dicom.frames import Block
from prima_features.studies.dicom.geometry import depth, spacing_defect
from prima_features.studies.dicom.header import Header
from prima_features.studies.dicom.kinds import is_diffusion, is_diffusion_map, is_function
from prima_features.studies.dicom.options import DicomOptions
from prima_features.studies.dicom.rules import Rejection
from prima_features.studies.dicom.volumes import Volume, b_group
from prima_features.studies.study import DicomFrames, DicomSlices


def choose_volumes(
    volumes: Sequence[Volume], n_acquired: int, options: DicomOptions
) -> list[list[Volume]] | Rejection:
    """Volumes to embed, one list an image; volumes of one list are averaged.

    Diffusion keeps its first volume of the lowest b-value. Maps of it, such as the trace at several
    b-values, keep one volume each. Anything else with several volumes is a time series, and single volumes
    of function or perfusion (a reference scan, a map of blood flow) are treated alike.

    Args:
        volumes: complete ones, by ascending b-value, then in the order acquired.
        n_acquired: number of volumes, including those that lack slices.
        options: what is embedded.
    """
    if any(is_diffusion(volume[0]) for volume in volumes):
        firsts = {b_group(volume[0]): volume for volume in reversed(volumes)}
        return [[firsts[b]] for b in sorted(firsts)] if is_diffusion_map(volumes[0][0]) else [[volumes[0]]]
    if options.time_series == "skip":
        return _reject_time_series(volumes[0][0], n_acquired) or [[volumes[0]]]
    if options.time_series == "first":
        return [[volumes[0]]]
    return [list(volumes)]


def _reject_time_series(first: Header, n_acquired: int) -> Rejection | None:
    hint = "--time-series first or mean embeds it"
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
            f"it has {count}, fewer than {options.min_slices}", hint=f"--min-slices {n_slices} embeds it"
        )
    orientation = volume[0].orientation
    positions = block.positions if block else [header.position for header in volume]
    ordered = sorted(positions, key=lambda position: depth(position, orientation))
    if len(ordered) > 1 and (defect := spacing_defect(ordered, orientation, options.slice_tolerance)):
        return Rejection(defect, hint="export the whole series again", defect=True)
    return None


def to_image(volumes: Sequence[Volume]) -> DicomSlices | DicomFrames:
    """What the reader is given of volumes that are averaged."""
    if volumes[0][0].block is None:
        return DicomSlices(tuple(tuple(header.file for header in volume) for volume in volumes))
    blocks = [(header.file, header.block) for (header,) in volumes if header.block]
    first = blocks[0][0]
    within = [block for file, block in blocks if file == first]
    if len(within) > 1 or len(blocks) == 1:
        return DicomFrames((first,), tuple(block.index for block in within), _frames(within))
    files = tuple(file for file, _ in blocks)
    return DicomFrames(files, tuple(range(len(blocks))), _frames([block for _, block in blocks]))


def _frames(blocks: Sequence[Block]) -> tuple[tuple[int, ...], ...]:
    """Frames of each volume, empty unless all of them are known."""
    return tuple(block.frames for block in blocks) if all(block.frames for block in blocks) else ()
