"""NIfTI: headers, encodings, values, the slice axis, and what is no whole head."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from situations.common import Box, Outcome, Ran, Situations, cosine, head, named

SITUATIONS = Situations("nifti")

AFFINE = np.array([[-2.0, 0, 0, 95], [0, -2, 0, 111], [0, 0, 4, -58], [0, 0, 0, 1]])
_HEAD = np.rint(head()).astype(np.int16)


def both_forms(values: np.ndarray = _HEAD, affine: np.ndarray = AFFINE) -> nib.Nifti1Image:
    """An image whose sform and qform both are `affine`."""
    image = nib.Nifti1Image(values, affine)
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    return image


def edited(**fields: Any) -> bytes:
    """The phantom, with some header fields changed after the file was made."""
    content = bytearray(both_forms().to_bytes())
    header = nib.Nifti1Header(bytes(content[:348]))
    for name, value in fields.items():
        header[name] = value
    content[:348] = header.structarr.tobytes()
    return bytes(content)


def embed(box: Box, odd: bytes, *options: object, name: str = "scan.nii", sidecar: object = None) -> Ran:
    """Embed the phantom as study `clean`, and a file next to it as study `odd`."""
    for study, content, file in (("clean", both_forms().to_bytes(), "scan.nii"), ("odd", odd, name)):
        (box.folder / "in" / study).mkdir(parents=True)
        (box.folder / "in" / study / file).write_bytes(content)
    if sidecar is not None:
        (box.folder / "in" / "odd" / "scan.json").write_text(json.dumps(sidecar))
    return box.prima(
        "embed", box.folder / "in", box.folder / "out.h5", "--workers", 0, "--no-report", *options
    )


def verdict(box: Box, ran: Ran, least: float = 0.9999) -> Outcome:
    """Right if both studies have one vector; named if the odd one has failed, or has a flag that says why."""
    from prima_features import read_embeddings

    if ran.code != 0:
        return named(ran, "sub-odd")
    file = read_embeddings(box.folder / "out.h5")
    ids, vectors = file.studies["id"].tolist(), file.study_embedding
    if ids != ["sub-clean", "sub-odd"]:
        return Outcome("silently wrong", f"studies {ids}")
    found, series = cosine(*vectors), file.series.iloc[-1]
    doubts = [
        series["flags"],
        series["slice_axis_known_by"] if "guess" in series["slice_axis_known_by"] else "",
    ]
    doubt = ", ".join(filter(None, doubts))
    if found >= least:
        return Outcome("right", doubt)
    kind = "named" if doubt and "Flagged series" in ran.text else "silently wrong"
    return Outcome(kind, f"cosine {found:.5f}; {doubt}")  # type: ignore[arg-type]


def register(name: str, make: Callable[[], bytes], *options: object, file: str = "scan.nii") -> None:
    """A situation that is one file next to the clean one."""

    @SITUATIONS(name)
    def run(box: Box) -> Outcome:
        return verdict(box, embed(box, make(), *options, name=file))


_ZEROS = dict.fromkeys(("srow_x", "srow_y", "srow_z"), (0.0, 0.0, 0.0, 0.0))
_PIXDIM = np.array([-1.0, 2, 2, 4, 1, 1, 1, 1])

register("the sform is NaN and the qform is sound", lambda: edited(srow_x=(np.nan,) * 4))
register("one row of the sform is zero", lambda: edited(srow_z=(0.0,) * 4))
register("the sform is zero and the qform code is 3", lambda: edited(qform_code=3, **_ZEROS))
register("the qform swaps front and back", lambda: edited(quatern_b=1.0, quatern_c=0.0, quatern_d=0.0))
register("the sform is scaled against the qform", lambda: edited(srow_z=(0.0, 0.0, 8.0, -58.0)))
register("both codes are 0 with sound forms", lambda: edited(sform_code=0, qform_code=0))
register("no form and no voxel sizes", lambda: edited(sform_code=0, qform_code=0, pixdim=0 * _PIXDIM))
register("voxel sizes are negative", lambda: edited(qform_code=0, pixdim=-np.abs(_PIXDIM)))
register("voxel sizes are 0 next to a sound sform", lambda: edited(pixdim=0 * _PIXDIM))
register("the quaternion is not of unit length", lambda: edited(sform_code=0, quatern_b=2.0))
register("the slope is 0 with an intercept", lambda: edited(scl_slope=0.0, scl_inter=7.0))
register("the slope is infinite", lambda: edited(scl_slope=np.inf, scl_inter=0.0))
register("the intercept is NaN with a slope", lambda: edited(scl_slope=1.0, scl_inter=np.nan))
register("the offset of the voxels is 0", lambda: edited(vox_offset=0.0))
register("the offset of the voxels is 1.5 GB", lambda: edited(vox_offset=1.5e9))
register("two trailing dimensions of 1", lambda: edited(dim=[5, 96, 112, 30, 1, 1, 1, 1]))
register("a fourth dimension of 0", lambda: edited(dim=[4, 96, 112, 30, 0, 1, 1, 1]))
register("the header states more slices than there are", lambda: edited(dim=[3, 96, 112, 40, 1, 1, 1, 1]))
register("the data type is unknown", lambda: edited(datatype=77))
register("voxel sizes in metres", lambda: _in_metres())
register(
    "an XML file after the gzip stream", lambda: gzip.compress(edited()) + b"<xml/>" * 99, file="scan.nii.gz"
)
register("half a gzip member after the stream", lambda: gzip.compress(edited()) + gzip.compress(bytes(999))[:30],
         file="scan.nii.gz")  # fmt: skip
register("a gzip checksum that is wrong", lambda: gzip.compress(edited())[:-8] + bytes(8), file="scan.nii.gz")
register("a gzip stream cut after two thirds", lambda: _cut(2 / 3), file="scan.nii.gz")
register("a gzip stream cut in its trailer", lambda: gzip.compress(edited())[:-4], file="scan.nii.gz")
register("voxels of 32-bit integers, big-endian", lambda: _big_endian(np.int32))
register("voxels of 64-bit floats", lambda: both_forms(_HEAD.astype(np.float64)).to_bytes())
register("16-bit integers with slope and intercept", lambda: _scaled())
register("complex voxels", lambda: both_forms(_HEAD.astype(np.complex64)).to_bytes())
register("a background of NaN", lambda: _nan())
register("a background of NaN, read as 0", lambda: _nan(), "--nan", "zero")
register("one infinite voxel", lambda: _hot(np.inf))
register("one infinite voxel, with --nan zero", lambda: _hot(-np.inf), "--nan", "zero")
register("a voxel of 1e300", lambda: _hot(1e300, np.float64))
register("a voxel of 3e38", lambda: _hot(3e38))
register("a voxel of -1e25", lambda: _hot(-1e25))
register("a voxel 1000 times as bright as the head", lambda: _hot(1e6))
register("values from 0 to 0.001", lambda: both_forms((_HEAD / 1e6).astype(np.float32)).to_bytes())
register("a constant image", lambda: both_forms(np.full_like(_HEAD, 9)).to_bytes())


def _in_metres() -> bytes:
    image = both_forms(affine=np.diag([1e-3] * 3 + [1]) @ AFFINE)
    image.header.set_xyzt_units("meter")
    return image.to_bytes()


def _cut(share: float) -> bytes:
    content = gzip.compress(edited())
    return content[: int(share * len(content))]


def _big_endian(kind: type) -> bytes:
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(kind)
    return nib.Nifti1Image(_HEAD.astype(kind), AFFINE, header).to_bytes()


def _scaled() -> bytes:
    """Stored as 16-bit integers from -10000 to 10000; nibabel writes them as they are if the slope is set."""
    image = nib.Nifti1Image(((_HEAD.astype(float) - 500) / 0.05).astype(np.int16), AFFINE)
    image.header.set_slope_inter(0.05, 500.0)
    return image.to_bytes()


def _nan() -> bytes:
    return both_forms(np.where(_HEAD > 0, _HEAD, np.nan).astype(np.float32)).to_bytes()


def _hot(value: float, kind: type = np.float32) -> bytes:
    values = _HEAD.astype(kind)
    values[40, 50, 15] = value
    return both_forms(values).to_bytes()


def slice_axis(name: str, turn: str, slice_dim: int | None, orientation: list[float] | None) -> None:
    """An isotropic sagittal scan, turned by a converter; the clean one is stored as acquired, with a sidecar."""

    @SITUATIONS(name)
    def run(box: Box) -> Outcome:
        values = np.rint(head(96, 112, 112)).astype(np.int16)[16:80]  # 64 x 112 x 112 of 2 mm, in L, P, S
        affine = np.diag([-2.0, -2, 2, 1])
        image = both_forms(values, affine)
        sagittal = {"ImageOrientationPatientDICOM": [0, 1, 0, 0, 0, -1]}
        for study, code in (("clean", "PSR"), ("odd", turn)):
            (folder := box.folder / "in" / study).mkdir(parents=True)
            target = nib.orientations.axcodes2ornt(code)
            turned = image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(affine), target))
            turned.header.set_dim_info(slice=2 if study == "clean" else slice_dim)
            nib.save(turned, folder / "scan.nii")
        (box.folder / "in/clean/scan.json").write_text(json.dumps(sagittal))
        if orientation is not None:
            (box.folder / "in/odd/scan.json").write_text(
                json.dumps({"ImageOrientationPatientDICOM": orientation})
            )
        return verdict(box, box.prima("embed", box.folder / "in", box.folder / "out.h5", "--workers", 0))


slice_axis("an isotropic sagittal scan turned to RAS, without its sidecar", "RAS", 2, None)
slice_axis("an isotropic sagittal scan turned to LPS, without its sidecar", "LPS", None, None)
slice_axis("an isotropic sagittal scan as acquired, without its sidecar", "PSR", 2, None)
slice_axis("an isotropic sagittal scan turned to SPL, without its sidecar", "SPL", None, None)
slice_axis("an isotropic sagittal scan whose sidecar was anonymised to zeros", "RAS", 2, [0.0] * 6)
slice_axis("an isotropic sagittal scan with its sidecar", "RAS", 2, [0.0, 1, 0, 0, 0, -1])


def flagged(name: str, flag: str, make: Callable[[], tuple[np.ndarray, np.ndarray]]) -> None:
    """An image that is embedded, and must be flagged in the file and in the summary."""

    @SITUATIONS(name)
    def run(box: Box) -> Outcome:
        values, affine = make()
        nib.save(nib.Nifti1Image(values.astype(np.int16), affine), box.folder / "scan.nii.gz")
        ran = box.prima(
            "embed", box.folder / "scan.nii.gz", box.folder / "out.h5", "--workers", 0, "--no-report"
        )
        shown = box.prima("inspect", box.folder / "out.h5")
        if ran.code == 0 and flag in ran.text and flag in shown.text:
            return Outcome("named", flag)
        return Outcome("silently wrong", ran.text.strip()[-300:])


def _bottle() -> tuple[np.ndarray, np.ndarray]:
    x, y, z = np.ogrid[-1:1:112j, -1:1:112j, -1:1:30j]
    values = 700.0 * ((x**2 + y**2 < 0.5) & (abs(z) < 0.9)) * (1 + 0.2 * x)
    return np.abs(values + np.random.default_rng(1).normal(0, 12, values.shape)), np.diag([2.0, 2, 5, 1])


def _noise() -> tuple[np.ndarray, np.ndarray]:
    return np.random.default_rng(2).integers(0, 900, (112, 112, 30)), np.diag([2.0, 2, 5, 1])


def _lost_slices() -> tuple[np.ndarray, np.ndarray]:
    values = _HEAD.copy()
    values[:, :, 12:15] = 0
    return values, AFFINE


def _slab() -> tuple[np.ndarray, np.ndarray]:
    return _HEAD[:, :, 10:24], AFFINE


flagged("a bottle of water", "phantom-like", _bottle)
flagged("nothing but noise", "noise-like", _noise)
flagged("three slices in the middle are blank", "blank-slices", _lost_slices)
flagged("a slab of 56 mm", "cropped", _slab)


@SITUATIONS("400 thin slices")
def _thin(box: Box) -> Outcome:
    return verdict_of_thin(box, "--max-subvolumes-action", "fail")


@SITUATIONS("400 thin slices, resampled")
def _thin_resampled(box: Box) -> Outcome:
    return verdict_of_thin(box, "--max-subvolumes-action", "resample")


def verdict_of_thin(box: Box, *options: object) -> Outcome:
    """Named if it is refused with the remedy, or embedded with a flag."""
    values = np.rint(head(48, 56, 400)).astype(np.int16)
    nib.save(nib.Nifti1Image(values, np.diag([4.0, 4, 0.4, 1])), box.folder / "scan.nii.gz")
    ran = box.prima(
        "embed",
        box.folder / "scan.nii.gz",
        box.folder / "out.h5",
        "--slice-axis",
        "S",
        "--workers",
        0,
        *options,
    )
    if ran.code == 0 and "slices-resampled" in ran.text:
        return Outcome("named", "slices-resampled")
    return named(ran, "--max-subvolumes-action resample")


@SITUATIONS("an embeddings file with NaN in a vector")
def _damaged_file(box: Box) -> Outcome:
    import h5py

    embed(box, edited())
    with h5py.File(box.folder / "out.h5", "r+") as file:
        file["study/embedding"][0, 5] = np.nan
    for arguments in (
        ["inspect", box.folder / "out.h5"],
        ["export", box.folder / "out.h5", box.folder / "out.csv"],
        ["merge", box.folder / "again.h5", box.folder / "out.h5"],
    ):
        outcome = named(box.prima(*arguments), "damaged")
        if outcome.verdict != "named" or Path(box.folder / "out.csv").exists():
            return outcome
    return outcome
