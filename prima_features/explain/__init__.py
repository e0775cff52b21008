"""Which subvolumes and which series of a study an output of the model rests on.

targets.py       the explained number: a head's output, a similarity to a text, a probe's output
passes.py        a study of which tokens or series are removed, everything else computed once
methods.py       LIME as published and ours, leave-out, gradients; on groups.py and regression.py
faithfulness.py  deletion of tokens by rank against random orders
placement.py     tokens on the scan's own grid
run.py           from a source to an explained study; output.py, overlay.py and page.py write it
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from prima_features.explain.methods import Sampling as Sampling
    from prima_features.explain.run import Explained as Explained
    from prima_features.explain.run import How as How
    from prima_features.explain.run import MakeTarget as MakeTarget
    from prima_features.explain.run import OnPass as OnPass
    from prima_features.explain.run import explain as explain

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "methods": ["Sampling"],
        "run": ["Explained", "How", "MakeTarget", "OnPass", "explain"],
    },
)
