"""bench.html: the document of a bench as one page that opens offline. No study or subject is named in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from prima_features.bench.figures import accuracy_figure, reliability_figure
from prima_features.bench.metric_names import METRICS, definition, in_sentence
from prima_features.evaluation.intervals import Estimate
from prima_features.page import template
from prima_features.page.blocks import (
    Block,
    Cell,
    Folded,
    Prose,
    Section,
    Table,
    Verbatim,
    estimate_cell,
    label,
    p_cell,
    section,
)
from prima_features.page.digits import UNDEFINED, brief, decimals_for, number, short
from prima_features.wording import RESEARCH_ONLY, capital, count, listed, sentence, verb

Document = Mapping[str, Any]
_PACKAGE = "prima_features.bench"
RELIABILITY = {
    "icc": "ICC(2,1)",
    "icc_distance": "ICC of distances",
    "identification": "Identification",
    "discriminability": "Discriminability",
    "scanner_variance": "Scanner's share of variance",
    "site_variance": "Site's share of variance",
}
_PROBES = {
    "ridge": "ridge regression",
    "logistic": "logistic regression",
    "cox": "ridge Cox regression",
    "ordinal": "proportional-odds logistic regression",
    "poisson": "Poisson or negative binomial ridge regression",
    "knn": "nearest neighbours in 64 principal components",
}
_CHOSEN = {"knn": "numbers of neighbours"}
"""What the inner loop chooses for an estimator that has no penalty."""


def page(document: Document, title: str = "") -> str:
    """The page as HTML.

    Args:
        document: of a bench.json.
        title: of the page; default: the cohort's name.
    """
    made = [
        _results(document),
        _reliability(document),
        _differences(document),
        _sites(document),
        _few_shot(document),
        _methods(document),
        _encoders(document),
    ]
    return template(_PACKAGE, "page.html.jinja").render(
        title=title or document["cohort"] or "Encoders",
        description=description(document),
        results=[main_result(key, one) for key, one in document["tasks"].items()],
        research_only=RESEARCH_ONLY,
        warnings=[_warning(document, text) for text in document["warnings"]],
        sections=[one for one in made if one is not None],
    )


def _warning(document: Document, text: str) -> str:
    """As a sentence. The name of an encoder or task that it begins with keeps its spelling."""
    made = sentence(text)
    return text[:1] + made[1:] if text.startswith((*document["encoders"], *document["tasks"])) else made


def estimate(one: Mapping[str, Any]) -> Estimate:
    """An estimate of the document; NaN for null."""
    return Estimate(*(np.nan if one.get(key) is None else one[key] for key in ("value", "ci_low", "ci_high")))


def decimals(task: Document) -> int:
    """Digits after the point of a task's primary metric."""
    if task["higher_is_better"]:
        return 3
    values = [one[task["primary"]]["value"] for one in task["encoders"].values()]
    return decimals_for(max((value for value in values if value is not None), default=1.0))


def unit_of(task: Document) -> str:
    """Unit of a task's primary metric; empty if it has none."""
    return str(task["unit"]) if task["primary"] == "mae" else ""


def ranked(task: Document) -> list[str]:
    """Encoders from the best to the worst by the primary metric."""
    sign = -1 if task["higher_is_better"] else 1
    values = {name: estimate(one[task["primary"]]).value for name, one in task["encoders"].items()}
    return sorted(values, key=lambda name: (np.isnan(values[name]), sign * values[name]))


def description(document: Document) -> str:
    """Cohort, encoders, studies and tasks in one line."""
    cohort = f"{document['cohort']}: " if document["cohort"] else ""
    return (
        f"{cohort}{count(len(document['encoders']), 'encoder')} on {count(document['n_studies'], 'study')} of "
        f"{count(document['n_subjects'], 'subject')}, {count(len(document['tasks']), 'task')}"
    )


def main_result(key: str, task: Document) -> str:
    """Which encoder is best, by how much, and which are not worse beyond noise."""
    best, *others = ranked(task)
    metric, unit = METRICS[task["primary"]], unit_of(task)
    value = brief(estimate(task["encoders"][best][task["primary"]]), decimals(task), unit)
    said = f"{label(key)}: {best} has the best {in_sentence(task['primary'])}, {value}"
    if not others:
        return f"{label(key)}: {metric} {value}."
    near = [name for name in others if _between(task, best, name)["within_noise"]]
    if len(near) == len(others):
        return f"{said}, but no encoder differs from it beyond noise."
    if near:
        return f"{said}; {listed(near)} {verb(len(near), 'does', 'do')} not differ from it beyond noise."
    return f"{said}; all others are worse beyond noise."


def _baseline(name: str) -> str:
    """`age_sex` as `age and sex`."""
    words = {"dummy": "constant prediction", "icv": "intracranial volume", "site": "site alone"}
    return listed([words.get(part, part) for part in name.split("_")])


def _between(task: Document, first: str, second: str) -> Mapping[str, Any]:
    found = task["differences"]
    pair: Mapping[str, Any] = found.get(f"{first} - {second}") or found[f"{second} - {first}"]
    return pair


def _results(document: Document) -> Section | None:
    if not document["tasks"]:
        return None
    machines = {
        one["cost_per_scan"]["machine"]
        for one in document["encoders"].values()
        if one["cost_per_scan"]["seconds"] is not None
    }
    note = None
    if len(machines) > 1:
        note = Prose(f"Times are from different machines and do not compare: {'; '.join(sorted(machines))}.")
    elif machines:
        note = Prose(f"Times were measured on {machines.pop()}, including reading and preparation.")
    blocks: list[Block | None] = [accuracy_figure(document), accuracy_table(document), note]
    return section("results", "Accuracy and cost", blocks)


def accuracy_table(document: Document) -> Table:
    """The primary metric of each task and the cost of each encoder, the best one of the first task first."""
    tasks = document["tasks"]
    costs = {name: one["cost_per_scan"] for name, one in document["encoders"].items()}
    shown = {
        title: key
        for title, key in (("Seconds per scan", "seconds"), ("GFLOP per scan", "gflop"))
        if any(one[key] is not None for one in costs.values())
    }
    heads = [
        f"{label(key)}, {in_sentence(one['primary'])}{' in ' + unit_of(one) if unit_of(one) else ''}"
        for key, one in tasks.items()
    ]

    def cells(kind: str, name: str) -> list[Cell]:
        return [
            estimate_cell(estimate(one[kind][name][one["primary"]]), decimals(one))
            if name in one[kind]
            else Cell("")
            for one in tasks.values()
        ]

    rows = [
        (Cell(name), *cells("encoders", name), *(_cost(costs[name][key]) for key in shown.values()))
        for name in ranked(next(iter(tasks.values())))
    ]
    best = frozenset({0} if len(tasks) == 1 and len(rows) > 1 else ())
    baselines = dict.fromkeys(name for one in tasks.values() for name in one["baselines"])
    rows += [
        (Cell(f"baseline: {_baseline(name)}"), *cells("baselines", name), *[Cell("")] * len(shown))
        for name in baselines
    ]
    caption = "Main probe of each encoder, with 95% intervals over subjects"
    return Table(caption, ("Encoder", *heads, *shown), tuple(rows), best)


def _cost(value: float | None) -> Cell:
    return Cell("not recorded" if value is None else short(float(f"{value:.3g}")))


def _reliability(document: Document) -> Section | None:
    found = document["reliability"]
    if not found:
        return None
    design = document["repeats"]
    said = (
        f"{count(design['n_scans'], 'scan')} of {count(design['n_subjects'], 'subject')}"
        f"{' on ' + count(len(design['scanners']), 'scanner') if design['scanners'] else ''}; chance of identification "
        f"{design['identification_chance']:.3f}, of discriminability 0.5. The shares of variance are better if low, "
        "all other numbers if high."
    )
    impossible = {one["combat_impossible"] for one in found.values() if one["combat_impossible"]}
    blocks: list[Block | None] = [reliability_figure(found), reliability_table(document), Prose(said)]
    blocks += [Prose(f"No ComBat: {text}.") for text in sorted(impossible)]
    return section("reliability", "Reliability", blocks)


def reliability_table(document: Document) -> Table:
    """Reliability of each encoder, before and after ComBat."""
    found = document["reliability"]
    names = [name for name in RELIABILITY if any(name in one for one in found.values())]
    rows = tuple(
        (
            Cell(title),
            *(estimate_cell(estimate(own[name])) if name in own else Cell("") for name in names),
        )
        for encoder, one in found.items()
        for title, own in ((encoder, one), (f"{encoder}, after ComBat", one["combat"]))
        if own
    )
    head = ("Encoder", *(RELIABILITY[name] for name in names))
    return Table("Repeat scans, with 95% intervals over subjects", head, rows)


def _differences(document: Document) -> Section | None:
    blocks: list[Block] = []
    for key, task in document["tasks"].items():
        for own in (task, *task["probes"].values()):
            if not own["differences"]:
                continue
            digits = decimals(task)
            rows = tuple(
                (
                    Cell(pair),
                    estimate_cell(estimate(one), digits),
                    p_cell(one["p"]) if one["p"] is not None else Cell(UNDEFINED),
                    p_cell(one["p_holm"]) if one["p_holm"] is not None else Cell(UNDEFINED),
                    Cell("within noise" if one["within_noise"] else "differs"),
                )
                for pair, one in own["differences"].items()
            )
            name = f"{label(key)}, {_PROBES.get(own['estimator'], own['estimator'])}"
            head = ("Pair", f"Difference of {in_sentence(task['primary'])}", "p", "p, adjusted", "Conclusion")
            table = Table(f"Paired differences: {name}", head, rows, text_columns=frozenset({0, 4}))
            blocks.append(table if own is task and len(rows) <= 10 else Folded(table.caption, table))
    return section("differences", "Differences between encoders", blocks)


def _sites(document: Document) -> Section | None:
    return section("sites", "Sites and groups", sites_tables(document))


def sites_tables(document: Document) -> list[Block]:
    """A table per task: left-out sites, what the vectors show of the site, the worst group, the OpenBHB score."""
    blocks: list[Block] = []
    for key, task in document["tasks"].items():
        if columns := _site_columns(task):
            rows = tuple(
                (Cell(name), *(column.get(name, Cell("")) for column in columns.values()))
                for name in ranked(task)
            )
            blocks.append(Table(label(key), ("Encoder", *columns), rows))
        if task["leave_site_out_impossible"]:
            blocks.append(Prose(f"{label(key)}: no site was left out: {task['leave_site_out_impossible']}."))
    return blocks


def _site_columns(task: Document) -> dict[str, dict[str, Cell]]:
    """Cells by column, then encoder."""
    metric, digits = task["primary"], decimals(task)
    columns: dict[str, dict[str, Cell]] = {}
    if task["leave_site_out"]:
        columns[f"Leave-site-out {in_sentence(metric)}"] = {
            name: estimate_cell(estimate(one[metric]), digits)
            for name, one in task["leave_site_out"]["encoders"].items()
        }
    if read := task["site_decodability"]:
        chance = next(iter(read.values()))["chance"]
        columns[f"Site read from vectors (balanced accuracy; chance {chance:.2f})"] = {
            name: estimate_cell(estimate(one["balanced_accuracy"])) for name, one in read.items()
        }
    if shares := task["site_variance"]:
        columns["Site's share of variance"] = {
            name: Cell(number(one["value"], 3)) for name, one in shares.items()
        }
    if worst := task["worst_group"]:
        columns[f"Worst group, {in_sentence(metric)}"] = {
            name: Cell(
                f"{label(one['variable'])} {one['level']}: {number(one['value'], digits)}",
                estimate_cell(estimate(one), digits).detail,
            )
            for name, one in worst.items()
        }
    if scores := task["openbhb"]:
        columns["OpenBHB score"] = {
            name: Cell(number(estimate(one["score"]).value, 3)) for name, one in scores.items()
        }
    return columns


def _few_shot(document: Document) -> Section | None:
    blocks: list[Block | None] = []
    for key, task in document["tasks"].items():
        if not task["few_shot"]:
            continue
        sizes = [point["per_class"] for point in next(iter(task["few_shot"].values()))]
        rows = tuple(
            (
                Cell(name),
                *(
                    Cell(
                        number(point["value"], 3), f"{number(point['low'], 3)} to {number(point['high'], 3)}"
                    )
                    for point in curve
                ),
            )
            for name, curve in task["few_shot"].items()
        )
        caption = f"{label(key)}: {METRICS[task['primary']]} by labelled subjects per class"
        table = Table(f"{caption}; mean and 95% range of draws", ("Encoder", *map(str, sizes)), rows)
        blocks.append(table)
    without = [label(key) for key, task in document["tasks"].items() if not task["few_shot"]]
    if blocks and without:
        blocks.append(
            Prose(
                f"Not for {listed(without)}: curves need classes without order, of two subjects or more each."
            )
        )
    return section("few-shot", "Few labels", blocks)


def _methods(document: Document) -> Section | None:
    return section("methods", "Methods text", [Verbatim(methods_text(document))])


def methods_text(document: Document) -> str:
    """Sentences for a paper, with the numbers of this run."""
    tasks = document["tasks"].values()
    estimators = dict.fromkeys(own["estimator"] for one in tasks for own in (one, *one["probes"].values()))
    scores = [one for task in tasks for one in task["openbhb"].values()]
    text = template(_PACKAGE, "methods.txt.jinja").render(
        document=document,
        encoders=list(document["encoders"]),
        probes=listed([_PROBES.get(name, name) for name in estimators]) if estimators else "",
        chosen=capital(listed(dict.fromkeys(_CHOSEN.get(name, "penalties") for name in estimators) or ("",))),
        metrics=[
            f"{definition(one['primary'], one['kind'], one['unit'])} for {label(key)}"
            for key, one in document["tasks"].items()
        ],
        has_few_shot=any(task["few_shot"] for task in tasks),
        has_openbhb=bool(scores),
        official=all(one["official_split"] for one in scores),
        count=count,
        listed=listed,
    )
    paragraphs = re.split(r"\n\s*\n", text.strip())
    return "\n\n".join(" ".join(one.split()) for one in paragraphs)


def _differing_settings(encoders: Mapping[str, Any]) -> list[str]:
    """A sentence for each setting in which files of one model differ."""
    models: dict[str, dict[str, Mapping[str, Any]]] = {}
    for name, one in encoders.items():
        models.setdefault(one["sha256"], {})[name] = _flat(one.get("settings", {}))
    found = []
    for files in models.values():
        for setting in sorted({key for settings in files.values() for key in settings}):
            values = {name: str(settings.get(setting, "not stated")) for name, settings in files.items()}
            if len(set(values.values())) > 1:
                each = ", ".join(f"{value} in {name}" for name, value in values.items())
                found.append(f"These files are of one model and differ in the setting {setting}: {each}.")
    return found


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def _encoders(document: Document) -> Section | None:
    rows = tuple(
        (
            Cell(name),
            Cell(one["model"], one["revision"]),
            Cell(one["encoder"]),
            Cell(f"{one['width']:,}"),
            Cell(f"{one['n_studies']:,}"),
            Cell(one["licence"]),
            Cell(one["citation"]),
        )
        for name, one in document["encoders"].items()
    )
    head = ("Encoder", "Model", "Kind", "Vector length", "Studies in file", "Licence", "Citation")
    table = Table(
        "Models, as their embeddings files state", head, rows, text_columns=frozenset({0, 1, 2, 5, 6})
    )
    digests = [
        f"folds of {label(key)}: {one['folds']['digest'][:16]}" for key, one in document["tasks"].items()
    ]
    made = f"Made on {document['created'][:10]} with prima-features {document['prima_features_version']}"
    command = document["command"]
    blocks: list[Block | None] = [
        table,
        *(Prose(one) for one in _differing_settings(document["encoders"])),
        Prose(f"{'; '.join([made, *digests])}."),
        Verbatim(command, is_code=True) if command else None,
    ]
    return section("encoders", "Encoders and provenance", blocks)
