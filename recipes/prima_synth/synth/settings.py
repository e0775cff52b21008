"""Settings of the CLIP stage with the recipe's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from prima_features.pretraining.settings import ClipTraining


@dataclass(frozen=True, kw_only=True)
class SynthClipTraining(ClipTraining):
    """Settings of the CLIP stage plus objectives for short runs on few studies, which are off by default."""

    free: ClassVar[frozenset[str]] = frozenset({"start_share"})
    pair_weight: float = 0.0
    """Weight of matching two studies of a subject by their embeddings among the subjects of a step;
    a subject with one study is augmented twice. A step then has two studies of each subject."""
    words_weight: float = 0.0
    """Weight of predicting the words of the report from the study embedding."""
    content_weight: float = 0.0
    """Weight of predicting the tissues in each token from the input of the last block. Only for synthetic
    studies."""
    traits_weight: float = 0.0
    """Weight of predicting the measures of the subject from series, studies and reports (volumes, age,
    locations of lesions) and the sequence type from series. Only for synthetic studies."""
    start_share: float = 0.0
    """Share of the weights of `model` in the exported weights: if a stage has few studies, the mean generalises better
    than either (Wortsman et al., arXiv 2109.01903)."""
    tell_apart: bool = False
    """Scale new weights of both ViTs so that studies differ from the first step on. Nothing is changed if either ViT
    is that of `model`."""

    @property
    def together(self) -> int:
        """Number of studies that are drawn together: two of a subject with `pair_weight`."""
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
