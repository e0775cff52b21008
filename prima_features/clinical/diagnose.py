"""`diagnose()`: scores of diagnoses and referrals, and a worklist, for every study of an embeddings file.

A score is logit minus threshold. It is not a probability: the training loss weights positives, and the threshold was
chosen for accuracy on a validation set whose prevalence need not be that of any clinic.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prima_features._version import __version__
from prima_features.clinical.calibration import Calibration, read_calibration
from prima_features.clinical.model import model_of
from prima_features.clinical.pages.worklist import worklist_page
from prima_features.clinical.worklist import RULES, Rule, ranks, urgency
from prima_features.embedding.file.read import Embeddings, read_embeddings
from prima_features.embedding.record.output import files_next_to
from prima_features.errors import UsageError
from prima_features.files.disk import write_bytes, write_json
from prima_features.files.new_directory import new_directory
from prima_features.files.tables import table_bytes
from prima_features.files.targets import Maker, as_inputs, check_file, check_folder, is_page, starts_with
from prima_features.files.text import file_stem
from prima_features.models import DEFAULT_MODEL, directory
from prima_features.page import write_html
from prima_features.wording import RESEARCH_ONLY

if TYPE_CHECKING:
    import pandas as pd

    from prima_features.encoders.prima import HeadScores
    from prima_features.encoders.prima.networks.config import HeadConfig
    from prima_features.models.resolve import ModelSource

FORMAT = "prima-scores"
SCORE = "logit minus threshold; present if 0 or more; not a probability"
_JSON_START = f'{{\n  "format": "{FORMAT}"'.encode()
_TSV_STARTS = tuple(
    f"study\tsubject\tsession\t{kind}".encode() for kind in ("diagnosis/", "referral/", "priority/")
)
_PUBLIC_ENDING = "_predictions.json"
_NAME = re.compile("[A-Za-z0-9_-]{1,100}")
"""Study ids that are used as file names as they are."""


@dataclass(frozen=True, eq=False)
class Diagnosed:
    """Scores of N studies."""

    table: pd.DataFrame
    """One row per study, in the order of the embeddings file: study, subject, session, `diagnosis/NAME` and
    `referral/NAME` (scores), `priority/LEVEL` (raw outputs), worklist (higher is more urgent; NaN if the model has no
    priority head) and rank (1 is the most urgent)."""
    document: Mapping[str, Any]
    """Names, thresholds, output indices, worklist rule and model, as written to OUT.json."""
    scores: HeadScores
    not_scored: tuple[str, ...]
    """Studies that could not be embedded and so have no scores."""
    caveat: str
    """What must be said with every number of the model, one sentence; empty if nothing is known."""


def diagnose(
    embeddings: str | Path,
    output: str | Path | None = None,
    model: str | Path = DEFAULT_MODEL,
    *,
    worklist: Rule = "expected",
    public_json: str | Path | None = None,
    calibration: str | Path | None = None,
    page: bool = True,
    device: str = "cpu",
    force: bool = False,
    on_head: Callable[[int, int], None] = lambda done, total: None,
) -> Diagnosed:
    """Score every study of an embeddings file with the heads of the model that made it.

    Heads are read from the disk one at a time, so memory is that of one head and the study vectors.

    Args:
        embeddings: the embeddings file.
        output: a table to write, tab-separated. Names, thresholds and the model go to a JSON file of the same name, and
            the worklist to an HTML page.
        model: bundled name, model directory or Hub id of a model with heads.
        worklist: see `worklist.RULES`.
        public_json: a folder for one predictions file per study, as the public pipeline writes them.
        calibration: calibration.json of an audit of this model's scores; adds `probability/...` columns, which hold for
            cohorts with the share of positives of the audited one.
        page: write the HTML page; pictures in it come from the HTML report of the embeddings file, if there is one.
        device: where to compute: auto, cpu, cuda, cuda:1.
        force: replace outputs that this function did not write. Inputs are never replaced.
        on_head: called after each head with the number of heads done and of all heads.

    Raises:
        UsageError: the model has no heads, another model made the embeddings or the calibration, or an output cannot be
            written there.
        OutputError: an output cannot be written.
    """
    from prima_features.embedding.engine.device import pick_device
    from prima_features.encoders.prima import score_heads
    from prima_features.encoders.prima.heads import heads_config

    path, folder = (None if one is None else Path(one) for one in (output, public_json))
    _check_outputs(Path(embeddings), path, folder, model, calibration, force)
    file = read_embeddings(embeddings)
    source = model_of(file, model, directory.HEADS, "heads")
    curves = None if calibration is None else _curves(Path(calibration), file)
    vectors = file.study_embedding
    scores = score_heads(source.directory, vectors, pick_device(device), on_head)
    found = _diagnosed(file, source, scores, heads_config(source.directory), worklist)
    if curves is not None:
        found = _with_probabilities(found, curves)
    if folder is not None:
        with new_directory(folder, overwrite=True) as made:
            _write_public(made, found, vectors)
    if path is not None:
        if page:
            html = worklist_page(found, file, path.name)
            write_html(path.with_suffix(".html"), html)
        write_json(path.with_suffix(".json"), found.document)
        write_bytes(path, table_bytes(found.table, found.caveat))
    return found


def _check_outputs(
    embeddings: Path,
    output: Path | None,
    public: Path | None,
    model: str | Path,
    calibration: str | Path | None,
    force: bool,
) -> None:
    maker = Maker("prima diagnose", as_inputs(embeddings, files_next_to(embeddings), model, calibration))
    if public is not None:
        is_own = lambda folder: all(one.name.endswith(_PUBLIC_ENDING) for one in folder.iterdir())  # noqa: E731
        check_folder(public, replace(maker, is_own=is_own), force)
    if output is None:
        return
    kinds = {
        output: (starts_with(*_TSV_STARTS), "a table of scores"),
        output.with_suffix(".json"): (starts_with(_JSON_START), "the description of a table of scores"),
        output.with_suffix(".html"): (is_page("worklist"), "a worklist page"),
    }
    for path, (is_own, kind) in kinds.items():
        check_file(path, replace(maker, is_own=is_own, kind=kind), force)
    if output.suffix.lower() != ".tsv":
        raise UsageError(f"{output} is the name of the table, which is tab-separated: end it in .tsv")


def _diagnosed(
    file: Embeddings, source: ModelSource, scores: HeadScores, config: Any, rule: Rule
) -> Diagnosed:
    import pandas as pd

    studies = file.studies
    columns: dict[str, Any] = {
        "study": studies["id"].to_numpy(),
        "subject": studies["subject"].to_numpy(),
        "session": studies["session"].to_numpy(),
    }
    for kind in ("diagnosis", "referral", "priority"):
        values = getattr(scores, kind)
        columns |= {f"{kind}/{name}": values[:, i] for i, name in enumerate(getattr(scores, f"{kind}_names"))}
    if scores.priority_names:
        columns["worklist"] = urgency(scores.priority, rule)
        columns["rank"] = ranks(columns["worklist"], columns["study"])
    else:
        columns["worklist"] = np.full(len(studies), np.nan)
        columns["rank"] = pd.array([pd.NA] * len(studies), dtype="Int64")
    failed = file.failures["study"]
    not_scored = tuple(sorted(set(failed[failed != ""]) - set(studies["id"])))
    document = {
        "format": FORMAT,
        "format_version": 1,
        "notice": RESEARCH_ONLY,
        "caveat": file.caveat,
        "prima_features_version": __version__,
        "model": source.name,
        "model_revision": source.revision,
        "model_sha256": str(file.attributes["model_sha256"]),
        "embeddings": file.path.name,
        "settings": file.preprocessing,
        "n_studies": file.n_studies,
        "not_scored": list(not_scored),
        "score": SCORE,
        "diagnosis": [_head(head) for head in config.diagnosis],
        "referral": [_head(head) for head in config.referral],
        "priority": {"levels": list(config.priority), "outputs": "raw outputs of the priority head"},
        "worklist": {"rule": rule, "definition": RULES[rule]} if config.priority else None,
    }
    return Diagnosed(pd.DataFrame(columns), document, scores, not_scored, file.caveat)


def _head(head: HeadConfig) -> dict[str, Any]:
    """A head as in OUT.json. The group of a name is what precedes its first underscore."""
    group = head.name.partition("_")[0]
    return {"name": head.name, "group": group, "threshold": head.threshold, "output_index": head.index}


def _curves(path: Path, file: Embeddings) -> Calibration:
    """The curves of a file that were fitted on scores of the model that made the embeddings.

    Raises:
        UsageError: another model made the scores, or the file does not say which.
    """
    curves = read_calibration(path, str(file.attributes["model_sha256"]))
    if not curves.model_sha256:
        raise UsageError(
            f"{path} does not say which model its scores are of: audit a table of prima diagnose with its .json file "
            "next to it"
        )
    if curves.scores != "score":
        raise UsageError(
            f"{path} has curves for probabilities, which scores of prima diagnose are not: audit a table of prima "
            "diagnose"
        )
    return curves


def _with_probabilities(found: Diagnosed, curves: Calibration) -> Diagnosed:
    """The same with a column `probability/...` per name that has a curve."""
    columns = curves.columns(found.table)
    calibrated = {
        "method": curves.method,
        "n_studies": curves.n_studies,
        "n_subjects": curves.n_subjects,
        "prevalence": {
            name: curve.positives / curve.n
            for name, curve in zip(curves.names, curves.curves, strict=True)
            if curve.n
        },
        "caveat": curves.caveat,
        "without": [
            name
            for name in map(str, found.table)
            if name.startswith(("diagnosis/", "referral/")) and f"probability/{name}" not in columns
        ],
    }
    return replace(
        found, table=found.table.assign(**columns), document={**found.document, "calibration": calibrated}
    )


def _write_public(folder: Path, found: Diagnosed, vectors: np.ndarray) -> None:
    """One file per study, structured as the public pipeline's: its `clip_emb` is the study vector."""
    studies = found.table["study"]
    # Names that differ only in case are one name on some disks.
    repeated = studies.str.lower().duplicated(keep=False)
    for row, (study, is_repeated) in enumerate(zip(studies, repeated, strict=True)):
        predictions: dict[str, Any] = {
            kind: {
                name: [float(value)]
                for name, value in zip(
                    getattr(found.scores, f"{kind}_names"), getattr(found.scores, kind)[row], strict=True
                )
            }
            for kind in ("diagnosis", "referral", "priority")
        }
        predictions["clip_emb"] = [vectors[row].astype(np.float32).tolist()]
        text = json.dumps(predictions, indent=2)
        name = study if _NAME.fullmatch(study) and not is_repeated else file_stem(study)
        (folder / f"{name}{_PUBLIC_ENDING}").write_text(text, encoding="utf-8", newline="")
