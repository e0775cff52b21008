"""Writing a synthetic cohort: BIDS or DICOM, tables, reports, preview."""

from prima_features.synthetic.output.bids import write_bids
from prima_features.synthetic.output.dicom import write_dicom

__all__ = ["write_bids", "write_dicom"]
