"""Text search: studies of an embeddings file ranked by a text, a contrast of two texts, or another study.

A query is given to the text tower in the form of the training texts, `1. {query}`, one numbered finding per line, and
compared with each study's vector in the CLIP space by the cosine. The temperature of training is left out: it
changes no rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prima_features.clinical.model import model_of
from prima_features.clinical.pages.search import search_page
from prima_features.embedding.file.read import Embeddings, read_embeddings
from prima_features.embedding.record.output import files_next_to
from prima_features.errors import UsageError
from prima_features.evaluation.intervals import Bootstrap, Estimate
from prima_features.files.disk import write_bytes, write_json
from prima_features.files.safe import read_text
from prima_features.files.tables import table_bytes
from prima_features.files.targets import Maker, as_inputs, check_file, is_page, starts_with
from prima_features.models import DEFAULT_MODEL, directory
from prima_features.page import write_html
from prima_features.reports.numbered import numbered
from prima_features.reports.summaries import read_findings
from prima_features.wording import RESEARCH_ONLY, count, verb

if TYPE_CHECKING:
    import pandas as pd

_ROWS = 1024
"""Rows of a similarity matrix that are in memory at a time."""
_IDENTITY = {"study": "id", "subject": "subject", "session": "session"}


@dataclass(frozen=True, eq=False)
class Found:
    """Studies by similarity."""

    table: pd.DataFrame
    """One row per query and study, the most similar study of each query first: query, rank, study, subject, session,
    cosine; with a contrast also `against` (cosine with the other text) and `difference`, which then gives the rank."""
    warnings: tuple[str, ...]
    file: Embeddings
    against: str = ""
    """Text of the contrast; empty if there is none."""

    @property
    def caveat(self) -> str:
        """What must be said with every number of the model, one sentence; empty if nothing is known."""
        return self.file.caveat


def search(
    embeddings: str | Path,
    queries: Sequence[str | Sequence[str]],
    model: str | Path = DEFAULT_MODEL,
    *,
    against: str = "",
    device: str = "cpu",
) -> Found:
    """Rank the studies of a file by their similarity to texts.

    Args:
        embeddings: the embeddings file.
        queries: each a text such as `acute left MCA infarct`, or several findings that one study shall have; a
            repeated query counts once.
        model: bundled name, model directory or Hub id of the model that made the file.
        against: rank by the cosine with the query minus that with this text, such as `no acute infarct`.
        device: where to compute: auto, cpu, cuda, cuda:1.

    Raises:
        UsageError: a query is empty, the model has no text tower, or another model made the embeddings.
    """
    from prima_features.embedding.engine.device import pick_device
    from prima_features.encoders.prima.text import TextEncoder

    findings = [(query,) if isinstance(query, str) else tuple(query) for query in queries]
    findings = list(dict.fromkeys(tuple(one.strip() for one in query) for query in findings))
    if not findings or not all(one.strip() for query in findings for one in (*query, against or "-")):
        raise UsageError('the text to search for is empty: give a finding, such as "acute left MCA infarct"')
    file = read_embeddings(embeddings)
    studies = file.clip_embedding
    source = model_of(file, model, directory.TEXT, "text tower")
    encode = TextEncoder.from_directory(source.directory, pick_device(device))
    texts = [numbered(query) for query in findings]
    others = [numbered([against])] if against else []
    warnings = tuple(
        f"only the beginning of {text[3:50]!r}... is read: it has more than {encode.vocabulary.max_tokens} tokens"
        for text in (*texts, *others)
        if encode.is_cut(text)
    )
    cosine = encode(texts) @ studies.T  # (queries, studies)
    other = (encode(others) @ studies.T)[0] if others else None
    table = _ranked(file, ["; ".join(one) for one in findings], cosine, other)
    return Found(table, warnings, file, against)


def search_like(embeddings: str | Path, study: str) -> Found:
    """Rank the other studies of a file by their similarity to one of them.

    Vectors of the CLIP space are compared if the file has them, otherwise study vectors without their mean.

    Args:
        embeddings: the embeddings file.
        study: an id in it.

    Raises:
        UsageError: the file has no such study, or no other.
    """
    file = read_embeddings(embeddings)
    ids = file.studies["id"].to_numpy()
    if study not in ids:
        raise UsageError(f"{file.path} has no study {study}: prima inspect {file.path} lists its studies")
    if len(ids) == 1:
        raise UsageError(f"{file.path} has no other study than {study}: --like needs two or more")
    vectors = file.clip_embedding if file.has("study/clip") else file.study_embedding
    vectors = vectors.astype(np.float32)
    if not file.has("study/clip"):
        vectors = vectors - vectors.mean(axis=0)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = vectors / np.where(lengths > 0, lengths, 1)
    (row,) = np.flatnonzero(ids == study)[:1]
    table = _ranked(file, [f"like {study}"], vectors[row][None] @ vectors.T, None)
    table = table[table["study"] != study].reset_index(drop=True)
    return Found(table.assign(rank=np.arange(1, len(table) + 1)), (), file)


def _ranked(
    file: Embeddings, names: Sequence[str], cosine: np.ndarray, other: np.ndarray | None
) -> pd.DataFrame:
    """The table of `Found`; ties are ordered by study id.

    Args:
        file: the embeddings file.
        names: of the queries.
        cosine: (queries, studies).
        other: (studies,) cosines with the text of a contrast.
    """
    import pandas as pd

    studies = file.studies
    ids = studies["id"].to_numpy().astype(str)
    frames = []
    for name, values in zip(names, cosine.astype(np.float64), strict=True):
        key = values if other is None else values - other
        order = np.lexsort([ids, -key])
        columns = {
            "query": name,
            "rank": np.arange(1, len(order) + 1),
            **{to: studies[column].to_numpy()[order] for to, column in _IDENTITY.items()},
            "cosine": values[order],
        }
        if other is not None:
            columns |= {"against": other[order].astype(np.float64), "difference": key[order]}
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def read_queries(path: Path) -> list[str]:
    """The queries of a text file, one per line; empty lines are left out.

    Raises:
        UsageError: the file cannot be read as UTF-8 text, or has no query.
    """
    try:
        lines = read_text(path).splitlines()
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}): give a text file with one query per line"
        ) from error
    except ValueError as error:
        raise UsageError(
            f"{path} is not a text file in UTF-8: save it as one, with one query per line"
        ) from error
    if not (queries := [line.strip() for line in lines if line.strip()]):
        raise UsageError(f"{path} contains no query: write one per line")
    return queries


def check_output(
    embeddings: Path, output: Path, model: str | Path, force: bool = False, texts: Path | None = None
) -> None:
    """Check that a table of ranks and its page may be written.

    Raises:
        UsageError: see `files.targets.check_file`.
    """
    inputs = as_inputs(embeddings, files_next_to(embeddings), model, texts)
    is_table = starts_with(b"query\trank\tstudy\t")
    check_file(output, Maker("prima search", inputs, is_table, "a table of prima search"), force)
    is_ours = Maker("prima search", inputs, is_page("search"), "a page of prima search")
    check_file(output.with_suffix(".html"), is_ours, force)
    if output.suffix.lower() != ".tsv":
        raise UsageError(f"{output} is the name of the table, which is tab-separated: end it in .tsv")


def write_results(found: Found, output: Path, page: bool = True) -> None:
    """Write all ranks as TSV, and the most similar studies as an HTML page next to it.

    If the model has a caveat, the column `caveat` and the page state it.

    Raises:
        OutputError: a file cannot be written.
    """
    if page:
        html = search_page(found, found.file, output.name)
        write_html(output.with_suffix(".html"), html)
    write_bytes(output, table_bytes(found.table, found.caveat))


@dataclass(frozen=True)
class Retrieval:
    """How well texts find their studies among N pairs, and studies their texts."""

    n: int
    study_of_text: dict[int, Estimate]
    """Recall at k: share of texts whose study is among the k most similar studies."""
    text_of_study: dict[int, Estimate]
    """Recall at k: share of studies whose text is among the k most similar texts."""
    clip_score: Estimate
    """100 times the mean cosine of the pairs."""

    def chance(self, k: int) -> float:
        """Recall at k of a random order."""
        return min(1.0, k / self.n)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        recalls = {"study_of_text": self.study_of_text, "text_of_study": self.text_of_study}
        return {
            "n": self.n,
            "recall": {
                way: {str(k): one.to_dict() | {"chance": self.chance(k)} for k, one in by_k.items()}
                for way, by_k in recalls.items()
            },
            "clip_score": self.clip_score.to_dict(),
        }


def retrieval(
    texts: np.ndarray,
    studies: np.ndarray,
    groups: np.ndarray | None = None,
    at: Sequence[int] = (1, 5, 10),
    n_resamples: int = 1000,
) -> Retrieval:
    """Retrieval metrics of paired vectors, as the public code has them, with bootstrap intervals over subjects.

    Equally similar candidates (the texts of two unremarkable studies are the same text) are taken to be in
    random order: such a pair counts by the probability that its partner is among the first k.

    Args:
        texts: (N, C) L2-normalised, text i belongs to study i.
        studies: (N, C) L2-normalised.
        groups: (N,) subjects; each row is its own if None.
        at: the numbers k.
        n_resamples: of the bootstrap.
    """
    n = len(texts)
    groups = np.arange(n) if groups is None else np.asarray(groups)
    hits = {"study": _hits(texts, studies, at), "text": _hits(studies, texts, at)}
    columns = {f"{way} {k}": hits[way][k] for way in hits for k in at}
    columns["score"] = 100 * (texts * studies).sum(axis=1).astype(np.float64)
    bootstrap = Bootstrap(groups, np.zeros(n, dtype=np.int64), n_resamples)

    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {name: weights @ values / weights.sum(axis=1) for name, values in columns.items()}

    found = bootstrap.estimates(statistic)
    by_way = {way: {k: found[f"{way} {k}"] for k in at} for way in hits}
    return Retrieval(n, by_way["study"], by_way["text"], found["score"])


@dataclass(frozen=True)
class FoundReports:
    """Retrieval metrics of a file's studies and their reports, with intervals over subjects."""

    metrics: Retrieval
    warnings: tuple[str, ...]
    """How many studies have no report, and how many reports no study."""
    caveat: str
    """What must be said with every number of the model, one sentence; empty if nothing is known."""


METRICS_FORMAT = "prima-retrieval"
_METRICS_START = f'{{\n  "format": "{METRICS_FORMAT}"'.encode()


def retrieval_of_reports(
    embeddings: str | Path,
    reports: Path,
    model: str | Path = DEFAULT_MODEL,
    *,
    at: Sequence[int] = (1, 5, 10),
    device: str = "cpu",
) -> FoundReports:
    """How well the reports of studies find their studies in an embeddings file, and studies their reports.

    Args:
        embeddings: the embeddings file.
        reports: a table of study ids and findings, such as `prima reports summarize` writes (`reports.summaries`).
        model: bundled name, model directory or Hub id of the model that made the file.
        at: the numbers k.
        device: where to compute: auto, cpu, cuda, cuda:1.

    Raises:
        UsageError: the table cannot be read or names no study of the file, the model has no text tower, or another
            model made the embeddings.
    """
    from prima_features.embedding.engine.device import pick_device
    from prima_features.encoders.prima.text import TextEncoder

    file = read_embeddings(embeddings)
    vectors = file.clip_embedding
    findings = read_findings(reports)
    studies = file.studies
    rows = np.flatnonzero(studies["id"].isin(findings.keys()))
    if len(rows) < 2:
        raise UsageError(
            f"{reports} has reports of {count(len(rows), 'study', 'studies')} of {file.path}, and retrieval needs two: "
            "its ids must be those of the file (prima inspect lists them)"
        )
    source = model_of(file, model, directory.TEXT, "text tower")
    encode = TextEncoder.from_directory(source.directory, pick_device(device))
    texts = [numbered(findings[study].findings) for study in studies["id"].iloc[rows]]
    subjects = studies["subject"].iloc[rows].to_numpy()
    groups = np.where(subjects == "", studies["id"].iloc[rows].to_numpy(), subjects)
    warnings = []
    if n := len(studies) - len(rows):
        warnings.append(
            f"{count(n, 'study', 'studies')} of {file.path} {verb(n, 'has', 'have')} no report in {reports}"
        )
    if n := len(findings) - len(rows):
        warnings.append(
            f"{count(n, 'report')} in {reports} {verb(n, 'belongs', 'belong')} to no study of {file.path}"
        )
    if n := sum(map(encode.is_cut, texts)):
        warnings.append(
            f"of {count(n, 'report')} only the beginning is read: {verb(n, 'it has', 'they have')} more than "
            f"{encode.vocabulary.max_tokens} tokens"
        )
    metrics = retrieval(encode(texts), vectors[rows].astype(np.float32), groups, at)
    return FoundReports(metrics, tuple(warnings), file.caveat)


def check_metrics(
    embeddings: Path, output: Path, model: str | Path, reports: Path, force: bool = False
) -> None:
    """Check that the metrics may be written to a JSON file.

    Raises:
        UsageError: see `files.targets.check_file`.
    """
    if output.suffix.lower() != ".json":
        raise UsageError(f"{output}: the metrics of --reports are a JSON file; end its name in .json")
    inputs = as_inputs(embeddings, files_next_to(embeddings), model, reports)
    is_own = starts_with(_METRICS_START)
    check_file(output, Maker("prima search", inputs, is_own, "a file of such metrics"), force)


def write_metrics(found: FoundReports, output: Path) -> None:
    """Write retrieval metrics as JSON.

    Raises:
        OutputError: the file cannot be written.
    """
    document = {"notice": RESEARCH_ONLY, "caveat": found.caveat, "warnings": list(found.warnings)}
    write_json(output, {"format": METRICS_FORMAT} | document | found.metrics.to_dict())


def _hits(queries: np.ndarray, candidates: np.ndarray, at: Sequence[int]) -> dict[int, np.ndarray]:
    """(N,) probability by k that a query's own candidate is among the k most similar ones."""
    hits: dict[int, list[np.ndarray]] = {k: [] for k in at}
    for first in range(0, len(queries), _ROWS):
        rows = np.arange(first, min(first + _ROWS, len(queries)))
        cosine = queries[rows] @ candidates.T  # (rows, N)
        own = cosine[np.arange(len(rows)), rows][:, None]
        # Equal texts have equal vectors, but their products may differ in the last digit.
        tied = (np.abs(cosine - own) <= 1e-6).sum(axis=1)
        above = (cosine > own + 1e-6).sum(axis=1)
        for k in at:
            hits[k].append(np.clip((k - above) / tied, 0, 1))
    return {k: np.concatenate(parts) for k, parts in hits.items()}
