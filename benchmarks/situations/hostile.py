"""Files from strangers: made to exhaust memory or time, to read other files, or to send a token elsewhere."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import struct
import threading
import zlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np

from situations.common import Box, Outcome, Ran, Situations, head, named

SITUATIONS = Situations("hostile")
MEMORY = 3 << 30
SECONDS = 60
SECRET = 424242.0
"""A number of another file, which must never be seen."""


def _bounded(box: Box, *arguments: object, words: str = "") -> Outcome:
    """Named in one sentence, within the limits on memory and processor time."""
    # torch's libraries alone take more address space than the limit.
    ran = box.prima(*arguments, seconds=SECONDS, memory=None if arguments[0] == "pretrain" else MEMORY)
    if str(SECRET)[:6] in ran.text:
        return Outcome("silently wrong", "another file was read")
    return named(ran, words)


# --- DICOM ------------------------------------------------------------------------------------------------------------


def _dicom(
    folder: Path, extra: bytes = b"", deflate: Callable[[bytes], bytes] | None = None, **elements: object
) -> Path:
    """Eight slices; `extra` goes before the pixel data, `deflate` packs what follows the meta header."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import generate_uid

    folder.mkdir(parents=True, exist_ok=True)
    study, series = generate_uid(), generate_uid()
    values = head(64, 64, 8)
    for number in range(8):
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = f"1.2.840.10008.1.2.1{'.99' if deflate else ''}"
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = study, series, study
        data.Modality, data.PatientID, data.SeriesDescription, data.InstanceNumber = (
            "MR",
            "P",
            "T1",
            number + 1,
        )
        data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, 5.0 * number], [1, 0, 0, 0, 1, 0]
        data.PixelSpacing, data.SliceThickness, data.Rows, data.Columns = [3, 3], 5, 64, 64
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        for name, value in elements.items():
            setattr(data, name, value)
        data.PixelData = values[:, :, number].astype("<u2").tobytes()
        whole = io.BytesIO()
        plain = data.file_meta.TransferSyntaxUID
        data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
        data.save_as(whole, enforce_file_format=True)
        content = whole.getvalue()
        at = content.rindex(b"\xe0\x7f\x10\x00OW")
        content = content[:at] + extra + content[at:]
        if deflate:
            start = 144 + int.from_bytes(content[140:144], "little")
            old, new = b"\x14\x001.2.840.10008.1.2.1\0", b"\x16\x00" + plain.encode()
            meta = content[:start].replace(old, new)
            meta = meta[:140] + struct.pack("<I", len(meta) - 144) + meta[144:]
            content = meta + deflate(content[start:])
        (folder / f"{number}.dcm").write_bytes(content)
    return folder


def _sequence(body: bytes, tag: tuple[int, int] = (0x0040, 0xA730)) -> bytes:
    return struct.pack("<HH2sHI", *tag, b"SQ", 0, len(body)) + body


def _embed(box: Box, *words: str) -> Outcome:
    """Run on the hostile series and a sound one beside it, in this process: the sound one must come out."""
    _dicom(box.folder / "in" / "sound", PatientID="Q")
    output = box.folder / "out.h5"
    ran = box.prima(
        "embed",
        box.folder / "in",
        output,
        "--workers",
        0,
        "--no-report",
        "--device",
        "cpu",
        seconds=120,
        memory=MEMORY,
    )
    outcome = named(ran, *words, codes=(3,))
    if outcome.verdict == "named" and not output.is_file():
        return Outcome("silently wrong", "the sound series is lost")
    return outcome


@SITUATIONS("DICOM with explicit-length sequences nested 20,000 deep")
def _(box: Box) -> Outcome:
    parts, length = [], 0
    for _ in range(20_000):
        parts.append(
            struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, length + 8)
            + b"\xfe\xff\x00\xe0"
            + struct.pack("<I", length)
        )
        length += 20
    _dicom(box.folder / "in" / "bad", b"".join(reversed(parts)))
    return _embed(box, "nests")


@SITUATIONS("DICOM with sequences of undefined length nested 20,000 deep")
def _(box: Box) -> Outcome:
    begin = struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF) + b"\xfe\xff\x00\xe0" + b"\xff" * 4
    _dicom(box.folder / "in" / "bad", begin * 20_000)
    return _embed(box, "DICOM file")


@SITUATIONS("nested sequences hidden in a private element of unknown type")
def _(box: Box) -> Outcome:
    parts, length = [], 0
    for _ in range(15_000):
        parts.append(
            struct.pack("<HH2sHI", 0x0041, 0x1010, b"UN", 0, length + 8)
            + b"\xfe\xff\x00\xe0"
            + struct.pack("<I", length)
        )
        length += 20
    _dicom(box.folder / "in" / "bad", b"".join(reversed(parts)))
    return _embed(box, "nests")


@SITUATIONS("deflated DICOM followed by a quarter of a gigabyte of zeros")
def _(box: Box) -> Outcome:
    def pack(content: bytes) -> bytes:
        packer = zlib.compressobj(6, wbits=-15)
        return (
            packer.compress(content)
            + b"".join(packer.compress(bytes(1 << 24)) for _ in range(16))
            + packer.flush()
        )

    _dicom(box.folder / "in" / "bad", deflate=pack)
    return _embed(box, "decompresses")


@SITUATIONS("deflated DICOM whose header claims 60,000 x 60,000 pixels")
def _(box: Box) -> Outcome:
    def pack(content: bytes) -> bytes:
        packer = zlib.compressobj(6, wbits=-15)
        return packer.compress(content) + packer.flush()

    _dicom(box.folder / "in" / "bad", deflate=pack, Rows=60_000, Columns=60_000)
    return _embed(box, "pixel")


@SITUATIONS("a sequence of 700,000 empty items")
def _(box: Box) -> Outcome:
    _dicom(box.folder / "in" / "bad", _sequence((b"\xfe\xff\x00\xe0" + bytes(4)) * 700_000, (0x5200, 0x9230)))
    return _embed(box, "implausible header")


@SITUATIONS("a series description of 20 MB")
def _(box: Box) -> Outcome:
    folder = _dicom(box.folder / "in" / "bad")
    for file in folder.iterdir():
        content = file.read_bytes()
        at = content.index(b"\x08\x00\x3e\x10LO")
        text = struct.pack("<HH2sHI", 0x0008, 0x103E, b"UT", 0, 20 << 20) + b"x" * (20 << 20)
        file.write_bytes(content[:at] + text + content[at + 10 :])
    return _embed(box, "implausible header")


@SITUATIONS("an element that declares four gigabytes and has ten bytes")
def _(box: Box) -> Outcome:
    folder = _dicom(box.folder / "in" / "bad")
    for file in folder.iterdir():
        content = file.read_bytes()
        at = content.index(b"\x08\x00\x3e\x10LO")
        file.write_bytes(
            content[:at] + struct.pack("<HH2sHI", 0x0008, 0x103E, b"UT", 0, 0xFFFFFFF0) + content[at + 10 :]
        )
    return _embed(box, "DICOM file")


@SITUATIONS("a header that claims two billion frames")
def _(box: Box) -> Outcome:
    _dicom(box.folder / "in" / "bad", NumberOfFrames="2000000000")
    return _embed(box, "implausible header")


@SITUATIONS("RLE-compressed frames without segments")
def _(box: Box) -> Outcome:
    import pydicom
    from pydicom.encaps import encapsulate

    for path in _dicom(box.folder / "in" / "bad").glob("*.dcm"):
        data = pydicom.dcmread(path)
        data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.5"
        data.PixelData = encapsulate([bytes(80)])
        data["PixelData"].is_undefined_length = True
        data.save_as(path)
    return _embed(box, "damaged")


@SITUATIONS("300,000 empty private elements in every header")
def _(box: Box) -> Outcome:
    elements = (
        struct.pack("<HH2sH", 0x0043 + 2 * (i // 60_000), 0x1000 + i % 60_000, b"LO", 0)
        for i in range(300_000)
    )
    _dicom(box.folder / "in" / "bad", b"".join(elements))
    return _embed(box, "implausible header")


@SITUATIONS("a JPEG 2000 stream of two billion by two billion pixels")
def _(box: Box) -> Outcome:
    import pydicom
    from pydicom.encaps import encapsulate

    side = 2**31 - 1
    stream = struct.pack(">IHHIIIIIIIIH", 0xFF4FFF51, 41, 0, side, side, 0, 0, side, side, 0, 0, 1) + bytes(
        90
    )
    for path in _dicom(box.folder / "in" / "bad").glob("*.dcm"):
        data = pydicom.dcmread(path)
        data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.90"
        data.PixelData = encapsulate([stream + b"\xff\xd9"])
        data["PixelData"].is_undefined_length = True
        data.save_as(path)
    return _embed(box, "states 2147483647")


@SITUATIONS("files that were cut off within their headers")
def _(box: Box) -> Outcome:
    for path in _dicom(box.folder / "in" / "bad").glob("*.dcm"):
        content = path.read_bytes()
        path.write_bytes(content[: content.index(b"\x28\0\x02\0")])
    return _embed(box, "have no pixel data or are truncated")


@SITUATIONS("a header that claims 900,000 frames in a file of one")
def _(box: Box) -> Outcome:
    _dicom(box.folder / "in" / "bad", NumberOfFrames="900000")
    return _embed(box, "have no pixel data or are truncated")


@SITUATIONS("a slice without a position in one of several series of one name and number")
def _(box: Box) -> Outcome:
    import pydicom

    for number in range(3):
        files = sorted(
            _dicom(box.folder / "in" / f"bad{number}", SeriesNumber=7, SeriesDescription="x").glob("*.dcm")
        )
        for file in files:
            data = pydicom.dcmread(file)
            data.StudyInstanceUID = data.FrameOfReferenceUID = "1.2.3"
            if number == 0 and file == files[-1]:
                del data.ImagePositionPatient
            data.save_as(file)
    return _embed(box, "have no position or orientation")


# --- NIfTI ------------------------------------------------------------------------------------------------------------


def _nifti(box: Box, content: bytes, words: str) -> Outcome:
    folder = box.folder / "in"
    folder.mkdir()
    nib.save(
        nib.Nifti1Image(head(48, 48, 10).astype(np.int16), np.diag([4.0, 4, 8, 1])), folder / "sound.nii.gz"
    )
    (folder / "bad.nii.gz").write_bytes(content)
    output = box.folder / "out.h5"
    ran = box.prima("embed", folder, output, "--workers", 0, "--no-report", seconds=120, memory=MEMORY)
    return named(ran, words, codes=(3,))


def _header(shape: tuple[int, ...], offset: float = 352) -> bytes:
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape(shape)
    header["vox_offset"], header["magic"] = offset, b"n+1"
    header.set_sform(np.diag([1.0, 1, 1, 1]), 1)
    return header.binaryblock + bytes(4)


@SITUATIONS("a gzip bomb that claims 30,000 x 30,000 x 30,000 voxels")
def _(box: Box) -> Outcome:
    return _nifti(box, gzip.compress(_header((30_000, 30_000, 30_000)) + bytes(1 << 28)), "slices")


@SITUATIONS("a header of seven dimensions of 32,767 in a small file")
def _(box: Box) -> Outcome:
    return _nifti(box, gzip.compress(_header((32_767,) * 7) + bytes(1 << 16)), "volumes")


@SITUATIONS("a NIfTI extension of two gigabytes")
def _(box: Box) -> Outcome:
    extended = _header((8, 8, 8), float(2 << 30))[:348] + b"\1\0\0\0" + struct.pack("<ii", (2 << 30) - 368, 6)
    return _nifti(box, gzip.compress(extended + bytes(1 << 26)), "voxel offset")


_NRRD = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 48 48 10\nendian: little\nencoding: raw\n"
_META = b"ObjectType = Image\nNDims = 3\nDimSize = 48 48 10\nElementType = MET_SHORT\n"
HEADERS: dict[str, tuple[str, bytes]] = {
    "an .nrrd file whose voxels are another folder's file": (
        "a.nrrd",
        _NRRD + b"data file: ../secret.raw\n\n",
    ),
    "an .nhdr file that hides the file of its voxels behind a key": (
        "a.nhdr",
        _NRRD + b"data file:=a.raw\ndata file: ../secret.raw\n",
    ),
    "an .nrrd file whose voxels are a pipe": ("a.nrrd", _NRRD + b"data file: pipe\n\n"),
    "an .nrrd file whose voxels are text": (
        "a.nrrd",
        _NRRD.replace(b"raw", b"ascii") + b"\n" + bytes(range(256)) * 180,
    ),
    "an .nrrd file with a type of 5,000 letters": (
        "a.nrrd",
        _NRRD.replace(b"short", b"a" * 5000) + b"\n" + bytes(46080),
    ),
    "an .mha file whose voxels are another folder's file": (
        "a.mha",
        _META + b"ElementDataFile = ../secret.raw\n",
    ),
    "an .mha file with a list of files": ("a.mha", _META + b"ElementDataFile = LIST\n../secret.raw\n"),
    "an .mhd file that states its voxels twice": (
        "a.mhd",
        _META + b"ElementDataFile : ../secret.raw\nElementDataFile = a.raw\n",
    ),
    "a gzip header whose file name has no end": (
        "a.nii.gz",
        b"\x1f\x8b\x08\x08" + bytes(6) + b"a" * 1_000_000,
    ),
}


def _detached(name: str, content: bytes) -> Callable[[Box], Outcome]:
    def situation(box: Box) -> Outcome:
        folder = box.folder / "in"
        folder.mkdir()
        values = head(48, 48, 10).astype("<i2")
        (box.folder / "secret.raw").write_bytes(values.tobytes("F"))
        (folder / "a.raw").write_bytes(bytes(values.nbytes))
        os.mkfifo(folder / "pipe")
        nib.save(nib.Nifti1Image(values, np.diag([4.0, 4, 8, 1])), folder / "sound.nii")
        (folder / name).write_bytes(content)
        output = box.folder / "out.h5"
        ran = box.prima("embed", folder, output, "--workers", 0, "--no-report", seconds=60, memory=MEMORY)
        with h5py.File(output) as file:
            if len(file["study/id"]) != 1:
                return Outcome("silently wrong", "another file was read")
        return named(ran, "header", "another file", "damaged", codes=(3,))

    return situation


for sentence, (file_name, file_content) in HEADERS.items():
    SITUATIONS(sentence)(_detached(file_name, file_content))


@SITUATIONS("a sidecar nested 100,000 deep")
def _(box: Box) -> Outcome:
    folder = box.folder / "in"
    folder.mkdir()
    for name in ("a", "b"):
        nib.save(
            nib.Nifti1Image(head(48, 48, 10).astype(np.int16), np.diag([4.0, 4, 8, 1])),
            folder / f"{name}.nii.gz",
        )
    (folder / "a.json").write_text("[" * 100_000)
    ran = box.prima(
        "embed", folder, box.folder / "out.h5", "--workers", 0, "--no-report", seconds=120, memory=MEMORY
    )
    return named(ran, "json", codes=(0, 3))


# --- embeddings files -------------------------------------------------------------------------------------------------


def _embeddings(path: Path) -> Path:
    from prima_features.embedding.file.records import EmbeddedSeries, EmbeddedStudy
    from prima_features.embedding.file.write import Provenance, write_embeddings

    def study(number: int) -> EmbeddedStudy:
        random = np.random.default_rng(number)
        texts = {"name": "T1w", "plane": "axial", "source": "", "n_tokens": 7}
        sizes = {"shape": (24, 256, 256), "spacing": (5.0, 1.0, 1.0)}
        vectors = [random.normal(size=8).astype(np.float32) for _ in range(3)]
        series = (EmbeddedSeries(**texts, **sizes, embedding=vectors[2]),)
        return EmbeddedStudy(f"sub-{number}", f"{number}", "", "MRI", "", vectors[0], vectors[1], series)

    write_embeddings(
        path, map(study, range(4)), Provenance("tiny", "local", "ab12", {"matrix": 256}, "prima embed")
    )
    return path


def _labels(box: Box) -> Path:
    path = box.folder / "labels.tsv"
    path.write_text("participant_id\tage\n" + "".join(f"sub-{i}\t{40 + i}\n" for i in range(4)))
    return path


def _hostile_file(edit: Callable[[h5py.File], object]) -> Callable[[Box], Outcome]:
    """Every command that reads embeddings refuses the file and gives nothing of another."""

    def situation(box: Box) -> Outcome:
        path = _embeddings(box.folder / "bad.h5")
        sound = _embeddings(box.folder / "sound.h5")
        with h5py.File(box.folder / "secret.h5", "w") as secret:
            secret["data"] = np.full((4, 8), SECRET, "f4")
        (box.folder / "secret.bin").write_bytes(np.full(32, SECRET, "f4").tobytes())
        with contextlib.chdir(box.folder), h5py.File(path, "a", libver="latest") as file:
            edit(file)
        commands: list[tuple[object, ...]] = [
            ("inspect", path),
            ("export", path, box.folder / "out.csv"),
            ("merge", box.folder / "merged.h5", path, sound),
            ("report", path),
            (
                "probe",
                "fit",
                "brain-age",
                path,
                "--labels",
                box.folder / "labels.tsv",
                "--output",
                box.folder / "probe",
            ),
        ]
        (box.folder / "labels.tsv").write_text(
            "participant_id\tage\n" + "".join(f"sub-{i}\t{40 + i}\n" for i in range(4))
        )
        for command in commands:
            outcome = _bounded(box, *command, words="is not an embeddings file written by prima embed")
            if outcome.verdict != "named":
                return Outcome(outcome.verdict, f"{command[0]}: {outcome.detail}")
        if (box.folder / "out.csv").exists():
            return Outcome("silently wrong", "a table was written")
        return Outcome("named", f"by {len(commands)} commands")

    return situation


def _put(name: str, make: Callable[[h5py.Group, str], object]) -> Callable[[h5py.File], object]:
    def edit(file: h5py.File) -> object:
        group, _, last = name.rpartition("/")
        del file[name]
        return make(file[group or "/"], last)

    return edit


def _virtual(group: h5py.Group, name: str) -> None:
    layout = h5py.VirtualLayout((4, 8), "f4")
    layout[:] = h5py.VirtualSource("secret.h5", "data", (4, 8))
    group.create_virtual_dataset(name, layout)


def _bomb(group: h5py.Group, name: str) -> None:
    data = group.create_dataset(name, (1 << 25, 8), "f4", chunks=(1 << 18, 8), compression="gzip")
    packed = zlib.compress(bytes(1 << 23), 9)
    for first in range(0, 1 << 25, 1 << 18):
        data.id.write_direct_chunk((first, 0), packed)


def _inflating(group: h5py.Group, name: str) -> None:
    data = group.create_dataset(name, (4, 8), "f4", chunks=(4, 8), compression="gzip")
    deflater = zlib.compressobj(9, wbits=-15)
    packed = deflater.compress(bytes(1 << 20)) + deflater.flush(zlib.Z_FULL_FLUSH)
    data.id.write_direct_chunk((0, 0), b"\x78\xda" + packed * 4000)


FILES: dict[str, Callable[[h5py.File], object]] = {
    "vectors of 128 bytes whose only piece inflates to four gigabytes": _put("study/embedding", _inflating),
    "vectors behind an external link": _put(
        "study/embedding",
        lambda group, name: group.__setitem__(name, h5py.ExternalLink("secret.h5", "/data")),
    ),
    "vectors that are a view of another file": _put("study/embedding", _virtual),
    "vectors kept in another file's bytes": _put(
        "study/embedding",
        lambda group, name: group.create_dataset(name, (4, 8), "f4", external=[("secret.bin", 0, 128)]),
    ),
    "a table behind a soft link to the root": _put(
        "failure", lambda group, name: group.__setitem__(name, h5py.SoftLink("/study"))
    ),
    "gigabytes of deflated zeros as vectors": _put("study/embedding", _bomb),
    "a petabyte of vectors that were never written": _put(
        "study/embedding", lambda group, name: group.create_dataset(name, (4, 1 << 48), "f4", chunks=(1, 8))
    ),
    "object references as counts": _put(
        "study/n_series",
        lambda group, name: group.create_dataset(name, data=[group.ref] * 4, dtype=h5py.ref_dtype),
    ),
    "a table that contains itself": _put("failure", lambda group, name: group.__setitem__(name, group)),
    "more ids than vectors": lambda file: file["study/id"].resize(9, 0),
    "series of studies that do not exist": lambda file: file["series/study"].__setitem__(3, 99),
    "an attribute of many numbers": lambda file: file.attrs.__setitem__("model", np.zeros(5_000)),
    "an opaque attribute": lambda file: file.attrs.__setitem__("command", np.void(b"x" * 100)),
}
for sentence, edit in FILES.items():
    SITUATIONS(f"embeddings file with {sentence}")(_hostile_file(edit))


@SITUATIONS("embeddings file with a run record nested 100,000 deep")
def _(box: Box) -> Outcome:
    path = _embeddings(box.folder / "out.h5")
    (box.folder / "out.run.json").write_text("[" * 100_000)
    ran = box.prima("report", path, seconds=SECONDS, memory=MEMORY)
    return Outcome("right") if ran.code == 0 else Outcome("silently wrong", ran.text[-300:])


@SITUATIONS("a folder of parts whose plan names files outside")
def _(box: Box) -> Outcome:
    folder = box.folder / "out.h5.parts"
    folder.mkdir()
    plan = {
        "provenance": {"model": "m", "model_revision": "", "model_sha256": "", "preprocessing": {}, "command": ""},
        "settings": "a", "dtype": "float32", "studies": ["../../victim"], "left_out": [],
    }  # fmt: skip
    (folder / "plan.json").write_text(json.dumps(plan))
    return _bounded(box, "merge", box.folder / "out.h5", words="not a parts folder")


# --- settings, probes, models -----------------------------------------------------------------------------------------


@SITUATIONS("training settings that are /dev/zero")
def _(box: Box) -> Outcome:
    return _bounded(box, "pretrain", "clip", "/dev/zero", words="not a regular file")


@SITUATIONS("training settings with a number of 6,000 digits")
def _(box: Box) -> Outcome:
    (box.folder / "a.toml").write_text("seed = 1" + "0" * 6000)
    return _bounded(box, "pretrain", "clip", box.folder / "a.toml", words="number")


@SITUATIONS("training settings with a key of 100,000 parts")
def _(box: Box) -> Outcome:
    (box.folder / "a.toml").write_text(".".join("a" * 100_000) + " = 1")
    return _bounded(box, "pretrain", "clip", box.folder / "a.toml", words="parts")


@SITUATIONS("a filter file that is a pipe")
def _(box: Box) -> Outcome:
    (box.folder / "in").mkdir()
    (box.folder / "in" / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.9.0"}')
    os.mkfifo(box.folder / "filter.json")
    return _bounded(
        box, "inspect", box.folder / "in", "--bids-filter-file", box.folder / "filter.json", words="regular"
    )


@SITUATIONS("a label table that is a pipe")
def _(box: Box) -> Outcome:
    os.mkfifo(box.folder / "labels.tsv")
    path = _embeddings(box.folder / "a.h5")
    return _bounded(
        box, "probe", "fit", "brain-age", path, "--labels", box.folder / "labels.tsv", "--output", box.folder / "p",
        words="is not a regular file",
    )  # fmt: skip


@SITUATIONS("a pattern of series names that takes exponential time")
def _(box: Box) -> Outcome:
    path = _embeddings(box.folder / "a.h5")
    with h5py.File(path, "a") as file:
        file["series/name"][0] = "a" * 60 + "!"
    (box.folder / "labels.tsv").write_text(
        "participant_id\tage\n" + "".join(f"sub-{i}\t{40 + i}\n" for i in range(4))
    )
    return _bounded(
        box, "probe", "fit", "brain-age", path, "--labels", box.folder / "labels.tsv", "--output", box.folder / "p",
        "--level", "series", "--series", "(a+)+$", words="takes too long",
    )  # fmt: skip


def _probe(edit: Callable[[dict], object] | str) -> Callable[[Box], Outcome]:
    def situation(box: Box) -> Outcome:
        import shutil

        source = Path(__file__).parents[2] / "tests" / "data" / "probes" / "v1" / "ridge"
        folder = Path(shutil.copytree(source, box.folder / "probe"))
        path = folder / "probe.json"
        if isinstance(edit, str):
            path.write_text(edit)
        else:
            document = json.loads(path.read_text())
            edit(document)
            path.write_text(json.dumps(document))
        file = _embeddings(box.folder / "a.h5")
        return _bounded(box, "probe", "predict", folder, file, box.folder / "out.tsv", words="probe")

    return situation


PROBES: dict[str, Callable[[dict], object] | str] = {
    "no checksums": lambda document: document.update(files={}),
    "version 0": lambda document: document.update(format_version=0),
    "a threshold of infinity": lambda document: document["decision"].update(threshold=float("inf")),
    "ten billion features": lambda document: document["training"].update(n_features=10**10),
    "a document nested 100,000 deep": "[" * 100_000,
    "a number of 6,000 digits": '{"format": 1' + "0" * 6000 + "}",
}
for sentence, change in PROBES.items():
    SITUATIONS(f"a probe with {sentence}")(_probe(change))


def _model(change: object) -> Callable[[Box], Outcome]:
    def situation(box: Box) -> Outcome:
        from prima_features.encoders.prima.networks.config import PrimaConfig

        folder = box.folder / "model"
        folder.mkdir()
        content = change
        if isinstance(change, dict):
            values = json.loads(json.dumps(PrimaConfig().to_json()))
            for part, replaced in change.items():
                values[part] = (values.get(part) or {}) | replaced if isinstance(replaced, dict) else replaced
            content = json.dumps(values)
        (folder / "config.json").write_text(str(content))
        (folder / "model.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
        return _bounded(box, "weights", "verify", folder, words="config")

    return situation


MODELS: dict[str, object] = {
    "a billion layers": {
        "sequence": {
            "transformer": {"dim": 289, "depth": 10**9, "heads": 16, "dim_head": 64, "mlp_dim": 1024}
        }
    },
    "a codebook of a trillion vectors": {"tokenizer": {"codes": 10**12}},
    "a configuration nested 100,000 deep": "[" * 100_000,
    "sizes that are text": {"contrast": {"hidden": "500", "out_dim": 128}},
    "a percentage of a billion": {"preprocessing": {"infill_percent": 10**9}},
    "a key that is there twice": '{"model_type": "prima", "model_type": "prima"}',
}
for sentence, change in MODELS.items():
    SITUATIONS(f"a model with {sentence}")(_model(change))


@SITUATIONS("a caveat of several lines, one of which looks like a message of prima")
def _(box: Box) -> Outcome:
    return _model({"caveat": "a\nAll checks passed"})(box)


@SITUATIONS("a workbook whose next row is number two billion")
def _(box: Box) -> Outcome:
    import zipfile

    import pandas as pd

    plain, path = box.folder / "plain.xlsx", box.folder / "labels.xlsx"
    pd.DataFrame({"participant_id": ["1"], "age": [50]}).to_excel(plain, index=False)
    with zipfile.ZipFile(plain) as whole, zipfile.ZipFile(path, "w") as made:
        for name in whole.namelist():
            content = whole.read(name)
            if name.endswith("sheet1.xml"):
                row = b'<row r="2000000000"><c r="A2000000000"><v>1</v></c></row></sheetData>'
                content = content.replace(b"</sheetData>", row)
            made.writestr(name, content)
    file = _embeddings(box.folder / "a.h5")
    for arguments in (
        ("probe", "fit", "brain-age", file, "--labels", path, "--output", box.folder / "p"),
        ("reports", "summarize", path, box.folder / "o.tsv", "--method", "rules", "--report-column", "age"),
    ):
        if (outcome := _bounded(box, *arguments, words="damaged Excel")).verdict != "named":
            return outcome
    return outcome


# --- servers ----------------------------------------------------------------------------------------------------------


class _Answers(ThreadingHTTPServer):
    """A server that gives one answer to everything, and notes the tokens that it was sent."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes):
        self.tokens: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if token := self.headers.get("Authorization"):
                    server.tokens.append(token)
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


def _hub(box: Box, address: str, *arguments: object) -> Ran:
    """The command with a server in the Hub's place, in a process of its own: the client reads its address once."""
    import subprocess
    import sys
    import time

    environment = os.environ | {
        "HF_ENDPOINT": address, "HF_HOME": str(box.folder / "home"), "HF_TOKEN": "hf_secret", "NO_PROXY": "127.0.0.1",
    }  # fmt: skip
    code = "import sys; from prima_features.cli.main import main; sys.exit(main(sys.argv[1:]))"
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return Ran(done.returncode, done.stdout + done.stderr, time.monotonic() - started)


@SITUATIONS("a captive portal that answers 200 with a page, for every command that uses the Hub")
def _(box: Box) -> Outcome:
    server = _Answers(200, {"Content-Type": "text/html"}, b"<html>Log in</html>")
    file = _embeddings(box.folder / "a.h5")
    (box.folder / "in").mkdir()
    nib.save(
        nib.Nifti1Image(head(48, 48, 10).astype(np.int16), np.diag([4.0, 4, 8, 1])),
        box.folder / "in" / "a.nii",
    )
    commands: list[tuple[object, ...]] = [
        ("weights", "download", "lab/model"),
        ("weights", "verify", "lab/model"),
        ("embed", box.folder / "in", box.folder / "out.h5", "--model", "lab/model"),
        ("probe", "predict", "lab/probe", file, box.folder / "out.tsv"),
    ]
    for command in commands:
        outcome = named(_hub(box, server.address, *command), "web page")
        if outcome.verdict != "named":
            return Outcome(outcome.verdict, f"{command[0]}: {outcome.detail}")
    return Outcome("named", f"by {len(commands)} commands")


@SITUATIONS("a Hub that redirects to another host")
def _(box: Box) -> Outcome:
    other = _Answers(200, {"Content-Type": "text/html"}, b"<html></html>")
    server = _Answers(302, {"Location": f"{other.address}/x"}, b"")
    ran = _hub(box, server.address, "weights", "download", "lab/model")
    return Outcome("silently wrong", "the token was sent") if other.tokens else named(ran, "web page", "Hub")


@SITUATIONS("a Hub that names a commit outside the cache")
def _(box: Box) -> Outcome:
    server = _Answers(200, {"X-Repo-Commit": "../../../../../evil", "ETag": '"a"'}, b"{}")
    ran = _hub(box, server.address, "weights", "verify", "lab/model")
    if [path for path in box.folder.rglob("*") if "evil" in path.name]:
        return Outcome("silently wrong", "a file was written outside the cache")
    return named(ran, "invalid commit or file name")


@SITUATIONS("a Hub whose answer has no end")
def _(box: Box) -> Outcome:
    server = _Answers(200, {"Content-Encoding": "gzip"}, gzip.compress(bytes(1 << 30), 1))
    return named(_hub(box, server.address, "weights", "download", "lab/model"), "more than")


@SITUATIONS("a Hub that sends other weights than its checksum says")
def _(box: Box) -> Outcome:
    headers = {"X-Repo-Commit": "0" * 40, "ETag": '"a"', "X-Linked-Etag": f'"{"1" * 64}"'}
    server = _Answers(200, headers, b"weights")
    return named(_hub(box, server.address, "weights", "verify", "lab/model"), "does not match its checksum")


@SITUATIONS("a language-model server whose message has terminal commands")
def _(box: Box) -> Outcome:
    body = json.dumps({"error": {"message": "\x1b]0;x\x07\x1b[2J" + "a" * 10_000}}).encode()
    server = _Answers(400, {}, body)
    (box.folder / "r.tsv").write_text("study_id\treport\na\tFINDINGS: infarct. IMPRESSION: infarct.\n")
    ran = box.prima(
        "reports", "summarize", box.folder / "r.tsv", box.folder / "o.tsv", "--endpoint", server.address,
        "--model", "m", seconds=SECONDS,
    )  # fmt: skip
    return Outcome("silently wrong", "control characters") if "\x1b]0" in ran.text else named(ran, "400")


@SITUATIONS("a language-model server that answers with 100,000 nested lists")
def _(box: Box) -> Outcome:
    server = _Answers(200, {}, b"[" * 100_000)
    (box.folder / "r.tsv").write_text("study_id\treport\na\tFINDINGS: infarct. IMPRESSION: infarct.\n")
    return _bounded(
        box, "reports", "summarize", box.folder / "r.tsv", box.folder / "o.tsv", "--endpoint", server.address,
        "--model", "m", "--retries", "0", words="chat completion",
    )  # fmt: skip


# --- code -------------------------------------------------------------------------------------------------------------


@SITUATIONS("a folder of scans that contains SimpleITK.py, numpy.py, json.py and sitecustomize.py")
def _(box: Box) -> Outcome:
    import subprocess
    import sys

    trace = box.folder / "ran"
    (box.folder / "in").mkdir()
    for number in range(2):
        image = nib.Nifti1Image(head(48, 48, 10, number).astype(np.int16), np.diag([4.0, 4, 8, 1]))
        nib.save(image, box.folder / "in" / f"{number}.nii")
    for name in (
        "SimpleITK",
        "numpy",
        "torch",
        "nibabel",
        "sitecustomize",
        "multiprocessing",
        "scipy",
        "json",
    ):
        (box.folder / f"{name}.py").write_text(f"open({str(trace)!r}, 'a').write('x')\nraise SystemExit(9)\n")
    script = str(Path(sys.executable).with_name("prima"))
    for command in ([script], [sys.executable, "-m", "prima_features.cli.main"]):
        done = subprocess.run(
            [*command, "embed", "in", f"{len(command)}.h5", "--workers", "2", "--no-report"],
            cwd=box.folder,
            capture_output=True,
            text=True,
        )
        if trace.exists() or done.returncode:
            return Outcome("silently wrong", f"exit code {done.returncode}: {done.stderr[-300:]}")
    return Outcome("right")
