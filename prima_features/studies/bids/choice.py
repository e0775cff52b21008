"""Which images of a BIDS dataset are embedded by default, as data, with the reasons that users see.

Datatypes and suffixes are those of BIDS 1.11, with `swi` from the proposal BEP004, as used in OASIS-3.
"""

from collections.abc import Mapping

Decisions = Mapping[str, str]
"""Reason why it is left out, by name; empty if it is embedded."""

_MAP = "a computed parameter map, not an acquired image"
_SET = "one of several images from which a map is computed; not embedded on its own"
_MASK = "a mask or segmentation, not an image"

DATATYPES: Decisions = {
    "anat": "",
    "dwi": "",
    "swi": "",
    "func": "a functional time series, not an anatomical image",
    "perf": "a perfusion series, not an anatomical image",
    "fmap": "a field map, not an anatomical image",
    "mrs": "spectroscopy, not an anatomical image",
    "pet": "PET, not MRI",
    "micr": "microscopy, not MRI",
    "eeg": "EEG, not MRI",
    "emg": "EMG, not MRI",
    "ieeg": "intracranial EEG, not MRI",
    "meg": "MEG, not MRI",
    "nirs": "near-infrared spectroscopy, not MRI",
    "beh": "behavioural data, not MRI",
    "motion": "motion tracking, not MRI",
}

NOT_WALKED: Decisions = {
    "derivatives": "derived data, not acquired scans; to embed a dataset in this folder, give it as the source",
    "sourcedata": "scans before conversion to BIDS; to embed them, give this folder as the source",
}
"""Folders at the top of a dataset that are reported and not searched."""

ANAT: Decisions = {
    "T1w": "",
    "T2w": "",
    "PDw": "",
    "T2starw": "",
    "FLAIR": "",
    "inplaneT1": "",
    "inplaneT2": "",
    "PDT2": "",
    "UNIT1": "",
    "angio": "",
    "SWI": "",
    "swi": "",
    "T2star": "",  # this and the next two: deprecated names of weighted images
    "FLASH": "",
    "PD": "",
    "MEGRE": _SET,
    "MESE": _SET,
    "VFA": _SET,
    "IRT1": _SET,
    "MP2RAGE": _SET,  # UNIT1 shows what its inversions are acquired for
    "MPM": _SET,
    "MTS": _SET,
    "MTR": _SET,
    "T1map": _MAP,
    "T2map": _MAP,
    "T2starmap": _MAP,
    "R1map": _MAP,
    "R2map": _MAP,
    "R2starmap": _MAP,
    "PDmap": _MAP,
    "MTRmap": _MAP,
    "MTsat": _MAP,
    "T1rho": _MAP,
    "MWFmap": _MAP,
    "MTVmap": _MAP,
    "Chimap": _MAP,
    "S0map": _MAP,
    "M0map": _MAP,
}

DWI: Decisions = {
    "dwi": "",
    "ADC": "",  # this and the next four: computed by the scanner; they are also embedded from DICOM
    "trace": "",
    "FA": "",
    "S0map": "",
    "expADC": "",
    "sbref": "a reference scan that repeats the diffusion series' b=0 image",
}

SWI: Decisions = {
    "swi": "",
    "SWI": "",
    "GRE": "",
    "minIP": "a minimum-intensity projection, computed from other images",
}

SUFFIXES: Mapping[str, Decisions] = {"anat": ANAT, "dwi": DWI, "swi": SWI}

NOT_PICTURES: Decisions = {
    **dict.fromkeys(("mask", "dseg", "probseg", "defacemask", "roi", "lesion"), _MASK),
    "colFA": "a colour map: its voxels are not scalar values",
}
"""In any datatype."""

ENTITIES: Mapping[str, Decisions] = {
    "part": {
        "phase": "the phase of a complex image, not its magnitude",
        "real": "the real part of a complex image, not its magnitude",
        "imag": "the imaginary part of a complex image, not its magnitude",
    },
}
"""Values of an entity that leave an image out."""

ENTITIES_AT_ALL: Decisions = {
    "space": "resampled to another space; embed the image in its native space",
    "label": _MASK,
    "seg": _MASK,
}
"""Entities that leave an image out, whatever their value; they occur only in derivatives."""
