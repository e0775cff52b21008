"""The page beside an embeddings file, `OUTPUT.report.html`: what is in it, what is not and why, and what looks odd.

arrangement    what the vectors say: map, nearest studies, near-duplicates, outliers
album          pictures, from parts and from an earlier page
tables         the file as columns for the page's script
page           all of it as one HTML file
"""

from prima_features.embedding.record.output import report_path
from prima_features.embedding.report.page import write_report

__all__ = ["report_path", "write_report"]
