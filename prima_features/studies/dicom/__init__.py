"""Finding series in a tree of DICOM files, by content.

files ---> header ---> split ---> rules, volumes, geometry ---> find
walk       one record  stacks     what is embedded, what not    Study, Series, Failure
"""

from prima_features.studies.dicom.find import find_dicom
from prima_features.studies.dicom.rules import DicomOptions

__all__ = ["DicomOptions", "find_dicom"]
