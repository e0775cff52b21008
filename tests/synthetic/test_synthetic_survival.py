"""Synthetic times to death follow the hazard that the table states."""

from __future__ import annotations

import numpy as np

from prima_features.evaluation.survival import c_index, calibration_slope
from prima_features.synthetic.cohort import draw_subject
from prima_features.synthetic.output.table import COLUMNS
from prima_features.synthetic.survival import survival


def drawn(n: int) -> list[dict[str, float]]:
    subjects = [draw_subject(0, i) for i in range(n)]
    return [survival(one, {"ventricle_ml": 20 * one.ventricle_ratio, "lesion_ml": 0.0}) for one in subjects]


def test_the_log_hazard_is_the_true_one() -> None:
    rows = drawn(400)
    y = np.array([row["survival_days"] * (1 if row["death"] else -1) for row in rows], dtype=float)
    hazard, one = np.array([row["log_hazard"] for row in rows]), np.ones((1, len(rows)))
    assert 0.25 < (y > 0).mean() < 0.75
    assert c_index(y, hazard, one)[0] > 0.7
    assert 0.8 < calibration_slope(y, hazard, one)[0] < 1.2
    assert (np.abs(y) >= 1).all()


def test_a_subject_has_the_same_time_in_every_cohort_of_the_seed() -> None:
    assert drawn(3) == drawn(5)[:3]


def test_the_table_has_its_columns() -> None:
    assert {"survival_days", "death", "log_hazard"} <= set(COLUMNS)
