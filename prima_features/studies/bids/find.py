"""From a BIDS dataset to studies."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from prima_features.errors import UsageError
from prima_features.studies.bids.image import BidsImage
from prima_features.studies.bids.inherited import Inherited
from prima_features.studies.bids.options import BidsOptions
from prima_features.studies.bids.walk import walk_dataset
from prima_features.studies.content import find_absence
from prima_features.studies.labels import study_id
from prima_features.studies.selection import Selection
from prima_features.studies.sidecar import b0_volumes, is_phase, name_of, orientation_of, scale_of
from prima_features.studies.study import DEFAULT_DESCRIPTION, Found, LeftOut, NiftiImage, Series, Study

_NAMING = ("acq", "ce", "rec", "dir", "run")
"""Entities that describe an acquisition, and so stand in for a series' name."""


def find_bids(root: Path, options: BidsOptions = BidsOptions(), selection: Selection = Selection()) -> Found:
    """Studies of a BIDS dataset: one a subject, or a session where there are any, with its images by path.

    No validator is run, and participants.tsv and dataset_description.json are not needed. Only the folders of
    the selected participants are read.

    Args:
        root: the dataset's folder, raw or derivative.
        options: which images.
        selection: which participants and sessions.

    Raises:
        UsageError: `root` is a file, a participant or session that was asked for is not there, or a filter
            file concerns none of the images.
        NothingUsableError: there is no folder `sub-X` in it.
    """
    if not root.is_dir():
        raise UsageError(f"{root} is a file, and a BIDS dataset is a folder: give the one that holds sub-X")
    images, left_out = walk_dataset(root, selection)
    _check_filters(options, images)
    inherited = Inherited(root)
    studies: dict[tuple[str, str], list[Series]] = {}
    for image in images:
        made = _make_series(image, options, inherited)
        if isinstance(made, LeftOut):
            left_out.append(made)
        else:
            studies.setdefault((image.subject, image.session), []).append(made)
    return Found(
        format="bids",
        studies=tuple(_make_study(*labels, series) for labels, series in sorted(studies.items())),
        left_out=tuple(sorted(left_out, key=lambda item: (item.study, item.what))),
    )


def _make_series(image: BidsImage, options: BidsOptions, inherited: Inherited) -> Series | LeftOut:
    reason, hint = options.why_not(image)
    if reason:
        return LeftOut(image.study, image.source, reason, hint)
    if absence := find_absence(image.path, image.study, image.source):
        return absence
    fields = inherited.fields(image)
    if is_phase(fields) and "part" not in image.entities:
        return LeftOut(image.study, image.source, "its sidecar says that it is a phase image")
    bvals = inherited.bvals(image) if image.suffix == "dwi" else None
    volumes = b0_volumes(bvals) if bvals else (0,)
    nifti = NiftiImage(image.path, volumes, orientation_of(fields), scale_of(fields))
    return Series(name_of(fields) or _entity_name(image), nifti, image.source)


def _entity_name(image: BidsImage) -> str:
    """For example `ce-gad_run-01_T1w`."""
    described = [f"{entity}-{image.entities[entity]}" for entity in _NAMING if entity in image.entities]
    return "_".join([*described, image.suffix])


def _make_study(subject: str, session: str, series: list[Series]) -> Study:
    return Study(
        id=study_id(subject, session),
        subject=subject,
        session=session,
        description=DEFAULT_DESCRIPTION,
        series=tuple(series),
        source=PurePosixPath(series[0].source).parent.parent.as_posix(),
    )


def _check_filters(options: BidsOptions, images: list[BidsImage]) -> None:
    """Raise UsageError where a filter file would silently do nothing, as after a slip in its keys."""
    if options.filters and not any(query.concerns(i.entities) for query in options.filters for i in images):
        names = ", ".join(query.name for query in options.filters)
        raise UsageError(
            "The filter file concerns none of the images: name a suffix or datatype in it, or use one for a "
            f"key, such as t1w, in place of {names or 'what it asks for'}"
        )
