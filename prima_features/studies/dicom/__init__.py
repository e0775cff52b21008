"""Finding series in a tree of DICOM files, by content.

read ---> identity ---> acquisitions ---> split ---> volumes ---> series ---> find
headers   patients      files of a scan   contrasts   repeats     rules       Study, Series, Failure
"""

from prima_features.studies.dicom.find import find_dicom
from prima_features.studies.dicom.rules import DicomOptions

__all__ = ["DicomOptions", "find_dicom"]
