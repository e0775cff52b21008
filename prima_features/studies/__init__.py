"""From a source on disk to studies and their series.

find ---> bids | dicom | nifti | manifest ---> study
format    finders                              Study, Series, Failure, Found
"""

from prima_features.studies.bids import BidsFilter, BidsOptions, read_filters
from prima_features.studies.dicom import DicomOptions
from prima_features.studies.find import FindOptions, Format, find, format_of
from prima_features.studies.labels import Pseudonyms
from prima_features.studies.selection import Selection
from prima_features.studies.study import Failure, Found, Identity, Series, Study

__all__ = [
    "BidsFilter",
    "BidsOptions",
    "DicomOptions",
    "Failure",
    "FindOptions",
    "Format",
    "Found",
    "Identity",
    "Pseudonyms",
    "Selection",
    "Series",
    "Study",
    "find",
    "format_of",
    "read_filters",
]
