"""`prima bench validate`: files of `prima bench` pass, changed ones do not."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prima_features.bench import TaskRequest, bench
from prima_features.bench.validate import read_bench
from prima_features.errors import UsageError
from prima_features.probes.labels import LabelRequest
from tests.bench.conftest import QUICK, Cohort

Document = dict[str, Any]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Document:
    """Two encoders on two tasks."""
    folder = tmp_path_factory.mktemp("cohort")
    cohort = Cohort(folder, n=60)
    files = {"A": cohort.encoder("a", 0.5), "B": cohort.encoder("b", 1.0)}
    tasks = [TaskRequest("brain-age"), TaskRequest("autism", "diagnosis")]
    options = replace(QUICK, site_check=True, n_bootstrap=50, probes=("linear",))
    found = bench(files, folder / "out", tasks, LabelRequest((cohort.labels,)), options)
    read = read_bench(folder / "out" / "bench.json")
    assert read == json.loads(json.dumps(found.document)) | {"created": read["created"]}
    return read


def _set(*path: str, value: Any) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = value

    return change


AGE = ("tasks", "brain-age")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_set("format", value="other"), 'it has no "format": "prima-bench"'),
        (_set("format_version", value=9), "it has format_version 9, and this release reads 1"),
        (lambda one: one.pop("encoders"), "encoders is missing"),
        (_set("n_studies", value="60"), "n_studies is not a whole number"),
        (lambda one: one["encoders"].pop("B"), "names B, which is not among the encoders"),
        (
            lambda one: one["tasks"]["autism"]["encoders"].pop("B"),
            "tasks.autism.encoders lacks the encoder B",
        ),
        (_set(*AGE, "encoders", "A", "mae", value=3.0), "tasks.brain-age.encoders.A.mae is not an object"),
        (_set(*AGE, "encoders", "A", "mae", "value", value="x"), "encoders.A.mae.value is not a number"),
        (_set(*AGE, "encoders", "A", "mae", "value", value=0.1), "but the encoders differ by"),
        (_set("tasks", "autism", "encoders", "A", "auprc", "value", value=1.5), "is 1.5, outside of 0 to 1"),
        (_set(*AGE, "encoders", "A", "r2", "ci_low", value=9.0), "lower end is above its upper end"),
        (_set(*AGE, "differences", "A - B", "p", value=2), "outside of 0 to 1"),
        (_set(*AGE, "differences", value={}), "does not have each pair of encoders once"),
        (_set(*AGE, "n_studies", value=1000), "tasks.brain-age.n_studies is 1000, but 60 studies"),
        (lambda one: one["tasks"].clear(), "it has neither tasks nor reliability"),
    ],
)
def test_a_changed_file_is_refused_with_the_place(
    document: Document, change: Callable[[Document], None], sentence: str, tmp_path: Path
) -> None:
    changed = copy.deepcopy(document)
    change(changed)
    (tmp_path / "bench.json").write_text(json.dumps(changed))
    with pytest.raises(UsageError, match="is not a valid bench") as refused:
        read_bench(tmp_path / "bench.json")
    assert sentence in str(refused.value)


@pytest.mark.parametrize("text", ["", "[1, 2", "NaN", '{"a": NaN}'])
def test_what_is_no_json_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "bench.json").write_text(text)
    with pytest.raises(UsageError, match=r"cannot be read as JSON|is not a valid bench"):
        read_bench(tmp_path / "bench.json")


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_bench(tmp_path / "bench.json")
