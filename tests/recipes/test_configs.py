"""The settings of prima-synth are ones that the stages take."""

from pathlib import Path

import pytest
from synth.settings import SynthClipTraining

from prima_features.pretraining.settings import HeadsTraining, TokenizerTraining, read_settings
from prima_features.synthetic.labels import DIAGNOSES, PRIORITIES, REFERRALS

from .conftest import RECIPE

CONFIGS = RECIPE / "configs"


@pytest.mark.parametrize(
    ("stage", "settings"),
    [
        ("tokenizer", TokenizerTraining),
        ("content", SynthClipTraining),
        ("clip", SynthClipTraining),
        ("fresh", SynthClipTraining),
        ("pairs", SynthClipTraining),
        ("finish", SynthClipTraining),
        ("findings", SynthClipTraining),
        ("more", SynthClipTraining),
        ("others", SynthClipTraining),
    ],
)
def test_the_default_models_settings_are_read_and_share_caches(
    stage: str, settings: type, tmp_path: Path
) -> None:
    # What the others start from.
    for earlier in ("tokenizer", "content", "clip", "fresh", "pairs", "finish", "findings", "more"):
        (tmp_path / earlier).mkdir()
    path = tmp_path / f"{stage}.toml"
    path.write_text((CONFIGS / f"{stage}.toml").read_text())
    found = read_settings(settings, path)
    assert found.output == tmp_path / stage
    assert found.data.cache == tmp_path / "cache"
    assert found.data.synthetic and found.data.synthetic_settings == "varied"


def test_the_heads_are_those_of_the_labels_of_synthetic_studies(tmp_path: Path) -> None:
    (tmp_path / "others").mkdir()
    path = tmp_path / "heads.toml"
    path.write_text((CONFIGS / "heads.toml").read_text())
    data = read_settings(HeadsTraining, path).data
    assert data.diagnosis == DIAGNOSES
    assert set(data.referral) == set(REFERRALS)
    assert data.priority == PRIORITIES


def test_the_tokenizer_takes_at_most_0_4_gflop_a_token(tmp_path: Path) -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from prima_features.pretraining.model.start import start

    settings = read_settings(TokenizerTraining, CONFIGS / "tokenizer.toml")
    tokenizer = start(settings).prima.tokenizer
    with torch.inference_mode(), FlopCounterMode(display=False) as counted:
        tokenizer.encode(torch.zeros(2, 1, 8, 32, 32))
    assert counted.get_total_flops() / 2 < 0.4e9
