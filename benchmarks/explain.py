"""How well explanations find known lesions: AUROC of tokens by truth, for each method at the same number of passes.

Studies are synthetic brains with one glioma or one stroke, of a few series each; a token counts as lesion if at least
3% of it is lesion, oedema included. The target is the logit of a logistic regression on study embeddings (lesion
against no lesion), fitted on other synthetic studies with and without lesions.

    python benchmarks/explain.py --cache DIR prepare --studies 40 --training 120
    python benchmarks/explain.py --cache DIR measure --samples 500 --json

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
from prima_features.explain.methods import Attribution, Sampling, gradients, leave_out, lime, lime_public
from prima_features.explain.passes import Passes, SeriesTokens, series_tokens
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


def embedding(path: Path, model: PrimaModel) -> np.ndarray:
    """The study vector of a prepared study."""
    passes, _ = load(path, model)
    found: list[Tensor] = []

    def keep(output: StudyOutput) -> Tensor:
        found.append(output.embedding)
        return output.embedding[:, 0]

    passes.with_series(np.ones((1, len(passes.series)), dtype=bool), keep)
    return found[0][0].numpy()


def lesion_target(folder: Path, model: PrimaModel, like: str) -> tuple[Target, dict[str, Any]]:
    """Logit of a logistic regression of lesion against control, and how many studies it was fitted on."""
    from sklearn.linear_model import LogisticRegression

    paths = sorted(folder.glob(f"{like}-*-2-*.npz"))
    X = np.stack([embedding(path, model) for path in paths])
    y = np.array(["-control-" not in path.name for path in paths])
    mean, sd = X.mean(axis=0), X.std(axis=0) + 1e-3
    fitted = LogisticRegression(C=0.01, max_iter=1000).fit((X - mean) / sd, y)
    weight = torch.tensor(fitted.coef_[0] / sd, dtype=torch.float32)
    bias = float(fitted.intercept_[0] - fitted.coef_[0] @ (mean / sd))
    target = Target(like, "logit", lambda output: output.embedding @ weight + bias)
    return target, {"training_studies": len(y), "of_them_with_lesion": int(y.sum())}


def measure(folder: Path, model: PrimaModel, n_studies: int, samples: int) -> dict[str, Any]:
    """AUROC of tokens by truth for each method, and how often the stated spread covers the error of a run."""
    sampling = Sampling(samples, agreement=1.1)  # never reached, so that all methods take the same passes
    again = Sampling(samples, seed=1, agreement=1.1)
    result: dict[str, Any] = {"samples": samples, "studies": []}
    for like, sequence in EXPLAINED.items():
        target, facts = lesion_target(folder, model, like)
        result[like] = facts
        for path in sorted(folder.glob(f"{like}-{like}-1-*.npz"))[:n_studies]:
            passes, arrays = load(path, model)
            (index,) = (i for i in range(len(passes.series)) if _is(str(arrays[f"name_{i}"]), sequence))
            truth, size = arrays[f"lesion_{index}"], tuple(arrays[f"size_{index}"].tolist())
            if not truth.any():
                continue
            runs = {
                "lime": lambda: lime(passes, index, target, size, SPACING, sampling),  # noqa: B023
                "lime-public": lambda: lime_public(passes, index, target, sampling),  # noqa: B023
                "leave-out": lambda: leave_out(passes, index, target, size, SPACING, sampling),  # noqa: B023
                "gradients": lambda: gradients(passes, index, target),  # noqa: B023
                "lime, seed 1": lambda: lime(passes, index, target, size, SPACING, again),  # noqa: B023
            }
            row: dict[str, Any] = {
                "lesion": like,
                "tokens": len(truth),
                "tokens_with_lesion": int(truth.sum()),
            }
            found = {}
            for name, run in runs.items():
                started = time.process_time()
                found[name] = run()
                row[name] = {
                    "auroc": auroc(truth, found[name].coefficient),
                    "groups": found[name].n_groups,
                    "agreement": found[name].agreement,
                    "cpu_seconds": round(time.process_time() - started, 2),
                }
            row["covered"] = covered(found["lime"], found["lime, seed 1"])
            result["studies"].append(row)
            print(json.dumps(row), file=sys.stderr, flush=True)
    return result | {"summary": summary(result["studies"])}


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
    """Mean and standard error over studies, by lesion."""
    made: dict[str, Any] = {}
    for like in EXPLAINED:
        rows = [row for row in studies if row["lesion"] == like]
        if len(rows) < 2:
            continue
        made[like] = {"studies": len(rows), "covered": float(np.mean([row["covered"] for row in rows]))}
        for name in ("lime", "lime-public", "leave-out", "gradients"):
            values = np.array([row[name]["auroc"] for row in rows])
            error = values.std(ddof=1) / np.sqrt(len(values))
            made[like][name] = {"auroc": round(float(values.mean()), 3), "se": round(float(error), 3)}
    return made


def main() -> None:
    """Prepare studies, or measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, help="folder for prepared studies")
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("prepare")
    making.add_argument("--studies", type=int, default=40, help="test studies with each lesion")
    making.add_argument("--training", type=int, default=160, help="training studies in all")
    measuring = commands.add_parser("measure")
    measuring.add_argument("--studies", type=int, default=40, help="test studies with each lesion, at most")
    measuring.add_argument("--samples", type=int, default=500)
    measuring.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    model = PrimaModel.from_pretrained("prima-synth")
    if chosen.command == "prepare":
        chosen.cache.mkdir(exist_ok=True)
        prepare_all(chosen.cache, model, chosen.studies, chosen.training)
        return
    result = measure(chosen.cache, model, chosen.studies, chosen.samples)
    print(json.dumps(result if chosen.json else result["summary"], indent=None if chosen.json else 2))


if __name__ == "__main__":
    main()
