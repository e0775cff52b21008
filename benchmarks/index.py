"""How long it takes to find the studies of large sources, and in how much memory: python benchmarks/index.py [--json].

With `--baseline CHECKOUT/.venv/bin/python`, another installation searches the same trees alternately.

A BIDS tree of 10,000 sessions, each with two images, of a few bytes, and their sidecars; and a DICOM tree of 20,000
slices of 16 x 16 pixels with a scanner's elements, private ones among them, written with pydicom and named as four
makers name files. Each tree is looked through by `prima_features.studies.find` at half and at full size, every time in
a process of its own, with the files in the system's cache. Peak memory is the peak resident set (`VmHWM` of
`/proc/self/status`); what it grows by from half to full size, over the files that came on top, is what a file costs.
The CPU's seconds are those of the process, which other load on the machine does not lengthen.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from prima_features.studies.dicom.index import LEAST_FILES

SESSIONS, SLICES = 10_000, 20_000
PER_SUBJECT = 2
"""Sessions of a subject; DICOM studies of a patient."""
SERIES = ("AX T1 SE", "SAG T1 MPRAGE", "AX T2 TSE", "AX T2 FLAIR", "AX DWI b0")
PER_SERIES = 40
FILES_OF_A_SESSION = 4
UID = "1.2.826.0.1.3680043.8.498.77"

FIND = """
import json, sys, time
from pathlib import Path
from prima_features.studies import FindOptions, Pseudonyms, find

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))

before, began, cpu = peak(), time.monotonic(), time.process_time()
index = {"index": Path(sys.argv[2])} if len(sys.argv) > 2 else {}
found = find(Path(sys.argv[1]), FindOptions(), Pseudonyms(bytes(range(32))), **index)
print(json.dumps({"find_s": time.monotonic() - began, "cpu_s": time.process_time() - cpu,
                  "studies": len(found.studies), "series": sum(len(study.series) for study in found.studies),
                  "left_out": len(found.left_out), "peak_bytes": peak(), "peak_before_bytes": before}))
"""


def main() -> None:
    """Measure, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--sessions", type=int, default=SESSIONS)
    parser.add_argument("--slices", type=int, default=SLICES)
    parser.add_argument("--repeats", type=int, default=3, help="runs of each, of which the shortest counts")
    parser.add_argument("--baseline", type=Path, help="the Python of another installation")
    parser.add_argument("--only", choices=("bids", "dicom"), help="one of the trees")
    parser.add_argument("--folder", type=Path, help="where to work (default: the system's temporary folder)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        trees = {
            "bids": (make_session, FILES_OF_A_SESSION, chosen.sessions),
            "dicom": (make_series, PER_SERIES, chosen.slices // PER_SERIES),
        }
        result: dict[str, Any] = {"load": round(os.getloadavg()[0], 1)}
        for name, (make, n_files, number) in trees.items():
            if chosen.only in (None, name):
                result[name] = measure(Path(folder, name), make, n_files, number, chosen)
    if chosen.json:
        print(json.dumps(result))
        return
    print(json.dumps(result, indent=4))


def measure(
    root: Path, make: Callable[[Path, int], None], n_files: int, count: int, chosen: argparse.Namespace
) -> dict[str, Any]:
    """Look through a tree of `count` things of `n_files` files each, when half of it and when all of it is there.

    A DICOM tree that is large enough for an index is looked through again with it, and again with one study added.
    """
    this = Path(sys.executable)
    sizes: dict[str, dict[str, Any]] = {}
    for name, start, stop in (("half", 0, count // 2), ("full", count // 2, count)):
        for number in range(start, stop):
            make(root, number)
        sizes[name] = look_through([this], root, stop * n_files, chosen.repeats)[0]
    more = sizes["full"]["files"] - sizes["half"]["files"]
    grown = sizes["full"].pop("peak_bytes") - sizes["half"].pop("peak_bytes")
    result: dict[str, Any] = sizes | {"more_bytes_per_file": round(grown / more)}
    if chosen.baseline is not None:
        _, result["baseline"] = look_through([this, chosen.baseline], root, count * n_files, chosen.repeats)
    if make is make_series and count * n_files >= LEAST_FILES:
        time.sleep(3)  # files that have just changed are not remembered
        index = root.with_suffix(".index")
        run_find(this, root, index)
        result["with_index"] = look_through([this], root, count * n_files, chosen.repeats, index)[0]
        result["with_index_grown"] = look_through_grown(root, index, count, chosen.repeats)
    return result


def look_through_grown(root: Path, index: Path, count: int, repeats: int) -> dict[str, Any]:
    """Look through a DICOM tree to which one study was added since its index was written."""
    before = index.read_bytes()
    for number in range(count, count + len(SERIES)):
        make_series(root, number)
    time.sleep(3)
    runs = []
    for _ in range(repeats):
        index.write_bytes(before)
        runs.append(run_find(Path(sys.executable), root, index))
    return best_of(runs, (count + len(SERIES)) * PER_SERIES)


def look_through(
    pythons: Sequence[Path], root: Path, n_files: int, repeats: int, index: Path | None = None
) -> list[dict[str, Any]]:
    """Find what is in the tree several times with each Python, alternately, each in a process of its own."""
    runs = [[run_find(python, root, index) for python in pythons] for _ in range(repeats)]
    return [best_of(one, n_files) for one in zip(*runs, strict=True)]


def run_find(python: Path, root: Path, index: Path | None = None) -> dict[str, Any]:
    """One search in a process of its own."""
    more = [] if index is None else [str(index)]
    done = subprocess.run([python, "-P", "-c", FIND, root, *more], capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def best_of(runs: Sequence[dict[str, Any]], n_files: int) -> dict[str, Any]:
    """The run of the shortest CPU time."""
    best = min(runs, key=lambda run: run["cpu_s"])
    return {
        "files": n_files,
        "studies": best["studies"],
        "series": best["series"],
        "left_out": best["left_out"],
        "find_s": round(min(run["find_s"] for run in runs), 2),
        "cpu_s": round(best["cpu_s"], 2),
        "files_per_cpu_s": round(n_files / best["cpu_s"]),
        "peak_mb": round(best["peak_bytes"] / 1e6),
        "peak_before_mb": round(best["peak_before_bytes"] / 1e6),
        "peak_bytes": best["peak_bytes"],
    }


def make_session(root: Path, number: int) -> None:
    """One session of a BIDS dataset: T1w and FLAIR."""
    subject, session = f"sub-{number // PER_SUBJECT:05}", f"ses-{number % PER_SUBJECT + 1}"
    folder = root / subject / session / "anat"
    folder.mkdir(parents=True)
    for suffix in ("T1w", "FLAIR"):
        name = folder / f"{subject}_{session}_{suffix}"
        name.with_suffix(".nii.gz").write_text(
            f"{subject} {session} {suffix}"
        )  # finding does not open images
        fields = {"SeriesDescription": f"AX {suffix}", "ImageOrientationPatientDICOM": [1, 0, 0, 0, 1, 0]}
        name.with_suffix(".json").write_text(json.dumps(fields | {"EchoTime": 0.09, "RepetitionTime": 5.0}))
    (root / "dataset_description.json").write_text('{"Name": "made up", "BIDSVersion": "1.9.0"}')


def make_series(root: Path, number: int) -> None:
    """One series of a DICOM tree, a file a slice."""
    study, place = divmod(number, len(SERIES))
    data = scanner_elements(study, place)
    names = (
        lambda i: f"IM{i + 1:04}.dcm",
        lambda i: f"MR.{data.SeriesInstanceUID}.{i + 1}",  # Siemens
        lambda i: f"i{number * PER_SERIES + i}.MRDCM.{i + 1}",  # GE
        lambda i: f"IM_{number * PER_SERIES + i:06}",  # Philips
    )
    folder = root / f"{study // PER_SUBJECT:05}" / f"{study % PER_SUBJECT}" / f"{place:03}"
    folder.mkdir(parents=True)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta = meta
    for index in range(PER_SERIES):
        data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = f"{data.SeriesInstanceUID}.{index + 1}"
        data.InstanceNumber = index + 1
        data.ImagePositionPatient = [-120, -120, -80 + 4 * index]
        data.SliceLocation = -80 + 4 * index
        data.AcquisitionTime = f"1012{index:02}.250000"
        data.save_as(folder / names[study % len(names)](index), enforce_file_format=True)


def scanner_elements(study: int, place: int) -> Dataset:
    """What all slices of a series share."""
    data = Dataset()
    elements: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 100",
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "NORM"],
        "SOPClassUID": MRImageStorage,
        "StudyInstanceUID": f"{UID}.{study + 1}",
        "SeriesInstanceUID": f"{UID}.{study + 1}.{place + 1}",
        "FrameOfReferenceUID": f"{UID}.{study + 1}.0",
        "StudyDate": "20210104",
        "StudyTime": "100000",
        "ContentTime": "101300",
        "AccessionNumber": f"{study:08}",
        "Modality": "MR",
        "Manufacturer": "SIEMENS",
        "ManufacturerModelName": "Prisma",
        "InstitutionName": "made up",
        "StationName": "MR1",
        "StudyDescription": "MRI BRAIN W WO CONTRAST",
        "SeriesDescription": SERIES[place],
        "ProtocolName": SERIES[place].lower(),
        "PatientName": f"Made^Up {study // PER_SUBJECT}",
        "PatientID": f"MADEUP{study // PER_SUBJECT:05}",
        "PatientSex": "F",
        "PatientAge": "052Y",
        "PatientWeight": 70,
        "ScanningSequence": "SE",
        "SequenceVariant": "SK",
        "SequenceName": "*se2d1",
        "MRAcquisitionType": "2D",
        "SliceThickness": 4,
        "RepetitionTime": 5000,
        "EchoTime": 90,
        "EchoNumbers": 1,
        "NumberOfAverages": 1,
        "ImagingFrequency": 123.2,
        "ImagedNucleus": "1H",
        "MagneticFieldStrength": 3,
        "SpacingBetweenSlices": 4,
        "EchoTrainLength": 15,
        "PercentSampling": 100,
        "PixelBandwidth": 200,
        "DeviceSerialNumber": "45001",
        "SoftwareVersions": "syngo MR E11",
        "TransmitCoilName": "Body",
        "AcquisitionMatrix": [0, 16, 16, 0],
        "FlipAngle": 90,
        "SAR": 0.5,
        "PatientPosition": "HFS",
        "SeriesNumber": place + 1,
        "AcquisitionNumber": 1,
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": 16,
        "Columns": 16,
        "PixelSpacing": [15, 15],
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "WindowCenter": 400,
        "WindowWidth": 800,
    }
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    private = data.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    private.add_new(0x10, "OB", bytes(8192))
    private.add_new(0x20, "OB", bytes(8192))
    data.add_new("PixelData", "OW", np.arange(256, dtype=np.uint16).tobytes())
    return data


if __name__ == "__main__":
    main()
