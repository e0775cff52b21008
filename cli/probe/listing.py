"""`prima probe list`."""

from __future__ import annotations

from rich.markup import escape

from prima_features.cli.console import out, table


def list_known() -> None:
    """Show the tasks, the estimators, and the public cohorts whose label tables are known."""
    from prima_features.probes.labels.cohorts import PRESETS
    from prima_features.probes.tasks import TASKS

    shown = table("task", "predicts", "classes")
    for task in TASKS.values():
        shown.add_row(task.name, escape(task.description), ", ".join(task.classes) or (task.unit or "any"))
    out.print(shown)
    out.print(
        "\nglioma is --variant presence, grade or idh; dementia takes --classes cn mci ad too; change needs "
        "--target-column.\n"
    )
    shown = table("cohort", "", "label tables", "labels for")
    for cohort in PRESETS.values():
        files = ", ".join(cohort.files) or "none needed"
        shown.add_row(escape(cohort.name), escape(cohort.title), escape(files), ", ".join(cohort.tasks()))
    out.print(shown)
    out.print(
        "\nEstimators: ridge (numbers), logistic (classes), cox (survival), ordinal (classes in order), "
        "poisson (counts), xgboost, mlp, attention, knn."
    )
