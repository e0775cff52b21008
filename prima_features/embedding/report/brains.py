"""Brain masks and transforms to MNI152 of a file's series: where they are from, and which are out of bounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from prima_features.anatomy.quality import LEAST_DICE, LITRES, MISPLACED, NO_BRAIN, SCALE, TOO_LARGE
from prima_features.embedding.file.read import Embeddings
from prima_features.page import count
from prima_features.wording import listed

DICE = (LEAST_DICE, 1.0)
_DOUBTS = {
    MISPLACED: "the mask fits the scan better elsewhere",
    TOO_LARGE: "the mask seems to include the skull",
    NO_BRAIN: "the voxels in the mask are constant or noise",
}
_MOST_SOURCES = 6


@dataclass(frozen=True)
class Brains:
    """What the series columns of `records.BRAIN` say."""

    is_out: np.ndarray
    """(M,) bool, whether any of the measures of a series is out of bounds, or its mask does not fit."""
    studies: np.ndarray
    """(n,) rows of the studies with such a series, ascending."""
    sentences: tuple[str, ...]
    """About all series, for the page."""


def look_at_brains(file: Embeddings) -> Brains | None:
    """Summarise a file's brain masks and transforms; None if its encoder uses none."""
    if not file.has_brains:
        return None
    columns = file.series_columns
    out = {
        f"the volume of the brain is not from {LITRES[0]} to {LITRES[1]} litres": outside(
            columns["brain_litres"], LITRES
        ),
        f"the scale is not from {SCALE[0]} to {SCALE[1]}": outside(columns["mni_scale"], SCALE),
        f"the Dice coefficient with the template is below {DICE[0]}": outside(columns["mni_dice"], DICE),
    }
    flags = [one.split(",") for one in columns["flags"]]
    out |= {why: np.array([flag in one for one in flags], dtype=bool) for flag, why in _DOUBTS.items()}
    is_out = np.logical_or.reduce(list(out.values()))
    sentences = [
        f"Brain masks: {_sources(columns['mask_from'])}.",
        f"Transforms to MNI152: {_sources(columns['mni_from'])}.",
    ]
    if n_out := int(is_out.sum()):
        reasons = [f"{why} ({int(found.sum()):,})" for why, found in out.items() if found.any()]
        is_or_are = "is out of bounds or has" if n_out == 1 else "are out of bounds or have"
        sentences.append(
            f"{count(n_out, 'series', 'series')} of {file.n_series:,} {is_or_are} a doubtful mask: {listed(reasons)}. "
            "Look at the outlines; a mask or a registration may have failed."
        )
    else:
        sentences.append("No measure of a mask or a transform is out of bounds, and no mask is doubtful.")
    studies = np.unique(columns["study"][is_out])
    return Brains(is_out, studies, tuple(sentences))


def outside(values: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    """Which values are out of bounds, at the precision that they are stored in; NaN is not."""
    low, high = np.float32(bounds[0]), np.float32(bounds[1])
    return (values < low) | (values > high)


def _sources(names: Iterable[str]) -> str:
    """Number of series by source, the most frequent first: `fMRIPrep (12), SynthStrip (3), none (1)`."""
    counts = Counter(names)
    unknown = counts.pop("", 0)
    shown = [f"{name} ({n:,})" for name, n in counts.most_common(_MOST_SOURCES)]
    if others := sum(counts.values()) - sum(n for _, n in counts.most_common(_MOST_SOURCES)):
        shown.append(f"others ({others:,})")
    if unknown:
        shown.append(f"none ({unknown:,})")
    return ", ".join(shown) or "none"
