"""The worklist page: the most urgent studies first, with the findings that are present in each."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from prima_features.clinical.pages.pictures import pictures_of
from prima_features.page import count, template
from prima_features.page.blocks import Section
from prima_features.page.html import Script, script_json
from prima_features.wording import listed, verb

if TYPE_CHECKING:
    import pandas as pd

    from prima_features.clinical.diagnose import Diagnosed
    from prima_features.embedding.file.read import Embeddings

_ROOM = "prima_features.clinical.pages"
_DIGITS = 3
_MOST_NAMED = 20


@dataclass(frozen=True)
class _Finding:
    """One diagnosis or referral, for all studies of the file."""

    kind: str
    name: str
    group: str
    label: str
    n_present: int
    share: float


def worklist_page(found: Diagnosed, file: Embeddings, title: str) -> str:
    """The page as HTML.

    Args:
        found: scores of the studies of `file`.
        file: the embeddings file; pictures come from its own HTML report, if there is one.
        title: heading of the page, such as the table's file name.
    """
    findings = _findings(found)
    ranked = found.table.assign(row=np.arange(len(found.table))).sort_values(["rank", "study"], kind="stable")
    pictures = pictures_of(file, ranked["study"])
    return template(_ROOM, "worklist.html.jinja").render(
        title=title,
        main_result=_main_result(found, findings),
        research_only=found.document["notice"],
        warnings=_warnings(found),
        sections=[
            Section("worklist", "Worklist" if found.document["worklist"] else "Studies"),
            Section("findings", "Findings"),
            Section("how", "How it was made"),
        ],
        findings=findings,
        document=found.document,
        n_studies=len(found.table),
        scale=_scale(found.document),
        calibration=found.document.get("calibration"),
        data=script_json(
            _data(found, findings, ranked["row"].to_numpy()) | {"series": _series_names(file, pictures)}
        ),
        has_pictures=bool(pictures),
        pictures=script_json(pictures),
        script=Script(_ROOM, "worklist.js"),
    )


def _findings(found: Diagnosed) -> list[_Finding]:
    findings = []
    for kind in ("diagnosis", "referral"):
        present = getattr(found.scores, kind) >= 0
        for i, head in enumerate(found.document[kind]):
            n = int(present[:, i].sum())
            findings.append(_finding(kind, head, n, n / max(len(present), 1)))
    return findings


def _finding(kind: str, head: Mapping[str, Any], n: int, share: float) -> _Finding:
    """A diagnosis is labelled by what follows its group: `tumor_adult_glioma` is `adult glioma` of `tumor`."""
    name = str(head["name"])
    group = "referral" if kind == "referral" else str(head["group"])
    label = name if kind == "referral" else name.partition("_")[2] or name
    return _Finding(kind, name, group, label.replace("_", " "), n, share)


def _main_result(found: Diagnosed, findings: Sequence[_Finding]) -> str:
    n = len(found.table)
    any_present = int((found.scores.diagnosis >= 0).any(axis=1).sum())
    kinds = {"diagnosis": ("diagnosis", "diagnoses"), "referral": ("referral", "referrals")}
    sizes = {kind: sum(one.kind == kind for one in findings) for kind in kinds}
    scored = listed([count(sizes[kind], *words) for kind, words in kinds.items() if sizes[kind]])
    text = f"{count(n, 'study', 'studies')} scored" + (f" for {scored}." if scored else ".")
    if found.scores.diagnosis_names:
        text += (
            f" At least one diagnosis is scored as present in {count(any_present, 'study', 'studies')}."
            if any_present
            else " No diagnosis is scored as present in any study."
        )
    return text


def _scale(document: Mapping[str, Any]) -> str:
    """The smallest and the largest urgency, if the worklist's rule has them."""
    levels = document["priority"]["levels"]
    if not document["worklist"] or document["worklist"]["rule"] != "expected":
        return ""
    return f"from 0 ({levels[0]}) to {len(levels) - 1} ({levels[-1]})"


def _warnings(found: Diagnosed) -> list[str]:
    warnings = [found.caveat] if found.caveat else []
    if lost := found.not_scored:
        named = listed([*lost[:_MOST_NAMED], *(["others"] if len(lost) > _MOST_NAMED else [])])
        warnings.append(
            f"{count(len(lost), 'study', 'studies')} could not be embedded and {verb(len(lost), 'is', 'are')} missing "
            f"here: {named}."
        )
    if not found.document["worklist"]:
        warnings.append(
            "The model has no priority head: studies are in the order of their ids, not of urgency."
        )
    return warnings


def _data(found: Diagnosed, findings: Sequence[_Finding], rows: np.ndarray) -> dict[str, Any]:
    """What the script reads, studies in the order of the worklist; scores are rounded for the page only."""
    scores, table = found.scores, found.table.iloc[rows]
    has_worklist = bool(found.document["worklist"])
    both = np.concatenate([scores.diagnosis, scores.referral], axis=1)[rows]
    return {
        "ids": table["study"].tolist(),
        "subjects": table["subject"].tolist(),
        "sessions": table["session"].tolist(),
        "ranks": table["rank"].tolist() if has_worklist else None,
        "urgency": _rounded(table["worklist"].to_numpy()) if has_worklist else None,
        "levels": list(scores.priority_names),
        "priority": _rounded(scores.priority[rows]),
        "findings": [
            {"kind": one.kind, "name": one.name, "group": one.group, "label": one.label} for one in findings
        ],
        "scores": _rounded(both),
        "probabilities": _probabilities(table, findings),
        # As decided from the unrounded scores: -0.0001 is absent, and is shown as 0.000.
        "present": [np.flatnonzero(row).tolist() for row in both >= 0],
    }


def _series_names(file: Embeddings, studies: Collection[str]) -> dict[str, list[str]]:
    """Names of the series of some studies, in the file's order, by study id."""
    if not studies:
        return {}
    ids = file.studies["id"].to_numpy()[file.series["study"].to_numpy()]
    names = file.series["name"].groupby(ids).agg(list)
    return {study: names[study] for study in studies if study in names}


def _probabilities(table: pd.DataFrame, findings: Sequence[_Finding]) -> list[list[Any]] | None:
    """(N, F) calibrated probabilities, None for findings without a curve; None if there is no calibration."""
    names = [f"probability/{one.kind}/{one.name}" for one in findings]
    if not any(name in table for name in names):
        return None
    columns = [_rounded(table[name].to_numpy()) if name in table else [None] * len(table) for name in names]
    return [list(row) for row in zip(*columns, strict=True)]


def _rounded(values: np.ndarray) -> list[Any]:
    rounded: list[Any] = np.round(values.astype(np.float64), _DIGITS).tolist()
    return rounded
