"""Training on made-up brains with the truth behind their images."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import train
from accelerate import Accelerator
from brains import brain
from coarse import coarse_acquisitions
from safetensors.torch import load_file
from small_training import clip_settings, synthetic_settings
from synth.settings import SynthClipTraining
from synth.stage import SynthClipStage
from synth.truth import Truth, mean_by_study

from prima_features.encoders.prima.subvolumes import Subvolumes
from prima_features.errors import UsageError
from prima_features.pretraining.build import Workplace, build_stage
from prima_features.pretraining.data import synthetic
from prima_features.pretraining.data.synthetic import SyntheticStudies
from prima_features.pretraining.data.tokenize import drawn, take
from prima_features.pretraining.objectives import clip_loss
from prima_features.pretraining.run import Callbacks, pretrain, read_stage
from prima_features.pretraining.settings import read_settings
from prima_features.synthetic import (
    CONTENT,
    TRAITS,
    Acquisition,
    build_anatomy,
    draw_subject,
    measure,
    traits,
)

Write = Callable[..., Path]
TRUTH = "content_weight = 1\ntraits_weight = 1\ntell_apart = true\n"
CLIP = 'output = "run"\nmodel = "prima-untrained"\n'
DATA = '[data]\nsource = "scans"\nreports = "reports.tsv"\n'


def log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "training" / "log.jsonl").read_text().splitlines()]


class EnoughError(Exception):
    """Ends a run."""


def four_steps(step: int, steps: int, measures: object) -> None:
    if step == 4:
        raise EnoughError


def test_truth_is_learnt_from_a_share_of_the_tokens_and_chunks_change_nothing(
    tokenizer_model: Path, synthetic_cache: Path, coarse_studies: None, write: Write, tmp_path: Path
) -> None:
    text = synthetic_settings(tokenizer_model, "whole", synthetic_cache, TRUTH)
    assert train.main(["clip", str(write(text))]) == 0
    text = synthetic_settings(tokenizer_model, "chunks", synthetic_cache, f"{TRUTH}chunk = 1")
    with pytest.raises(EnoughError):
        pretrain("clip", write(text), callbacks=Callbacks(on_step=four_steps), clip=SynthClipStage)
    whole, chunks = (
        [line for line in log(tmp_path / name) if "loss" in line] for name in ("whole", "chunks")
    )
    for name, share in (("content_loss", 0.9), ("series_traits_loss", 0.95)):
        values = [line[name] for line in whole]
        assert np.mean(values[-4:]) < share * values[0], name
        assert values[:4] == pytest.approx([line[name] for line in chunks], abs=1e-4)

    entries = [load_file(file) for file in (synthetic_cache / "latents").glob("*.safetensors")]
    assert entries
    for entry in entries:
        assert entry["content"].shape == (len(entry["row"]), len(CONTENT))
        assert entry["traits"].shape == (len(TRAITS),)
        assert len(entry["row"]) == len(entry["coord"]) >= entry["counts"].max()
        assert 0 <= int(entry["kind"]) < 6
        assert "rare" not in entry
    told = [
        json.loads(load_file(file)["findings"].numpy().tobytes())
        for file in (synthetic_cache / "reports").glob("*.safetensors")
    ]
    assert all(len(wordings) == 3 and wordings[0] != wordings[1] for wordings in told)


@pytest.fixture
def short_studies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies of their first two series of thick slices, coarse; a brain is built once for all its studies."""

    def few(*arguments: Any, **options: Any) -> tuple[Acquisition, ...]:
        scans = coarse_acquisitions(*arguments, **options)
        return tuple([scan for scan in scans if not scan.three_d][:2])

    monkeypatch.setattr(synthetic, "draw_acquisitions", few)
    monkeypatch.setattr(synthetic, "build_anatomy", lambda subject, device: brain(subject))


def test_two_studies_of_a_subject_make_a_pair(
    tokenizer_model: Path, short_studies: None, write: Write, tmp_path: Path
) -> None:
    text = synthetic_settings(
        tokenizer_model, "pairs", tmp_path / "cache", f"{TRUTH}pair_weight = 3"
    ).replace("synthetic = 3", "synthetic = 4\nsynthetic_visits = 2")
    text = text.replace("validation = 0.34", "validation = 0.5")
    text = text.replace("steps = 24", "steps = 2").replace("batch = 2", "batch = 4")
    plain = "drop_series = 0\ndrop_token = 0\nmove_threshold = 0\nshuffle_series = false"
    path = write(f"{text}\n[augmentation]\n{plain}\n")
    assert train.main(["clip", str(path)]) == 0
    lines = log(tmp_path / "pairs")
    shares = {"clip": 1, "patient": 0.03, "pair": 3, "content": 1, "kind": 1}
    shares |= {f"{of}_traits": 1 for of in ("series", "report", "study")}
    for line in lines:
        if "loss" in line:
            total = sum(share * line[f"{name}_loss"] for name, share in shares.items())
            assert line["loss"] == pytest.approx(total, rel=1e-5)
            assert line["pair_loss"] > 0
    assert all(line["validation"]["pair_accuracy"] in (0, 0.5, 1) for line in lines if "validation" in line)

    stage = build_stage(
        read_stage("clip", path, SynthClipStage),
        Workplace(tmp_path / "pairs", Accelerator(cpu=True)),
        SynthClipStage,
    )
    assert stage.counts["training studies"] == 4 and stage.counts["validation subjects"] == 2
    (batch,) = stage.load(0)
    assert batch.traits is not None
    one, again, other, _ = batch.traits
    assert torch.equal(one, again) and not torch.equal(one, other)
    starts = batch.tokens.cu_seqlens[torch.tensor(batch.n_series).cumsum(0)].tolist()
    first, second = batch.tokens.values[: starts[0]], batch.tokens.values[starts[0] : starts[1]]
    # Nothing is augmented: it is another study.
    assert first.shape != second.shape or not torch.equal(first, second)

    # Neither of the two reports of a subject is a wrong answer for the other's study.
    with torch.no_grad():
        _, study = stage.modules["prima"](batch.tokens, batch.names, batch.n_series, batch.descriptions)
        texts = stage.modules["text"](batch.ids, batch.lengths)
        temperature = stage.modules["prima"].contrast.temperature
        expected = clip_loss(study.clip, texts, temperature, torch.tensor([0, 0, 1, 1]))
        assert not torch.isclose(clip_loss(study.clip, texts, temperature), expected, rtol=1e-3)
    torch.testing.assert_close(stage.backward([batch], 0)["clip_loss"], expected)


def test_further_studies_show_the_same_brain_in_another_way() -> None:
    studies = SyntheticStudies(2, seed=5, visits=2)
    first, again = studies[0], studies[2]
    assert [len(studies), first.id, again.id] == [4, "sub-0001", "sub-0001_ses-2"]
    assert first.subject == again.subject != studies[1].subject
    (_, brain, scan), (_, same_brain, other_scan) = (
        json.loads(study.series[0].fingerprint) for study in (first, again)
    )
    assert brain == same_brain and scan["model"] != other_scan["model"]


def test_what_is_told_starts_from_the_means(tmp_path: Path) -> None:
    rng = torch.Generator().manual_seed(0)
    content = torch.rand(200, 5, generator=rng) ** 8
    traits = torch.randn(200, 3, generator=rng) * torch.tensor([1.0, 20.0, 5.0]) + 7
    truth = Truth((8, 8, 8, 8), content, traits, 4)
    outputs = torch.randn(200, 8, generator=rng)
    # In units of the means' own cross-entropy, and of the variance.
    assert truth.content_loss(outputs, content).mean().item() == pytest.approx(1, abs=1e-4)
    assert truth.study_loss(outputs, traits).mean().item() == pytest.approx(1, abs=0.02)
    kinds = torch.randint(4, (200,), generator=rng)
    assert truth.kind_loss(outputs, kinds).mean().item() == pytest.approx(1, abs=1e-5)
    values = torch.tensor([1.0, 3.0, 8.0], requires_grad=True)
    means = mean_by_study(values, [2, 1])
    torch.testing.assert_close(means, torch.tensor([2.0, 8.0]))
    (means * torch.tensor([1.0, 5.0])).sum().backward()
    torch.testing.assert_close(values.grad, torch.tensor([0.5, 0.5, 5.0]))


def test_lesions_come_to_a_volume_of_each_tissue() -> None:
    subject = replace(draw_subject(4, 0, condition="glioma"), incidental=())
    anatomy = build_anatomy(subject)
    told = dict(zip(TRAITS, traits(subject, anatomy, measure(anatomy)).tolist(), strict=True))
    tissues = {part.tissue for part in anatomy.painted if float(part.share.sum()) * anatomy.voxel_ml > 0.5}
    assert "oedema" in tissues or "tumour" in tissues
    for tissue in tissues:
        assert told[f"log {tissue} ml"] > np.log(0.5)
    assert told["log pus ml"] == pytest.approx(np.log(0.1))


def test_a_share_of_the_tokens_keeps_thresholds_apart() -> None:
    row = np.arange(1000)
    tokens = Subvolumes(np.zeros((1000, 4, 1, 1), np.float32), row, np.c_[row, row, row], 0, 20, 2000)
    tokens.values[:, 0, 0, 0] = row
    rare = np.isin(row, [5, 500, 501])
    thin, counts = take(
        tokens, (1000, 600, 3), drawn(1000, (1000, 600, 3), 0.2, np.random.default_rng(0), rare)
    )
    assert 200 <= len(thin) <= 204
    assert {5, 500, 501} <= {*thin.coord[:, 0].tolist()}
    np.testing.assert_array_equal(thin.values[thin.row, 0, 0, 0], thin.coord[:, 0])
    assert (np.diff(thin.coord[:, 0]) > 0).all()
    for count, kept in zip((1000, 600, 3), counts, strict=True):
        assert kept == (thin.coord[:, 0] >= 1000 - count).sum() > 0
    whole, counts = take(tokens, (1000,), drawn(1000, (1000,), 1.0, np.random.default_rng(0)))
    assert counts == (1000,)
    np.testing.assert_array_equal(whole.coord, tokens.coord)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (CLIP + "batch = 7\npair_weight = 1\n" + DATA, "batch must be even and 4 or more with pair_weight"),
        (CLIP + "pair_weight = -1\n" + DATA, "pair_weight must be 0 or more"),
        (CLIP + "start_share = 1\n" + DATA, "start_share must be at least 0 and below 1, not 1"),
        (
            CLIP + "start_share = 0.5\n" + DATA + "[network.text]\ndim = 16\n",
            "start_share mixes in the weights of model, but text.source or network.text",
        ),
    ],
)
def test_contradictions_of_the_recipes_settings_are_named(write: Write, text: str, told: str) -> None:
    with pytest.raises(UsageError) as error:
        read_settings(SynthClipTraining, write(text))
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("more", "data", "message"),
    [
        ("traits_weight = 1", "", "traits_weight needs synthetic studies"),
        ("", "wordings = 2", "wordings must be 1, or more for synthetic studies"),
        ("", "token_share = 0", "token_share must be above 0"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    more: str, data: str, message: str, bids: Path, reports: Path, tokenizer_model: Path, write: Write
) -> None:
    text = clip_settings(bids, reports, tokenizer_model, more=more).replace("[data]", f"[data]\n{data}")
    with pytest.raises(UsageError, match=message):
        read_settings(SynthClipTraining, write(text))
