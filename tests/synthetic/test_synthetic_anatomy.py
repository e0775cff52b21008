"""A subject's factors are there in its anatomy, measured on the warped label map."""

from dataclasses import replace

import pytest
import torch
from brains import brain

from prima_features.synthetic import Anatomy, Subject, build_anatomy
from prima_features.synthetic.atlas import Region
from prima_features.synthetic.atlas.load import SHAPE, load_atlas

SUBJECT = Subject(seed=1, index=0, age=40, sex="F", site="A")


def millilitres(anatomy: Anatomy, region: Region) -> float:
    return float((anatomy.label == region).sum()) * anatomy.voxel_ml


def test_the_atlas_holds_every_region_in_head_order() -> None:
    atlas = load_atlas()
    assert tuple(atlas.tone.shape) == SHAPE
    assert {int(value) for value in atlas.label.unique()} == {int(region) for region in Region}
    assert atlas.tone.min() >= 0 and atlas.tone.max() == 2


@pytest.mark.parametrize("ratio", [0.6, 1.8])
def test_ventricles_grow_and_shrink_by_the_ratio_asked_for(ratio: float) -> None:
    before = brain(SUBJECT)
    after = build_anatomy(replace(SUBJECT, ventricle_ratio=ratio))
    region = Region.LATERAL_VENTRICLE
    assert millilitres(after, region) / millilitres(before, region) == pytest.approx(ratio, rel=0.2)


def test_the_skull_stays_where_it_is_when_ventricles_grow() -> None:
    before, after = (brain(replace(SUBJECT, ventricle_ratio=ratio)) for ratio in (1.0, 3.0))
    head = {Region.HEAD, Region.AIR, Region.EYE}
    outside = [torch.isin(a.label, torch.tensor(sorted(head), dtype=torch.uint8)) for a in (before, after)]
    changed = (outside[0] != outside[1]).sum() / (~outside[0]).sum()
    assert changed < 0.005


def test_two_builds_of_one_subject_are_equal_and_two_subjects_are_not() -> None:
    first, again = brain(SUBJECT), build_anatomy(SUBJECT)
    other = build_anatomy(replace(SUBJECT, index=1))
    assert torch.equal(first.tone, again.tone)
    assert not torch.equal(first.tone, other.tone)
