"""A header read from a copy of the file's start equals the one read from the file while elements are counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from prima_features.studies.dicom import bounds, read
from prima_features.studies.dicom.header import Header
from prima_features.studies.dicom.read import Unusable, quiet_pydicom, read_headers

pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

COPY = 128 << 10
"""Bytes of the copy."""
SYNTAXES = [
    ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian
]  # fmt: skip
PRIVATE = [
    (0x0019, "GEMS_ACQU_01", 0x9C, "LO", "epi_pepolar"),
    (0x0019, "GEMS_ACQU_01", 0xB3, "SS", 1),
    (0x0043, "GEMS_PARM_01", 0x2F, "SS", 1),
    (0x0043, "GEMS_PARM_01", 0x39, "IS", [1000, 0, 0, 0]),
    (0x2005, "Philips MR Imaging DD 001", 0x11, "CS", "P"),
]


def frames(count: int) -> Items:
    """Items that describe frames."""
    described = []
    for index in range(count):
        place, plane, measures, frame = Dataset(), Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [0, 0, 3 * index]
        plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        measures.PixelSpacing, measures.SliceThickness = [1, 1], 3
        frame.PlanePositionSequence = Items([place])
        frame.PlaneOrientationSequence = Items([plane])
        frame.PixelMeasuresSequence = Items([measures])
        described.append(frame)
    return Items(described)


def read_both_ways(file: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Header] | Unusable, bool]:
    """What is read, after a check that both ways agree; and whether the copy was used."""
    from_copy = []
    read_start = bounds._read_start

    def note(*arguments: object) -> object:
        found = read_start(*arguments)  # type: ignore[arg-type]
        from_copy.append(found is not None)
        return found

    monkeypatch.setattr(read, "reduce_header", lambda *_: None)  # tested in test_dicom_regular.py
    with quiet_pydicom():
        with monkeypatch.context() as patch:
            patch.setattr(bounds, "_read_start", note)
            result = read_headers(file)
        with monkeypatch.context() as patch:
            patch.setattr(bounds, "_read_start", lambda *_: None)
            assert result == read_headers(file)
    return result, any(from_copy)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("manufacturer", ["GE MEDICAL SYSTEMS", "Philips", None])
def test_each_syntax_reads_alike(
    syntax: str,
    manufacturer: str | None,
    tmp_path: Path,
    write_slice: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = write_slice(
        tmp_path / "a.dcm",
        100,
        PRIVATE,
        Manufacturer=manufacturer,
        DiffusionBValue=1000.0,
        PerFrameFunctionalGroupsSequence=frames(1),
        transfer_syntax=syntax,
    )
    result, from_copy = read_both_ways(file, monkeypatch)
    assert isinstance(result, list)
    assert (result[0].component, result[0].has_pixels) == ("PHASE", True)
    assert from_copy == (syntax != DeflatedExplicitVRLittleEndian)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@given(
    before_end=st.integers(0, 10_000),
    sized=st.booleans(),
    implicit=st.booleans(),
    cut=st.none() | st.integers(1, 14_000),
)
@example(before_end=2000, sized=False, implicit=False, cut=None)
@example(before_end=2000, sized=True, implicit=True, cut=None)
def test_a_sequence_at_the_end_of_the_copy_reads_alike(
    before_end: int,
    sized: bool,
    implicit: bool,
    cut: int | None,
    tmp_path: Path,
    write_slice: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The sequence starts about `before_end` bytes before the copy ends; `cut` bytes of the file are missing."""
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    file = write_slice(
        tmp_path / "a.dcm",
        100,
        [(0x0043, "OTHER", 0x10, "OB", bytes(2 * ((COPY - before_end - 1200) // 2)))],
        PerFrameFunctionalGroupsSequence=frames(30),
        NumberOfFrames=30,
        PixelData=bytes(30 * 128),
        transfer_syntax=syntax,
    )
    data = pydicom.dcmread(file)
    data["PerFrameFunctionalGroupsSequence"].is_undefined_length = not sized
    data.save_as(file)
    if cut:
        file.write_bytes(file.read_bytes()[:-cut])
    result, _ = read_both_ways(file, monkeypatch)
    if not cut:
        assert isinstance(result, list)
        assert [header.position[2] for header in result] == [3 * index for index in range(30)]


@pytest.mark.parametrize("short", [0, 2, 8, 10, 12, 500])
def test_a_header_that_fills_the_copy_reads_alike(
    short: int, tmp_path: Path, write_slice: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(length: int) -> Path:
        private = [(0x0043, "OTHER", 0x10, "OB", bytes(length))]
        return write_slice(tmp_path / "a.dcm", 100, private, SOPInstanceUID="1.2.3")  # UIDs differ in length

    start = write(1000).read_bytes().rindex(b"\xe0\x7f\x10\0OW")
    file = write(1000 + COPY - start - short)
    assert file.read_bytes().rindex(b"\xe0\x7f\x10\0OW") == COPY - short
    result, from_copy = read_both_ways(file, monkeypatch)
    assert isinstance(result, list)
    assert result[0].has_pixels
    assert from_copy == (short >= 12)  # the header of the element of pixel data, too


def test_a_file_without_pixel_data_reads_alike(
    tmp_path: Path, write_slice: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_slice(tmp_path / "a.dcm")
    data = pydicom.dcmread(file)
    del data.PixelData
    data.save_as(file)
    result, from_copy = read_both_ways(file, monkeypatch)
    assert isinstance(result, list)
    assert not result[0].has_pixels
    assert not from_copy
