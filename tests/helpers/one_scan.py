"""`prima` with synthetic studies of one scan each, the smallest: python one_scan.py synth ..."""

import sys
from typing import Any

from prima_features import synthetic
from prima_features.cli.main import main
from prima_features.synthetic import Acquisition, draw_acquisitions


def smallest(*arguments: Any, **options: Any) -> tuple[Acquisition, ...]:
    """Of the scans that `draw_acquisitions` gives."""
    scans = draw_acquisitions(*arguments, **options)
    return (min(scans, key=lambda scan: scan.matrix[0] * scan.matrix[1] * scan.n_slices),)


synthetic.draw_acquisitions = smallest
sys.exit(main())
