"""Who is drawn, and that what is drawn is measurable."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from prima_features.synthetic import (
    CONDITIONS,
    build_anatomy,
    draw_acquisitions,
    draw_subject,
    measure,
)
from prima_features.synthetic.factors import with_factors
from prima_features.synthetic.sites import SITES
from prima_features.synthetic.subject import Sex, Subject


def test_one_seed_gives_one_subject_and_another_seed_another() -> None:
    assert draw_subject(3, 7) == draw_subject(3, 7)
    assert draw_subject(3, 7) != draw_subject(4, 7)
    assert draw_subject(3, 7) != draw_subject(3, 8)


def test_shares_of_conditions_and_of_sites_add_up_to_one() -> None:
    assert sum(condition.share for condition in CONDITIONS.values()) == pytest.approx(1)
    assert sum(site.share for site in SITES.values()) == pytest.approx(1)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_ages_stay_within_the_range_of_a_condition(condition: str) -> None:
    low, high = CONDITIONS[condition].ages
    for index in range(12):
        assert low <= draw_subject(0, index, condition=condition).age <= high


def test_a_condition_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="control, autism"):
        draw_subject(0, 0, condition="measles")


def test_drawing_leaves_the_global_random_states_alone() -> None:
    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    build_anatomy(draw_subject(0, 0, condition="glioma"))
    draw_acquisitions(0, 0, "general")
    after = random.getstate(), np.random.get_state()[1], torch.get_rng_state()
    assert before[0] == after[0] and (before[1] == after[1]).all() and torch.equal(before[2], after[2])


def shapes(age: float = 30, sex: Sex = "F", condition: str = "control") -> list[Subject]:
    return [with_factors(Subject(5, i, age, sex, "general", condition=condition)) for i in range(400)]


def cohens_d(a: list[float], b: list[float]) -> float:
    return float((np.mean(b) - np.mean(a)) / np.sqrt((np.var(a) + np.var(b)) / 2))


def test_the_sexes_differ_by_one_standard_deviation_of_brain_volume() -> None:
    volumes = [[subject.brain_ml for subject in group] for group in (shapes(), shapes(sex="M"))]
    assert 0.9 < cohens_d(*volumes) < 1.25


def test_autism_is_a_weak_effect() -> None:
    # One set of random numbers for both, so that what is tested is the shift and not the draw.
    for factor, sign in (("brain_ml", 1), ("ventricle_ratio", 1), ("sulcal_mm", -1)):
        groups = [[getattr(s, factor) for s in shapes(condition=c)] for c in ("control", "autism")]
        assert 0.15 < sign * cohens_d(*groups) < 0.35


def test_age_widens_ventricles_and_sulci_and_adds_hyperintensities() -> None:
    measured = [
        measure(build_anatomy(with_factors(Subject(5, 2, age, "F", "general")))) for age in (25, 50, 85)
    ]
    for name, sign in (("ventricle_ml", 1), ("wmh_ml", 1), ("brain_ml", -1)):
        values = [sign * volumes[name] for volumes in measured]
        assert values == sorted(values), name
    # Horns widen by whole voxels of the atlas: a few decades are needed to see it.
    assert measured[-1]["temporal_horn_ml"] > 1.3 * measured[0]["temporal_horn_ml"]


def test_dementia_takes_an_eighth_to_a_third_of_the_hippocampi_and_widens_ventricles() -> None:
    control, patient = (
        measure(build_anatomy(with_factors(Subject(5, 4, 75, "M", "general", condition=condition))))
        for condition in ("control", "dementia")
    )
    assert 0.67 < patient["hippocampus_ml"] / control["hippocampus_ml"] < 0.88
    assert patient["ventricle_ml"] > 1.1 * control["ventricle_ml"]
    assert patient["temporal_horn_ml"] > 1.2 * control["temporal_horn_ml"]


def test_hyperintensities_have_the_volume_aimed_at() -> None:
    subject = replace(with_factors(Subject(5, 1, 75, "F", "general")), hyperintensity_ml=12.0)
    assert measure(build_anatomy(subject))["wmh_ml"] == pytest.approx(12, rel=0.2)


@pytest.mark.parametrize("condition", ["glioma", "stroke", "subdural_haematoma", "multiple_sclerosis"])
def test_a_lesion_is_there_with_a_volume(condition: str) -> None:
    assert measure(build_anatomy(draw_subject(2, 3, condition=condition)))["lesion_ml"] > 0.5


def test_a_mass_pushes_the_brain_aside() -> None:
    subject = draw_subject(2, 3, condition="glioma", age=70)
    heavy, weightless = (
        build_anatomy(
            replace(subject, lesions=tuple(replace(lesion, growth=growth) for lesion in subject.lesions))
        )
        for growth in (2.5, 1.0)
    )
    assert measure(heavy)["lesion_ml"] > 1.6 * measure(weightless)["lesion_ml"]
    assert measure(heavy)["ventricle_ml"] < measure(weightless)["ventricle_ml"]


def test_a_large_subdural_collection_shifts_the_midline_away_from_it() -> None:
    for index in range(2):
        subject = draw_subject(6, index, condition="subdural_haematoma")
        lesion = replace(subject.lesions[0], growth=4.5)
        shift = measure(build_anatomy(replace(subject, lesions=(lesion,))))["midline_shift_mm"]
        assert 2 < abs(shift) < 15
        assert (shift > 0) == (lesion.side == "left")


def test_acquisitions_know_nothing_of_the_subject_and_wide_ones_vary_more() -> None:
    usual, wide = (
        [scan for i in range(60) for scan in draw_acquisitions(1, i, "general", settings=w)]
        for w in ("usual", "wide")
    )
    assert draw_acquisitions(1, 0, "general") == draw_acquisitions(1, 0, "general")
    for name in ("thickness", "noise", "bias", "gain"):
        spread = [np.ptp([getattr(scan, name) for scan in scans]) for scans in (usual, wide)]
        assert spread[1] > spread[0], name
    assert {scan.thickness for scan in wide if not scan.three_d} >= {1.0, 3.0, 5.5}


def test_an_adc_map_shares_the_grid_of_its_diffusion_weighted_images() -> None:
    scans = {scan.sequence: scan for scan in draw_acquisitions(1, 0, "university", settings="wide")}
    for name in ("matrix", "spacing", "thickness", "n_slices", "centre", "angulation", "head_tilt"):
        assert getattr(scans["DWI"], name) == getattr(scans["ADC"], name)
