"""What prima-synth's card is made from runs, at small sizes."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from prima_features.pretraining.settings import ClipTraining, read_settings
from prima_features.synthetic.render import IMAGES
from prima_features.synthetic.report.phrases import WORDING

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def ablations() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ablations", FOLDER / "ablations.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_model_is_measured_beside_what_has_learnt_nothing(tmp_path: Path) -> None:
    command = [sys.executable, str(FOLDER / "default_model.py"), "--json", "--work", str(tmp_path)]
    command += ["--studies", "10", "--pairs", "2", "--seed", "9100", "--settings", "usual"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
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


def test_ablations_differ_in_what_they_leave_out(ablations: ModuleType, tmp_path: Path) -> None:
    found = {}
    for name, changes in ablations.variants(640).items():
        path = tmp_path / "clip.toml"
        path.write_text(ablations.settings("clip", {"model": f'"{tmp_path}"', "steps": 250, **changes}))
        found[name] = read_settings(ClipTraining, path)
    reference = found.pop("reference")
    assert (reference.steps, reference.precision) == (250, "no")
    assert (reference.data.synthetic, found["half-the-data"].data.synthetic) == (640, 320)
    assert (reference.augmentation.unknown_name, found["no-names"].augmentation.unknown_name) == (0.3, 1.0)
    assert found["no-patients"].patient_weight == 0 < reference.patient_weight
    with pytest.raises(ValueError, match=r"clip.toml has no colour"):
        ablations.settings("clip", {"colour": 1})
