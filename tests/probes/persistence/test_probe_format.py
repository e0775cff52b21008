"""Probes saved by earlier releases are read, and predict what they predicted then.

The directories in `tests/data/probes` are never written again. A change of the format adds another.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from prima_features.probes import Features, Probe

PROBES = Path(__file__).parents[2] / "data" / "probes"
SAVED = sorted(path.parent for path in PROBES.glob("v*/*/probe.json"))


@pytest.mark.parametrize("folder", SAVED, ids=lambda path: f"{path.parent.name} {path.name}")
def test_it_predicts_what_it_predicted_when_it_was_saved(folder: Path) -> None:
    known = pd.read_csv(folder.parent / "studies.csv")
    probe = Probe.load(folder)
    features = Features.of(known.filter(regex=r"^x\d").to_numpy(np.float32), probe.fitted.training.source)
    found = probe.predict(features, known).table
    expected = pd.read_csv(folder / "expected.csv")
    pd.testing.assert_frame_equal(found[expected.columns], expected, rtol=1e-6, check_dtype=False)


def test_there_are_probes_of_every_format() -> None:
    assert {path.parent.name for path in SAVED} == {"v1"}
    assert {path.name for path in SAVED} == {"knn", "logistic", "mlp", "ridge", "xgboost"}
