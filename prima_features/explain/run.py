"""`explain()`: from a source on disk to a folder with maps, tables and a page."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from prima_features.embedding.engine.device import pick_device
from prima_features.embedding.record.ids import ids_path, load_pseudonyms
from prima_features.encoders.prima import PrimaModel
from prima_features.encoders.prima.encode import Network
from prima_features.encoders.prima.prepare import acquire, to_volume
from prima_features.encoders.prima.subvolumes import cut
from prima_features.encoders.registry import load_encoder
from prima_features.errors import NothingUsableError, SeriesError, UsageError
from prima_features.explain import methods
from prima_features.explain.faithfulness import Faithfulness, faithfulness
from prima_features.explain.methods import Attribution, Method, Sampling
from prima_features.explain.passes import MaskedSeries, Passes, SeriesTokens, series_tokens
from prima_features.explain.placement import Placement, placement
from prima_features.explain.targets import Target, TargetName, head_target, text_target
from prima_features.files.text import model_text
from prima_features.models import DEFAULT_MODEL
from prima_features.studies import FindOptions, Pseudonyms, find
from prima_features.studies.study import Failure, Series, Study
from prima_features.volumes import ReadOptions, Volume

if TYPE_CHECKING:
    from prima_features.encoders.base import EncoderInfo

logger = logging.getLogger(__name__)

MakeTarget = Callable[[PrimaModel, torch.device], Target]
"""Makes a target once the model is loaded."""
OnPass = Callable[[str, int, int], None]
"""Called with the series, and the numbers of passes done and of all at most."""


@dataclass(frozen=True)
class How:
    """How a study is explained."""

    method: Method = "lime"
    sampling: Sampling = Sampling()
    series: str = ""
    """Name of the only series to explain; empty for all of them."""
    alone: bool = False
    """Explain each series as a study of that series only, as the public notebook does."""


@dataclass(frozen=True, eq=False)
class ExplainedSeries:
    """One explained series."""

    label: str
    """Its name, with a number if the study has several of the name."""
    volume: Volume
    tokens: SeriesTokens
    placement: Placement
    attribution: Attribution
    value: float
    """The target with all tokens."""
    curve: Faithfulness | None

    @property
    def token_index(self) -> np.ndarray:
        """(N,) number of each token in the unfiltered enumeration of its series."""
        return self.placement.index(self.tokens.coord)


@dataclass(frozen=True, eq=False)
class Explained:
    """One explained study."""

    study: Study
    model: EncoderInfo
    target: Target
    how: How
    value: float
    """The target of the whole study."""
    labels: tuple[str, ...]
    """All series that the model read."""
    without: np.ndarray
    """(n,) the target without each series; NaN if there is no other."""
    alone: np.ndarray
    """(n,) the target of each series as a study of its own."""
    series: tuple[ExplainedSeries, ...]
    failures: tuple[Failure, ...]
    """Series that could not be read or were left out by a rule."""


def explain(
    source: str | Path,
    output: str | Path | None,
    target: str | MakeTarget,
    model: str | Path = DEFAULT_MODEL,
    *,
    study: str = "",
    how: How = How(),
    find_options: FindOptions = FindOptions(),
    read_options: ReadOptions = ReadOptions(),
    description: str = "",
    device: str = "cpu",
    keep_patient_id: bool = False,
    ids_of: str | Path | None = None,
    force: bool = False,
    on_pass: OnPass = lambda label, done, total: None,
) -> Explained:
    """Explain one number of one study: what each token and each series contributes.

    Args:
        source: as for `prima embed`.
        output: folder to write; None writes nothing.
        target: `diagnosis/NAME`, `referral/NAME`, `priority/LEVEL` or `text:WORDS`; or a function that makes a target.
        model: bundled name, model directory or Hub id of a Prima model.
        study: its id; may be empty if the source has one study.
        how: the method.
        find_options: what to look for in the source.
        read_options: how to read scans.
        description: study description that the model reads, in place of the scan's own.
        device: where to compute, always in float32: auto, cpu, cuda, cuda:1.
        keep_patient_id: name DICOM studies by PatientID.
        ids_of: an embeddings file whose pseudonyms `study` is one of.
        force: replace a folder that is not empty.
        on_pass: called as passes are done.

    Raises:
        UsageError: there is no such study, series or target, or the output cannot be written there.
        NothingUsableError: no series of the study can be read.
        OutputError: the output cannot be written.
    """
    from prima_features.explain.output import check_output, write

    if output is not None:
        check_output(Path(output), (source, model, ids_of), force)
    if isinstance(target, str):
        name = TargetName.parse(target)
        if name.kind == "probe":
            raise UsageError("a probe is given to explain() as a function that makes a target, not by name")
    chosen, left_out = _choose(Path(source), study, find_options, keep_patient_id, ids_of)
    if description:
        chosen = replace(chosen, description=model_text(description))
    encoder = load_encoder(model)
    if not isinstance(encoder, PrimaModel):
        raise UsageError(
            f"the model {encoder.info.name} has the encoder {encoder.info.encoder!r}: explanations need a Prima model"
        )
    where = pick_device(device)
    if isinstance(target, str):
        assert encoder.directory is not None
        make = text_target if name.kind == "text" else head_target
        made = make(encoder.directory, name, where)
    else:
        made = target(encoder, where)
    if how.method == "gradients" and not made.has_gradient:
        raise UsageError(f"the target {made.label} has no gradient: choose another --method")
    found = _explain(chosen, left_out, encoder, made, how, read_options, where, on_pass)
    if output is not None:
        write(Path(output), found)
    return found


def _choose(
    source: Path, wanted: str, options: FindOptions, keep_patient_id: bool, ids_of: str | Path | None
) -> tuple[Study, tuple[Failure, ...]]:
    """The study to explain, and its series that the finder left out."""
    pseudonyms = Pseudonyms(keep_patient_id=keep_patient_id)
    if ids_of is not None:
        if not (path := ids_path(Path(ids_of))).is_file():
            raise UsageError(
                f"{ids_of} has no {path.name} next to it, which has the key to its pseudonyms: give the file that "
                "prima embed wrote from this DICOM source, with its table"
            )
        pseudonyms = load_pseudonyms(Path(ids_of), keep_patient_id)
    found = find(source, options, pseudonyms)
    for warning in found.warnings:
        logger.warning("%s", warning)
    by_id = {one.id: one for one in found.studies}
    wanted = next((name for name in (wanted, f"sub-{wanted}") if name in by_id), wanted)
    if not wanted and len(by_id) == 1:
        (wanted,) = by_id
    left_out = tuple(one for one in found.left_out if one.study == wanted)
    if wanted in by_id:
        return by_id[wanted], left_out
    if not by_id:
        raise NothingUsableError(f"Nothing in {source} can be read", found.left_out)
    if wanted and left_out:
        raise NothingUsableError(f"No series of {wanted} in {source} can be read", left_out)
    near = get_close_matches(wanted, by_id, n=3) or list(by_id)[:5]
    names = ", ".join(near) + (", ..." if len(near) < len(by_id) else "")
    has = f"has no study {wanted!r}" if wanted else f"has {len(by_id)} studies"
    hint = "choose one with --study"
    if found.format == "dicom" and ids_of is None and not keep_patient_id:
        hint = "these ids are new in each run: choose one of an embeddings file, and give that file with --ids-of"
    raise UsageError(f"{source} {has} ({names}): {hint}")


@dataclass(frozen=True, eq=False)
class _Read:
    """One series, read and encoded."""

    label: str
    volume: Volume
    tokens: SeriesTokens
    placement: Placement


def _explain(
    study: Study,
    left_out: tuple[Failure, ...],
    model: PrimaModel,
    target: Target,
    how: How,
    options: ReadOptions,
    device: torch.device,
    on_pass: OnPass,
) -> Explained:
    labels = _labels(study.series)
    if how.series and how.series not in labels:
        raise UsageError(
            f"the study {study.id} has no series {how.series!r}: choose one of {', '.join(labels)}"
        )
    network = Network(model, device, torch.float32, 32 if device.type == "cpu" else 256)
    read, failures = [], list(left_out)
    for series, label in zip(study.series, labels, strict=True):
        try:
            read.append(_read(network, series, label, model, options))
        except SeriesError as error:
            failures.append(Failure(study.id, label, "read", str(error), error.hint))
    if not read or (how.series and how.series not in {one.label for one in read}):
        raise NothingUsableError(f"No series of {study.id} that is to be explained can be read", failures)
    passes = Passes(network.model, [one.tokens for one in read], study.description)
    without, alone = methods.leave_series_out(passes, target)
    whole = float(passes.with_series(np.ones((1, len(read)), dtype=bool), target)[0])
    explained = []
    for i, one in enumerate(read):
        if how.series in ("", one.label):
            these, index = passes, i
            if how.alone and len(read) > 1:
                these, index = Passes(network.model, [one.tokens], study.description), 0
            explained.append(_explain_series(one, these, index, target, how, on_pass))
    return Explained(
        study,
        model.info,
        target,
        how,
        whole,
        tuple(one.label for one in read),
        without,
        alone,
        tuple(explained),
        tuple(failures),
    )


def _read(network: Network, series: Series, label: str, model: PrimaModel, options: ReadOptions) -> _Read:
    acquired = acquire(series, model.preprocessing, options)
    volume = to_volume(acquired, model.preprocessing)
    kept = cut(volume, model.preprocessing)
    return _Read(
        label, volume, series_tokens(network, series.name, kept), placement(acquired, model.preprocessing)
    )


def _explain_series(
    one: _Read, passes: Passes, index: int, target: Target, how: How, on_pass: OnPass
) -> ExplainedSeries:
    def progress(done: int, total: int) -> None:
        on_pass(one.label, done, total)

    series = MaskedSeries(passes, index, target, one.placement.size, one.volume.spacing, progress)
    found = methods.attribute(series, how.method, how.sampling)
    quiet = replace(series, on_pass=lambda done, total: None)
    value = float(quiet.outputs(np.ones((1, len(series)), dtype=bool))[0])
    curve = faithfulness(quiet, found.coefficient, found.group, how.sampling.seed)
    return ExplainedSeries(one.label, one.volume, one.tokens, one.placement, found, value, curve)


def _labels(series: Sequence[Series]) -> list[str]:
    """Stored names, numbered from the second of a name on."""
    labels: list[str] = []
    for one in series:
        name, number = one.stored_name, 1
        while name in labels:
            number += 1
            name = f"{one.stored_name} ({number})"
        labels.append(name)
    return labels
