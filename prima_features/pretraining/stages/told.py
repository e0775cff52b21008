"""Telling what is known of made-up studies, beside the CLIP stage's other objectives."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from prima_features.encoders.prima.networks import PrimaConfig, SeriesOutput, StudyOutput
from prima_features.pretraining.batches.collate import StudyBatch
from prima_features.pretraining.data.records import TrainingStudy
from prima_features.pretraining.objectives import Truth, mean_by_study
from prima_features.synthetic.acquisition import SEQUENCES

TOLD = ("content", "kind", "series_traits", "report_traits", "study_traits")
"""What is told, in the order of `truth_losses`."""
KNOWN = 256
"""Studies that means of the truth are taken of."""


def new_truth(config: PrimaConfig, known: Iterable[TrainingStudy]) -> Truth:
    """New layers that tell the truth, for an encoder of these sizes.

    Args:
        known: studies that means and deviations of the truth are taken of.
    """
    series = [study.series for study in known]
    content = [one.content for some in series for one in some]
    traits = [some[0].traits for some in series]
    return Truth(
        (
            config.sequence.transformer.dim,
            config.sequence.out_dim,
            config.study.flat_dim,
            config.study.out_dim,
        ),
        torch.cat([part for part in content if part is not None]),
        torch.stack([part for part in traits if part is not None]),
        len(SEQUENCES),
    )


def truth_losses(
    truth: Truth, batch: StudyBatch, series: SeriesOutput, study: StudyOutput, texts: Tensor, registers: int
) -> Tensor:
    """Losses of each study (B, 5): mean over its tokens, two means over its series, its report's, its own.

    Args:
        batch: B studies with what is known of them.
        series, study: what the encoder made of it.
        texts: (B, C), what the text tower made of the reports.
        registers: of the sequence ViT, which stand before its tokens.
    """
    assert batch.content is not None and batch.traits is not None and batch.kinds is not None
    lengths = batch.tokens.lengths
    # Where the registers read it: contents that only the last block knew would reach no embedding.
    tokens = series.before_last.without_first(registers + 1).values.float()
    content = mean_by_study(truth.content_loss(tokens, batch.content), lengths)
    own = torch.repeat_interleave(batch.traits, torch.tensor(batch.n_series, device=batch.traits.device), 0)
    embeddings = series.embedding.float()
    kinds, told = truth.kind_loss(embeddings, batch.kinds), truth.series_loss(embeddings, own)
    return torch.stack(
        [
            mean_by_study(content, batch.n_series),
            mean_by_study(kinds, batch.n_series),
            mean_by_study(told, batch.n_series),
            truth.report_loss(texts.float(), batch.traits),
            truth.study_loss(study.embedding.float(), batch.traits),
        ],
        dim=1,
    )
