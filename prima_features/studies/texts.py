"""Names and descriptions of what was found, made safe for the network and every writer."""

from __future__ import annotations

from dataclasses import replace

from prima_features.files.text import MODEL_CHARACTERS, bounded, model_text
from prima_features.studies.study import Failure, Found, Series, Study

CUT_NAME = "name-cut"
"""Flag of a series whose name is longer than what the model reads."""


def tidy_texts(found: Found) -> Found:
    """Escape texts that are not printable, and cut those that the model reads to `MODEL_CHARACTERS` characters.

    Returns:
        The same studies; series with a cut name have the flag `name-cut`, and a warning names cut descriptions.
    """
    cut = [study.id for study in found.studies if len(study.description) > MODEL_CHARACTERS]
    warnings = found.warnings
    if cut:
        whose = f"The description of {cut[0]}"
        if len(cut) > 1:
            whose = f"The descriptions of {len(cut)} studies, such as {cut[0]},"
        warnings += (
            f"{whose} {'is' if len(cut) == 1 else 'are'} longer than {MODEL_CHARACTERS:,} characters; the model "
            "reads the beginning only",
        )
    return replace(
        found,
        studies=tuple(map(_tidy_study, found.studies)),
        left_out=tuple(map(_tidy_left_out, found.left_out)),
        warnings=tuple(map(bounded, warnings)),
    )


def _tidy_study(study: Study) -> Study:
    return replace(
        study,
        subject=bounded(study.subject),
        session=bounded(study.session),
        source=bounded(study.source),
        description=model_text(study.description),
        series=tuple(map(_tidy_series, study.series)),
    )


def _tidy_series(series: Series) -> Series:
    name, source = model_text(series.name), bounded(series.source)
    if (name, source) == (series.name, series.source):
        return series
    flags = (*series.flags, CUT_NAME) if len(series.name) > MODEL_CHARACTERS else series.flags
    return replace(series, name=name, source=source, flags=flags)


def _tidy_left_out(item: Failure) -> Failure:
    return replace(item, series=bounded(item.series), error=bounded(item.error), hint=bounded(item.hint))
