"""Weights for short runs, words of reports as labels, and pairs."""

from itertools import permutations

import numpy as np
import pytest
import torch
from synth.pairs import by_subject, draw_pair, pair_accuracy, pair_loss
from synth.truth import with_truth
from synth.weights import tell_apart
from synth.words import Words, words_loss

from prima_features.encoders.prima.networks import Prima, PrimaConfig
from prima_features.encoders.prima.networks.config import (
    ContrastConfig,
    NameConfig,
    NamesConfig,
    TokenizerConfig,
    TransformerConfig,
    ViTConfig,
)
from prima_features.encoders.ragged import Ragged
from prima_features.errors import UsageError
from prima_features.pretraining.batches.studies import StudyBatch
from prima_features.pretraining.data.cache import CachedStudy
from prima_features.pretraining.data.records import SeriesTokens, TrainingStudy

SMALL = TransformerConfig(dim=32, depth=1, heads=2, dim_head=8, mlp_dim=20)
CONFIG = PrimaConfig(
    tokenizer=TokenizerConfig(channels=(4, 6), res_channels=(4, 4), codes=16),
    names=NamesConfig(NameConfig(SMALL, out_dim=289), NameConfig(SMALL, out_dim=32)),
    sequence=ViTConfig(
        TransformerConfig(dim=289, depth=2, heads=2, dim_head=16, mlp_dim=40), registers=3, out_dim=32
    ),
    study=ViTConfig(SMALL, registers=3, out_dim=12),
    contrast=ContrastConfig(hidden=16, out_dim=8),
)


def some_studies(count: int = 24) -> StudyBatch:
    torch.manual_seed(0)
    tokens = [0.3 * torch.randn(60, 289) + 0.2 * torch.randn(289) for _ in range(2 * count)]
    return StudyBatch(
        Ragged.from_list(tokens),
        ["T1", "T2"] * count,
        [2] * count,
        ["MRI"] * count,
        torch.zeros(count, 1, dtype=torch.long),
        torch.ones(count, dtype=torch.long),
    )


def embedded(prima: Prima, batch: StudyBatch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    with torch.inference_mode():
        series, study = prima(batch.tokens, batch.names, batch.n_series, batch.descriptions)
        assert prima.contrast is not None
        return series.embedding, study.clip, prima.contrast(series.registers)


def test_studies_that_look_alike_with_drawn_weights_are_told_apart() -> None:
    batch = some_studies()
    prima = Prima(CONFIG)
    _, before, _ = embedded(prima, batch)
    tell_apart(prima, batch)
    series, after, patients = embedded(prima, batch)
    assert (before @ before.T).mean() > 0.95
    assert (after @ after.T).mean() < 0.3
    torch.testing.assert_close(series.mean(0), torch.zeros(32), atol=1e-3, rtol=0)
    torch.testing.assert_close(series.std(0), torch.ones(32), atol=1e-3, rtol=0)
    torch.testing.assert_close(patients.std(0), torch.full((8,), 0.1), atol=1e-3, rtol=0)


def test_words_are_those_that_tell_reports_apart_and_start_from_their_frequency() -> None:
    reports = [[9, 0, 1, 9], [9, 0, 2], [9, 0, 1], [9, 2, 3]]
    words = Words(dim=5, reports=reports, size=10)
    assert words.chosen.tolist() == [0, 1, 2, 3]  # 9 is in all of them, the others are in none
    ids = torch.tensor([[9, 0, 1, 9], [9, 2, 3, 9]])
    assert words.present(ids).tolist() == [[1, 1, 0, 0], [0, 0, 1, 1]]
    logits = words(torch.randn(2, 5))
    torch.testing.assert_close(logits.sigmoid(), torch.tensor([[0.75, 0.5, 0.5, 0.25]]).expand(2, -1))
    by_hand = -(0.75 * 0.5 * 0.5 * 0.75 * 1.0 * torch.ones(())).log() / 4
    torch.testing.assert_close(words_loss(logits[:1], words.present(ids[:1])), by_hand)


def test_reports_that_are_all_alike_have_no_words_to_tell() -> None:
    with pytest.raises(UsageError, match="words_weight: no word"):
        Words(dim=5, reports=[[1, 2], [2, 1]], size=4)


def test_ground_truth_follows_the_tokens_that_augmentation_keeps() -> None:
    kept = torch.tensor([2, 3, 7])
    series = SeriesTokens(
        "T1w",
        slice_axis=0,
        latent=torch.zeros(8, 1, 1, 1, 1),
        row=kept,
        coord=torch.zeros(3, 3),
        counts=(8,),
        number=kept,
        annotations={
            "content": torch.arange(8.0)[:, None],
            "traits": torch.ones(4),
            "kind": torch.tensor(5),
        },
    )
    batch = with_truth(some_studies(1), [TrainingStudy("MRI", (series, series), ("x",))])
    assert batch.content[:, 0].tolist() == [2, 3, 7, 2, 3, 7]
    assert batch.traits.shape == (1, 4) and batch.kinds.tolist() == [5, 5]
    moved = batch.to(torch.device("meta"))
    assert {moved.content.device.type, moved.kinds.device.type, moved.tokens.values.device.type} == {"meta"}


def test_two_studies_of_a_subject_are_drawn_if_it_has_them() -> None:
    studies = [
        CachedStudy(f"{subject}{visit}", subject, "", (), ((),), False, "")
        for visit in range(3)
        for subject in "abc"[: 3 - visit]
    ]
    thrice, twice, once = by_subject(studies)
    assert [study.id for study in thrice] == ["a0", "a1", "a2"]
    draws = {tuple(s.id for s in draw_pair(thrice, np.random.default_rng(i))) for i in range(50)}
    assert draws == set(permutations(("a0", "a1", "a2"), 2))
    assert [study.id for study in draw_pair(twice, np.random.default_rng(0))] == ["b0", "b1"]
    assert [study.id for study in draw_pair(once, np.random.default_rng(0))] == ["c0", "c0"]


def test_pairs_recognise_their_partner_among_all_others() -> None:
    vectors = torch.randn(6, 5)
    cosine = torch.nn.functional.normalize(vectors) @ torch.nn.functional.normalize(vectors).T
    partner = [1, 0, 3, 2, 5, 4]
    each = [
        -(
            cosine[i, partner[i]] / 0.1
            - torch.tensor([cosine[i, j] / 0.1 for j in range(6) if j != i]).logsumexp(0)
        )
        for i in range(6)
    ]
    torch.testing.assert_close(pair_loss(vectors), torch.stack(each).mean())
    torch.testing.assert_close(pair_loss(torch.ones(6, 5)), torch.tensor(5.0).log())
    nearest = torch.repeat_interleave(torch.eye(3), 2, 0)
    assert pair_loss(nearest) < 1e-3
    assert pair_accuracy(nearest[::2], 2 * nearest[1::2], torch.arange(3)) == 1
    assert pair_accuracy(nearest[::2], nearest[[1, 4]], torch.tensor([1, 2])) == 0.5
