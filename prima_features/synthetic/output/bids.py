"""One study as BIDS: compressed NIfTI with sidecars, as dcm2niix writes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
from isal import igzip

from prima_features.synthetic.acquisition import Acquisition
from prima_features.synthetic.output.header import image_orientation, image_type
from prima_features.synthetic.render import Rendered

_SUFFIX = {"T1w": "T1w", "T2w": "T2w", "FLAIR": "FLAIR", "DWI": "trace", "ADC": "ADC", "T1c": "T1w"}
_SHORT = {"axial": "ax", "coronal": "cor", "sagittal": "sag"}


def write_bids(folder: Path, participant: str, series: Sequence[Rendered], session: str = "") -> None:
    """Write the series of one participant (`sub-0001`) and session (`ses-01`) into a dataset's folder."""
    names = [participant, session] if session else [participant]
    for rendered in series:
        scan = rendered.scan
        name = "_".join((*names, _entities(scan)))
        path = folder.joinpath(*names, _datatype(scan), f"{name}.nii.gz")
        path.parent.mkdir(parents=True, exist_ok=True)
        # No time and no name in the gzip header: the same seed gives the same bytes.
        path.write_bytes(igzip.compress(to_nifti(rendered).to_bytes(), compresslevel=1, mtime=0))
        sidecar = path.with_name(path.name.replace(".nii.gz", ".json"))
        sidecar.write_text(json.dumps(_sidecar(rendered), indent=1) + "\n")


def to_nifti(rendered: Rendered) -> nib.Nifti1Image:
    """The image with its axes in the directions that its acquisition asks for."""
    image = nib.Nifti1Image(rendered.volume, rendered.affine)
    image.header.set_dim_info(freq=0, phase=1, slice=2)
    image.header.set_xyzt_units("mm", "sec")
    if rendered.scan.codes:
        now = nib.io_orientation(rendered.affine)
        wanted = nib.orientations.axcodes2ornt(rendered.scan.codes)
        image = image.as_reoriented(nib.orientations.ornt_transform(now, wanted))
    image.set_qform(image.affine, 1)
    image.set_sform(image.affine, 1)
    return image


def _datatype(scan: Acquisition) -> str:
    return "dwi" if scan.sequence in ("DWI", "ADC") else "anat"


def _entities(scan: Acquisition) -> str:
    kind = "3d" if scan.three_d else "2d"
    contrast = "_ce-gad" if scan.contrast_dose else ""
    return f"acq-{_SHORT[scan.plane]}{kind}{contrast}_run-{scan.number}_{_SUFFIX[scan.sequence]}"


def _sidecar(rendered: Rendered) -> dict[str, object]:
    """Times are in seconds, as in BIDS."""
    scan = rendered.scan
    fields: dict[str, object] = {
        "Modality": "MR",
        "Manufacturer": scan.manufacturer,
        "ManufacturersModelName": scan.model,
        "MagneticFieldStrength": scan.field_strength,
        "SeriesDescription": scan.description,
        "ProtocolName": scan.protocol,
        "SeriesNumber": scan.number,
        "ImageType": image_type(scan),
        "MRAcquisitionType": "3D" if scan.three_d else "2D",
        "SliceThickness": scan.thickness,
        "SpacingBetweenSlices": round(scan.slice_distance, 4),
        "RepetitionTime": scan.tr / 1000,
        "EchoTime": scan.te / 1000,
        "ImageOrientationPatientDICOM": image_orientation(rendered.affine),
        "BodyPartExamined": "BRAIN",
    }
    if scan.ti:
        fields["InversionTime"] = scan.ti / 1000
    if scan.contrast_dose:
        fields["ContrastBolusIngredient"] = "GADOLINIUM"
    if scan.b_value:
        fields["DiffusionBValue"] = scan.b_value
    return fields
