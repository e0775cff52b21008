"""Synthetic brains with known factors: a subject, its anatomy, and images of it.

draw ---> anatomy ---> render ---> write
Subject   Anatomy      Rendered    BIDS, DICOM, reports, tables
"""

from prima_features.synthetic.acquisition import Acquisition
from prima_features.synthetic.anatomy import Anatomy, build_anatomy
from prima_features.synthetic.cohort import CONDITIONS, draw_subject
from prima_features.synthetic.protocol import draw_acquisitions
from prima_features.synthetic.render import Rendered, render_series
from prima_features.synthetic.subject import Subject
from prima_features.synthetic.truth import CONTENT, TRAITS, content, holds_lesion, measure, traits

__all__ = [
    "CONDITIONS",
    "CONTENT",
    "TRAITS",
    "Acquisition",
    "Anatomy",
    "Rendered",
    "Subject",
    "build_anatomy",
    "content",
    "draw_acquisitions",
    "draw_subject",
    "holds_lesion",
    "measure",
    "render_series",
    "traits",
]
