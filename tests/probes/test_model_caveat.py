"""What is said of the model that made a probe's features: its caveat, and no more of its origin than is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from prima_features.models import caveats
from prima_features.models.caveats import ModelCaveatWarning, caveat_of
from prima_features.probes import Features, FeatureSource, Probe
from prima_features.probes.report import PageContent, methods_text

SYNTH = FeatureSource("prima-synth", "0.1.0", "12" * 32)


@pytest.fixture
def data() -> tuple[Features, pd.DataFrame]:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"study": [f"s{i}" for i in range(40)], "age": rng.uniform(20, 80, 40)})
    X = rng.normal(size=(40, 3)).astype(np.float32)
    X[:, 0] += frame["age"] / 10
    return Features.of(X, SYNTH), frame.assign(target=frame["age"])


def methods(source: FeatureSource, content: PageContent) -> str:
    assert content.training is not None
    return methods_text(replace(content, training=replace(content.training, source=source)))


@pytest.fixture
def content(data: tuple[Features, pd.DataFrame]) -> PageContent:
    probe = Probe("brain-age").fit(*data)
    assert probe.fitted is not None
    return PageContent(probe.evaluate(*data, n_bootstrap=10), probe.fitted.training)


def test_python_warns_once_whatever_is_done_first(
    data: tuple[Features, pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caveats, "_warned", set())
    with pytest.warns(ModelCaveatWarning, match="synthetic") as found:
        probe = Probe("brain-age").fit(*data)
        predicted = probe.predict(*data)
    assert len(found) == 1 and found[0].filename == __file__
    assert predicted.warnings[0] == caveat_of("prima-synth")
    assert set(predicted.table["caveat"]) == {caveat_of("prima-synth")}
    monkeypatch.setattr(caveats, "_warned", set())
    with pytest.warns(ModelCaveatWarning) as found:
        probe.predict(*data)
    assert found[0].filename == __file__


def test_a_loaded_probe_keeps_the_caveat(data: tuple[Features, pd.DataFrame], tmp_path: Path) -> None:
    Probe("brain-age").fit(*data).save(tmp_path / "probe")
    assert Probe.load(tmp_path / "probe").predict(*data).warnings[0] == caveat_of("prima-synth")


def test_methods_credit_the_package_for_the_model_on_synthetic_data(content: PageContent) -> None:
    text = methods(SYNTH, content)
    assert "trained on synthetic images and reports that the same package generates" in text
    assert "Its weights are not those of the cited paper" in text
    assert "arXiv.2509.18638" in text and caveat_of("prima-synth") in text


def test_methods_claim_nothing_of_the_origin_of_other_models(content: PageContent) -> None:
    text = methods(FeatureSource("someone/brains", "c0ffee", "ab" * 32, encoder="prima"), content)
    assert "the model someone/brains (revision c0ffee" in text
    assert "Who trained its weights, and on what data, is not recorded" in text
    assert "has the Prima architecture (Lyu et al. 2025)" in text
    assert "synthetic" not in text and "prima-features package" not in text


def test_methods_cite_prima_only_for_its_architecture(content: PageContent) -> None:
    text = methods(FeatureSource("other", "1", "cd" * 32, encoder="neurovfm"), content)
    assert "Lyu" not in text and "2509.18638" not in text
    cited = FeatureSource("other", "1", "cd" * 32, encoder="neurovfm", citation="Doe et al. 2026")
    assert "The citation that its encoder states is: Doe et al. 2026." in methods(cited, content)


def test_without_a_caveat_there_is_no_column() -> None:
    frame = pd.DataFrame({"study": list("abcdefghijkl"), "target": np.arange(12.0)})
    features = Features.of(np.random.default_rng(0).normal(size=(12, 2)), FeatureSource("mine"))
    predicted = Probe("custom").fit(features, frame).predict(features, frame)
    assert "caveat" not in predicted.table
