"""A header whose elements are cut out without pydicom equals the one that pydicom reads, for any bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.sequence import Sequence as Items
from pydicom.tag import Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from prima_features.studies.dicom import copies, read
from prima_features.studies.dicom.bounds import BoundedFile
from prima_features.studies.dicom.header import Header
from prima_features.studies.dicom.read import Unusable, quiet_pydicom, read_headers
from prima_features.studies.dicom.regular import reduce_header

pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SYNTAXES = (
    ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian
)  # fmt: skip
OFTEN = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    database=None,
    max_examples=150,
)
PRIVATE = [
    (0x0019, "GEMS_ACQU_01", 0x9C, "LO", "epi_pepolar"),
    (0x0029, "SIEMENS CSA HEADER", 0x10, "OB", bytes(20_000)),
    (0x0043, "GEMS_PARM_01", 0x39, "IS", [1_000_000_800, 0, 0, 0]),
    (0x2001, "Philips Imaging DD 001", 0x03, "FL", 800.0),
    (0x2005, "Philips MR Imaging DD 001", 0x11, "CS", "P"),
]
PUBLISHED = sorted(Path(pydicom.__file__).parent.glob("data/test_files/**/*.dcm"))
ELEMENTS: dict[str, st.SearchStrategy[str]] = {
    "SpecificCharacterSet": st.sampled_from(["ISO_IR 100", "ISO_IR 192", "\\ISO 2022 IR 87", "odd"]),
    "PatientName": st.sampled_from(["Doe^Jane", "M\u00fcller", ""]),
    "SOPInstanceUID": st.sampled_from(["1.2", "1.2.3\0", "not a uid", "", "1." * 40 + "1"]),
    "InstanceNumber": st.sampled_from(["1", "-3", "007", "1.0", "1.5", "x", "", " 4"]),
    "ImagePositionPatient": st.sampled_from(
        ["1\\2\\3", "-0.0\\1e3\\2", "1\\2", "1.\\ 2\\+3", "1\\x\\3", "", "1\\2\\3\\4 "]
    ),
    "AcquisitionTime": st.sampled_from(["101112.5", "101112\0", "10:11", "", " 1011"]),
    "AcquisitionDateTime": st.sampled_from(["20200101101112.000000", "20200101+0100", ""]),
    "TriggerTime": st.sampled_from(["0", "12.50", "1.2.3", "-1", ""]),
    "NumberOfFrames": st.sampled_from(["1", "", "0", "3"]),
    "ImageType": st.sampled_from(["ORIGINAL\\PRIMARY\\M", "derived\\mosaic", "A\\MOSAIC", ""]),
    "EchoTime": st.sampled_from(["2.98", "", "x"]),
    "ImageComments": st.sampled_from(["b=1500(0.4,0.0,0.9)", "x" * 20_000]),
    "StudyInstanceUID": st.just(""),
}
"""Values of elements as stored, some of them invalid."""


def nested(depth: int, sized: bool) -> Items:
    """A sequence of sequences."""
    inner = Dataset()
    inner.CodeValue, inner.LongCodeValue = "T1", "x" * 3
    inner.add_new(0x00091001, "UN", b"abcd")
    if depth:
        inner.PurposeOfReferenceCodeSequence = nested(depth - 1, not sized)
        inner["PurposeOfReferenceCodeSequence"].is_undefined_length = not sized
    inner.is_undefined_length_sequence_item = not sized
    return Items([inner, Dataset(), inner])


def read_both_ways(file: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Header] | Unusable, bool]:
    """What is read, after a check that both ways agree; and whether the file was reduced."""
    with quiet_pydicom():
        result, content = read_headers(file), copies._content(file, None)
        with BoundedFile(file) as stream:
            is_reduced = reduce_header(stream, read._TAGS, read._OWN) is not None
        with monkeypatch.context() as patch:
            for module in (read, copies):
                patch.setattr(module, "reduce_header", lambda *_: None)
            copies._look_into.cache_clear()
            assert repr(result) == repr(read_headers(file))  # in which -0.0 and 0.0 differ
            assert content == copies._content(file, None)
        copies._look_into.cache_clear()
    return result, is_reduced


@OFTEN
@given(
    data=st.data(),
    syntax=st.sampled_from(SYNTAXES),
    private=st.lists(st.sampled_from(PRIVATE), unique_by=lambda element: element[0]),
    depth=st.none() | st.integers(0, 3),
    sized=st.booleans(),
)
def test_any_header_reads_alike(
    data: st.DataObject,
    syntax: str,
    private: list[Any],
    depth: int | None,
    sized: bool,
    tmp_path: Path,
    write_slice: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = data.draw(st.sets(st.sampled_from(sorted(ELEMENTS)), max_size=5))
    sequences = {} if depth is None else {"ReferencedImageSequence": nested(depth, sized)}
    with quiet_pydicom():
        file = write_slice(tmp_path / "a.dcm", 100, private, **sequences, transfer_syntax=syntax)
        whole = pydicom.dcmread(file)
        if depth is not None:
            whole["ReferencedImageSequence"].is_undefined_length = not sized
        is_implicit, is_little = whole.original_encoding
        for name in sorted(chosen):
            tag, value = Tag(name), data.draw(ELEMENTS[name]).encode()
            value += b" " * (len(value) % 2)
            vr = None if is_implicit else dictionary_VR(tag)
            whole[tag] = RawDataElement(tag, vr, len(value), value, 0, bool(is_implicit), bool(is_little))
        whole.save_as(file)
    _, is_reduced = read_both_ways(file, monkeypatch)
    if not chosen:
        assert is_reduced == (syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian))


@OFTEN
@given(
    syntax=st.sampled_from(SYNTAXES),
    sized=st.booleans(),
    changes=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=4), st.integers(0, 6)), max_size=3),
    length=st.none() | st.floats(0, 1),
)
def test_damaged_bytes_read_alike(
    syntax: str,
    sized: bool,
    changes: list[tuple[float, bytes, int]],
    length: float | None,
    tmp_path: Path,
    write_slice: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bytes are replaced, inserted and deleted, and the file is cut."""
    file = write_slice(
        tmp_path / "a.dcm",
        100,
        [one for one in PRIVATE if one[0] != 0x0029],
        ReferencedImageSequence=nested(2, sized),
        transfer_syntax=syntax,
    )
    content = file.read_bytes()
    for where, new, n_deleted in changes:
        at = 128 + int(where * (len(content) - 128))
        content = content[:at] + new + content[at + n_deleted :]
    file.write_bytes(content if length is None else content[: int(length * len(content))])
    read_both_ways(file, monkeypatch)


@pytest.mark.parametrize("file", PUBLISHED, ids=lambda path: path.name)
def test_published_files_read_alike(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_both_ways(file, monkeypatch)


@pytest.mark.parametrize("place", [b"\2\0\1\0OB\0\0", b"\x20\0\0\x40"])
def test_an_element_longer_than_any_reads_alike(
    place: bytes, tmp_path: Path, write_slice: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the meta header, whose errors pydicom replaces, and in the data set."""
    file = write_slice(
        tmp_path / "a.dcm", 100, ImageComments="a comment", transfer_syntax=ImplicitVRLittleEndian
    )
    head, _, tail = file.read_bytes().partition(place)
    file.write_bytes(head + place + b"\xf0\xff\xff\x7f" + tail[4:])
    assert read_both_ways(file, monkeypatch) == (Unusable.OUT_OF_BOUNDS, False)


@pytest.mark.parametrize("short", [0, 2, 6, 8, 10, 11, 12, 13, 500])
@pytest.mark.parametrize("end", [1 << 14, 1 << 15])
def test_an_element_at_the_end_of_what_is_read_at_once_reads_alike(
    short: int, end: int, tmp_path: Path, write_slice: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows starts `short` bytes before the end of a window."""

    def write(length: int) -> Path:
        private = [(0x0019, "OTHER", 0x10, "OB", bytes(length))]
        return write_slice(tmp_path / "a.dcm", 100, private, SOPInstanceUID="1.2.3")

    rows = write(1000).read_bytes().index(b"\x28\0\x10\0US")
    file = write(1000 + end - rows - short + short % 2)
    result, is_reduced = read_both_ways(file, monkeypatch)
    assert is_reduced
    assert isinstance(result, list)
    assert result[0].rows == 8


def test_slices_of_a_series_are_parsed_once(
    tmp_path: Path, write_stack: Callable[..., list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write_stack(tmp_path, 8, StudyDescription="parsed once")
    parsed: list[bytes] = []
    read_reduced = read.read_reduced

    def note(content: bytes, tags: tuple[Any, ...]) -> Dataset:
        parsed.append(content)
        return read_reduced(content, tags)

    monkeypatch.setattr(read, "read_reduced", note)
    with quiet_pydicom():
        assert len({header.position for file in files for header in read_headers(file)}) == 8
    assert len(parsed) == 1
