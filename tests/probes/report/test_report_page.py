import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prima_features.errors import OutputError
from prima_features.page.digits import interval, number
from prima_features.probes import Probe, Recipe, tasks
from prima_features.probes.evaluation import Estimate
from prima_features.probes.report import PageContent, write_page
from prima_features.probes.report.content import decimals, metric

Read = Callable[[PageContent], Any]
Draw = Callable[[PageContent], str]


def shown(estimate: Estimate, digits: int) -> str:
    return f"{number(estimate.value, digits)} {interval(estimate, digits)}".strip()


def test_the_table_shows_the_records_numbers_beside_every_baseline(
    any_content: PageContent, read: Read
) -> None:
    found, seen = any_content.evaluation, read(any_content)
    for name, estimate in found.metrics.items():
        digits = decimals(name, found)
        row = seen.row(metric(name, found.task.unit))
        columns = [estimate, *(rival[name] for rival in found.baselines.values())]
        assert row[1:] == [shown(one, digits) for one in columns]


def test_the_table_shows_how_far_the_probe_is_from_each_baseline(
    any_content: PageContent, read: Read
) -> None:
    found = any_content.evaluation
    primary = found.task.primary
    row = read(any_content).row("Probe minus baseline")
    differences = [one[primary] for one in found.over_baselines.values()]
    assert row[2:] == [shown(one, decimals(primary, found)) for one in differences]


def test_the_first_sentence_is_the_primary_metric_with_its_interval(
    any_content: PageContent, html: Draw
) -> None:
    found = any_content.evaluation
    estimate = found.metrics[found.task.primary]
    digits = decimals(found.task.primary, found)
    sentence = re.search('<p class="main-result">(.*?)</p>', html(any_content)).group(1)
    assert number(estimate.value, digits) in sentence
    assert f"95% interval {interval(estimate, digits)}" in sentence


def test_nothing_outside_the_page_is_needed(any_content: PageContent, read: Read) -> None:
    seen = read(any_content)
    assert not seen.tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    for tag, name, value in seen.attributes:
        assert not name.startswith("on"), (tag, name)
        if name in ("href", "src", "xlink:href", "action"):
            assert value.startswith(("#", "data:image/png;base64,")), (tag, value)
        assert "url(" not in value.replace("url(#", ""), (tag, value)
        assert "http:" not in value
        assert "https:" not in value
    assert "url(" not in seen.style
    assert "@import" not in seen.style


def test_links_inside_the_page_lead_to_one_place(any_content: PageContent, read: Read) -> None:
    attributes = read(any_content).attributes
    ids = [value for _, name, value in attributes if name == "id"]
    assert len(ids) == len(set(ids))
    targets = {value[1:] for _, name, value in attributes if name == "href" and value.startswith("#")}
    targets |= {name for _, _, value in attributes for name in re.findall(r"url\(#(.*?)\)", value)}
    assert targets <= set(ids)


def test_the_same_content_gives_the_same_bytes(any_content: PageContent, tmp_path: Path) -> None:
    for name in ("first.html", "second.html"):
        write_page(tmp_path / name, any_content)
    assert (tmp_path / "first.html").read_bytes() == (tmp_path / "second.html").read_bytes()
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["first.html", "second.html"]


def test_no_study_subject_or_family_is_named(any_content: PageContent, html: Draw) -> None:
    assert "secret" not in html(any_content)


def test_names_from_tables_are_text_and_never_markup(autism: PageContent, read: Read, html: Draw) -> None:
    drawn = html(autism)
    assert "<script" not in drawn
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in drawn
    text = read(autism).text
    for site in ("<script>alert(1)</script>", "北京大学第一医院", "Guy's & $St$ Thomas'"):
        # In the forest plot, in the table of sites, in the legend of the map.
        assert text.count(site) >= 3


def test_hostile_titles_warnings_and_commands_stay_text(memory: PageContent, read: Read) -> None:
    bad = "</pre><img src=x onerror=alert(2)>"
    evaluation = replace(memory.evaluation, warnings=(f"beware {bad}",))
    made = replace(memory, title=bad, command=bad, evaluation=evaluation)
    seen = read(made)
    assert "img" not in seen.tags
    assert seen.headings[0] == bad
    assert f"Beware {bad}." in seen.text


def test_control_characters_in_a_sites_name_do_not_break_the_page(
    autism: PageContent, read: Read, html: Draw
) -> None:
    found = autism.evaluation
    group = found.groups["site"]
    strange = "A\x00\x1b\nB\ud800"
    levels = {strange: next(iter(group.levels.values()))}
    group = replace(group, levels=levels, n={strange: 3}, left_out={})
    made = replace(autism, evaluation=replace(found, groups={"site": group}), map=None)
    assert "A" in read(made).text
    assert html(made).encode(errors="replace")


def test_warnings_stand_before_the_result_as_sentences(brain_age: PageContent, html: Draw) -> None:
    drawn = html(brain_age)
    warning = "10 studies are not of known controls: predicted, but not used for training or metrics."
    assert warning in drawn
    assert drawn.index(warning) < drawn.index('<section id="result">')


def test_only_sections_that_have_something_appear(
    given_split: PageContent, memory: PageContent, read: Read
) -> None:
    assert read(given_split).headings[1:] == [
        "Result",
        "Predictions",
        "By group",
        "Sites",
        "Subjects",
        "Methods and results text",
        "Parameters and versions",
    ]
    assert "Sites" not in read(memory).headings
    assert {"Learning curve", "Feature map"} <= set(read(memory).headings)


def test_what_permuted_labels_leave_is_in_a_table(autism: PageContent, read: Read) -> None:
    one, seen = autism.evaluation.leakage.shuffled["site"], read(autism)
    assert "Leakage check" in seen.headings
    row = seen.row("Within sites")
    assert row[1] == f"{one.mean:.3f} {one.low:.3f} to {one.high:.3f}"
    assert row[2:4] == [f"{one.observed:.3f}", f"{one.chance:.3f}"]
    assert "Within subjects: not permuted, because no subject has several studies." in seen.text


def test_the_subjects_that_each_criterion_needs_are_in_a_table(autism: PageContent, read: Read) -> None:
    size, seen = autism.evaluation.sample_size, read(autism)
    assert seen.row("Overall risk known to 0.05")[1] == f"{size.criteria['risk']:,}"
    assert seen.row("Shrinkage of predictor effects by at most 10%")[1] == f"{size.criteria['shrinkage']:,}"


def test_an_evaluation_alone_makes_a_page(any_content: PageContent, read: Read) -> None:
    seen = read(PageContent(any_content.evaluation))
    assert seen.headings[1:3] == ["Result", "Predictions"]
    assert not {"Learning curve", "Feature map"} & set(seen.headings)


def test_sizes_that_the_learning_curve_leaves_out_are_named_with_the_reason(
    memory: PageContent, read: Read
) -> None:
    curve = replace(memory.curve, left_out=((4.0, "a class is missing"),))
    whom = "groups" if memory.is_grouped else "subjects"
    assert f"Sizes left out: 4 {whom}: a class is missing." in read(replace(memory, curve=curve)).text
    none_left = read(replace(memory, curve=replace(curve, points=())))
    assert "Learning curve" in none_left.headings and "Sizes left out" in none_left.text


def test_many_levels_left_out_are_in_a_table_with_their_reasons(autism: PageContent, read: Read) -> None:
    left_out = autism.evaluation.groups["age_band"].left_out
    seen = read(autism)
    assert len(left_out) > 4
    for level, reason in left_out.items():
        assert [f"{level.replace('-', '–')} Age", reason] in seen.rows


def test_an_external_cohort_stands_beside_the_training_set(other_cohort: PageContent, read: Read) -> None:
    seen = read(other_cohort)
    assert seen.headings[0] == "IDH in another cohort"
    assert seen.row("Studies") == ["Studies", "60", "30", "30", "120"]
    assert "Hyperparameters chosen by inner cross-validation" not in seen.text


def test_every_left_out_site_has_its_number(left_out_site: PageContent, read: Read) -> None:
    found = left_out_site.evaluation
    text = read(left_out_site).text
    start = text.index("AUROC of each site by a probe fitted on all other sites")
    for name, value in zip(found.fold_scores.names, found.fold_scores.values, strict=True):
        assert name in text[:start]
        assert f"{number(value, 3)} (" in text[:start]


def test_groups_gaps_and_levels_left_out_are_shown(brain_age: PageContent, read: Read) -> None:
    found, seen = brain_age.evaluation, read(brain_age)
    digits = decimals("mae", found)
    row = next(row for row in seen.rows if row and row[0] == "Sex 2 levels")
    gaps = found.groups["sex"].gaps
    assert row[1:] == [shown(gaps[name], digits) for name in ("mae", "mean_error")] + [
        shown(gaps["slope"], 3)
    ]
    assert "Scanner Achieva is not shown: " in seen.text
    for level in found.groups["age_band"].levels.values():
        assert shown(level["mae"], digits).split()[0] in seen.text


def test_the_confusion_table_counts_every_study_once(dementia: PageContent, read: Read) -> None:
    table = dementia.counted
    seen = read(dementia)
    for name in dementia.evaluation.task.classes:
        row = next(row for row in seen.rows if row and row[0] == f"{name} n = {(table.target == name).sum()}")
        counts = [int(cell.split()[0]) for cell in row[1:]]
        expected = [
            int(((table.target == name) & (table.predicted == other)).sum())
            for other in dementia.evaluation.task.classes
        ]
        assert counts == expected


def test_the_join_says_what_was_left_out_and_why(brain_age: PageContent, read: Read) -> None:
    seen = read(brain_age)
    assert "Of 130 studies in the embeddings, 120 were matched with a label." in seen.text
    assert seen.row("No label has the study's id") == ["No label has the study's id", "8"]
    assert seen.row("No study has the label's id") == ["No study has the label's id", "5"]


def test_the_parameters_of_each_fold_are_listed(brain_age: PageContent, read: Read) -> None:
    scores = brain_age.evaluation.fold_scores
    seen = read(brain_age)
    rows = [row for row in seen.rows if row and row[0].startswith("Fold ")]
    assert len(rows) == len(scores.values) == 6
    for row, n_train, n_test, value, chosen in zip(
        rows, scores.n_train, scores.n_test, scores.values, scores.parameters, strict=True
    ):
        assert row[1:4] == [str(n_train), str(n_test), number(value, 2)]
        assert row[4] == f"alpha = {chosen['alpha']:,.0f}"


def test_the_command_is_shown_as_typed(brain_age: PageContent, read: Read) -> None:
    assert brain_age.command in read(brain_age).text


def test_a_cohort_of_one_class_has_a_page_without_curves(read: Read) -> None:
    rng = np.random.default_rng(0)
    import pandas as pd

    from prima_features.probes import Features

    X = rng.normal(size=(60, 8)).astype(np.float32)
    frame = pd.DataFrame({"target": np.resize(["control", "stroke"], 60)})
    probe = Probe(tasks.get("stroke"), Recipe(options={"C": (0.1,)})).fit(Features.of(X), frame)
    patients = frame["target"] == "stroke"
    evaluation = probe.evaluate(
        Features.of(X[patients]), frame[patients].reset_index(drop=True), n_bootstrap=20
    )
    seen = read(PageContent(evaluation, probe.fitted.training))
    assert "not defined" in seen.row("AUROC")
    assert (
        "The AUROC of stroke is not defined in another cohort, 30 subjects (0 control, 30 stroke)."
        in seen.text
    )
    assert "ROC curve." not in seen.text
    assert "Reliability" in seen.text


def test_a_page_that_cannot_be_written_leaves_nothing(memory: PageContent, tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.mkdir()
    with pytest.raises(OutputError, match=r"report\.html"):
        write_page(target, memory)
    assert list(tmp_path.iterdir()) == [target]
