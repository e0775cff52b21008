"""Radiology reports of the images."""

from prima_features.synthetic.report.write import write_report

__all__ = ["write_report"]
