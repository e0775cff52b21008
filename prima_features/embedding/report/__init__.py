"""The HTML report of an embeddings file, `OUTPUT.report.html`: its content, failures, and unusual studies.

arrangement    what the vectors say: map, nearest studies, near-duplicates, outliers
album          pictures, from parts and from an earlier page
tables         the file as columns for the page's script
page           all of it as one HTML file
"""

from prima_features.embedding.record.output import report_path
from prima_features.embedding.report.page import write_report

__all__ = ["report_path", "write_report"]
