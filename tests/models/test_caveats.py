"""What must be said with every number of a model: which models have a caveat, and that it stays with their weights."""

import shutil
import warnings
from pathlib import Path

import pytest

from prima_features.encoders.prima import PrimaModel
from prima_features.encoders.prima.model_config import read_config
from prima_features.encoders.registry import load_encoder
from prima_features.models import bundled, caveats
from prima_features.models.caveats import ModelCaveatWarning, caveat_of, inherited, warn_of

SYNTHETIC = caveat_of("prima-synth")


@pytest.mark.parametrize("name", bundled.names())
def test_every_bundled_model_has_a_caveat(name: str) -> None:
    assert name in caveat_of(name)
    assert load_encoder(name).info.caveat == caveat_of(name)


def test_the_default_model_says_that_it_was_trained_on_synthetic_brains() -> None:
    assert "trained on synthetic brains only" in SYNTHETIC


def test_a_copy_under_another_name_keeps_the_caveat(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundled.path("prima-synth"), tmp_path / "mine"))
    assert PrimaModel.from_pretrained(copy).caveat == SYNTHETIC


def test_a_saved_model_keeps_the_caveat_although_its_checksum_is_another(tmp_path: Path) -> None:
    PrimaModel.from_pretrained("prima-untrained").save_pretrained(tmp_path / "saved")
    saved = PrimaModel.from_pretrained(tmp_path / "saved")
    assert saved.sha256 != PrimaModel.from_pretrained("prima-untrained").sha256
    assert saved.caveat == caveat_of("prima-untrained")


def test_other_models_have_none_and_nothing_of_it_is_written(tmp_path: Path) -> None:
    assert caveat_of("mine", "ab" * 32) == caveat_of("mine") == ""
    config = read_config(bundled.path("prima-untrained"))
    assert config.caveat == "" and "caveat" not in config.to_json()


def test_a_model_trained_further_inherits_the_caveat_once() -> None:
    derived = inherited(SYNTHETIC)
    assert derived.endswith(SYNTHETIC) and "trained further" in derived
    assert inherited(derived) == derived
    assert inherited("") == ""


def test_each_caveat_warns_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caveats, "_warned", set())
    with pytest.warns(ModelCaveatWarning, match="synthetic"):
        warn_of(SYNTHETIC)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of(SYNTHETIC)
        warn_of("")
