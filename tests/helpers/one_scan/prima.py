"""`prima` with synthetic studies of one scan each, also in its worker processes. The name of the file says that it is
a command, which looks for no modules in the current folder."""

import sys
from typing import Any

import prima_features.cli.main
from prima_features import synthetic
from prima_features.synthetic import Acquisition

drawn = synthetic.draw_acquisitions


def smallest(*arguments: Any, **options: Any) -> tuple[Acquisition, ...]:
    """Of the scans that `draw_acquisitions` gives."""
    return (
        min(drawn(*arguments, **options), key=lambda scan: scan.matrix[0] * scan.matrix[1] * scan.n_slices),
    )


synthetic.draw_acquisitions = smallest

if __name__ == "__main__":
    sys.exit(prima_features.cli.main.main())
