"""Methods of explanation on models whose answer is known."""

from typing import Any
from zlib import crc32

import numpy as np
import pytest
import torch

from prima_features.encoders.prima import PrimaModel
from prima_features.explain.faithfulness import faithfulness
from prima_features.explain.groups import group_tokens, places
from prima_features.explain.methods import (
    Attribution,
    Method,
    Sampling,
    attribute,
    gradients,
    leave_out,
    leave_series_out,
    lime,
    lime_public,
)
from prima_features.explain.passes import MaskedSeries, Passes, SeriesTokens
from prima_features.explain.targets import Target, function_target

SIZE, SPACING = (4, 32, 32), (5.0, 1.0, 1.0)
COORD = np.stack(np.unravel_index(np.arange(4 * 6 * 5), (4, 6, 5)), axis=1) * SIZE
EFFECT = np.where((COORD[:, 0] == 4) & (COORD[:, 1] < 96) & (COORD[:, 2] < 64), 1.0, 0.0)


class Known:
    """Passes through a function of the tokens that are kept: additive, with an interaction of pairs and noise."""

    def __init__(self, interaction: float = 0.0, noise: float = 0.0) -> None:
        self.series = (SeriesTokens("T1", torch.zeros(len(COORD), 1), COORD),)
        self.interaction, self.noise = interaction, noise
        self.n_passes = 0

    def without_tokens(self, index: int, kept: np.ndarray, target: Any) -> np.ndarray:
        self.n_passes += len(kept)
        pairs = (kept[:, :-1] & kept[:, 1:]).sum(axis=1)
        noise = np.random.default_rng(crc32(kept.tobytes())).normal(0, self.noise, len(kept))
        return kept @ EFFECT + self.interaction * pairs + noise + 3.0


NOTHING: Any = None


def masked(passes: Any) -> MaskedSeries:
    return MaskedSeries(passes, 0, NOTHING, SIZE, SPACING)


def test_groups_are_blocks_of_about_equal_sides() -> None:
    group, block = group_tokens(COORD, SIZE, SPACING, most=30)
    assert group.max() + 1 <= 30
    assert block == (2, 2, 1) or block == (2, 1, 2) or block == (4, 1, 1) or block == (3, 1, 2)
    for number in range(group.max() + 1):
        extent = np.ptp(COORD[group == number], axis=0) // SIZE + 1
        assert (extent <= block).all()
    single, block = group_tokens(COORD, SIZE, SPACING, most=1000)
    assert block == (1, 1, 1)
    assert len(np.unique(single)) == len(COORD)
    assert (group_tokens(COORD, SIZE, SPACING, most=1)[0] == 0).all()


def test_tokens_kept_twice_share_a_place() -> None:
    twice = np.concatenate([COORD, COORD[:3]])
    number = places(twice)
    assert (number[-3:] == number[:3]).all()
    group, _ = group_tokens(twice, SIZE, SPACING, most=1000)
    assert (group[-3:] == group[:3]).all()


def test_known_effects_are_found() -> None:
    series, sampling = masked(Known()), Sampling(samples=1000)
    for found in (
        lime(series, sampling),
        lime_public(series, sampling),
        leave_out(series, sampling),
    ):
        np.testing.assert_allclose(found.coefficient, EFFECT, atol=0.05)


def test_sampling_stops_when_halves_agree_or_at_the_limit() -> None:
    passes = Known()
    found = lime(masked(passes), Sampling(samples=4000))
    assert found.agreed
    assert found.n_samples < 1000
    assert passes.n_passes == found.n_samples
    found = lime(masked(Known(interaction=2.0)), Sampling(samples=300, agreement=0.9999))
    assert found.agreed is False
    assert 298 <= found.n_samples <= 300


class Flat(Known):
    """Passes whose target does not depend on the tokens."""

    def without_tokens(self, index: int, kept: np.ndarray, target: Any) -> np.ndarray:
        return np.full(len(kept), 0.1)


def test_a_target_that_does_not_change_has_no_certain_tokens_and_no_agreement() -> None:
    flat, single = Flat(), Flat()
    single.series = (SeriesTokens("T1", torch.zeros(1, 1), COORD[:1]),)
    for passes, message in ((flat, "the same whichever tokens"), (single, "one token")):
        found = lime(masked(passes), Sampling(samples=64))
        assert not found.coefficient.any()
        assert not found.spread.any()
        assert found.agreed is False
        assert message in found.warning


def spread_covers(first: Attribution, second: Attribution) -> float:
    """Share of tokens whose difference between two independent runs is inside the spread of the difference."""
    difference = np.abs(first.coefficient - second.coefficient)
    return float((difference <= np.hypot(first.spread, second.spread)).mean())


@pytest.mark.parametrize("method", ["lime", "lime-public"])
def test_the_spread_covers_what_other_seeds_give(method: Method) -> None:
    series = masked(Known(interaction=0.3, noise=1.0))
    runs = []
    for seed in range(8):
        sampling = Sampling(samples=600, seed=seed, agreement=1.0)
        runs.append(attribute(series, method, sampling))
    covered = np.mean([spread_covers(a, b) for a, b in zip(runs[::2], runs[1::2], strict=True)])
    assert 0.86 <= covered <= 0.985


def test_deletion_by_rank_falls_faster_than_at_random() -> None:
    series = masked(Known())
    curve = faithfulness(series, EFFECT, np.arange(len(EFFECT)))
    assert curve is not None
    assert curve.gain > 1
    assert curve.better_than == len(curve.random)
    against = faithfulness(series, -EFFECT, np.arange(len(EFFECT)))
    assert against is not None
    assert against.gain < 0


@pytest.fixture(scope="module")
def real() -> Passes:
    model = PrimaModel.from_pretrained("prima-untrained")
    generator = torch.Generator().manual_seed(0)
    series = []
    for name, n in (("T1", 40), ("T2", 30)):
        latent = torch.randn(n, 2, 2, 8, 8, generator=generator)
        with torch.inference_mode():
            vectors = model.token_vectors(latent, torch.from_numpy(COORD[:n]), 0)
        series.append(SeriesTokens(name, vectors, COORD[:n]))
    return Passes(model, series, "MRI BRAIN")


def first_number(output: Any) -> torch.Tensor:
    return output.embedding[:, 0]


FIRST = Target("first", "first number", first_number)


def test_masked_passes_are_those_of_the_model_on_fewer_tokens(real: Passes) -> None:
    kept = np.random.default_rng(0).random((5, 40)) < 0.5
    found = real.without_tokens(0, kept, FIRST)
    for row, value in zip(kept, found, strict=True):
        one, other = real.series
        fewer = SeriesTokens(one.name, one.vectors[torch.from_numpy(row)], one.coord[row])
        again = Passes(real.model, [fewer, other], "MRI BRAIN").with_series(np.ones((1, 2), bool), FIRST)
        assert value == pytest.approx(float(again[0]), abs=1e-5)


def test_large_and_small_calls_give_the_same(real: Passes, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = np.random.default_rng(1).random((7, 40)) < 0.5
    whole = real.without_tokens(0, kept, FIRST)
    monkeypatch.setattr("prima_features.explain.passes.TOKENS_AT_ONCE", 45)
    np.testing.assert_allclose(real.without_tokens(0, kept, FIRST), whole, atol=1e-5)


def test_gradients_are_those_of_finite_differences(real: Passes) -> None:
    _, gradient = real.gradient(0, FIRST)
    step = 1e-2
    one, other = real.series
    moved = one.vectors.clone()
    moved[3, 7] += step
    values = [
        Passes(real.model, [SeriesTokens("T1", tokens, COORD[:40]), other], "MRI BRAIN").with_series(
            np.ones((1, 2), bool), FIRST
        )[0]
        for tokens in (one.vectors, moved)
    ]
    assert (values[1] - values[0]) / step == pytest.approx(gradient[3, 7], abs=2e-3)
    assert gradients(MaskedSeries(real, 0, FIRST, SIZE, SPACING)).coefficient.shape == (40,)


def test_series_are_left_out(real: Passes) -> None:
    without, alone = leave_series_out(real, FIRST)
    np.testing.assert_allclose(without, alone[::-1], atol=1e-6)


def test_a_function_of_study_vectors_is_a_target(real: Passes) -> None:
    target = function_target("probe:x", "a number", lambda vectors: vectors[:, 0].astype(float))
    kept = np.ones((2, 40), bool)
    np.testing.assert_allclose(real.without_tokens(0, kept, target), real.without_tokens(0, kept, FIRST))
    assert not target.has_gradient
