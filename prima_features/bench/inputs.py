"""Several embeddings files of one cohort: the studies that all of them contain, in one order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prima_features.embedding.file.read import Embeddings, read_embeddings
from prima_features.embedding.record.run_file import read_run_file
from prima_features.errors import UsageError
from prima_features.probes.feature_matrix import FeatureSource, Level, features
from prima_features.wording import count, listed

if TYPE_CHECKING:
    import pandas as pd

_EXAMPLES = 3


@dataclass(frozen=True)
class Cost:
    """Time and operations of one scan (series), from the run file next to the embeddings file."""

    seconds: float = float("nan")
    """Elapsed time of all runs over the series embedded, with reading and preparation; NaN if unknown. Of a run with
    several models it is the model's share."""
    gflop: float = float("nan")
    """Operations of the network, in 1e9; NaN if unknown."""
    machine: str = ""
    """Processor, or devices, of the runs; times of different machines do not compare."""

    @classmethod
    def of(cls, path: Path) -> Cost:
        """The cost of the runs that made an embeddings file; unknown if it has no run file."""
        document = read_run_file(path)
        if document is None:
            return cls()
        total, runs = document["total"], document["runs"]
        n_series = total["counts"].get("series", 0)
        if not n_series:
            return cls()
        of_others = sum(record["seconds"] * (1 - record.get("share", 1)) for record in runs)
        gflop = total["counts"].get("gflop")
        machines = [_machine(record) for record in runs if record["kind"] == "embed"]
        return cls(
            (total["seconds"] - of_others) / n_series,
            float("nan") if gflop is None else gflop / n_series,
            "; ".join(dict.fromkeys(filter(None, machines))),
        )


def _machine(record: Mapping[str, Any]) -> str:
    machine = record.get("machine", {})
    devices = [one for one in record.get("options", {}).get("devices", ()) if not one.startswith("cpu")]
    processor = f"{machine.get('processor', '')} ({count(int(machine.get('cores', 0)), 'core')})"
    return ", ".join(devices) or (processor if machine.get("processor") else "")


@dataclass(frozen=True)
class Encoder:
    """One embeddings file."""

    name: str
    """As the user calls it."""
    X: np.ndarray
    """(N, D) float32 vectors of the shared studies."""
    source: FeatureSource
    licence: str
    settings: Mapping[str, Any]
    """Preprocessing and options of the encoder, as the file states them."""
    n_studies: int
    """In the file."""
    cost: Cost


@dataclass(frozen=True)
class Shared:
    """The studies that all embeddings files contain."""

    encoders: tuple[Encoder, ...]
    embeddings: Embeddings
    """The first file, whose ids and names labels are matched with."""
    studies: pd.DataFrame
    """(N rows) `row` in the first file, `study`, `subject`, `session`; the rows of every `Encoder.X`."""
    left_out: dict[str, dict[str, str]]
    """Id of each study that some file lacks, to the name of each such encoder and the reason."""

    def sentences(self) -> tuple[str, ...]:
        """How many studies are compared, and which are left out."""
        found = [f"{count(len(self.studies), 'study')} in all {len(self.encoders)} embeddings files"]
        for encoder in self.encoders:
            lost = [study for study, lacking in self.left_out.items() if encoder.name in lacking]
            if lost:
                more = ", ..." if len(lost) > _EXAMPLES else ""
                found.append(
                    f"{encoder.name} lacks {count(len(lost), 'study')} of another file, left out for all encoders: "
                    f"{', '.join(lost[:_EXAMPLES])}{more}"
                )
        return tuple(found)


def read_shared(files: Mapping[str, Path], level: Level = "study", series: str = "") -> Shared:
    """Read embeddings files and keep the studies that all of them contain.

    Args:
        files: name of each encoder to its embeddings file.
        level: which vectors; see `probes.feature_matrix.features`.
        series: pattern of the series that are averaged.

    Raises:
        UsageError: there is no file, one cannot be read, two disagree about the subject of a study, or no study is in
            all of them.
    """
    import pandas as pd

    if not files:
        raise UsageError("give the embeddings files to compare: --embeddings NAME=FILE.h5, once per encoder")
    opened = {name: read_embeddings(path) for name, path in files.items()}
    vectors = {name: features(one, level, series) for name, one in opened.items()}
    places = {
        name: {str(opened[name].studies["id"][row]): i for i, row in enumerate(found.rows)}
        for name, found in vectors.items()
    }
    first = next(iter(opened))
    common = [study for study in places[first] if all(study in own for own in places.values())]
    if not common:
        raise UsageError(
            f"no study is in all of the embeddings files of {listed(opened)}: compare encoders on one cohort, embedded "
            "with the same ids (of DICOM, with the same key of pseudonyms)"
        )
    table = _studies(opened[first], common)
    for name, one in opened.items():
        _check_same(first, table, name, _studies(one, common))
    encoders = tuple(
        Encoder(
            name,
            vectors[name].X[[places[name][study] for study in common]],
            vectors[name].source,
            str(one.attributes["licence"]),
            one.preprocessing,
            one.n_studies,
            Cost.of(one.path),
        )
        for name, one in opened.items()
    )
    everything = dict.fromkeys(study for own in places.values() for study in own)
    left_out = {
        study: {name: _reason(opened[name], study) for name, own in places.items() if study not in own}
        for study in everything
        if any(study not in own for own in places.values())
    }
    assert isinstance(table, pd.DataFrame)
    return Shared(encoders, opened[first], table, left_out)


def _studies(one: Embeddings, ids: list[str]) -> pd.DataFrame:
    table = one.studies.assign(row=range(one.n_studies)).set_index("id").loc[ids]
    table.index.name = "study"
    return table.reset_index()[["row", "study", "subject", "session"]]


def _check_same(first: str, table: pd.DataFrame, name: str, other: pd.DataFrame) -> None:
    for column in ("subject", "session"):
        differ = np.flatnonzero((table[column] != other[column]).to_numpy())
        if len(differ):
            raise UsageError(
                f"{first} and {name} name different {column}s for the study {table['study'][differ[0]]}: compare "
                "embeddings files of the same scans"
            )


def _reason(one: Embeddings, study: str) -> str:
    failed = one.failures[one.failures["study"] == study]
    return str(failed["error"].iloc[0]) if len(failed) else "not in the file"
