"""`bench()`: several encoders on one cohort, written as bench.json, bench.tsv and bench.html."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prima_features._version import __version__
from prima_features.bench.inputs import Encoder, Shared, read_shared
from prima_features.bench.options import BenchOptions, TaskRequest
from prima_features.bench.reliability import ReliabilityResult, reliability
from prima_features.bench.repeats import Repeats, from_sessions, from_table
from prima_features.bench.task import PreparedTask, TaskResult, measure, prepare
from prima_features.bench.validate import FORMAT, FORMAT_VERSION
from prima_features.files.disk import write_json
from prima_features.files.new_directory import new_directory
from prima_features.files.tables import table_bytes
from prima_features.files.targets import Maker, as_inputs, check_folder, starts_with
from prima_features.page import write_html
from prima_features.probes.labels import LabelRequest
from prima_features.wording import count

if TYPE_CHECKING:
    import pandas as pd

JSON, TABLE, PAGE = "bench.json", "bench.tsv", "bench.html"
_JSON_START = f'{{\n  "format": "{FORMAT}"'.encode()
_DEFAULT = BenchOptions()


@dataclass(frozen=True)
class Bench:
    """All results."""

    shared: Shared
    tasks: dict[str, TaskResult]
    options: BenchOptions
    reliability: ReliabilityResult | None = None
    command: str = ""
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence each: caveats of the models, studies left out, and what each task reports."""
        caveats: dict[str, list[str]] = {}
        for one in self.shared.encoders:
            if one.source.caveat:
                caveats.setdefault(one.source.caveat, []).append(one.name)
        synthetic = "the cohort is synthetic: the numbers say nothing about real scans"
        return (
            *([synthetic] if self.options.synthetic else ()),
            *(f"{', '.join(names)}: {caveat}" for caveat, names in caveats.items()),
            *self.shared.sentences()[1:],
            *(f"{key}: {text}" for key, one in self.tasks.items() for text in one.warnings),
            *(f"reliability: {text}" for text in (self.reliability.warnings if self.reliability else ())),
        )

    @property
    def document(self) -> dict[str, Any]:
        """The content of bench.json."""
        shared = self.shared
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "created": self.created,
            "prima_features_version": __version__,
            "command": self.command,
            "cohort": self.options.cohort,
            "synthetic": self.options.synthetic,
            "options": {
                "probes": list(self.options.probes),
                "n_bootstrap": self.options.n_bootstrap,
                "n_draws": self.options.n_draws,
                "level": self.options.level,
                "series": self.options.series,
                "seed": self.options.scheme.seed,
            },
            "n_studies": len(shared.studies),
            "n_subjects": int(shared.studies["subject"].nunique()),
            "encoders": {one.name: _encoder(one) for one in shared.encoders},
            "left_out": {
                "n_studies": len(shared.left_out),
                "studies": shared.left_out if self.options.list_left_out else None,
            },
            "tasks": {key: one.to_dict() for key, one in self.tasks.items()},
            "reliability": self.reliability.to_dict() if self.reliability else {},
            "repeats": self.reliability.design() if self.reliability else None,
            "warnings": list(self.warnings),
        }

    def table(self) -> pd.DataFrame:
        """One row per number of bench.json: part, task, probe, encoder, metric, value, ci_low, ci_high, p, p_holm."""
        import pandas as pd

        columns = ["part", "task", "probe", "encoder", "metric", "value", "ci_low", "ci_high", "p", "p_holm"]
        return pd.DataFrame(rows_of(self.document), columns=columns)


def _encoder(one: Encoder) -> dict[str, Any]:
    cost = {
        name: (None if isinstance(v, float) and not np.isfinite(v) else v)
        for name, v in vars(one.cost).items()
    }
    source = one.source
    return {
        "encoder": source.encoder,
        "model": source.model,
        "revision": source.model_revision,
        "sha256": source.model_sha256,
        "licence": one.licence,
        "citation": source.citation,
        "caveat": source.caveat,
        "level": source.level,
        "series": source.series,
        "settings": dict(one.settings),
        "width": one.X.shape[1],
        "n_studies": one.n_studies,
        "cost_per_scan": cost,
    }


def rows_of(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The long form of a bench.json document."""
    rows: list[dict[str, Any]] = []

    def add(part: str, task: str, probe: str, encoder: str, metrics: Mapping[str, Any]) -> None:
        for metric, one in metrics.items():
            rows.append(
                {"part": part, "task": task, "probe": probe, "encoder": encoder, "metric": metric, **one}
            )

    for task, found in document["tasks"].items():
        for own in (found, *found["probes"].values()):
            probe = own["estimator"]
            for name, metrics in own["encoders"].items():
                add("encoder", task, probe, name, metrics)
            for pair, one in own["differences"].items():
                tested = {"p": one["p"], "p_holm": one["p_holm"]}
                add("difference", task, probe, pair, {found["primary"]: _estimate(one) | tested})
        for name, metrics in found["baselines"].items():
            add("baseline", task, "", name, metrics)
        if found["leave_site_out"]:
            for name, metrics in found["leave_site_out"]["encoders"].items():
                add("leave site out", task, found["estimator"], name, metrics)
        for name, one in found["site_decodability"].items():
            add("site", task, "logistic", name, {"balanced_accuracy": one["balanced_accuracy"]})
        for name, one in found["worst_group"].items():
            metric = f"{found['primary']} of {one['variable']} {one['level']}"
            add("worst group", task, found["estimator"], name, {metric: _estimate(one)})
        for name, one in found["openbhb"].items():
            add(
                "openbhb",
                task,
                "",
                name,
                {key: value for key, value in one.items() if key != "official_split"},
            )
        for name, one in found["site_variance"].items():
            add("site", task, "", name, {"site_variance": one})
        for name, curve in found["few_shot"].items():
            for point in curve:
                metric = f"{found['primary']} of {point['per_class']} per class"
                add("few shot", task, "simpleshot", name, {metric: {"value": point["value"]}})
        for name, over in found["over_baselines"].items():
            for other, one in over.items():
                add("over baseline", task, found["estimator"], f"{name} - {other}", {found["primary"]: one})
    for name, one in document["reliability"].items():
        for part, own in (("reliability", one), ("reliability after ComBat", one["combat"] or {})):
            add(part, "", "", name, {key: value for key, value in own.items() if _is_estimate(value)})
    return rows


def _is_estimate(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == {"value", "ci_low", "ci_high"}


def _estimate(one: Mapping[str, Any]) -> dict[str, Any]:
    return {name: one[name] for name in ("value", "ci_low", "ci_high")}


@dataclass(frozen=True)
class BenchPlan:
    """What a bench would compare. All inputs have been read and checked."""

    shared: Shared
    tasks: tuple[PreparedTask, ...]
    repeats: Repeats | None


def plan(
    files: Mapping[str, str | Path],
    output: str | Path | None = None,
    requests: Sequence[TaskRequest] = (),
    labels: LabelRequest | None = None,
    options: BenchOptions = _DEFAULT,
    *,
    force: bool = False,
    on_step: Callable[[str], None] = lambda step: None,
) -> BenchPlan:
    """Read and check all that `bench` would, with the same arguments, without fitting or writing anything.

    Raises:
        UsageError: a file or table cannot be read, the files share no study, or a task cannot be evaluated.
        OutputError: the folder cannot be written.
    """
    labels = labels or LabelRequest()
    options.check(requests, labels)
    if output is not None:
        _check_output(Path(output), files, labels, options, force)
    on_step(f"reading {count(len(files), 'embeddings file')}")
    shared = read_shared({name: Path(path) for name, path in files.items()}, options.level, options.series)
    repeats = _repeats(shared, options)
    tasks = []
    for one in requests:
        on_step(f"checking the labels of {one.key}")
        tasks.append(prepare(shared, one, labels, options))
    return BenchPlan(shared, tuple(tasks), repeats)


def bench(
    files: Mapping[str, str | Path],
    output: str | Path | None = None,
    requests: Sequence[TaskRequest] = (),
    labels: LabelRequest | None = None,
    options: BenchOptions = _DEFAULT,
    *,
    command: str = "",
    force: bool = False,
    on_step: Callable[[str], None] = lambda step: None,
) -> Bench:
    """Compare encoders on the studies that all of their embeddings files contain.

    Args:
        files: name of each encoder to its embeddings file.
        output: folder to write bench.json, bench.tsv and bench.html to; None writes nothing.
        requests: the tasks.
        labels: where labels are; its task and target are those of each request.
        options: how encoders are compared.
        command: for the records.
        force: replace a folder that no bench wrote.
        on_step: called with the name of the next step.

    Raises:
        UsageError: see `plan`.
        OutputError: see `plan`.
    """
    planned = plan(files, output, requests, labels, options, force=force, on_step=on_step)
    found = {}
    for one in planned.tasks:
        on_step(f"comparing {count(len(files), 'encoder')} on {one.asked.key}")
        found[one.asked.key] = measure(planned.shared, one, options)
    repeated = None
    if planned.repeats is not None:
        on_step("measuring reliability on repeat scans")
        vectors = {one.name: one.X for one in planned.shared.encoders}
        repeated = reliability(vectors, planned.repeats, options.n_bootstrap, options.scheme.seed)
    made = Bench(planned.shared, found, options, repeated, command)
    if output is not None:
        on_step("writing the results")
        with new_directory(Path(output), overwrite=True) as scratch:
            write(scratch, made)
    return made


def _check_output(
    folder: Path, files: Mapping[str, str | Path], labels: LabelRequest, options: BenchOptions, force: bool
) -> None:
    """Raise OutputError if a bench of these inputs must not be written to a folder."""
    paths = [Path(path) for path in files.values()]
    maker = Maker(
        "prima bench",
        as_inputs(paths, labels.files, options.repeats_table),
        is_own=lambda path: starts_with(_JSON_START)(path / JSON),
        kind="the folder of an earlier bench",
    )
    check_folder(folder, maker, force)


def _repeats(shared: Shared, options: BenchOptions) -> Repeats | None:
    if options.repeats_table is not None:
        return from_table(options.repeats_table, shared.studies)
    return from_sessions(shared.studies) if options.sessions_are_repeats else None


def write(folder: Path, found: Bench) -> None:
    """Write the files of a bench to a folder."""
    from prima_features.bench.page import page

    document = found.document
    write_json(folder / JSON, document)
    (folder / TABLE).write_bytes(table_bytes(found.table()))
    write_html(folder / PAGE, page(document))
