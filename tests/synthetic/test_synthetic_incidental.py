"""What is found beside the condition: how often, where it shows, and what reports and tables make of it."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from brains import brain

from prima_features.reports import findings
from prima_features.synthetic import (
    Subject,
    draw_acquisitions,
    draw_subject,
    measure,
    render_series,
)
from prima_features.synthetic.atlas import Region
from prima_features.synthetic.incidental import INCIDENTAL
from prima_features.synthetic.lesions.paint import BESIDE
from prima_features.synthetic.output import table
from prima_features.synthetic.randomness import generator
from prima_features.synthetic.report import write_report
from prima_features.synthetic.report.phrases import NORMAL_VENTRICLES

PAINTED = [name for name in INCIDENTAL if name != "asymmetric ventricles"]
TISSUE = {
    "cavum septi pellucidi": "fluid",
    "mega cisterna magna": "fluid",
    "pineal cyst": "fluid",
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
    both = np.mean(
        [
            {"mucosa in the left maxillary sinus", "mucosa in the right maxillary sinus"} <= set(names)
            for names in named
        ]
    )
    assert both < 0.05


@pytest.mark.parametrize("name", INCIDENTAL)
def test_ages_conditions_and_lesions_leave_some_out(name: str) -> None:
    finding = INCIDENTAL[name]
    young = [
        draw_subject(8, index, condition="control", age=max(finding.youngest - 1, 8)) for index in range(99)
    ]
    assert any(name in subject.fact("incidental") for subject in young) == (finding.youngest == 0)
    for condition in finding.unless[:3]:
        others = [draw_subject(8, index, condition=condition) for index in range(60)]
        assert not any(name in subject.fact("incidental") for subject in others)


def test_nothing_is_found_where_a_lesion_is() -> None:
    cysts = [draw_subject(8, index, condition="arachnoid_cyst") for index in range(300)]
    behind = [subject for subject in cysts if subject.lesions[0].place == "posterior fossa"]
    assert behind and not any("cisterna" in subject.fact("incidental") for subject in behind)
    assert any("cisterna" in subject.fact("incidental") for subject in cysts)


@pytest.mark.parametrize("name", PAINTED)
def test_it_lies_where_it_should_and_is_no_lesion(name: str) -> None:
    lesions = {each: with_(each).incidental for each in PAINTED}
    anatomy = brain(replace(control(), incidental=sum(lesions.values(), ())))
    painted = iter([part for part in anatomy.painted if part.lesion == BESIDE])
    parts = {each: [[next(painted) for _ in lesion.layers] for lesion in lesions[each]] for each in PAINTED}
    assert next(painted, None) is None
    for layers, lesion in zip(parts[name], lesions[name], strict=True):
        (part,) = [part for part in layers if part.tissue == TISSUE.get(name, "mucosa")]
        assert 0.1 < float(part.share.sum()) * anatomy.voxel_ml < 40
        axes = (torch.arange(box.start, box.stop) * anatomy.spacing for box in part.box)
        points = torch.stack(torch.meshgrid(*axes, indexing="ij")) + torch.tensor(anatomy.origin).view(
            3, 1, 1, 1
        )
        middle = (points * part.share).sum((1, 2, 3)) / part.share.sum()
        # As far as the warp takes it, and where the skull or the bone cuts a part of it off.
        away = (middle - torch.tensor(lesion.centre)).norm()
        assert away < 12, middle
        farthest = (points - middle.view(3, 1, 1, 1))[:, part.share > 0.5].norm(dim=0).max()
        assert farthest < 2.2 * max(lesion.radii) * lesion.growth ** (1 / 3) + 6
    truth = measure(anatomy)
    assert truth["lesion_ml"] == truth["oedema_ml"] == 0


def test_swollen_mucosa_is_bright_on_t2_and_absent_from_adc_maps() -> None:
    subject = with_("mucosa in the left maxillary sinus")
    scans = {scan.sequence: scan for scan in draw_acquisitions(3, 11, subject.site)}
    for sequence, bright in (("T2w", True), ("ADC", False)):
        scan = scans[sequence]
        before, after = (render_series(brain(who), scan).volume.astype(float) for who in (control(), subject))
        changed = np.abs(after - before) > 0.3 * np.percentile(before, 99)
        ml = changed.sum() * np.prod(scan.spacing) * scan.slice_distance / 1000
        assert (ml > 1) == bright, (sequence, ml)


def test_one_ventricle_is_larger() -> None:
    plain, changed = (brain(who) for who in (control(), with_("asymmetric ventricles")))
    larger = np.sign(with_("asymmetric ventricles").ventricle_asymmetry)

    def right_over_left(anatomy) -> float:
        wide = torch.isin(anatomy.label, torch.tensor([Region.LATERAL_VENTRICLE], dtype=torch.uint8))
        middle = round(-anatomy.origin[0] / anatomy.spacing)
        return float(wide[middle:].sum() / wide[:middle].sum())

    ratio = right_over_left(changed) / right_over_left(plain)
    assert 1.6 < ratio**larger < 2.9
    truth = [measure(anatomy)["ventricle_ml"] for anatomy in (plain, changed)]
    assert truth[1] == pytest.approx(truth[0], rel=0.1)


@pytest.mark.parametrize("name", INCIDENTAL)
@pytest.mark.parametrize("index", range(4))
def test_reports_tell_it_once_and_nothing_else(name: str, index: int) -> None:
    subject = replace(with_(name), index=index)
    words = {finding: re.escape(finding.split(" in the ")[-1]) for finding in INCIDENTAL} | {
        "asymmetric ventricles": "asymmetric lateral ventricles|lateral ventricle is larger",
        "choroid plexus cysts": "choroid plexus",
        "pineal cyst": "pineal",
        "hyperostosis": "hyperostosis|inner table",
    }
    lines = told(subject)
    for finding, pattern in words.items():
        count = sum(bool(re.search(pattern, line, re.IGNORECASE)) for line in lines)
        assert count == (finding == name), (finding, lines)
    assert any("seventh decade" in line for line in lines)
    scans = draw_acquisitions(3, 11, subject.site)
    report = write_report(subject, {"wmh_ml": 0.0, "midline_shift_mm": 0.0}, scans)
    assert "Normal MRI" not in report and "Unremarkable" not in report
    if side := subject.ventricle_asymmetry:
        assert re.search(f"(larger on the|The) {'right' if side > 0 else 'left'}", report)
        assert not any(sentence in report for sentence in NORMAL_VENTRICLES)


def test_the_table_names_what_was_found() -> None:
    subject = next(s for i in range(50) if "; " in (s := draw_subject(8, i)).fact("incidental"))
    scans = draw_acquisitions(8, 0, subject.site)
    truth = {"hippocampus_ml": 4.0, "ventricle_ml": 25.0, "lesion_ml": 0.0}
    truth |= {"midline_shift_mm": 0.0, "oedema_ml": 0.0, "wmh_ml": 0.0}
    row = table.row(subject, truth, scans, "usual", subject.id)
    assert set(row["incidental"].split("; ")) <= set(INCIDENTAL)
    assert table.row(control(), truth, scans, "usual", "1")["incidental"] == "none"
