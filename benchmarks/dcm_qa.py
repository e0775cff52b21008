"""Compare each series read from DICOM with its NIfTI: python benchmarks/dcm_qa.py FOLDER [--json].

FOLDER is a checkout of one or more public suites (dcm_qa, dcm_qa_nih, dcm_qa_uih, ...): any folders below it that
contain `In` with DICOM files and `Ref` with NIfTI files. Both are read as `prima embed` reads them, the first volume
of a time series and the first of the lowest b-value, and compared voxel by voxel after resampling. A NIfTI file belongs
to the DICOM series that it resembles most; names play no part.

    equal         voxels agree to 1 unit, which truncation to whole numbers explains, or to a thousandth of the range
    differs       they do not
    no NIfTI      no file of `Ref` resembles the series
    not read      DICOM or NIfTI is left out or refused; the reason follows

The exit code is 1 if any series differs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from prima_features.encoders.prima.prepare import read_volume
from prima_features.errors import PrimaError
from prima_features.studies.dicom import DicomOptions, find_dicom
from prima_features.studies.nifti import find_nifti
from prima_features.studies.study import NiftiImage, Series
from prima_features.volumes import ReadOptions, Volume

_SAME_SCAN = 0.9
"""Least correlation of two readings of one series: tilted or flipped readings of it have less, other scans far less."""


@dataclass(frozen=True)
class Row:
    """The verdict on one series or file."""

    suite: str
    series: str
    verdict: str
    nifti: str = ""
    detail: str = ""
    largest_difference: float | None = None
    voxels_differing: float | None = None
    """Share of voxels that differ by more than the tolerance."""


def main() -> int:
    """Compare and print."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--min-slices", type=int, default=2, help="as of prima embed (default: 2)")
    chosen = parser.parse_args()
    suites = find_suites(chosen.folder)
    if not suites:
        parser.error(f"no folder below {chosen.folder} contains both In and Ref")
    rows = [row for suite in suites for row in compare_suite(suite, chosen.folder, chosen.min_slices)]
    counts = Counter(row.verdict for row in rows)
    if chosen.json:
        print(json.dumps({"counts": counts, "series": [asdict(row) for row in rows]}, indent=1))
    else:
        for row in rows:
            print(_line(row))
        print(
            f"{len(rows)} series and files: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
        )
    return int(counts["differs"] > 0)


def find_suites(folder: Path) -> list[Path]:
    """Folders that contain `In` and `Ref`."""
    inputs = (path for path in [folder / "In", *folder.rglob("In")] if path.is_dir())
    return sorted({path.parent for path in inputs if (path.parent / "Ref").is_dir()})


def compare_suite(suite: Path, root: Path, min_slices: int) -> Iterator[Row]:
    """One row per DICOM series, then one per NIfTI file that no series resembles."""
    name = suite.relative_to(root).as_posix()
    references, refused = {}, []
    for path in sorted((suite / "Ref").rglob("*.nii*")):
        try:
            references[path.relative_to(suite / "Ref").as_posix()] = _read_reference(path, min_slices)
        except PrimaError as error:
            refused.append(Row(name, "", "not read", path.name, f"NIfTI: {error}"))
    found = find_dicom(suite / "In", DicomOptions(time_series="first", min_slices=min_slices))
    for item in found.left_out:
        yield Row(name, item.series, "not read", detail=f"DICOM: {item.error}")
    used = set()
    for series in (series for study in found.studies for series in study.series):
        row = _compare(name, series, references, min_slices)
        used.add(row.nifti)
        yield row
    yield from refused
    for reference in references.keys() - used:
        yield Row(name, "", "not read", reference, "no DICOM series that is read resembles it")


def _read_reference(path: Path, min_slices: int) -> Volume:
    found = find_nifti(path)
    ((series,),) = (study.series for study in found.studies) if found.studies else (_raise(found),)
    if isinstance(series.image, NiftiImage):
        series = replace(series, image=replace(series.image, volumes=series.image.volumes[:1]))
    return read_volume(series, options=ReadOptions(min_slices=min_slices))


def _raise(found: object) -> tuple[Series]:
    raise PrimaError("; ".join(item.error for item in found.left_out))  # type: ignore[attr-defined]


def _compare(suite: str, series: Series, references: dict[str, Volume], min_slices: int) -> Row:
    try:
        volume = read_volume(series, options=ReadOptions(min_slices=min_slices))
    except PrimaError as error:
        return Row(suite, series.name, "not read", detail=f"DICOM: {error}")
    alike = {name: _correlation(volume, other) for name, other in references.items()}
    best = max(alike, key=lambda name: (alike[name], name), default="")
    if not best or alike[best] < _SAME_SCAN:
        return Row(suite, series.name, "no NIfTI", detail=f"shape {volume.values.shape}")
    own, other = volume.values.astype(float), references[best].values.astype(float)
    difference = np.abs(own - other)
    tolerance = max(1.0 + 1e-6, 1e-3 * float(np.ptp(own))) if np.ptp(own) > 5 else 1e-3 * float(np.ptp(own))
    # A fill value, SimpleITK's number of the pixel type, is no voxel of the scan.
    difference[(own == _fill(volume)) & (other == _fill(references[best]))] = 0
    share = float((difference > tolerance).mean())
    same_axis = volume.slice_axis == references[best].slice_axis
    detail = "" if same_axis else "the slice axis differs"
    verdict = "equal" if share == 0 and same_axis else "differs"
    return Row(suite, series.name, verdict, best, detail, float(difference.max()), share)


def _fill(volume: Volume) -> float:
    import SimpleITK as sitk

    return float(sitk.GetImageFromArray(volume.values[:1, :1, :1]).GetPixelID())


def _correlation(one: Volume, other: Volume) -> float:
    """Of every fourth voxel; 0 for other shapes."""
    if one.values.shape != other.values.shape:
        return 0.0
    a, b = (volume.values[::4, ::4, ::4].astype(float).ravel() for volume in (one, other))
    scale = float(np.std(a) * np.std(b))
    return float(np.mean((a - a.mean()) * (b - b.mean()))) / scale if scale else float(np.array_equal(a, b))


def _line(row: Row) -> str:
    numbers = ""
    if row.largest_difference is not None and row.voxels_differing is not None:
        numbers = (
            f"largest difference {row.largest_difference:.4g}, {100 * row.voxels_differing:.3g}% of voxels"
        )
    parts = [row.suite, row.series, row.nifti, numbers, row.detail]
    return f"{row.verdict:<9} " + "  ".join(filter(None, parts))


if __name__ == "__main__":
    sys.exit(main())
