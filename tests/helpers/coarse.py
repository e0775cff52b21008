"""Synthetic scans at half the resolution in plane, which take a third of the time."""

from dataclasses import replace
from typing import Any
from unittest.mock import patch

from prima_features.pretraining.data import synthetic
from prima_features.pretraining.data.records import RawStudy
from prima_features.synthetic import Acquisition, draw_acquisitions


def coarse_acquisitions(*arguments: Any, **options: Any) -> tuple[Acquisition, ...]:
    """`draw_acquisitions`, with pixels of four times the area."""
    return tuple(_coarse(scan) for scan in draw_acquisitions(*arguments, **options))


def _coarse(scan: Acquisition) -> Acquisition:
    (columns, rows), (wide, high) = scan.matrix, scan.spacing
    return replace(scan, matrix=(columns // 2, rows // 2), spacing=(2 * wide, 2 * high))


def three_coarse(*arguments: Any, **options: Any) -> tuple[Acquisition, ...]:
    """The first three of them."""
    return coarse_acquisitions(*arguments, **options)[:3]


class CoarseStudies(synthetic.SyntheticStudies):
    """Three coarse series a study; in worker processes too, where a function that a test replaced is the original."""

    def __getitem__(self, number: int) -> RawStudy:
        with patch.object(synthetic, "draw_acquisitions", three_coarse):
            return super().__getitem__(number)
