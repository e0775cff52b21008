"""Predicts the ground truth of synthetic studies: tissues in tokens, sequence types, measures of subjects."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prima_features.encoders.prima.networks import PrimaConfig, SeriesOutput, StudyOutput
from prima_features.pretraining.batches.studies import StudyBatch
from prima_features.pretraining.data.records import TrainingStudy
from prima_features.synthetic.acquisition import SEQUENCES

_LEAST_ENTROPY = 0.0005
"""Minimum entropy of a share in nats, which limits the weight of rare tissues."""
_LEAST_SD = 0.3
"""Minimum standard deviation of a trait, which limits the weight of nearly constant ones."""
PREDICTED = ("content", "kind", "series_traits", "report_traits", "study_traits")
"""The predicted quantities, in the order of `truth_losses`."""


@dataclass(frozen=True, eq=False)
class TruthBatch(StudyBatch):
    """Synthetic studies with their ground truth (prima_features.synthetic.truth)."""

    content: Tensor
    """(T, K) float16, share of each tissue in each of `tokens`."""
    traits: Tensor
    """(B, T), measures of each subject."""
    kinds: Tensor
    """(S,) int64, sequence type of each series."""


def with_truth(batch: StudyBatch, studies: Sequence[TrainingStudy]) -> TruthBatch:
    """Add the ground truth of the batch's studies."""
    series = [one for study in studies for one in study.series]
    return TruthBatch(
        **vars(batch),
        content=torch.cat([one.annotations["content"][one.number] for one in series]),
        traits=torch.stack([study.series[0].annotations["traits"] for study in studies]),
        kinds=torch.stack([one.annotations["kind"] for one in series]),
    )


class Truth(nn.Module):
    """Linear layers that predict contents of tokens, kinds of series, and traits from series, studies and reports;
    initialised with the means.

    Args:
        widths: of tokens, and of the embeddings of series, studies and reports.
        content: (N, K), shares in training tokens.
        traits: (B, T), of training studies.
        kinds: how many there are.
    """

    def __init__(
        self, widths: tuple[int, int, int, int], content: Tensor, traits: Tensor, kinds: int
    ) -> None:
        super().__init__()
        share = content.float().mean(0).clamp(1e-5, 1 - 1e-5)
        entropy = F.binary_cross_entropy(share, share, reduction="none")
        self.weight: Tensor
        self.mean: Tensor
        self.sd: Tensor
        self.register_buffer("weight", 1 / entropy.clamp(min=_LEAST_ENTROPY))
        self.register_buffer("mean", traits.mean(0))
        self.register_buffer("sd", traits.std(0).clamp(min=_LEAST_SD))
        n_content, n_traits = content.shape[1], traits.shape[1]
        self.norm = nn.LayerNorm(widths[0])
        self.token = nn.Linear(widths[0], n_content)
        self.kind = nn.Linear(widths[1], kinds)
        self.series = nn.Linear(widths[1], n_traits)
        self.study = nn.Linear(widths[2], n_traits)
        self.report = nn.Linear(widths[3], n_traits)
        for layer in (self.token, self.kind, self.series, self.study, self.report):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        with torch.no_grad():
            self.token.bias.copy_(torch.logit(share))

    def content_loss(self, tokens: Tensor, content: Tensor) -> Tensor:
        """Of each token, (N, width) and (N, K) to (N,): cross-entropy, relative to that of the mean shares."""
        logits = self.token(self.norm(tokens))
        each = F.binary_cross_entropy_with_logits(logits, content.float(), reduction="none")
        return (each * self.weight).mean(1)

    def kind_loss(self, embeddings: Tensor, kinds: Tensor) -> Tensor:
        """Of each series, (S, width) and (S,) to (S,): cross-entropy, relative to that of a uniform prediction."""
        each = F.cross_entropy(self.kind(embeddings), kinds, reduction="none")
        return each / math.log(self.kind.out_features)

    def series_loss(self, embeddings: Tensor, traits: Tensor) -> Tensor:
        """Of each series, (S, width) and (S, T) to (S,): squared error in units of the traits' variance."""
        return self._error(self.series(embeddings), traits)

    def study_loss(self, embeddings: Tensor, traits: Tensor) -> Tensor:
        """Of each study, (B, width) and (B, T) to (B,), as of series."""
        return self._error(self.study(embeddings), traits)

    def report_loss(self, embeddings: Tensor, traits: Tensor) -> Tensor:
        """Of each report, (B, width) and (B, T) to (B,), as of series."""
        return self._error(self.report(embeddings), traits)

    def _error(self, predicted: Tensor, traits: Tensor) -> Tensor:
        return (predicted - (traits - self.mean) / self.sd).square().mean(1)


def mean_by_study(values: Tensor, counts: Sequence[int]) -> Tensor:
    """Means of `counts` values each, (sum of counts,) to (B,); no count may be 0."""
    lengths = torch.tensor(counts, device=values.device)
    return torch.segment_reduce(values, "mean", lengths=lengths)


def new_truth(config: PrimaConfig, known: Iterable[TrainingStudy]) -> Truth:
    """New layers for an encoder of these sizes.

    Args:
        known: studies that give the means and deviations.
    """
    series = [study.series for study in known]
    return Truth(
        (
            config.sequence.transformer.dim,
            config.sequence.out_dim,
            config.study.flat_dim,
            config.study.out_dim,
        ),
        torch.cat([one.annotations["content"] for some in series for one in some]),
        torch.stack([some[0].annotations["traits"] for some in series]),
        len(SEQUENCES),
    )


def truth_losses(
    truth: Truth, batch: TruthBatch, series: SeriesOutput, study: StudyOutput, texts: Tensor, registers: int
) -> Tensor:
    """Losses of each study (B, 5): mean over its tokens, two means over its series, its report's, its own.

    Args:
        batch: B studies with what is known of them.
        series, study: outputs of the encoder.
        texts: (B, C), report embeddings of the text tower.
        registers: number of registers of the sequence ViT, which come before its tokens.
    """
    lengths = batch.tokens.lengths
    # At the input of the last block, where the registers read it: later contents would not reach the embedding.
    tokens = series.before_last.without_first(registers + 1).values.float()
    content = mean_by_study(truth.content_loss(tokens, batch.content), lengths)
    own = torch.repeat_interleave(batch.traits, torch.tensor(batch.n_series, device=batch.traits.device), 0)
    embeddings = series.embedding.float()
    kinds, predicted = truth.kind_loss(embeddings, batch.kinds), truth.series_loss(embeddings, own)
    return torch.stack(
        [
            mean_by_study(content, batch.n_series),
            mean_by_study(kinds, batch.n_series),
            mean_by_study(predicted, batch.n_series),
            truth.report_loss(texts.float(), batch.traits),
            truth.study_loss(study.embedding.float(), batch.traits),
        ],
        dim=1,
    )
