"""What a report is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prima_features.probes.report.projection import FeatureMap

if TYPE_CHECKING:
    import pandas as pd

    from prima_features.probes.evaluation import Evaluation, LearningPoint
    from prima_features.probes.labels.records import JoinSummary
    from prima_features.probes.training import TrainingSet


@dataclass(frozen=True)
class ReportContent:
    """All that the page and its texts show; what is not given is left out."""

    evaluation: Evaluation
    training: TrainingSet | None = None
    """Whom the final probe was fitted on; None where it was only evaluated."""
    curve: tuple[LearningPoint, ...] = ()
    map: FeatureMap | None = None
    join: JoinSummary | None = None
    command: str = ""
    """As it was typed."""
    title: str = ""
    """Default is the task's name."""
    n_bootstrap: int | None = None
    """Resamples behind the intervals; None where it is not known, and the text then names no number."""

    @property
    def counted(self) -> pd.DataFrame:
        """The rows of the predictions that count in the metrics."""
        table = self.evaluation.predictions
        return table[table["counts"] == 1].reset_index(drop=True)

    @property
    def is_external(self) -> bool:
        """A fitted probe met another cohort."""
        return self.evaluation.splits is None

    @property
    def is_grouped(self) -> bool:
        """Some groups hold several subjects, such as families."""
        table = self.evaluation.predictions
        return bool(table["group"].nunique() < table["subject"].nunique())

    def ages(self, table: pd.DataFrame) -> pd.Series:
        """Known ages in years, of rows of the predictions."""
        name = "target" if self.evaluation.task.is_age else "age"
        return table[name].astype(float).dropna()
