"""What prima-synth's card is made from runs, at small sizes."""

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from brains import brain
from coarse import coarse_acquisitions
from synth.settings import SynthClipTraining

from prima_features.encoders.prima.subvolumes import Subvolumes, cut
from prima_features.pretraining.data.tokenize import take
from prima_features.pretraining.settings import read_settings
from prima_features.synthetic import Acquisition, Anatomy, Subject, draw_subject
from prima_features.synthetic.render import IMAGES
from prima_features.synthetic.report.phrases import WORDING
from prima_features.volumes import Volume

FOLDER = Path(__file__).resolve().parents[2] / "recipes" / "prima_synth"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Imports a script by its name; processes that it starts can then import it as well."""
    monkeypatch.syspath_prepend(FOLDER)

    def imported(name: str) -> ModuleType:
        monkeypatch.delitem(sys.modules, name, raising=False)
        module = importlib.import_module(name)
        monkeypatch.setitem(sys.modules, name, module)
        return module

    return imported


@pytest.fixture
def small(script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`evaluate.py` with studies of two series of thick slices at half the resolution in plane, of which it takes
    every third token; every third subject has the same brain."""
    module = script("evaluate")

    def few(*arguments: Any, **options: Any) -> tuple[Acquisition, ...]:
        return tuple([scan for scan in coarse_acquisitions(*arguments, **options) if not scan.three_d][:2])

    def thin(volume: Volume) -> Subvolumes:
        found = cut(volume)
        return take(found, (len(found),), np.arange(0, len(found), 3))[0]

    def of_three(subject: Subject) -> Anatomy:
        return brain(draw_subject(9100, subject.index % 3))

    monkeypatch.setattr(module, "cut", thin)
    monkeypatch.setattr(module, "draw_acquisitions", few)
    monkeypatch.setattr(module, "build_anatomy", of_three)
    return module


def test_the_model_is_measured_beside_what_has_learnt_nothing(
    small: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    models = (("trained", "prima-synth"), ("untrained", "prima-untrained"))
    setup = small.Setup(tmp_path, models, seed=9100, settings="usual", pairs=2)
    for index in range(10):
        small.one_study(setup, index)
    made = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    command = ["evaluate.py", "--json", "--work", str(tmp_path), "--workers", "1"]
    command += ["--studies", "10", "--pairs", "2", "--seed", "9100", "--settings", "usual"]
    monkeypatch.setattr(sys, "argv", command)
    small.main()
    result = json.loads(capsys.readouterr().out)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == made, "nothing is made twice"
    assert (
        result["studies"] == 10 and len(list(tmp_path.glob(f"usual-9100-0000?-{IMAGES}-{WORDING}.npz"))) == 10
    )
    trained, untrained = result["trained"], result["untrained"]
    assert trained["probes"]["brain-age"]["n"] == 10
    assert "refused" in trained["probes"]["glioma-presence"], "so few studies hold too few of a class"
    assert trained["sequence_type"]["n"] == sum(map(sum, trained["sequence_type"]["confusion"]))
    assert trained["sequence_type"]["accuracy"] > untrained["sequence_type"]["accuracy"]
    assert trained["pairs"]["pairs"] == 2
    recall = trained["retrieval_among_100"]
    assert 0 < recall["text_to_study_recall_at_5"] <= recall["text_to_study_recall_at_10"] == 1
    assert "retrieval_among_100" not in untrained


def test_ablations_differ_in_what_they_leave_out(script: Callable[[str], ModuleType], tmp_path: Path) -> None:
    ablations = script("ablations")
    found = {}
    for name, changes in ablations.variants(640).items():
        path = tmp_path / "clip.toml"
        path.write_text(ablations.settings("clip", {"model": f'"{tmp_path}"', "steps": 250, **changes}))
        found[name] = read_settings(SynthClipTraining, path)
    reference = found.pop("reference")
    assert (reference.steps, reference.precision) == (250, "no")
    assert (reference.data.synthetic, found["half-the-data"].data.synthetic) == (640, 320)
    assert (reference.augmentation.unknown_name, found["no-names"].augmentation.unknown_name) == (0.3, 1.0)
    assert found["no-patients"].patient_weight == 0 < reference.patient_weight
    with pytest.raises(ValueError, match=r"clip.toml has no colour"):
        ablations.settings("clip", {"colour": 1})
