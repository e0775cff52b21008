"""Changing what of a BIDS dataset is embedded: datatypes, suffixes, filter files."""

import json
from pathlib import Path
from typing import Any

import pytest

from prima_features.errors import UsageError
from prima_features.studies import BidsOptions, read_filters
from prima_features.studies.bids import find_bids

T1, T1_FAST = "ses-1/anat/sub-01_ses-1_T1w", "ses-1/anat/sub-01_ses-1_acq-fast_run-02_T1w"
T1_LATER, T2_LATER = "ses-2/anat/sub-01_ses-2_T1w", "ses-2/anat/sub-01_ses-2_T2w"
MAP, MNI = "ses-1/anat/sub-01_ses-1_T1map", "ses-1/anat/sub-01_ses-1_space-MNI_T1w"
DWI, PHASE = "ses-1/dwi/sub-01_ses-1_dwi", "ses-1/anat/sub-01_ses-1_part-phase_T2w"
BOLD = "ses-1/func/sub-01_ses-1_task-rest_bold"
DEFAULT = {T1, T1_FAST, T1_LATER, T2_LATER, DWI}


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    for name in (*DEFAULT, MAP, MNI, PHASE, BOLD):
        path = tmp_path / "sub-01" / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def embedded(dataset: Path, options: BidsOptions) -> set[str]:
    found = find_bids(dataset, options)
    sources = {series.source for study in found.studies for series in study.series}
    reported = {item.series for item in found.left_out}
    assert len(sources) + len(reported) == 9, "each image is embedded or left out with a reason"
    return {source.removeprefix("sub-01/").removesuffix(".nii.gz") for source in sources}


def filtered(dataset: Path, queries: Any) -> set[str]:
    file = dataset / "filter.json"
    file.write_text(json.dumps(queries))
    return embedded(dataset, BidsOptions(filters=read_filters(file)))


def test_by_default_anatomy_and_diffusion_are_embedded(dataset: Path) -> None:
    assert embedded(dataset, BidsOptions()) == DEFAULT


def test_a_datatype_takes_the_place_of_the_default_ones(dataset: Path) -> None:
    assert embedded(dataset, BidsOptions(datatypes=("anat",))) == DEFAULT - {DWI}
    assert embedded(dataset, BidsOptions(datatypes=("func", "dwi"))) == {BOLD, DWI}


def test_a_suffix_is_taken_from_every_datatype(dataset: Path) -> None:
    assert embedded(dataset, BidsOptions(suffixes=("T1map", "bold"))) == {MAP, BOLD}
    assert embedded(dataset, BidsOptions(datatypes=("anat",), suffixes=("T1map", "bold"))) == {MAP}


def test_the_reason_names_what_was_asked_for(dataset: Path) -> None:
    found = find_bids(dataset, BidsOptions(datatypes=("dwi",)))
    assert {item.error for item in found.left_out} == {"only the datatype dwi is selected"}


@pytest.mark.parametrize(
    ("queries", "expected"),
    [
        ({"t1w": {"session": "1"}}, DEFAULT - {T1_LATER}),
        ({"t1w": {"session": "ses-1"}, "t2w": {"session": "1"}}, DEFAULT - {T1_LATER, T2_LATER}),
        ({"t1w": {"acquisition": None}}, DEFAULT - {T1_FAST}),
        ({"t1w": {"acq": "Query.NONE"}}, DEFAULT - {T1_FAST}),
        ({"t1w": {"acquisition": "*"}}, DEFAULT - {T1, T1_LATER}),
        ({"t1w": {"acquisition": "Query.OPTIONAL"}}, DEFAULT),
        ({"t1w": {"acquisition": ["fast", None], "ses": ["1"]}}, DEFAULT - {T1_LATER}),
        ({"t1w": {"run": 2}}, DEFAULT - {T1, T1_LATER}),
        ({"mine": {"suffix": "T1w", "run": "2"}}, DEFAULT - {T1, T1_LATER}),
        ({"a": {"suffix": "T1w", "run": 2}, "b": {"suffix": "T1w", "ses": 2}}, DEFAULT - {T1}),
        ({"anat": {"session": "2"}}, {T1_LATER, T2_LATER, DWI}),
        ({"session": "2"}, {T1_LATER, T2_LATER}),
        ({"session": "2", "suffix": "T1w"}, DEFAULT - {T1, T1_FAST}),
        ({"t1w": {"space": "MNI"}}, {MNI, T2_LATER, DWI}),
        ({"t2w": {"part": ["phase", None]}}, DEFAULT | {PHASE}),
        ({"bold": {"task": "nback"}, "t2w": {"datatype": "anat", "suffix": "T2w"}}, DEFAULT),
    ],
)
def test_a_filter_file_narrows_the_choice_among_the_images_it_concerns(
    dataset: Path, queries: Any, expected: set[str]
) -> None:
    assert filtered(dataset, queries) == expected


def test_an_image_that_a_filter_leaves_out_is_told_which_query_did(dataset: Path) -> None:
    (dataset / "filter.json").write_text('{"t1w": {"session": "1"}}')
    found = find_bids(dataset, BidsOptions(filters=read_filters(dataset / "filter.json")))
    reasons = {item.series: item.error for item in found.left_out}
    assert reasons[f"sub-01/{T1_LATER}.nii.gz"] == "the filter file excludes it (t1w)"


def test_a_filter_file_that_would_do_nothing_is_an_error(dataset: Path) -> None:
    with pytest.raises(UsageError, match=r"applies to none of the images.* tw1"):
        filtered(dataset, {"tw1": {"session": "1"}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ("[]", "must contain queries"),
        ("{}", "must contain queries"),
        ('{"t1w": {"sesion": "1"}}', "'sesion', which is not a BIDS entity; did you mean ses"),
        ('{"t1w": {"session": true}}', "asks for ses True"),
        ('{"t1w": {"session": {"a": 1}}}', "asks for ses"),
        ('{"t1w": {"session": "1"}, "t2w": 3}', "'t2w' must be an object of entities"),
    ],
)
def test_a_filter_file_with_a_slip_says_where_it_is(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "filter.json").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_filters(tmp_path / "filter.json")


def test_a_filter_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_filters(tmp_path / "filter.json")
