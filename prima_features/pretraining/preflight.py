"""What a run would refuse once its cache is filled, which may take hours, as far as it is known before."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from prima_features.embedding.file.records import Failure
from prima_features.errors import NothingUsableError, UsageError
from prima_features.pretraining.batches.sampler import UNITS, check_batch, grouped, keys_of
from prima_features.pretraining.data.records import Source
from prima_features.pretraining.data.split import split_studies
from prima_features.pretraining.model.start import Start
from prima_features.pretraining.model.text import check_text
from prima_features.pretraining.settings import ClipTraining, NamesTraining, TokenizerTraining
from prima_features.pretraining.training.optimiser import check_optimiser
from prima_features.studies.names import is_named

logger = logging.getLogger(__name__)


def check_before_filling(
    settings: NamesTraining | ClipTraining | TokenizerTraining,
    begun: Start,
    source: Source,
    failures: Sequence[Failure] = (),
) -> None:
    """Refuse what the stage would refuse later.

    Series that turn out unusable can leave less than there seems to be, so that stages look again.

    Args:
        begun: the encoder that the stage starts from.
        failures: what the source left out.

    Raises:
        NothingUsableError: the source has no study.
        UsageError: all are held out, or none and the best is asked for; there are too few for a batch; no text tower
            fits, or not the tokenizer of the model that the stage starts from; or this torch lacks the optimiser.
    """
    check_optimiser(settings.optimiser)
    if not isinstance(settings, TokenizerTraining):
        _check_tokenizer(begun)
    if not len(source):
        raise NothingUsableError("No study can be trained on: none is left of the source", failures)
    train, held_out = split_studies(source, settings.data.validation, settings.seed)
    if settings.export == "best" and not held_out:
        raise UsageError(
            "export is 'best', and no study is held out to tell by: raise data.validation, or export the last"
        )
    if isinstance(settings, NamesTraining):
        names = {series.name for study in train for series in study.series if is_named(series.name)}
        check_batch(names, settings.batch, "names of series")
    elif isinstance(settings, ClipTraining):
        check_text(settings, begun)
        if settings.augmentation.abnormal_repeats and not any(study.abnormal for study in train):
            logger.warning(
                "No study is marked as abnormal, so that augmentation.abnormal_repeats does nothing"
            )
        together = settings.together
        keys = keys_of(grouped(train, together), bool(settings.data.synthetic))
        check_batch(keys, settings.batch // together, UNITS[together])


def _check_tokenizer(begun: Start) -> None:
    """Later stages do not train the tokenizer, so that one of other sizes would stay as random as it began."""
    assert begun.base is not None
    if "tokenizer." not in begun.taken:
        key = "tokenizer" if begun.base.tokenizer != begun.config.tokenizer else "preprocessing"
        raise UsageError(
            f"network.{key} is not that of the model to start from, and this stage does not train tokenizers: leave "
            "it out, or train one with it first (prima pretrain tokenizer)"
        )
