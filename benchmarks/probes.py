"""Speed and memory of the probes beside the libraries they stand on: python benchmarks/probes.py [--json] [--quick].

Every claim is a ratio of two measurements of one run, on one made-up cohort, with the same folds. Three parts:

    ridge      nested ridge against the plain scikit-learn pipeline in a grid search, wide and tall
    large      nested ridge on 10,000 studies of 10,240 numbers: time and peak memory, in a process of its own
    xgboost    the xgboost probe against xgboost called directly for the same boosters
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xgboost
from joblib import parallel_config
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from prima_features.probes import tasks
from prima_features.probes.estimators.linear import RIDGE_ALPHAS
from prima_features.probes.evaluation.scored import OutOfFold, cross_validate
from prima_features.probes.evaluation.splits import Fold, Scheme, Splits, draw
from prima_features.probes.recipe import Recipe
from prima_features.probes.samples import Samples, samples

CORES = len(os.sched_getaffinity(0))
LATENTS = 64
PACKAGES = ("numpy", "scipy", "scikit-learn", "xgboost")


@dataclass(frozen=True)
class Sizes:
    """Studies and numbers a study of each part."""

    wide: tuple[int, int] = (600, 10240)
    tall: tuple[int, int] = (4000, 512)
    large: tuple[int, int] = (10_000, 10_240)
    xgboost: tuple[int, int] = (500, 128)
    rounds: tuple[int, ...] = (25, 50)


FULL = Sizes()
QUICK = Sizes((100, 200), (200, 20), (200, 300), (100, 20), (2, 4))


def main() -> None:
    """Run what the command line asks for, and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, whose times mean nothing")
    parser.add_argument("--only", choices=PARTS, help="one part")
    parser.add_argument("--large", nargs=2, type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s"
    )  # the folds as they are done, on stderr
    if chosen.large:
        print(json.dumps(measure_large(*chosen.large)))
        return
    # The plain pipeline warns of ill-conditioned products in float32, which is its own affair; workers read the
    # environment.
    warnings.simplefilter("ignore")
    os.environ["PYTHONWARNINGS"] = "ignore"
    sizes = QUICK if chosen.quick else FULL
    result: dict[str, Any] = {"cores": CORES, "versions": {name: version(name) for name in PACKAGES}}
    for name in [chosen.only] if chosen.only else PARTS:
        # Of a quick run most of the time would go to the start of processes.
        with parallel_config(backend="threading" if chosen.quick else "loky"):
            result[name] = PARTS[name](sizes)
        if not chosen.json:
            print(name, json.dumps(result[name], indent=2), flush=True)
    if chosen.json:
        print(json.dumps(result))


def ridge(sizes: Sizes) -> dict[str, Any]:
    """Nested ridge and the plain pipeline, with more features than studies and with fewer."""
    return {name: compare_ridge(cohort(*getattr(sizes, name))) for name in ("wide", "tall")}


def compare_ridge(data: Samples) -> dict[str, Any]:
    """Seconds and predictions of both; the plain pipeline in both precisions."""
    splits = draw(data, Scheme())
    seconds, ours = timed(lambda: cross_validate(data, Recipe("ridge"), splits))
    result: dict[str, Any] = {"shape": data.X.shape, "seconds": seconds, "plain": {}}
    for kind in ("float32", "float64"):
        result["plain"][kind] = beside(data, splits, kind, seconds, ours)
    return result


def beside(data: Samples, splits: Splits, kind: str, our_seconds: float, ours: OutOfFold) -> dict[str, Any]:
    """The plain pipeline's seconds, as a ratio too, and how far its out-of-fold predictions are from ours."""
    X = data.X.astype(kind)
    seconds, (predicted, alphas) = timed(lambda: plain_ridge(X, data.y, splits.folds))
    return {
        "seconds": seconds,
        "ratio": seconds / our_seconds,
        "largest_difference": difference(ours, predicted, data.y),
        "same_alphas": bool(np.allclose(alphas, [chosen["alpha"] for chosen in ours.parameters])),
    }


def plain_ridge(X: np.ndarray, y: np.ndarray, folds: tuple[Fold, ...]) -> tuple[np.ndarray, list[float]]:
    """Out-of-fold predictions and chosen penalties, as one writes it with scikit-learn alone.

    A process a core: with n_jobs=1, and the cores left to BLAS, it takes several times as long.
    """
    predicted, alphas = np.empty(len(y)), []
    for fold in folds:
        search = GridSearchCV(
            make_pipeline(StandardScaler(), Ridge()),
            {"ridge__alpha": RIDGE_ALPHAS},
            cv=PredefinedSplit(fold.inner),
            scoring="neg_mean_squared_error",
            n_jobs=CORES,
        ).fit(X[fold.train], y[fold.train])
        predicted[fold.test] = search.predict(X[fold.test])
        alphas.append(search.best_params_["ridge__alpha"])
    return predicted, alphas


def large(sizes: Sizes) -> dict[str, Any]:
    """`measure_large` in a fresh process."""
    command = [sys.executable, str(Path(__file__).resolve()), "--large", *map(str, sizes.large)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def measure_large(n_studies: int, width: int) -> dict[str, Any]:
    """Nested ridge: seconds, and the process's peak resident memory less what it held before there were data."""
    before = resident_bytes("VmRSS")
    data = cohort(n_studies, width)
    splits = draw(data, Scheme())
    seconds, ours = timed(lambda: cross_validate(data, Recipe("ridge"), splits))
    peak = resident_bytes("VmHWM") - before
    return {
        "shape": data.X.shape,
        "seconds": seconds,
        "data_bytes": data.X.nbytes,
        "peak_bytes": peak,
        "peak_over_data": peak / data.X.nbytes,
        "pearson_r": float(np.corrcoef(ours.repeats[0].value, data.y)[0, 1]),
        "alphas": [chosen["alpha"] for chosen in ours.parameters],
    }


def boosted(sizes: Sizes) -> dict[str, Any]:
    """The xgboost probe and xgboost itself, turn by turn: the shorter of two runs each."""
    data = cohort(*sizes.xgboost)
    splits = draw(data, Scheme())
    recipe = Recipe("xgboost", {"rounds": sizes.rounds, "n_jobs": CORES})
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(2):
        ours_seconds, ours = timed(lambda: cross_validate(data, recipe, splits))
        plain_seconds, (predicted, chosen) = timed(lambda: plain_boosted(data, splits.folds, recipe))
        times[0].append(ours_seconds)
        times[1].append(plain_seconds)
    return {
        "shape": data.X.shape,
        "seconds": min(times[0]),
        "plain_seconds": min(times[1]),
        "ratio": min(times[0]) / min(times[1]),
        "largest_difference": difference(ours, predicted, data.y),
        "same_choices": chosen == [(one["max_depth"], one["rounds"]) for one in ours.parameters],
    }


def plain_boosted(
    data: Samples, folds: tuple[Fold, ...], recipe: Recipe
) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Out-of-fold predictions and chosen depths and rounds: a booster for each depth in each inner fold."""
    model = recipe.make(data.task)
    rounds, predicted, choices = recipe.options["rounds"], np.empty(len(data)), []
    for fold in folds:
        X, y = data.X[fold.train], data.y[fold.train]
        held_out = {(depth, count): np.empty(len(y)) for depth in model.depths for count in rounds}
        for k in np.unique(fold.inner):
            train, test = fold.inner != k, xgboost.DMatrix(X[fold.inner == k])
            known = xgboost.DMatrix(X[train], label=y[train])
            for depth in model.depths:
                booster = xgboost.train(tree_parameters(model, depth), known, max(rounds))
                for count in rounds:
                    held_out[depth, count][~train] = booster.predict(test, iteration_range=(0, count))
        depth, count = best = min(held_out, key=lambda key: ((held_out[key] - y) ** 2).mean())
        booster = xgboost.train(tree_parameters(model, depth), xgboost.DMatrix(X, label=y), count)
        predicted[fold.test] = booster.predict(xgboost.DMatrix(data.X[fold.test]))
        choices.append(best)
    return predicted, choices


def tree_parameters(model: Any, depth: int) -> dict[str, Any]:
    """The probe's settings in xgboost's words."""
    return {
        "max_depth": depth,
        "eta": model.learning_rate,
        "subsample": model.subsample,
        "colsample_bynode": model.colsample,
        "tree_method": "hist",
        "seed": model.random_state,
        "nthread": model.n_jobs,
        "objective": "reg:squarederror",
    }


def cohort(n_studies: int, width: int, seed: int = 0) -> Samples:
    """Made-up embeddings: 64 latents of falling size, noise, and a target that is linear in them; two studies a
    subject, which share most of the latents."""
    rng = np.random.default_rng(seed)
    subject = np.arange(n_studies) // 2
    latents = (
        rng.standard_normal((n_studies, LATENTS)) / 2 + rng.standard_normal((n_studies, LATENTS))[subject]
    )
    loadings = rng.standard_normal((LATENTS, width)) / np.sqrt(1 + np.arange(LATENTS))[:, None]
    X = np.empty((n_studies, width), dtype=np.float32)
    for start in range(0, n_studies, 500):  # no second matrix of this size
        part = slice(start, start + 500)
        rng.standard_normal(dtype=np.float32, out=X[part])
        X[part] += (latents[part] @ loadings).astype(np.float32)
    y = 50 + 10 * (latents @ rng.standard_normal(LATENTS)) / 8 + 12 * rng.standard_normal(n_studies)
    frame = pd.DataFrame({"target": y, "subject": [f"sub-{i}" for i in subject]})
    return samples(X, frame, tasks.get("custom"))


def difference(ours: OutOfFold, predicted: np.ndarray, y: np.ndarray) -> float:
    """The largest difference between two predictions of a study, in standard deviations of the target."""
    return float(np.abs(ours.repeats[0].value - predicted).max() / y.std())


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds on the clock, and what came out."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def resident_bytes(name: str) -> int:
    """`VmRSS`, or its peak `VmHWM`, of this process (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(dict(line.split(":", 1) for line in lines)[name].split()[0])


PARTS: dict[str, Callable[[Sizes], dict[str, Any]]] = {"ridge": ridge, "large": large, "xgboost": boosted}

if __name__ == "__main__":
    main()
