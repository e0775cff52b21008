"""Options of an encoder: what Prima reads in place of series' names, how it is recorded, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from prima_features import read_embeddings
from prima_features.cli.main import main
from prima_features.encoders.prima import PrimaModel
from prima_features.errors import UsageError


def embed(study_a: Path, output: Path, *options: str) -> int:
    return main(["embed", str(study_a), str(output), "--device", "cpu", "--no-report", *options])


def test_hidden_names_change_the_vectors_and_are_recorded(
    study_a: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed(study_a, tmp_path / "kept.h5") == 0
    assert embed(study_a, tmp_path / "hidden.h5", "--series-names", "hidden") == 0
    assert embed(study_a, tmp_path / "option.h5", "--encoder-option", "series_names=hidden") == 0
    kept, hidden, option = (read_embeddings(tmp_path / f"{name}.h5") for name in ("kept", "hidden", "option"))
    assert "series_names" not in kept.preprocessing
    assert hidden.preprocessing["series_names"] == "hidden"
    assert np.abs(hidden.series_embedding - kept.series_embedding).max() > 1e-3
    np.testing.assert_array_equal(hidden.study_embedding, option.study_embedding)
    assert list(hidden.series["name"]) == list(kept.series["name"])  # the file still has them
    # A run with the other setting takes nothing over from an earlier one.
    capsys.readouterr()
    assert embed(study_a, tmp_path / "kept.h5", "--series-names", "hidden") == 0
    assert "from an earlier run" not in capsys.readouterr().out
    np.testing.assert_array_equal(
        read_embeddings(tmp_path / "kept.h5").study_embedding, hidden.study_embedding
    )


def test_with_hidden_names_the_vectors_do_not_depend_on_names(study_a: Path, tmp_path: Path) -> None:
    """Names are all that differs: the reader's flags of names change no vector."""
    from dataclasses import replace

    from prima_features.embedding.engine.local import EngineOptions, embed_studies
    from prima_features.studies.dicom import find_dicom

    (study,) = find_dicom(study_a).studies
    renamed = replace(
        study, series=tuple(replace(one, name=f"name {i}") for i, one in enumerate(study.series))
    )
    model = PrimaModel.from_pretrained("prima-untrained").with_options({"series_names": "hidden"})
    one, other = (next(iter(embed_studies([some], model, EngineOptions()))) for some in (study, renamed))
    np.testing.assert_array_equal(one.embedding, other.embedding)


def test_the_model_itself_is_not_changed() -> None:
    model = PrimaModel.from_pretrained("prima-untrained")
    assert model.with_options({"series_names": "hidden"}).info.settings["series_names"] == "hidden"
    assert "series_names" not in model.info.settings
    assert model.with_options({}).info == model.info


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("names=hidden", "Prima has no option names"),
        ("series_names=none", "must be keep or hidden, not none"),
        ("series_names", "is not of the form NAME=VALUE"),
        ("=hidden", "is not of the form NAME=VALUE"),
    ],
)
def test_wrong_options_are_one_sentence(
    study_a: Path, tmp_path: Path, option: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed(study_a, tmp_path / "o.h5", "--encoder-option", option) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "o.h5").exists()


@pytest.mark.parametrize(("names", "option"), [("hidden", "keep"), ("keep", "hidden")])
def test_two_settings_of_series_names_that_contradict_each_other_are_refused(
    study_a: Path, tmp_path: Path, names: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    both = ("--series-names", names, "--encoder-option", f"series_names={option}")
    assert embed(study_a, tmp_path / "o.h5", *both) == 2
    said = capsys.readouterr().err
    assert f"it contradicts --encoder-option series_names={option}; give only one of them" in said
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_without_options_refuses_them() -> None:
    from prima_features.encoders.base import Encoder

    model = PrimaModel.from_pretrained("prima-untrained")
    assert Encoder.with_options(model, {}) is model
    with pytest.raises(UsageError, match="has no option speed"):
        Encoder.with_options(model, {"speed": "high"})
