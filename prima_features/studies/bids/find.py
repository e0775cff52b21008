"""From a BIDS dataset to studies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path, PurePosixPath

from prima_features.errors import UsageError
from prima_features.studies.bids.derivatives import Derivatives
from prima_features.studies.bids.image import BidsImage
from prima_features.studies.bids.inherited import Inherited
from prima_features.studies.bids.options import BidsOptions
from prima_features.studies.bids.walk import walk_dataset
from prima_features.studies.content import (
    EMPTY,
    find_absence,
    find_copies,
    find_same_names,
    left_out_copy,
    may_have_copies,
)
from prima_features.studies.labels import study_id
from prima_features.studies.selection import Selection
from prima_features.studies.sidecar import (
    HINT,
    SidecarError,
    b0_volumes,
    name_of,
    naming,
    orientation_of,
    other_kind,
    read_b_values,
    scale_of,
)
from prima_features.studies.study import (
    COPY,
    DEFAULT_DESCRIPTION,
    Failure,
    Found,
    NiftiImage,
    Series,
    Study,
    TimeSeries,
    not_embedded,
)
from prima_features.wording import count, verb

_NAMING = ("acq", "ce", "rec", "dir", "run")
"""Entities that describe an acquisition, for the name of a series without one."""


def find_bids(
    root: Path,
    options: BidsOptions = BidsOptions(),
    selection: Selection = Selection(),
    time_series: TimeSeries = "skip",
    derivatives: Sequence[Path] = (),
) -> Found:
    """Studies of a BIDS dataset: one per subject, or one per session if there are any, with its images by path.

    No validator is run, and participants.tsv and dataset_description.json are not required. Only the folders of the
    selected participants are read.

    Args:
        root: the dataset's folder, raw or derivative.
        options: which images.
        selection: which participants and sessions.
        time_series: what to do with files of several volumes without a gradient table. Such files are recognised when
            they are read.
        derivatives: folders with brain masks and transforms, in addition to the dataset's `derivatives`.

    Raises:
        UsageError: `root` is a file, a folder of derivatives cannot be used, a selected participant or session does not
            exist, or a filter file applies to none of the images.
        NothingUsableError: it contains no folder `sub-X`.
    """
    if not root.is_dir():
        raise UsageError(
            f"{root} is a file, but a BIDS dataset is a folder: give the folder that contains sub-X"
        )
    derived = Derivatives(root, derivatives)
    images, left_out = walk_dataset(root, selection)
    _check_filters(options, images)
    finder = _Finder(Inherited(root), options, time_series)
    made = [(image, finder.make_series(image)) for image in images]
    warnings = _unmatched(options, images)
    if _is_layout_only(made):
        # As in the public BIDS examples: only the layout can be shown.
        made = [(image, finder.make_series(image, may_be_empty=True)) for image in images]
        warnings += (
            "All images in the dataset are empty files, so none can be embedded: fetch their content",
        )
    studies: dict[tuple[str, str], list[tuple[BidsImage, Series]]] = {}
    for image, item in _with_anatomy(made, derived):
        if isinstance(item, Failure):
            left_out.append(item)
        else:
            studies.setdefault((image.subject, image.session), []).append((image, item))
    found = []
    for labels, pairs in sorted(studies.items()):
        series, copies = _without_copies(pairs)
        left_out += copies
        found.append(_make_study(*labels, series))
    warnings += _copies_warning(found)
    return Found(
        format="bids",
        studies=tuple(found),
        left_out=tuple(sorted(left_out, key=lambda item: (item.study, item.series))),
        warnings=warnings,
        anatomy_warnings=_derivatives_warnings(derived),
    )


def _with_anatomy(
    made: list[tuple[BidsImage, Series | Failure]], derived: Derivatives
) -> Iterator[tuple[BidsImage, Series | Failure]]:
    """Add brain masks and transforms to the series that they were made of."""
    for subject, group in groupby(made, key=lambda pair: pair[0].subject):
        pairs = list(group)
        found = derived.of_subject(subject, [image for image, _ in pairs])
        for image, item in pairs:
            if isinstance(item, Series) and (one := found.get(image.source)) is not None:
                item = replace(item, mask=one.mask, to_mni=one.to_mni, anatomy_from=one.tool)
            yield image, item


def _derivatives_warnings(derived: Derivatives) -> tuple[str, ...]:
    warnings = [
        f"the folder of derivatives {folder} has none of the subjects: check that it belongs to this dataset"
        for folder in derived.unrelated()
    ]
    if n := len(derived.problems):
        what = count(n, "brain mask or transform", "brain masks or transforms")
        warnings.append(
            f"{what} in the derivatives {verb(n, 'is', 'are')} not used, such as {derived.problems[0]}; name masks and "
            "transforms in a manifest (columns mask and mni_affine)"
        )
    return tuple(warnings)


@dataclass(frozen=True)
class _Finder:
    """Makes the series of a dataset."""

    inherited: Inherited
    options: BidsOptions
    time_series: TimeSeries

    def make_series(self, image: BidsImage, may_be_empty: bool = False) -> Series | Failure:
        reason, hint = self.options.why_not(image)
        if reason:
            defect = self.options.is_misspelled(image)
            hint = "correct the capitalisation of its name or folder" if defect else hint
            return not_embedded(image.study, image.source, reason, hint, defect)
        absence = find_absence(image.path, image.study, image.source)
        if absence and not (may_be_empty and absence.error == EMPTY):
            return absence
        try:
            fields = self.inherited.fields(image)
            orientation = orientation_of(fields)
            b_values: tuple[float, ...] = ()
            if image.suffix == "dwi" and (table := self.inherited.bvals(image)):
                with naming(table.name):
                    b_values = read_b_values(table)
        except SidecarError as error:
            return not_embedded(image.study, image.source, f"its sidecar {error}", HINT, defect=True)
        if "part" not in image.entities and (part := other_kind(fields)):
            return not_embedded(image.study, image.source, f"its sidecar says that it is {part}")
        nifti = NiftiImage(image.path, (0,), orientation, scale_of(fields), self.time_series)
        if b_values:
            nifti = NiftiImage(
                image.path, b0_volumes(b_values), orientation, scale_of(fields), n_b_values=len(b_values)
            )
        return Series(name_of(fields) or _entity_name(image), nifti, image.source)


def _is_layout_only(made: list[tuple[BidsImage, Series | Failure]]) -> bool:
    """Whether all images of a dataset with several are empty files."""
    if len(made) < 2 or any(isinstance(item, Series) for _, item in made):
        return False
    empty = any(isinstance(item, Failure) and item.error == EMPTY for _, item in made)
    return empty and all(image.path.is_file() and image.path.stat().st_size == 0 for image, _ in made)


def _without_copies(pairs: list[tuple[BidsImage, Series]]) -> tuple[list[Series], list[Failure]]:
    """A study's series, each image once, and rows for the copies."""
    if len(pairs) == 1 or not may_have_copies([image.path for image, _ in pairs]):
        return [item for _, item in pairs], []
    sources = {image.path: image.source for image, _ in pairs}
    same_names = find_same_names(list(sources))
    rows = [
        left_out_copy(image.study, image.source, sources[copy.of], copy.same)
        for image, _ in pairs
        if (copy := same_names.get(image.path))
    ]
    kept = [(image, item) for image, item in pairs if image.path not in same_names]
    # Different BIDS names mean different acquisitions, so a copy gets a flag and is not left out. Files that are equal
    # only after decompression differ in size; reading every file would double the time of finding.
    copies = find_copies([image.path for image, _ in kept], inflated=False)
    return [
        replace(item, flags=(*item.flags, COPY)) if image.path in copies else item for image, item in kept
    ], rows


def _copies_warning(studies: list[Study]) -> tuple[str, ...]:
    copies = [series.source for study in studies for series in study.series if COPY in series.flags]
    if not copies:
        return ()
    return (
        f"{len(copies)} image{'s have' if len(copies) > 1 else ' has'} the same content as another image of the same "
        f"study, such as {copies[0]}: remove or replace the copy",
    )


def _unmatched(options: BidsOptions, images: list[BidsImage]) -> tuple[str, ...]:
    """A warning for each selected datatype and suffix that no image has."""
    present = {"datatype": {image.datatype for image in images}, "suffix": {image.suffix for image in images}}
    selected = {"datatype": options.datatypes, "suffix": options.suffixes}
    warnings = []
    for kind, names in selected.items():
        for name in names:
            if name not in present[kind]:
                listed = ", ".join(sorted(filter(None, present[kind]))) or "none"
                warnings.append(f"No image has the {kind} {name}; the dataset has: {listed}")
    return tuple(warnings)


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
    """Raise UsageError if a filter file would silently do nothing, for example because of a misspelled key."""
    if options.filters and not any(query.concerns(i.entities) for query in options.filters for i in images):
        names = ", ".join(query.name for query in options.filters)
        raise UsageError(
            "The filter file applies to none of the images: give a suffix or datatype in it, or use one as a "
            f"key, such as t1w, instead of {names or 'its present keys'}"
        )
