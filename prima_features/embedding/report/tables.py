"""The file as columns for the page's script, which sorts, filters and pages them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from prima_features.embedding.file.read import Embeddings
from prima_features.embedding.file.records import FAILURE
from prima_features.embedding.record.run_file import key
from prima_features.embedding.report.arrangement import Arrangement
from prima_features.embedding.report.brains import DICE, LITRES, SCALE, Brains, outside
from prima_features.studies.study import Failure

Kind = Literal["text", "number", "study", "size"]
MOST_LEFT_OUT = 20_000
"""Rows of what was left out in the page; what is wrong comes first."""
MOST_STUDIES = 50_000
"""Studies in the page's tables and map. More would make it slow to open."""
MOST_SERIES = 5 * MOST_STUDIES
_TIMES = "×"


@dataclass(frozen=True)
class Column:
    """One column. A `study` is an id that leads to what the page knows of it; a `size` is never broken into lines."""

    name: str
    label: str
    kind: Kind
    values: Iterable[Any]
    digits: int = 0
    """Of numbers, after the point."""
    bounds: tuple[float, float] | None = None
    """Numbers outside are marked."""

    def as_json(self) -> dict[str, Any]:
        """JSON types; texts that recur are told once."""
        made: dict[str, Any] = {"name": self.name, "label": self.label, "kind": self.kind}
        if self.bounds is not None:
            values = np.asarray(self.values)
            made |= {"bounds": self.bounds, "out": np.flatnonzero(outside(values, self.bounds)).tolist()}
        if self.kind == "number":
            return made | {"digits": self.digits, "values": [_number(v, self.digits) for v in self.values]}
        codes: dict[str, int] = {}
        coded = [codes.setdefault(str(text), len(codes)) for text in self.values]
        return made | {"texts": list(codes), "codes": coded}


def studies(
    file: Embeddings,
    found: Arrangement,
    defects: Sequence[Failure],
    rows: np.ndarray,
    brains: Brains | None = None,
) -> list[Column]:
    """One row per study.

    Args:
        rows: the studies to show, as rows of `file.studies`.
        brains: studies with a brain mask or transform that is out of bounds get a remark.
    """
    out_of_bounds = set() if brains is None else {*brains.studies.tolist()}
    ids = file.study_columns["id"]
    table, shown = file.study_columns.take(rows), ids[rows]
    series_study, n_tokens = (file.series_columns[name] for name in ("study", "n_tokens"))
    tokens = np.bincount(series_study, n_tokens, minlength=file.n_studies)
    left_out = Counter(one.study for one in defects)
    outliers, pairs = {*found.outliers.tolist()}, {row for i, j, _ in found.pairs for row in (i, j)}
    missing = [left_out[study] for study in shown]
    flags = [
        [
            name
            for name, has in (
                ("outlier", row in outliers),
                ("near-duplicate", row in pairs),
                ("incomplete", n_missing),
                ("out of bounds", row in out_of_bounds),
            )
            if has
        ]
        for row, n_missing in zip(rows.tolist(), missing, strict=True)
    ]
    nearest = found.nearest[rows]
    return [
        Column("id", "Study", "study", shown),
        Column("description", "Description", "text", table["description"]),
        Column("n_series", "Series", "number", table["n_series"]),
        Column("n_tokens", "Tokens", "number", tokens[rows]),
        Column("left_out", "Failed series", "number", missing),
        Column("nearest", "Nearest study", "study", [ids[row] if row >= 0 else "" for row in nearest]),
        Column("similarity", "Cosine to it", "number", found.similarity[rows], 4),
        Column("isolation", "Isolation", "number", found.isolation[rows], 2),
        Column("flags", "Remarks", "text", [", ".join(flag) for flag in flags]),
    ]


def series(file: Embeddings, rows: np.ndarray) -> list[Column]:
    """One row per series of the studies to show, up to `MOST_SERIES`."""
    shown = np.flatnonzero(np.isin(file.series_columns["study"], rows))[:MOST_SERIES]
    table = file.series_columns.take(shown)
    axes = [np.column_stack([table[f"{name}_{axis}"] for axis in "zyx"]) for name in ("shape", "spacing")]
    return [
        Column("study", "Study", "study", file.study_columns["id"][table["study"]]),
        Column("name", "Series", "text", table["name"]),
        Column("plane", "Plane", "text", table["plane"]),
        *(_brain_columns(table) if file.has_brains else ()),
        Column("known_by", "Slice axis from", "text", table["slice_axis_known_by"]),
        Column("n_tokens", "Tokens", "number", table["n_tokens"]),
        Column("shape", "Volume (z, y, x)", "size", [_TIMES.join(map(str, one)) for one in axes[0]]),
        Column("spacing", "Spacing, mm", "size", [_TIMES.join(f"{v:.2f}" for v in one) for one in axes[1]]),
        Column("flags", "Flags", "text", [flags.replace(",", ", ") for flags in table["flags"]]),
    ]


def _brain_columns(table: Mapping[str, np.ndarray]) -> list[Column]:
    return [
        Column("mask_from", "Brain mask from", "text", table["mask_from"]),
        Column("brain_litres", "Brain, litres", "number", table["brain_litres"], 2, LITRES),
        Column("mni_from", "Transform from", "text", table["mni_from"]),
        Column("mni_scale", "Scale", "number", table["mni_scale"], 2, SCALE),
        Column("mni_dice", "Dice", "number", table["mni_dice"], 3, DICE),
    ]


def left_out(failures: Sequence[Failure]) -> list[Column]:
    """A row for each thing that is not in the file, what is wrong first."""
    shown = sorted(failures, key=lambda one: not one.defect)[:MOST_LEFT_OUT]
    return [
        Column("study", "Study", "study", [one.study for one in shown]),
        Column("series", "What", "text", [one.series for one in shown]),
        Column("stage", "Stage", "text", [one.stage for one in shown]),
        Column("error", "Why", "text", [one.error for one in shown]),
        Column("hint", "What to do", "text", [one.hint for one in shown]),
        Column("kind", "Kind", "text", ["failed" if one.defect else "by design" for one in shown]),
    ]


def pairs(file: Embeddings, found: Arrangement) -> list[Column]:
    """A row for each pair of near-duplicates."""
    ids, subjects = (file.study_columns[name] for name in ("id", "subject"))
    same = [bool(subjects[i]) and subjects[i] == subjects[j] for i, j, _ in found.pairs]
    return [
        Column("one", "Study", "study", [ids[i] for i, _, _ in found.pairs]),
        Column("other", "Other study", "study", [ids[j] for _, j, _ in found.pairs]),
        Column("cosine", "Cosine", "number", [cosine for _, _, cosine in found.pairs], 5),
        Column("subject", "Subjects", "text", ["the same" if one else "different" for one in same]),
    ]


def outliers(file: Embeddings, found: Arrangement) -> list[Column]:
    """A row for each outlier."""
    rows = found.outliers[:MOST_STUDIES]
    table = file.study_columns.take(rows)
    return [
        Column("id", "Study", "study", table["id"]),
        Column("isolation", "Isolation", "number", found.isolation[rows], 2),
        Column("similarity", "Cosine to the nearest", "number", found.similarity[rows], 4),
        Column("n_series", "Series", "number", table["n_series"]),
        Column("description", "Description", "text", table["description"]),
    ]


def read_failures(file: Embeddings, by_design: dict[tuple[str, ...], bool]) -> list[Failure]:
    """What the file says was left out.

    The file does not tell what a rule leaves out by design; the run file does, by reason (`run_file.by_design`).
    Where there is none, what the finder left out counts as such.
    """
    columns = file.failure_columns.take()
    rows = [Failure(*values) for values in zip(*(columns[name] for name in FAILURE), strict=True)]
    return [
        Failure(
            one.study,
            one.series,
            one.stage,
            one.error,
            one.hint,
            defect=not by_design.get(key(one.stage, one.error, one.hint), one.stage == "find"),
        )
        for one in rows
    ]


def _number(value: float, digits: int) -> float | int | None:
    if not math.isfinite(value):
        return None
    return round(float(value), digits) if digits else int(value)
