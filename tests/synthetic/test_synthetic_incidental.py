"""What is found beside the condition: how often, where it shows, and what reports and tables make of it."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from prima_features.reports import findings
from prima_features.synthetic import (
    Subject,
    build_anatomy,
    draw_acquisitions,
    draw_subject,
    measure,
    render_series,
)
from prima_features.synthetic.atlas import Region
from prima_features.synthetic.incidental import INCIDENTAL
from prima_features.synthetic.output import table
from prima_features.synthetic.randomness import generator
from prima_features.synthetic.report import write_report

PAINTED = [name for name in INCIDENTAL if name != "asymmetric ventricles"]
TISSUE = {"cavum septi pellucidi": "fluid", "mega cisterna magna": "fluid", "pineal cyst": "fluid"} | {
    "choroid plexus cysts": "xanthogranuloma",
    "hyperostosis": "bone",
}


def control(age: float = 60.0) -> Subject:
    """Someone with nothing at all."""
    subject = draw_subject(3, 11, condition="control", age=age, site="university")
    return replace(subject, incidental=(), ventricle_asymmetry=0.0, facts=())


def with_(name: str) -> Subject:
    return INCIDENTAL[name].add(control(), generator(3, 11, "test"))


def told(subject: Subject, wmh: float = 0.0) -> list[str]:
    scans = draw_acquisitions(3, 11, subject.site)
    return findings(write_report(subject, {"wmh_ml": wmh, "midline_shift_mm": 0.0}, scans))


def test_each_is_as_frequent_as_its_share_and_drawn_on_its_own() -> None:
    subjects = [draw_subject(8, index, condition="control", age=60) for index in range(600)]
    named = [subject.fact("incidental").split("; ") for subject in subjects]
    for name, finding in INCIDENTAL.items():
        share = np.mean([name in names for names in named])
        assert share == pytest.approx(finding.share, abs=4 * (finding.share / 600) ** 0.5), name
    both = np.mean([{"left maxillary sinus", "right maxillary sinus"} <= set(names) for names in named])
    assert both < 0.05


def test_ages_and_conditions_leave_some_out() -> None:
    young = [draw_subject(8, index, condition="control", age=25) for index in range(200)]
    assert not any("hyperostosis" in subject.fact("incidental") for subject in young)
    wide = [draw_subject(8, index, condition="hydrocephalus") for index in range(200)]
    assert not any(subject.ventricle_asymmetry for subject in wide)
    assert any(subject.incidental for subject in wide)


@pytest.mark.parametrize("name", PAINTED)
def test_it_lies_where_it_should_and_is_no_lesion(name: str) -> None:
    subject = with_(name)
    anatomy = build_anatomy(subject)
    tissue = TISSUE.get(name, "mucosa")
    parts = [part for part in anatomy.painted if part.tissue == tissue and part.lesion < -1]
    assert sum(float(part.share.sum()) for part in parts) * anatomy.voxel_ml > 0.2
    for part in parts:
        where = anatomy.label[part.box][part.share > 0.5]
        outside = (where == Region.HEAD) | (where == Region.AIR)
        assert bool(outside.all()) if tissue == "mucosa" else not bool(outside.any())
    assert measure(anatomy)["lesion_ml"] == measure(anatomy)["oedema_ml"] == 0


def test_swollen_mucosa_is_bright_on_t2() -> None:
    subject = with_("left maxillary sinus")
    scan = next(s for s in draw_acquisitions(3, 11, subject.site) if s.sequence == "FLAIR")
    before, after = (render_series(who, scan).volume.astype(float) for who in (control(), subject))
    changed = after - before
    assert changed.max() > 0.5 * np.percentile(before, 99)


def test_one_ventricle_is_larger() -> None:
    plain, changed = (build_anatomy(who) for who in (control(), with_("asymmetric ventricles")))
    larger = np.sign(with_("asymmetric ventricles").ventricle_asymmetry)

    def right_over_left(anatomy) -> float:
        wide = torch.isin(anatomy.label, torch.tensor([Region.LATERAL_VENTRICLE], dtype=torch.uint8))
        middle = round(-anatomy.origin[0] / anatomy.spacing)
        return float(wide[middle:].sum() / wide[:middle].sum())

    ratio = right_over_left(changed) / right_over_left(plain)
    assert 1.3 < ratio**larger < 2.5


@pytest.mark.parametrize("name", INCIDENTAL)
@pytest.mark.parametrize("index", range(4))
def test_reports_tell_it_once_and_nothing_else(name: str, index: int) -> None:
    subject = replace(with_(name), index=index)
    words = {finding: re.escape(finding) for finding in INCIDENTAL} | {
        "asymmetric ventricles": "asymmetric lateral ventricles|lateral ventricle is larger",
        "choroid plexus cysts": "choroid plexus",
        "pineal cyst": "pineal",
        "hyperostosis": "hyperostosis|inner table",
    }
    lines = told(subject)
    for finding, pattern in words.items():
        count = sum(bool(re.search(pattern, line, re.IGNORECASE)) for line in lines)
        assert count == (finding == name), (finding, lines)
    side = subject.ventricle_asymmetry
    assert not side or any(
        ("larger on the right" if side > 0 else "larger on the left") in line
        or f"The {'right' if side > 0 else 'left'} lateral ventricle is larger" in line
        for line in lines
    )


def test_the_table_names_what_was_found() -> None:
    subject = next(s for i in range(50) if "; " in (s := draw_subject(8, i)).fact("incidental"))
    scans = draw_acquisitions(8, 0, subject.site)
    row = table.row(subject, {}, scans, "usual", subject.id)
    assert set(row["incidental"].split("; ")) <= set(INCIDENTAL)
    assert table.row(control(), {}, scans, "usual", "1")["incidental"] == "n/a"
