"""`prima probe compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prima_features.cli.console import out, print_caveat


def compare(
    first: Annotated[Path, typer.Argument(metavar="DIR_A", help="Probe folder made by prima probe fit.")],
    second: Annotated[
        Path, typer.Argument(metavar="DIR_B", help="Another probe folder, fitted on the same studies.")
    ],
) -> None:
    """Test whether two probes differ on the folds that both were evaluated on.

    Uses the corrected resampled t-test of Nadeau and Bengio (2003), which accounts for overlapping training sets.
    """
    from prima_features.probes import runs

    found = runs.compare(first, second)
    out.print(
        f"{found.metric}: first minus second {found.difference:.4g} over {found.n_folds} folds, "
        f"t = {found.t:.3g}, {found.degrees_of_freedom} degrees of freedom, p = {found.p_value:.3g} (two-sided)"
    )
    print_caveat(found.caveat)
