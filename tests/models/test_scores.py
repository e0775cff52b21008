"""Heads and text tower of a model directory, against the public code and against damage."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from prima_features.encoders.prima import iter_heads, load_text, score_heads
from prima_features.encoders.prima.text import END, TextEncoder, Vocabulary
from prima_features.errors import UsageError
from prima_features.models import bundled

TOLERANCE = 1e-4


@pytest.fixture
def copy(golden_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(golden_model, tmp_path / "copy"))


def assert_close(ours: np.ndarray, expected: np.ndarray) -> None:
    assert ours.shape == expected.shape
    assert np.abs(ours - expected).max() <= TOLERANCE * np.abs(expected).max()


@pytest.mark.parametrize("case", ["study_a", "scan_canon", "scan_uih"])
def test_scores_are_those_of_the_public_code(case: str, golden: Path, golden_model: Path) -> None:
    arrays, names = np.load(golden / f"{case}.npz"), json.loads((golden / f"{case}.json").read_text())
    scores = score_heads(golden_model, arrays["study_embedding"])
    for kind in ("diagnosis", "referral", "priority"):
        assert_close(getattr(scores, kind), arrays[kind][None])
        assert getattr(scores, f"{kind}_names") == tuple(names[kind])


def test_scores_of_several_studies_are_those_of_each_alone(golden: Path, golden_model: Path) -> None:
    studies = np.random.default_rng(0).standard_normal((3, 192))
    together = score_heads(golden_model, studies)
    for i, study in enumerate(studies):
        alone = score_heads(golden_model, study[None])
        # Two parts in a million of the largest score: one study and three take different kernels.
        for name in ("diagnosis", "priority"):
            one, several = getattr(alone, name)[0], getattr(together, name)[i]
            np.testing.assert_allclose(one, several, rtol=0, atol=2e-6 * np.abs(several).max())
    assert score_heads(golden_model, studies[:0]).referral.shape == (0, 3)


def test_heads_come_one_at_a_time(golden_model: Path) -> None:
    heads = iter_heads(golden_model)
    first = next(heads)
    assert (first.kind, first.name) == ("diagnosis", "tumor_adult_glioma")
    assert first.module(torch.zeros(2, 192)).shape == (2,)
    assert [head.kind for head in heads] == ["diagnosis"] * 3 + ["referral"] * 3 + ["priority"]


def test_heads_are_missed_where_there_are_none(copy: Path) -> None:
    with pytest.raises(UsageError, match="has no heads"):
        score_heads(bundled.path("prima-untrained"), np.zeros((1, 192)))
    (copy / "heads.safetensors").unlink()
    with pytest.raises(UsageError, match=r"heads\.safetensors is missing"):
        score_heads(copy, np.zeros((1, 192)))


def test_embeddings_of_another_model_are_refused(golden_model: Path) -> None:
    with pytest.raises(UsageError, match="read study embeddings of 192 numbers, not of 100"):
        score_heads(golden_model, np.zeros((1, 100)))


def test_damaged_heads_are_named(copy: Path) -> None:
    state = load_file(copy / "heads.safetensors")
    removed = state.pop("referral.neurology.2.bias")
    save_file(state, copy / "heads.safetensors")
    with pytest.raises(UsageError, match=r"missing: referral\.neurology\.2\.bias"):
        list(iter_heads(copy))
    save_file(state | {"referral.neurology.2.bias": removed[:-1]}, copy / "heads.safetensors")
    with pytest.raises(UsageError, match=r"referral\.neurology in heads\.safetensors .*of another shape"):
        list(iter_heads(copy))
    save_file(state | {"referral.neurology.2.bias": removed[None]}, copy / "heads.safetensors")
    with pytest.raises(UsageError, match="is not an MLP"):
        list(iter_heads(copy))
    (copy / "heads.safetensors").write_bytes(b"weights")
    with pytest.raises(UsageError, match="is damaged"):
        list(iter_heads(copy))


def test_the_text_tower_gives_the_public_code_s_embeddings(golden: Path, golden_model: Path) -> None:
    pytest.importorskip("transformers")
    parts = np.load(golden / "parts.npz")
    tower = load_text(golden_model)
    with torch.inference_mode():
        embedding = tower(torch.from_numpy(parts["text_ids"]), torch.from_numpy(parts["text_lengths"]))
    assert_close(embedding.numpy(), parts["text_embedding"])


def test_a_text_tower_is_missed_where_there_is_none() -> None:
    with pytest.raises(UsageError, match="has no text tower"):
        load_text(bundled.path("prima-untrained"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["diagnosis.tumor_adult_glioma.0.weight", "priority.4.bias"])
def test_heads_that_are_not_finite_give_no_scores(copy: Path, name: str, value: float) -> None:
    tensors = load_file(copy / "heads.safetensors")
    tensors[name].view(-1)[0] = value
    save_file(tensors, copy / "heads.safetensors")
    with pytest.raises(UsageError, match="contains NaN or infinity in"):
        score_heads(copy, np.zeros((1, 192)))


def test_scores_that_overflow_are_refused(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["heads"]["diagnosis"][0]["threshold"] = 1e300
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="gives scores that are not finite: check its threshold"):
        score_heads(copy, np.zeros((1, 192)))


def test_a_text_tower_that_is_not_finite_gives_no_vectors(copy: Path) -> None:
    tensors = load_file(copy / "text.safetensors")
    for tensor in tensors.values():
        tensor.fill_(float("nan"))
    save_file(tensors, copy / "text.safetensors")
    words = Tokenizer(WordLevel({"a": 0, END: 1, "[UNK]": 2}, unk_token="[UNK]"))
    with pytest.raises(UsageError, match="not finite"):
        TextEncoder(load_text(copy), Vocabulary(words, 10))(["a"])
