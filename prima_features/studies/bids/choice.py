"""Which images of a BIDS dataset are embedded: the default choice, as data, with the reasons told to users.

Datatypes and suffixes are those of BIDS 1.11, with `swi` from the proposal BEP004, as OASIS-3 has it.
"""

from collections.abc import Mapping

Decisions = Mapping[str, str]
"""Name to the reason it is left out; embedded where the reason is empty."""

_MAP = "a map of a computed quantity, not an image as acquired"
_SET = "one of a set of images that a map is computed from, not read on its own"
_MASK = "a mask or segmentation, not an image"

DATATYPES: Decisions = {
    "anat": "",
    "dwi": "",
    "swi": "",
    "func": "a time series of brain activity, not anatomy",
    "perf": "a perfusion series, not anatomy",
    "fmap": "a field map, not anatomy",
    "mrs": "spectroscopy, not an image of anatomy",
    "pet": "PET, not MRI",
    "micr": "microscopy, not MRI",
    "eeg": "EEG, not MRI",
    "emg": "EMG, not MRI",
    "ieeg": "intracranial EEG, not MRI",
    "meg": "MEG, not MRI",
    "nirs": "near-infrared spectroscopy, not MRI",
    "beh": "behaviour, not MRI",
    "motion": "motion tracking, not MRI",
}

NOT_WALKED: Decisions = {
    "derivatives": "derived data, not scans as acquired; give a dataset in it as the source to embed that",
    "sourcedata": "scans before they became BIDS; give the folder as the source to embed those",
}
"""Folders at the top of a dataset that are reported and not entered."""

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
    "ADC": "",  # this and the next four: as the scanner makes them; from DICOM they are embedded too
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
    "minIP": "a minimum-intensity projection, computed from the images beside it",
}

SUFFIXES: Mapping[str, Decisions] = {"anat": ANAT, "dwi": DWI, "swi": SWI}

NOT_PICTURES: Decisions = {
    **dict.fromkeys(("mask", "dseg", "probseg", "defacemask", "roi", "lesion"), _MASK),
    "colFA": "a colour map, whose voxels are not plain numbers",
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
    "space": "resampled to another space; the image in its own space is the one to embed",
    "label": _MASK,
    "seg": _MASK,
}
"""Entities that leave an image out whatever their value; they stand in derivatives only."""
