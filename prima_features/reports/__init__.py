"""Radiology reports as short numbered lists of findings, and as labels: what pretraining reads with the images."""

from prima_features.reports.diagnoses import DIAGNOSES, label
from prima_features.reports.numbered import numbered, split_numbered
from prima_features.reports.records import Options, Report, Summary
from prima_features.reports.rules import findings
from prima_features.reports.run import summarize
from prima_features.reports.table import read_reports

__all__ = [
    "DIAGNOSES",
    "Options",
    "Report",
    "Summary",
    "findings",
    "label",
    "numbered",
    "read_reports",
    "split_numbered",
    "summarize",
]
