"""What must be said with every number of a model, and how it travels.

A model's caveat is one sentence. The bundled models have one, known by their names and checksums; a model that was
trained further from one of them inherits it (`inherited`, in its config.json). `prima embed` stores the sentence in the
embeddings file, from where probes, HTML pages, exports and tables take it.
"""

from __future__ import annotations

import warnings
from functools import cache

from prima_features.models import bundled

MOST_CAVEAT = 1000
"""Characters of a caveat: it is repeated by every command and in every table."""

_CAVEATS = {
    "prima-untrained": "The weights of the model prima-untrained are random: its numbers mean nothing.",
    "prima-synth": (
        "The model prima-synth was trained on synthetic brains only: what its numbers mean for real brains is unknown."
    ),
    "intensity": (
        "The model intensity is a baseline without trained weights: histograms, and volumes of bright and dark tissue."
    ),
    "acquisition": (
        "The model acquisition is a baseline without trained weights: it reads how a scan was acquired, and no voxel."
    ),
}
_INHERITED = "This model was trained further from one with a caveat of its own. "

_warned: set[str] = set()


class ModelCaveatWarning(UserWarning):
    """The numbers come from a model that has a caveat; the message is the caveat."""


def caveat_of(model: str, sha256: str = "") -> str:
    """The caveat of a bundled model, also of a copy under another name; empty for all others.

    Args:
        model: its name.
        sha256: checksum of its model.safetensors, where known.
    """
    return _CAVEATS.get(model) or (_by_checksum().get(sha256, "") if sha256 else "")


def bundled_as(model: str, sha256: str = "") -> str:
    """The name of the bundled model that this is, also under another name; empty for all others."""
    if model in _CAVEATS:
        return model
    caveat = caveat_of(model, sha256)
    return next((name for name, own in _CAVEATS.items() if own == caveat), "")


def inherited(caveat: str) -> str:
    """The caveat of a model whose weights started from those of a model with `caveat`; empty if that is."""
    return caveat if not caveat or caveat.startswith(_INHERITED) else _INHERITED + caveat


def warn_of(caveat: str, stacklevel: int = 2) -> None:
    """Issue a `ModelCaveatWarning`, once per caveat in a process; nothing if `caveat` is empty."""
    if caveat and caveat not in _warned:
        _warned.add(caveat)
        warnings.warn(caveat, ModelCaveatWarning, stacklevel=stacklevel + 1)


@cache
def _by_checksum() -> dict[str, str]:
    found: dict[str, str] = {}
    for name, caveat in _CAVEATS.items():
        # Not by `weights.directory`, which imports torch.
        lines = (bundled.path(name) / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
        found |= {line.split()[0]: caveat for line in lines if line.endswith("model.safetensors")}
    return found
