"""Settings of the CLIP stage with the recipe's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from prima_features.pretraining.settings import ClipTraining


@dataclass(frozen=True, kw_only=True)
class SynthClipTraining(ClipTraining):
    """Prima's CLIP stage, and what helps short runs on few studies. The defaults switch all of it off."""

    free: ClassVar[frozenset[str]] = frozenset({"start_share"})
    pair_weight: float = 0.0
    """Weight of recognising a study's subject by its embedding, among the subjects of a step, from another study of the
    subject; a subject with one study is augmented twice. A step then has two studies of each subject."""
    words_weight: float = 0.0
    """Weight of predicting from the study embedding which words the report has."""
    content_weight: float = 0.0
    """Weight of predicting which tissues are in each token, from what the last block reads of it. Only for synthetic
    studies."""
    traits_weight: float = 0.0
    """Weight of predicting from series, studies and reports the true numbers of the subject's brain: volumes, age,
    where lesions are; and from series which sequence they are. Only for synthetic studies."""
    start_share: float = 0.0
    """Share of the weights of `model` in the exported ones: if a stage has few studies, their mean generalises better
    than either (Wortsman et al., arXiv 2109.01903)."""
    tell_apart: bool = False
    """Scale new weights of both ViTs so that studies differ from the first step on. Nothing is changed if either ViT
    is that of `model`."""

    @property
    def together(self) -> int:
        """Studies that are drawn together: with `pair_weight` two of a subject."""
        return 2 if self.pair_weight else 1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("content_weight", "traits_weight"):
            if getattr(self, name) and not self.data.synthetic:
                raise ValueError(f"{name} needs synthetic studies, which come with ground truth; set it to 0")
        for name in ("pair_weight", "words_weight", "content_weight", "traits_weight"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name)}")
        if self.pair_weight and (self.batch % 2 or self.batch < 4):
            raise ValueError(f"batch must be even and 4 or more with pair_weight, not {self.batch}")
        if not 0 <= self.start_share < 1:
            raise ValueError(f"start_share must be at least 0 and below 1, not {self.start_share}")
        if self.start_share and (self.text.source is not None or "text" in self.network):
            raise ValueError(
                "start_share mixes in the weights of model, but text.source or network.text replace its text "
                "tower; remove one of them"
            )
