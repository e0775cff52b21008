"""DICOM files made to exhaust memory, time or the stack: the file alone fails, before anything is allocated."""

from __future__ import annotations

import io
import resource
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from prima_features.errors import SeriesError
from prima_features.files.safe import UnsafeFileError
from prima_features.studies.dicom import bounds, find_dicom
from prima_features.studies.dicom.bounds import check_nesting
from prima_features.studies.dicom.read import Unusable, quiet_pydicom, read_headers
from prima_features.volumes.stored import read_stored

DEFLATED = "1.2.840.10008.1.2.1.99"
ITEM = b"\xfe\xff\x00\xe0" + bytes(4)


def slice_file(path: Path, body: bytes = b"", **elements: object) -> Path:
    """A file of one slice; `body` stands between its ordinary header and its pixel data."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.StudyInstanceUID, data.SeriesInstanceUID = generate_uid(), generate_uid()
    data.Modality, data.PatientID, data.SeriesDescription = "MR", "A", "T1"
    data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    data.Rows = data.Columns = 8
    data.PixelSpacing, data.SamplesPerPixel, data.PhotometricInterpretation = [1, 1], 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    for name, value in elements.items():
        setattr(data, name, value)
    data.PixelData = np.arange(64, dtype="<u2").tobytes()
    whole = io.BytesIO()
    data.save_as(whole, enforce_file_format=True)
    at = whole.getvalue().rindex(b"\xe0\x7f\x10\x00OW")
    path.write_bytes(whole.getvalue()[:at] + body + whole.getvalue()[at:])
    return path


def deflate(path: Path, more: int = 0) -> Path:
    """The same file deflated, with `more` bytes of zeros at its end."""
    content = path.read_bytes()
    start = 144 + int.from_bytes(content[140:144], "little")
    header = pydicom.filereader.read_file_meta_info(path)
    header.TransferSyntaxUID = DEFLATED
    meta = io.BytesIO()
    pydicom.filewriter.write_file_meta_info(meta, header)
    packer = zlib.compressobj(9, wbits=-15)
    packed = packer.compress(content[start:])
    packed += b"".join(packer.compress(bytes(1 << 20)) for _ in range(more >> 20)) + packer.flush()
    path.write_bytes(bytes(128) + b"DICM" + meta.getvalue() + packed)
    return path


def nested(depth: int, sized: bool) -> bytes:
    """Sequences in sequences, with their lengths stated or not."""
    if not sized:
        begin = struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF) + ITEM[:4] + b"\xff" * 4
        return begin * depth + (b"\xfe\xff\x0d\xe0" + bytes(4) + b"\xfe\xff\xdd\xe0" + bytes(4)) * depth
    parts, length = [], 0
    for _ in range(depth):
        begin = struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, length + 8)
        parts.append(begin + ITEM[:4] + struct.pack("<I", length))
        length += 20
    return b"".join(reversed(parts))


def items(count: int, sized: bool) -> bytes:
    """Empty items of the sequence that describes frames."""
    length = len(ITEM) * count if sized else 0xFFFFFFFF
    end = b"" if sized else b"\xfe\xff\xdd\xe0" + bytes(4)
    return struct.pack("<HH2sHI", 0x5200, 0x9230, b"SQ", 0, length) + ITEM * count + end


def text(length: int, there: int) -> bytes:
    """A description that declares a length, and has so many bytes."""
    return struct.pack("<HH2sHI", 0x0018, 0x9004, b"UT", 0, length) + b"x" * there


def test_a_deflated_file_reads_like_the_plain_one(tmp_path: Path) -> None:
    plain = slice_file(tmp_path / "a.dcm", nested(3, True))
    packed = deflate(slice_file(tmp_path / "b.dcm", nested(3, False)))
    for file in (plain, packed):
        with quiet_pydicom():
            (header,) = read_headers(file)
        assert (header.rows, header.description) == (8, "T1")
        stored, _ = read_stored(file)
        assert np.frombuffer(stored.frames[0], "<u2").tolist() == list(range(64))
        check_nesting(file)


def test_a_deflated_file_inflates_no_further_than_its_header_declares(tmp_path: Path) -> None:
    file = deflate(slice_file(tmp_path / "a.dcm"), more=256 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with quiet_pydicom():
        assert len(read_headers(file)) == 1  # type: ignore[arg-type]
    with pytest.raises(SeriesError, match="decompresses to more than"):
        read_stored(file)
    with pytest.raises(UnsafeFileError, match="decompresses to more than"):
        check_nesting(file)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150_000  # kB


@pytest.mark.parametrize("sized", [False, True])
def test_nested_sequences_never_reach_a_library_that_recurses(sized: bool, tmp_path: Path) -> None:
    for file in (slice_file(tmp_path / "a.dcm", nested(15_000, sized)),):
        with pytest.raises(UnsafeFileError, match="nests sequences"):
            check_nesting(file)
        with quiet_pydicom():
            read = read_headers(file)
        assert isinstance(read, list) if sized else read in (Unusable.DAMAGED, Unusable.OUT_OF_BOUNDS)
        deflate(file)
        with pytest.raises(UnsafeFileError, match="nests sequences"):
            check_nesting(file)
    check_nesting(slice_file(tmp_path / "b.dcm", nested(50, sized)))
    check_nesting(slice_file(tmp_path / "c.dcm", nested(3, sized) * 100))  # many, but not deep


@pytest.mark.parametrize("sized", [False, True])
def test_many_items_are_refused(sized: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MOST_ITEMS", 10_000)
    file = slice_file(tmp_path / "a.dcm", items(10_001, sized))
    with quiet_pydicom():
        assert read_headers(file) is Unusable.OUT_OF_BOUNDS
    with pytest.raises(SeriesError):
        read_stored(file)
    with quiet_pydicom():
        assert isinstance(read_headers(slice_file(tmp_path / "b.dcm", items(9_000, sized))), list)


ELEMENTS: dict[str, tuple[Callable[[], bytes], Unusable | None]] = {
    "a long text": (lambda: text(1 << 20, 1 << 20), Unusable.OUT_OF_BOUNDS),
    "a text of 4 GB that is not there": (lambda: text(0xFFFFFFF0, 10), Unusable.OUT_OF_BOUNDS),
    "a text that ends with the file": (lambda: text(5000, 10), Unusable.DAMAGED),
}


@pytest.mark.parametrize("name", ["a long text", "a text of 4 GB that is not there"])
def test_long_elements_are_refused(name: str, tmp_path: Path) -> None:
    body, reason = ELEMENTS[name]
    # Content Qualification (0018,9004) is not read: the element is given the tag of one that is.
    file = slice_file(tmp_path / "a.dcm")
    content = file.read_bytes()
    at = content.index(b"\x08\x00\x3e\x10LO")
    file.write_bytes(
        content[:at] + body().replace(b"\x18\x00\x04\x90", b"\x08\x00\x3e\x10") + content[at + 10 :]
    )
    started = time.process_time()
    with quiet_pydicom():
        assert read_headers(file) is reason
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"Rows": 65535, "Columns": 65535}, "declares 65535 x 65535 pixels"),
        ({"NumberOfFrames": "999999999"}, "declares 999999999 frames"),
    ],
)
def test_sizes_that_no_scan_has_are_refused(
    elements: dict[str, object], message: str, tmp_path: Path
) -> None:
    file = slice_file(tmp_path / "a.dcm", **elements)
    with pytest.raises(SeriesError, match=message):
        read_stored(file)
    with pytest.raises(SeriesError, match=f"{message}|declares"):
        read_stored(deflate(file))
    if "NumberOfFrames" in elements:
        with quiet_pydicom():
            assert read_headers(file) is Unusable.OUT_OF_BOUNDS


@pytest.mark.parametrize("frames", [1, 2, 999_999])
def test_a_file_that_ends_before_its_pixel_data_is_a_defect(frames: int, tmp_path: Path) -> None:
    content = slice_file(tmp_path / "a.dcm", NumberOfFrames=frames).read_bytes()
    ends = (
        [len(content)] if frames > 1 else [content.index(b"\x28\0\x10\0"), content.rindex(b"\xe0\x7f\x10\0")]
    )
    for end in ends:
        (tmp_path / "a.dcm").write_bytes(content[:end])
        found = find_dicom(tmp_path)
        assert not found.studies or not any(study.series for study in found.studies)
        assert ["its files have no pixel data" in item.error and item.defect for item in found.left_out] == [
            True
        ]


def elements(count: int) -> bytes:
    """Empty elements."""
    return b"".join(struct.pack("<HH2sH", 0x0011 + 2 * (i >> 16), i & 0xFFFF, b"LO", 0) for i in range(count))


def item(content: bytes) -> bytes:
    return ITEM[:4] + struct.pack("<I", len(content)) + content


def sequence(tag: tuple[int, int], content: bytes, sized: bool) -> bytes:
    length = len(content) if sized else 0xFFFFFFFF
    end = b"" if sized else b"\xfe\xff\xdd\xe0" + bytes(4)
    return struct.pack("<HH2sHI", *tag, b"SQ", 0, length) + content + end


FRAMES, OTHER, FRAME = (0x5200, 0x9230), (0x0040, 0xA730), (0x0020, 0x9111)
FORGED = struct.pack("<HH2sHI", 0x0009, 0x0001, b"OB", 0, 4 * 300_000) + ITEM[:4] * 300_000
"""A value that looks like many items, for each of which elements are allowed."""
CROWDED: dict[str, Callable[[int, bool], bytes]] = {
    "in one item": lambda count, sized: sequence(FRAMES, item(FORGED + elements(count)), sized),
    "in many items": lambda count, sized: sequence(FRAMES, item(elements(100)) * (count // 100), sized),
    "in many items of a sequence that is not needed": lambda count, sized: sequence(
        OTHER, item(elements(100)) * (count // 100), sized
    ),
    "in an item of an item": lambda count, sized: sequence(
        FRAMES, item(FORGED + sequence(FRAME, item(elements(count)), True)), sized
    ),
    "in many items of an item": lambda count, sized: sequence(
        FRAMES, item(sequence(FRAME, item(elements(100)) * (count // 100), True)), sized
    ),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("sized", [False, True])
@pytest.mark.parametrize("name", CROWDED)
def test_many_elements_within_sequences_are_refused(
    name: str, sized: bool, packed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "_MOST_IN_ALL", 30_000)
    if sized and "not needed" in name:  # pydicom passes over it
        expected: object = list
    else:
        expected = Unusable.OUT_OF_BOUNDS
    for count, result in ((50_000, expected), (15_000, list)):
        file = slice_file(tmp_path / "a.dcm", CROWDED[name](count, sized), NumberOfFrames=2)
        if packed:
            deflate(file)
        with quiet_pydicom():
            read = read_headers(file)
        assert isinstance(read, list) if result is list else read is result


def test_many_elements_are_refused(tmp_path: Path) -> None:
    private = b"".join(struct.pack("<HH2sH", 0x0043, 0x1000 + i, b"LO", 0) for i in range(20_001))
    within = private[:8] * 8_000  # of one item, which the header has not been read into yet
    described = struct.pack("<HH2sHI", 0x5200, 0x9230, b"SQ", 0, 8 + len(within) * 10)
    described += ITEM[:4] + struct.pack("<I", len(within) * 10) + within * 10
    for extra in (private, described):
        with quiet_pydicom():
            assert read_headers(slice_file(tmp_path / "a.dcm", extra)) is Unusable.OUT_OF_BOUNDS
    with quiet_pydicom():
        assert isinstance(read_headers(slice_file(tmp_path / "b.dcm", private[: 8 * 15_000])), list)
