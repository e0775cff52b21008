"""Drift of embeddings: study vectors before a date against those of each later period (`evaluation.two_sample`)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from prima_features.clinical.audit.inputs import Cohort, match
from prima_features.clinical.audit.scores import described
from prima_features.embedding.file.read import Embeddings
from prima_features.errors import UsageError
from prima_features.evaluation.gaps import holm
from prima_features.evaluation.two_sample import FourierFeatures, two_sample
from prima_features.page.blocks import Block, Cell, Prose, Table, p_cell
from prima_features.page.digits import number
from prima_features.wording import count, sentence, verb

VECTORS = "study/embedding"
_LEAST = 5
_PERMUTATIONS = 999
_PER_PERIOD = 200
"""Permutations per period, if there are many: Holm's correction multiplies the least p value by their number."""
_SAMPLE = 1000
"""Vectors of which the median distance is taken."""
_BYTES = 16 * 2**20
_SIGNIFICANT = 0.05


@dataclass(frozen=True)
class PeriodDrift:
    """One period against the studies before the date."""

    period: str
    n: int
    subjects: int
    auroc: float = float("nan")
    """How well held-out studies of the period can be separated from those before; 0.5: not at all."""
    mmd2: float = float("nan")
    p: float = float("nan")
    p_holm: float = float("nan")
    """Adjusted for the number of periods (Holm)."""
    reason: str = ""
    """Why the period is not tested; empty if it is."""


@dataclass(frozen=True)
class EmbeddingDrift:
    """All periods."""

    file: str
    n_before: int
    subjects_before: int
    n_without: int
    """Studies with a date whose vector is not in the file."""
    permutations: int
    periods: tuple[PeriodDrift, ...]
    note: str = ""
    """What must be known of the file; empty if nothing."""

    def document(self) -> dict[str, Any]:
        """For audit.json."""
        return vars(self) | {"periods": [vars(one) for one in self.periods]}

    def blocks(self) -> list[Block]:
        """Of the page."""
        tested = [one for one in self.periods if not one.reason]
        drifted = sum(one.p_holm < _SIGNIFICANT for one in tested)
        said = (
            f"Study vectors ({self.file}) of {self.n_before:,} studies before the date were compared with "
            f"those of each later period: {drifted} of {count(len(tested), 'period')} "
            f"{verb(len(tested), 'differs', 'differ')} (kernel two-sample test with {self.permutations:,} "
            "permutations of whole subjects, two-sided, Holm's correction over periods). AUROC: how well the "
            "difference found in four fifths of the subjects separates the periods in the other fifth; 0.5 means "
            "not at all. Drift means that scans or patients have changed, not that accuracy has."
        )
        if self.n_without:
            said += f" {count(self.n_without, 'dated study')} {verb(self.n_without, 'is', 'are')} "
            said += "not in the file."
        if self.note:
            said += f" {sentence(self.note)}"
        rows = tuple(
            (
                Cell(one.period, f"{one.subjects:,} subjects"),
                Cell(f"{one.n:,}"),
                Cell(number(one.auroc, 3) if not one.reason else "-", one.reason),
                p_cell(one.p) if not one.reason else Cell(""),
                p_cell(one.p_holm) if not one.reason else Cell(""),
            )
            for one in self.periods
        )
        head = ("Period", "Studies", "AUROC, held out", "p", "p (Holm)")
        strong = frozenset(i for i, one in enumerate(self.periods) if one.p_holm < _SIGNIFICANT)
        return [Prose(said), Table("Drift of study vectors", head, rows, strong)]


def embedding_drift(
    cohort: Cohort,
    path: Path,
    dates: np.ndarray,
    early: np.ndarray,
    period: np.ndarray,
    seed: int,
    scores: Path,
) -> EmbeddingDrift:
    """Compare the study vectors of each period with those before the date.

    Args:
        cohort: N studies.
        path: the embeddings file.
        dates: (N,) datetime64, NaT if unknown.
        early: (N,) before the date.
        period: (N,) text; of those that are not early, empty if the date is unknown.
        seed: of the test.
        scores: table of scores, whose description next to it names the model.

    Raises:
        UsageError: the file cannot be read, has none of the studies, or too few before the date.
    """
    file = Embeddings(path)
    rows = _rows(cohort, file)
    used = (rows >= 0) & ~np.isnat(dates)
    before = np.flatnonzero(used & early)
    n_before = len(np.unique(cohort.subject[before]))
    if n_before < _LEAST:
        raise UsageError(
            f"--embeddings {path} has {count(n_before, 'subject')} before --freeze-before, and {_LEAST} are needed"
        )
    features = _features(file, np.where(used, rows, -1), seed)
    levels = sorted(set(period[~early].tolist()) - {""})
    n_permutations = max(_PERMUTATIONS, _PER_PERIOD * len(levels) - 1)
    found = []
    for level in levels:
        own = np.flatnonzero(used & ~early & (period == level))
        n = len(np.unique(cohort.subject[own]))
        one = PeriodDrift(level, len(own), n)
        if n < _LEAST:
            found.append(replace(one, reason=f"{count(n, 'subject')}, fewer than {_LEAST}"))
            continue
        both = np.concatenate([before, own])
        made = two_sample(
            features[both],
            np.arange(len(both)) >= len(before),
            cohort.subject[both],
            dates[both].astype(np.int64),
            n_permutations,
            seed,
        )
        found.append(replace(one, auroc=made.auroc, mmd2=made.mmd2, p=made.p))
    adjusted = holm(np.array([one.p for one in found]))
    periods = tuple(replace(one, p_holm=float(p)) for one, p in zip(found, adjusted, strict=True))
    n_without = int(((rows < 0) & ~np.isnat(dates)).sum())
    note = _note(file, scores)
    return EmbeddingDrift(path.name, len(before), n_before, n_without, n_permutations, periods, note)


def _rows(cohort: Cohort, file: Embeddings) -> np.ndarray:
    """(N,) row of each study in the file, -1 if it has none."""
    studies = file.studies[["id", "subject", "session"]].astype(str)
    try:
        return match(cohort.scores.table, studies, file.path)[0]
    except UsageError as error:
        ids = studies["id"].iloc[:1].tolist()
        raise UsageError(
            f"--embeddings {file.path} has none of the studies of the scores: its ids are such as {', '.join(ids)}"
        ) from error


def _note(file: Embeddings, scores: Path) -> str:
    own, other = str(file.attributes.get("model_sha256", "")), described(scores).get("model_sha256", "")
    if own and other and own != other:
        return f"the vectors of {file.path.name} are of another model than the scores"
    return file.caveat


def _features(file: Embeddings, rows: np.ndarray, seed: int) -> np.ndarray:
    """(N, 2 F) features of the vectors, NaN for rows of -1; the file is read twice, in blocks."""
    width = file.width(VECTORS)
    n_block = max(1, _BYTES // (4 * width))
    needed = np.unique(rows[rows >= 0])
    sampled = np.random.default_rng(seed).permutation(needed)[:_SAMPLE]
    is_needed, is_sampled = (np.isin(np.arange(file.n_studies), one) for one in (needed, sampled))
    n, total, squares = 0, np.zeros(width), np.zeros(width)
    sample: list[np.ndarray] = []
    first: np.ndarray | None = None
    for start, block in enumerate(file.blocks(VECTORS, n_block)):
        part = slice(start * n_block, start * n_block + len(block))
        own = block[is_needed[part]].astype(np.float64)
        sample.append(block[is_sampled[part]].astype(np.float32))
        if len(own):
            first = own[0] if first is None else first
            # Less the first vector, so that the squares do not cancel.
            n, total, squares = (
                n + len(own),
                total + (own - first).sum(axis=0),
                squares + ((own - first) ** 2).sum(axis=0),
            )
    assert first is not None
    variance = np.maximum(squares / n - (total / n) ** 2, 0)
    # A constant component has rounding for a variance.
    variance[variance < 1e-12 * squares / n] = 0
    kernel = FourierFeatures.draw(first + total / n, np.sqrt(variance), np.concatenate(sample), seed)
    place = np.full(file.n_studies, -1)
    place[needed] = np.arange(len(needed))
    made = np.empty((len(needed), 2 * kernel.frequency.shape[1]), dtype=np.float32)
    for start, block in enumerate(file.blocks(VECTORS, n_block)):
        own_rows = place[start * n_block : start * n_block + len(block)]
        made[own_rows[own_rows >= 0]] = kernel.of(block[own_rows >= 0].astype(np.float32))
    found = np.full((len(rows), made.shape[1]), np.nan, dtype=np.float32)
    found[rows >= 0] = made[place[rows[rows >= 0]]]
    return found
