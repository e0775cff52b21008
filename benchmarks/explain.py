"""How well explanations find known lesions: AUROC of tokens by truth, for each method at the same number of passes.

Studies are synthetic brains with one glioma or one stroke, of a few series each; a token counts as lesion if at least
3% of it is lesion, oedema included. The target is the logit of a logistic regression on study embeddings (lesion
against no lesion), fitted on other synthetic studies with and without lesions.

    python benchmarks/explain.py --cache DIR prepare --studies 40 --training 120
    python benchmarks/explain.py --cache DIR measure --samples 256 --json

All methods take `--samples` passes of the sequence encoder, but gradients, which take one.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prima_features.encoders.prima import PrimaModel
from prima_features.encoders.prima.encode import Network
from prima_features.encoders.prima.networks import StudyOutput
from prima_features.encoders.prima.subvolumes import cut
from prima_features.explain.methods import Attribution, Method, Sampling, attribute
from prima_features.explain.passes import MaskedSeries, Passes, SeriesTokens, series_tokens
from prima_features.explain.targets import Target
from prima_features.pretraining.data.synthetic import RenderedSeries
from prima_features.studies.labels import series_name
from prima_features.synthetic import (
    build_anatomy,
    content,
    draw_acquisitions,
    draw_subject,
    holds_lesion,
    render_series,
)

SEQUENCES = {"glioma": ("FLAIR", "T1w"), "stroke": ("DWI", "FLAIR")}
"""The series of each study; controls are made with either."""
DESCRIPTION = "MRI BRAIN"


def prepare(folder: Path, model: PrimaModel, seed: int, index: int, condition: str, like: str) -> Path:
    """Make one study and keep its token vectors and truth.

    Args:
        condition: of the subject.
        like: the condition whose series it gets.
    """
    path = folder / f"{like}-{condition}-{seed}-{index}.npz"
    if path.exists():
        return path
    subject = draw_subject(seed, index, condition=condition)
    anatomy = build_anatomy(subject)
    arrays: dict[str, np.ndarray] = {"condition": np.array(condition)}
    network = Network(model, torch.device("cpu"), torch.float32, 64)
    for i, scan in enumerate(
        draw_acquisitions(seed, index, subject.site, sequences=SEQUENCES[like])  # type: ignore[arg-type]
    ):
        rendered = render_series(anatomy, scan)
        name = series_name(scan.description, scan.protocol) or scan.sequence
        made = RenderedSeries(name, "", lambda rendered=rendered: (rendered.volume, rendered.affine))  # type: ignore[misc]
        kept = cut(made.volume(model.preprocessing), model.preprocessing)
        size = kept.values.shape[1:]
        shares = content(anatomy, scan, kept.coord, size, model.preprocessing.matrix)  # type: ignore[arg-type]
        arrays |= {
            f"name_{i}": np.array(name),
            f"vectors_{i}": series_tokens(network, name, kept).vectors.numpy(),
            f"coord_{i}": kept.coord,
            f"size_{i}": np.array(size),
            f"lesion_{i}": holds_lesion(shares).numpy(),
        }
    np.savez(path.with_suffix(".partial.npz"), **arrays)
    path.with_suffix(".partial.npz").rename(path)
    return path


def load(path: Path, model: PrimaModel) -> tuple[Passes, dict[str, np.ndarray]]:
    """The passes of a prepared study, and its arrays."""
    arrays = dict(np.load(path))
    series = [
        SeriesTokens(str(arrays[f"name_{i}"]), torch.from_numpy(arrays[f"vectors_{i}"]), arrays[f"coord_{i}"])
        for i in range(sum(name.startswith("name_") for name in arrays))
    ]
    return Passes(model, series, DESCRIPTION), arrays


def prepare_all(folder: Path, model: PrimaModel, n_studies: int, n_training: int) -> None:
    """Test studies (seed 1), and training studies (seed 2): as many with a lesion as without."""
    for index in range(n_training // 4):
        for like in SEQUENCES:
            prepare(folder, model, 2, index, like, like)
            prepare(folder, model, 2, 100_000 + index, "control", like)
        if index < n_studies:
            for like in SEQUENCES:
                prepare(folder, model, 1, index, like, like)
    for index in range(n_studies):
        for like in SEQUENCES:
            prepare(folder, model, 1, index, like, like)


EXPLAINED = {"glioma": "FLAIR", "stroke": "DWI"}
"""The series that is explained; the other one stays."""
SPACING = (5.0, 0.95, 0.95)
"""Of explained series, mm, nearly: decides the shape of groups only."""


def model_output(passes: Passes) -> StudyOutput:
    """What the model gives for a whole study."""
    found: list[StudyOutput] = []

    def keep(output: StudyOutput) -> Tensor:
        found.append(output)
        return output.embedding[:, 0]

    passes.with_series(np.ones((1, len(passes.series)), dtype=bool), keep)
    return found[0]


def lesion_target(folder: Path, model: PrimaModel, like: str) -> tuple[Target, dict[str, Any]]:
    """Logit of a logistic regression of lesion against control, and how many studies it was fitted on."""
    from sklearn.linear_model import LogisticRegression

    paths = sorted(folder.glob(f"{like}-*-2-*.npz"))
    X = np.stack([model_output(load(path, model)[0]).embedding[0].numpy() for path in paths])
    y = np.array(["-control-" not in path.name for path in paths])
    mean, sd = X.mean(axis=0), X.std(axis=0) + 1e-3
    fitted = LogisticRegression(C=0.01, max_iter=1000).fit((X - mean) / sd, y)
    weight = torch.tensor(fitted.coef_[0] / sd, dtype=torch.float32)
    bias = float(fitted.intercept_[0] - fitted.coef_[0] @ (mean / sd))
    target = Target(like, "logit", lambda output: output.embedding @ weight + bias)
    return target, {"training_studies": len(y), "of_them_with_lesion": int(y.sum())}


METHODS: tuple[Method, ...] = ("lime", "lime-public", "leave-out", "gradients")


def measure(folder: Path, model: PrimaModel, n_studies: int, samples: int) -> dict[str, Any]:
    """Measure all methods on each prepared study.

    A measured study is kept in `measured-SAMPLES-TRAINING/NAME.json` (TRAINING: studies that the target was fitted
    on), so that a run that was stopped goes on where it was.
    """
    result: dict[str, Any] = {"samples": samples, "studies": []}
    targets = {like: lesion_target(folder, model, like) for like in EXPLAINED}
    result |= {like: facts for like, (_, facts) in targets.items()}
    # Gliomas and strokes in turn, so that a part of the studies has both.
    for path in sorted(folder.glob("*-1-*.npz"), key=_number)[: n_studies * len(EXPLAINED)]:
        like = path.stem.partition("-")[0]
        target, facts = targets[like]
        kept = folder / f"measured-{samples}-{facts['training_studies']}" / f"{path.stem}.json"
        if kept.exists():
            row = json.loads(kept.read_text())
        else:
            row = measure_study(path, model, like, target, samples)
            kept.parent.mkdir(exist_ok=True)
            kept.with_suffix(".partial").write_text(json.dumps(row))
            kept.with_suffix(".partial").rename(kept)
        if row["tokens_with_lesion"]:
            result["studies"].append(row)
        print(json.dumps(row), file=sys.stderr, flush=True)
    return result | {"summary": summary(result["studies"])}


def _number(path: Path) -> tuple[int, str]:
    like, _, number = path.stem.rpartition("-")
    return int(number), like


def measure_study(path: Path, model: PrimaModel, like: str, target: Target, samples: int) -> dict[str, Any]:
    """AUROC of tokens by truth for each method, and how often the stated spread covers the error of a run."""
    # The agreement is never reached, so that all methods take the same passes.
    sampling, again = (Sampling(samples, seed, agreement=1.1) for seed in (0, 1))
    passes, arrays = load(path, model)
    (index,) = (i for i in range(len(passes.series)) if _is(str(arrays[f"name_{i}"]), EXPLAINED[like]))
    truth, size = arrays[f"lesion_{index}"], tuple(arrays[f"size_{index}"].tolist())
    row: dict[str, Any] = {"lesion": like, "tokens": len(truth), "tokens_with_lesion": int(truth.sum())}
    if not truth.any():
        return row
    series = MaskedSeries(passes, index, target, size, SPACING)
    value = target(model_output(passes))
    row["value"] = round(float(value[0]), 4)
    for name in METHODS:
        started = time.process_time()
        found = attribute(series, name, sampling)
        row[name] = {
            "auroc": auroc(truth, found.coefficient),
            "groups": found.n_groups,
            "agreement": found.agreement,
            "cpu_seconds": round(time.process_time() - started, 2),
        }
        if name == "lime":
            row["covered"] = covered(found, attribute(series, name, again))
    return row


def _is(name: str, sequence: str) -> bool:
    """Whether a series name is that of a sequence: the explained one of the two that a study has."""
    others = {"FLAIR": ("T1", "MPRAGE", "MP_RAGE", "BRAVO", "SPGR", "TFE"), "DWI": ("FLAIR", "DARK")}[
        sequence
    ]
    return not any(other in name.upper() for other in others)


def auroc(truth: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve of tokens."""
    from sklearn.metrics import roc_auc_score

    return round(float(roc_auc_score(truth, score)), 4)


def covered(one: Attribution, other: Attribution) -> float:
    """Share of tokens whose difference between two runs lies in the stated 90% interval of the difference."""
    difference = np.abs(one.coefficient - other.coefficient)
    return round(float((difference <= np.hypot(one.spread, other.spread)).mean()), 4)


def summary(studies: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over studies and their standard errors, by lesion."""
    made: dict[str, Any] = {}
    for like in EXPLAINED:
        rows = [row for row in studies if row["lesion"] == like]
        if len(rows) < 2:
            continue
        aurocs = {name: np.array([row[name]["auroc"] for row in rows]) for name in METHODS}
        made[like] = {
            "studies": len(rows),
            "auroc": {name: _mean(values) for name, values in aurocs.items()},
            "lime_minus": {name: _mean(aurocs["lime"] - aurocs[name]) for name in METHODS[1:]},
            "covered": _mean([row["covered"] for row in rows]),
            "agreement": {name: _mean([row[name]["agreement"] for row in rows]) for name in METHODS[:2]},
            "positive": sum(row["value"] > 0 for row in rows),
        }
    return made


def _mean(values: Any) -> dict[str, float]:
    mean, error = np.mean(values), np.std(values, ddof=1) / np.sqrt(len(values))
    return {"mean": round(float(mean), 3), "se": round(float(error), 3)}


def main() -> None:
    """Prepare studies, or measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, help="folder for prepared studies")
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("prepare")
    making.add_argument("--studies", type=int, default=40, help="test studies with each lesion")
    making.add_argument("--training", type=int, default=120, help="training studies in all")
    measuring = commands.add_parser("measure")
    measuring.add_argument("--studies", type=int, default=40, help="test studies with each lesion, at most")
    measuring.add_argument("--samples", type=int, default=256)
    measuring.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    model = PrimaModel.from_pretrained("prima-synth")
    if chosen.command == "prepare":
        chosen.cache.mkdir(parents=True, exist_ok=True)
        prepare_all(chosen.cache, model, chosen.studies, chosen.training)
        return
    result = measure(chosen.cache, model, chosen.studies, chosen.samples)
    print(json.dumps(result if chosen.json else result["summary"], indent=None if chosen.json else 2))


if __name__ == "__main__":
    main()
