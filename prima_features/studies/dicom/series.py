"""The images of one series that are embedded, and what is left out of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from prima_features.files.text import bounded
from prima_features.studies.dicom.acquisitions import Acquisition
from prima_features.studies.dicom.copies import drop_same_instances
from prima_features.studies.dicom.header import Header, Volume
from prima_features.studies.dicom.kinds import is_diffusion
from prima_features.studies.dicom.rules import (
    DicomOptions,
    Rejection,
    choose_volumes,
    complete_modality,
    lacks_positions,
    reject_geometry,
    reject_kind,
    reject_modalities,
    reject_object,
    reject_stack,
)
from prima_features.studies.dicom.split import Part, describe, described, is_three_plane, split
from prima_features.studies.dicom.volumes import find_volumes
from prima_features.studies.labels import NAMELESS, series_name
from prima_features.studies.study import DicomFrames, DicomSlices, Failure, Series, not_embedded

_SHOWN_CHARACTERS = 200

Outcome = tuple[str, "Chosen | Rejection"]
"""A description that names no patient, and the decision: an image to embed or a rejection."""

MIXED_IMAGE_TYPE = "mixed-image-type"
"""Flag: ImageType differs between slices of one volume, as after an archive rewrote some of them."""
MIXED_DESCRIPTION = "mixed-description"
"""Flag: SeriesDescription differs between slices of one volume in more than case, spacing and numbers, as after some
slices were overwritten by those of another image with the same settings."""
JOINED_SERIES = "joined-series"
"""Flag: slices of one volume have several SeriesInstanceUIDs."""

B_VALUE_UNKNOWN = "b-value-unknown"
"""Flag: a diffusion series of several volumes without b-values; the first volume was used."""


@dataclass(frozen=True)
class Chosen:
    """An image that is embedded, and its flags."""

    name: str
    image: DicomSlices | DicomFrames
    flags: tuple[str, ...] = ()


def find_series(
    acquisition: Acquisition, options: DicomOptions, study: str
) -> tuple[list[Series], list[Failure]]:
    """Images of one acquisition, and what is left out of it.

    An image has the name of the acquisition's first file, or its own if its SeriesDescription differs.

    Args:
        acquisition: all its files.
        options: what is embedded.
        study: id of the study, for what is left out.
    """
    headers = acquisition.headers
    first = _first(headers)
    outcomes = (
        [(_label(first), acquisition.rejection)]
        if acquisition.rejection
        else _outcomes(headers, options, first)
    )
    series: list[Series] = []
    left_out: list[Failure] = []
    for what, outcome in outcomes:
        if isinstance(outcome, Rejection):
            left_out.append(not_embedded(study, what, outcome.reason, outcome.hint, outcome.defect))
        else:
            series.append(Series(outcome.name, outcome.image, flags=outcome.flags))
    return series, left_out


def _first(images: Sequence[Header]) -> Header:
    return min(
        images, key=lambda header: (header.series_number or 0, header.instance_number or 0, header.sop_uid)
    )


def _named_after(part: Part, first: Header) -> Header:
    """The acquisition's first header, with the description of a part that has another one."""
    own = _first(part.images).description
    is_other = own and own.casefold().split() != first.description.casefold().split()
    return replace(first, description=own) if is_other else first


def _name(header: Header) -> str:
    return series_name(header.description, header.protocol) or f"{NAMELESS}{header.series_uid}"


def _label(header: Header) -> str:
    """How messages name a series: by its number and description."""
    number = "without a number" if header.series_number is None else str(header.series_number)
    description = bounded(header.description or header.protocol, _SHOWN_CHARACTERS)
    return f"{number} {description}" if description else f"series {number}"


def _outcomes(headers: Sequence[Header], options: DicomOptions, first: Header) -> Iterator[Outcome]:
    label = _label(first)
    distinct = drop_same_instances(headers)
    yield from _copies(len(headers) - len(distinct), label)
    distinct = complete_modality(distinct, options.modality)
    if rejection := reject_modalities(distinct, options.modality):
        yield label, rejection
        return
    rejections = {header: reject_object(header, options.modality) for header in distinct}
    for rejection in dict.fromkeys(filter(None, rejections.values())):
        yield label, rejection
    images = [header for header in distinct if not rejections[header]]
    if is_three_plane(images):
        yield label, Rejection("its slices have three or more orientations, like a localizer")
        return
    parts = split(images, options.slice_tolerance)
    for part in parts:
        named = _named_after(part, first)
        if rejection := _unplaced(part, parts):
            yield _label(named), rejection
            continue
        what = ", ".join(filter(None, [_label(named), describe(part, parts)]))
        yield from _part_outcomes(part, options, what, _name(named))


def _unplaced(part: Part, parts: Sequence[Part]) -> Rejection | None:
    """Leave out slices without positions in a series that has slices of the same kind with positions."""

    def kind(header: Header) -> tuple[object, ...]:
        return header.sop_class, header.rows, header.columns, header.image_type

    def is_placed(header: Header) -> bool:
        return bool(header.block or header.has_place)

    first = part.images[0]
    alike = [header for one in parts for header in one.images if kind(header) == kind(first)]
    if any(map(is_placed, part.images)) or not any(map(is_placed, alike)):
        return None
    return lacks_positions(len(part.images), len(alike))


def _part_outcomes(part: Part, options: DicomOptions, what: str, name: str) -> Iterator[Outcome]:
    if rejection := reject_kind(part.images[0]) or reject_geometry(part.images) or part.rejection:
        yield what, rejection
        return
    volumes = find_volumes(part.images, options.slice_tolerance)
    if isinstance(volumes, Rejection):
        yield what, volumes
        return
    yield from _copies(volumes.n_copies, what)
    diffusion = any(map(is_diffusion, part.images))
    chosen = choose_volumes(volumes.complete, volumes.n_acquired, options, diffusion)
    if isinstance(chosen, Rejection):
        yield what, chosen
        return
    if count := volumes.n_incomplete:
        volumes_lack = "1 volume lacks" if count == 1 else f"{count} volumes lack"
        yield (
            what,
            Rejection(f"{volumes_lack} slices and is not used", "export the series again", defect=True),
        )
    doubts: tuple[str, ...] = ()
    if diffusion and volumes.n_acquired > 1 and all(header.b_value is None for header in part.images):
        doubts = (B_VALUE_UNKNOWN,)
    for averaged in chosen:
        flags = _flags(averaged[0]) + doubts
        yield what, reject_stack(averaged[0], options) or Chosen(name, _to_image(averaged), flags)


def _flags(volume: Volume) -> tuple[str, ...]:
    differ = {
        MIXED_IMAGE_TYPE: len({header.image_type for header in volume}) > 1,
        MIXED_DESCRIPTION: len({described(header) for header in volume} - {""}) > 1,
        JOINED_SERIES: len({header.series_uid for header in volume}) > 1,
    }
    return tuple(flag for flag, true in differ.items() if true)


def _copies(count: int, what: str) -> Iterator[Outcome]:
    if count:
        images = "1 image" if count == 1 else f"{count} images"
        yield (
            f"{images} of {what}",
            Rejection("they are copies of other slices of the study; one copy of each is used"),
        )


def _to_image(volumes: Sequence[Volume]) -> DicomSlices | DicomFrames:
    """The files and frames to read for volumes that are averaged."""
    if volumes[0][0].block:
        return DicomFrames(tuple(header.file for (header,) in volumes), tuple(range(len(volumes))))
    stacks = tuple(tuple(header.file for header in volume) for volume in volumes)
    if all(header.frame is None for volume in volumes for header in volume):
        return DicomSlices(stacks)
    return DicomSlices(stacks, tuple(tuple(header.frame or 0 for header in volume) for volume in volumes))
