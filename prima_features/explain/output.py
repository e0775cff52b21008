"""The files of an explanation: `tokens.tsv`, `weights.json`, one NIfTI map per series, `explanation.json`, the page."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from prima_features._version import __version__
from prima_features.explain.methods import COVERAGE, METHODS
from prima_features.explain.page import page
from prima_features.explain.run import Explained, ExplainedSeries
from prima_features.files.disk import write_json
from prima_features.files.new_directory import new_directory
from prima_features.files.targets import Maker, as_inputs, check_folder, starts_with
from prima_features.files.text import to_cell
from prima_features.page import write_html
from prima_features.wording import RESEARCH_ONLY

FORMAT = "prima-explanation"
DOCUMENT, TOKENS, WEIGHTS, PAGE = "explanation.json", "tokens.tsv", "weights.json", "explanation.html"
_START = f'{{\n  "format": "{FORMAT}"'.encode()


def check_output(output: Path, inputs: tuple[str | Path | None, ...], force: bool) -> None:
    """Check that a folder may be written: it is new, empty, or of an earlier explanation.

    Raises:
        UsageError: it may not.
    """
    check_folder(output, _maker(inputs), force)


def _maker(inputs: tuple[str | Path | None, ...]) -> Maker:
    is_own = lambda folder: starts_with(_START)(folder / DOCUMENT)  # noqa: E731
    return Maker("prima explain", as_inputs(*inputs), is_own)


def write(output: Path, found: Explained) -> None:
    """Write all files of an explanation; the folder appears complete or not at all.

    Raises:
        OutputError: the disk is full or cannot be written to.
    """
    maps = {one.label: _map_name(i, one.label) for i, one in enumerate(found.series, start=1)}
    with new_directory(output, overwrite=True) as made:
        for one in found.series:
            nib.save(_map(found, one), made / maps[one.label])
        (made / TOKENS).write_text(_tokens(found), encoding="utf-8", newline="")
        (made / WEIGHTS).write_text(json.dumps(weights(found)), encoding="utf-8", newline="")
        write_json(made / DOCUMENT, document(found, maps))
        write_html(made / PAGE, page(found))


def weights(found: Explained) -> dict[str, dict[str, float]]:
    """Coefficients by series and token, in the form of the public notebook's file.

    A token kept twice has the sum of its two coefficients; with `lime-public` the second one, as in the public file.
    """
    made: dict[str, dict[str, float]] = {}
    for one in found.series:
        values: dict[str, float] = {}
        for token, coefficient in zip(
            one.token_index.tolist(), one.attribution.coefficient.tolist(), strict=True
        ):
            before = 0.0 if found.how.method == "lime-public" else values.get(str(token), 0.0)
            values[str(token)] = before + coefficient
        made[one.label] = values
    return made


def document(found: Explained, maps: Mapping[str, str]) -> dict[str, Any]:
    """What was explained and how, as written to `explanation.json`."""
    return {
        "format": FORMAT,
        "format_version": 1,
        "notice": RESEARCH_ONLY,
        "caveat": found.model.caveat,
        "prima_features_version": __version__,
        "model": found.model.name,
        "model_revision": found.model.revision,
        "model_sha256": found.model.sha256,
        "study": found.study.id,
        "description": found.study.description,
        "target": {"name": found.target.label, "meaning": found.target.meaning, "value": found.value},
        "method": {
            "name": found.how.method,
            "definition": METHODS[found.how.method],
            **asdict(found.how.sampling),
            "other_series": "left out" if found.how.alone else "kept",
            "spread": f"half-width of the {COVERAGE:.0%} interval over samples",
        },
        "study_series": [
            {"series": label, "value_without": _or_none(without), "value_alone": _or_none(alone)}
            for label, without, alone in zip(found.labels, found.without, found.alone, strict=True)
        ],
        "series": [_series(one, maps[one.label]) for one in found.series],
        "failures": [{"series": one.series, "error": one.error, "hint": one.hint} for one in found.failures],
    }


def _series(one: ExplainedSeries, name: str) -> dict[str, Any]:
    found, curve = one.attribution, one.curve
    return {
        "series": one.label,
        "map": name,
        "plane": one.volume.plane,
        "n_tokens": len(one.tokens),
        "value": one.value,
        "n_groups": found.n_groups,
        "tokens_per_group_z_y_x": list(found.block),
        "samples": found.n_samples,
        "agreement_of_halves": _or_none(found.agreement),
        "agreed": found.agreed,
        "intercept": _or_none(found.intercept),
        "r2": _or_none(found.r2),
        "faithfulness": None
        if curve is None
        else {
            "removed": curve.removed.tolist(),
            "ranked": curve.ranked.tolist(),
            "random": curve.random.tolist(),
            "gain": curve.gain,
        },
    }


def _or_none(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _map(found: Explained, one: ExplainedSeries) -> nib.Nifti1Image:
    """The coefficients on the scan's own grid: 0 where no token was kept."""
    grid = one.placement.on_tokens(one.tokens.coord, one.attribution.coefficient)
    values = one.placement.on_scan(grid.astype(np.float32))
    image = nib.Nifti1Image(values, one.placement.stored.affine)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = RESEARCH_ONLY.encode()
    image.header["intent_name"] = b"contribution"
    text = f"{RESEARCH_ONLY} Contribution of tokens to {found.target.label}. {found.model.caveat}".strip()
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", text.encode()))
    return image


def _map_name(number: int, label: str) -> str:
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", label)[:60].strip("_")
    return f"map_{number:02d}_{stem}.nii.gz"


def _tokens(found: Explained) -> str:
    head = ["series", "token_index", "z", "y", "x", "coefficient", "spread"]
    caveat = [to_cell(found.model.caveat)] if found.model.caveat else []
    lines = ["\t".join(head + ["caveat"] * bool(caveat))]
    for one in found.series:
        for token, coord, coefficient, spread in zip(
            one.token_index.tolist(),
            one.tokens.coord.tolist(),
            one.attribution.coefficient.tolist(),
            one.attribution.spread.tolist(),
            strict=True,
        ):
            numbers = [repr(coefficient), repr(spread) if math.isfinite(spread) else "n/a"]
            cells = [to_cell(one.label), str(token), *map(str, coord), *numbers, *caveat]
            lines.append("\t".join(cells))
    return "\n".join(lines) + "\n"
