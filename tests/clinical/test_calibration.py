"""Files of curves that were edited or damaged."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prima_features.clinical.calibration import Calibration, Curve, read_calibration
from prima_features.errors import UsageError

PLATT = {"method": "platt", "x": [1.0], "y": [0.0], "n": 10, "positives": 4}
ISOTONIC = {"method": "isotonic", "x": [0.0, 1.0], "y": [0.1, 0.9], "n": 10, "positives": 4}


def read(tmp_path: Path, curve: dict[str, Any], **more: Any) -> Calibration:
    made = {"method": "platt", "names": ["a"], "curves": [curve], "n_studies": 10, "n_subjects": 10} | more
    (tmp_path / "calibration.json").write_text(json.dumps(made))
    return read_calibration(tmp_path / "calibration.json")


@pytest.mark.parametrize(
    "edit",
    [
        PLATT | {"x": [-1.0]},
        PLATT | {"x": [1.0, 2.0]},
        PLATT | {"y": []},
        PLATT | {"method": "spline"},
        PLATT | {"positives": 11},
        ISOTONIC | {"x": [1.0, 0.0]},
        ISOTONIC | {"y": [0.9, 0.1]},
        ISOTONIC | {"y": [0.1, 1.9]},
        ISOTONIC | {"x": [0.0]},
        ISOTONIC | {"x": [], "y": []},
    ],
)
def test_curves_that_do_not_rise_to_probabilities_are_refused(tmp_path: Path, edit: dict[str, Any]) -> None:
    read(tmp_path, PLATT), read(tmp_path, ISOTONIC)
    with pytest.raises(UsageError, match=r"calibration\.json is not a file of prima audit --calibrate: "):
        read(tmp_path, edit)


@pytest.mark.parametrize(
    "more", [{"names": ["a", "b"]}, {"names": ["a", "a"], "curves": [PLATT] * 2}, {"scores": "odds"}]
)
def test_names_and_curves_belong_together(tmp_path: Path, more: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="is not a file of prima audit --calibrate: "):
        read(tmp_path, PLATT, **more)


@pytest.mark.filterwarnings("error")
def test_extreme_scores_have_probabilities_of_0_and_1_without_a_warning() -> None:
    curve = Curve("platt", (100.0,), (0.0,), 10, 4)
    assert curve.apply(np.array([-1e4, 1e4])).tolist() == [0, 1]
