"""Radiology reports that say what the images show."""

from prima_features.synthetic.report.write import write_report

__all__ = ["write_report"]
