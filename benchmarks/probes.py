"""Speed and memory of the probes compared with plain scikit-learn: python benchmarks/probes.py [--json] [--quick].

Every claim is a ratio of two measurements of one run, on one synthetic cohort, with the same folds. The parts:

    ridge            nested ridge against the plain scikit-learn pipeline in a grid search, wide and tall
    logistic         nested logistic regression likewise, with one thread and with two
    large            nested ridge on 10,000 studies of 10,240 numbers: time and peak memory, in a process of its own
    large-logistic   nested logistic regression likewise
    command          `prima probe fit` of classes, with its report, site check and learning curve: processor seconds
    xgboost          the xgboost probe against xgboost called directly for the same boosters
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xgboost
from joblib import parallel_config
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from prima_features.embedding.file.records import EmbeddedSeries, EmbeddedStudy
from prima_features.embedding.file.write import Provenance, write_embeddings
from prima_features.probes import tasks
from prima_features.probes.estimators.linear import LOGISTIC_C, RIDGE_ALPHAS
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
    logistic: tuple[tuple[int, int], ...] = ((600, 2048), (2000, 256))
    command: tuple[tuple[int, int], ...] = ((1000, 2048), (1000, 10_240))
    large: tuple[int, int] = (10_000, 10_240)
    xgboost: tuple[int, int] = (500, 128)
    rounds: tuple[int, ...] = (25, 50)
    scheme: Scheme = field(default_factory=Scheme)
    """Of ridge and logistic regression."""


FULL = Sizes()
QUICK = Sizes(
    (100, 200),
    (200, 20),
    ((40, 60), (60, 10)),
    ((60, 30),),
    (200, 300),
    (60, 10),
    (2, 4),
    Scheme(outer_folds=2, inner_folds=2),
)


def main() -> None:
    """Run what the command line asks for, and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, whose times mean nothing")
    parser.add_argument("--only", choices=PARTS, help="one part")
    parser.add_argument("--large", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s"
    )  # the folds as they are done, on stderr
    if chosen.large:
        estimator, n_studies, width = chosen.large
        print(json.dumps(measure_large(estimator, int(n_studies), int(width))))
        return
    # The plain pipeline warns of ill-conditioned products in float32, which is its own affair; workers read the
    # environment.
    warnings.simplefilter("ignore")
    os.environ["PYTHONWARNINGS"] = "ignore"
    sizes = QUICK if chosen.quick else FULL
    result: dict[str, Any] = {
        "cores": CORES,
        "processor": processor(),
        "versions": {name: version(name) for name in PACKAGES},
    }
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
    return {name: compare_ridge(cohort(*getattr(sizes, name)), sizes.scheme) for name in ("wide", "tall")}


def compare_ridge(data: Samples, scheme: Scheme) -> dict[str, Any]:
    """Seconds and predictions of both; the plain pipeline in both precisions."""
    splits = draw(data, scheme)
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


def logistic(sizes: Sizes) -> dict[str, Any]:
    """Nested logistic regression and the plain pipeline, in processor seconds of one process."""
    found = {}
    for n_studies, width in sizes.logistic:
        data = of_classes(cohort(n_studies, width))
        splits = draw(data, sizes.scheme)
        for threads in (1, 2):
            with threadpool_limits(threads):
                found[f"{n_studies} x {width}, threads: {threads}"] = compare_logistic(data, splits)
    return found


def compare_logistic(data: Samples, splits: Splits) -> dict[str, Any]:
    """Processor seconds of both, and how far the probabilities are apart; the plain pipeline is run in float64."""
    start = time.process_time()
    seconds, ours = timed(lambda: cross_validate(data, Recipe("logistic"), splits))
    middle = time.process_time()
    plain_seconds, (predicted, chosen) = timed(lambda: plain_logistic(data, splits.folds))
    end = time.process_time()
    return {
        "shape": data.X.shape,
        "seconds": seconds,
        "cpu_seconds": middle - start,
        "plain_seconds": plain_seconds,
        "plain_cpu_seconds": end - middle,
        "cpu_ratio": (end - middle) / (middle - start),
        "largest_difference": float(np.abs(ours.repeats[0].probability[:, 1] - predicted).max()),
        "same_penalties": bool(np.allclose(chosen, [one["C"] for one in ours.parameters])),
    }


def plain_logistic(data: Samples, folds: tuple[Fold, ...]) -> tuple[np.ndarray, list[float]]:
    """Out-of-fold probabilities and chosen penalties: an L-BFGS fit for each penalty in each inner fold.

    The tolerance is tighter than the default, at which the solutions differ visibly from the converged ones.
    """
    X, predicted, choices = data.X.astype(np.float64), np.empty(len(data)), []
    for fold in folds:
        search = GridSearchCV(
            make_pipeline(StandardScaler(), LogisticRegression(tol=1e-6, max_iter=10_000)),
            {"logisticregression__C": LOGISTIC_C},
            cv=PredefinedSplit(fold.inner),
            scoring="neg_log_loss",
        ).fit(X[fold.train], data.y[fold.train])
        predicted[fold.test] = search.predict_proba(X[fold.test])[:, 1]
        choices.append(search.best_params_["logisticregression__C"])
    return predicted, choices


def of_classes(data: Samples) -> Samples:
    """The cohort with two classes: its target above and below the median."""
    names = np.where(data.y > np.median(data.y), "high", "low")
    return samples(data.X, data.frame.assign(target=names), tasks.custom("target", ("low", "high")))


def command(sizes: Sizes) -> dict[str, Any]:
    """`measure_command` for each size."""
    return {f"{n} x {width}": measure_command(n, width) for n, width in sizes.command}


def measure_command(n_studies: int, width: int) -> dict[str, Any]:
    """Processor seconds and peak memory of a whole `prima probe fit` of two classes with five sites."""
    data = of_classes(cohort(n_studies, width))
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "participant_id": [f"sub-{i:05d}" for i in range(n_studies)],
            "age": rng.uniform(20, 80, n_studies).round(1),
            "sex": rng.choice(["F", "M"], n_studies),
            "site": rng.choice(list("ABCDE"), n_studies),
            "diagnosis": np.where(data.y == 1, "autism", "control"),
        }
    )
    series = EmbeddedSeries("T1w", "axial", "", 3, (8, 64, 64), (4.0, 1.0, 1.0), np.ones(3, np.float32))
    studies = [
        EmbeddedStudy(name, name[4:], "", "MRI BRAIN", "", row, np.ones(2, np.float32), (series,))
        for name, row in zip(table["participant_id"], data.X, strict=True)
    ]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_embeddings(folder / "e.h5", studies, Provenance("benchmark", "1", "0" * 64, {}))
        table.to_csv(folder / "participants.tsv", sep="\t", index=False)
        words = ["-c", "from prima_features.cli.main import main; main()", "probe", "fit", "autism"]
        words += [str(folder / "e.h5"), "--labels", str(folder / "participants.tsv")]
        words += ["--target-column", "diagnosis", "--output", str(folder / "probe")]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        seconds, _ = timed(
            lambda: subprocess.run([sys.executable, *words], check=True, capture_output=True, env=environment)
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        metrics = json.loads((folder / "probe" / "metrics.json").read_text())
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "cpu_seconds": cpu, "auroc": metrics["metrics"]["auroc"]["value"]}


def large(sizes: Sizes) -> dict[str, Any]:
    """`measure_large` of ridge in a fresh process."""
    return apart("ridge", sizes)


def large_logistic(sizes: Sizes) -> dict[str, Any]:
    """`measure_large` of logistic regression in a fresh process."""
    return apart("logistic", sizes)


def apart(estimator: str, sizes: Sizes) -> dict[str, Any]:
    """`measure_large` in a fresh process."""
    words = [sys.executable, str(Path(__file__).resolve()), "--large", estimator, *map(str, sizes.large)]
    return json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout)


def measure_large(estimator: str, n_studies: int, width: int) -> dict[str, Any]:
    """Nested evaluation: seconds, and the process's peak resident memory less what it held before there were data."""
    before = resident_bytes("VmRSS")
    data = cohort(n_studies, width)
    data = of_classes(data) if estimator == "logistic" else data
    splits = draw(data, Scheme())
    start = time.process_time()
    seconds, ours = timed(lambda: cross_validate(data, Recipe(estimator), splits))
    peak = resident_bytes("VmHWM") - before
    outcome, key = ours.repeats[0], "C" if estimator == "logistic" else "alpha"
    predicted = outcome.probability[:, 1] if estimator == "logistic" else outcome.value
    return {
        "shape": data.X.shape,
        "seconds": seconds,
        "cpu_seconds": time.process_time() - start,
        "data_bytes": data.X.nbytes,
        "peak_bytes": peak,
        "peak_over_data": peak / data.X.nbytes,
        "pearson_r": float(np.corrcoef(predicted, data.y)[0, 1]),
        "penalties": [chosen[key] for chosen in ours.parameters],
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
    """Synthetic embeddings: 64 latents of falling size, noise, and a target that is linear in them; two studies a
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


def processor() -> str:
    """Name of the processor, as Linux gives it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


PARTS: dict[str, Callable[[Sizes], dict[str, Any]]] = {
    "ridge": ridge,
    "logistic": logistic,
    "large": large,
    "large-logistic": large_logistic,
    "command": command,
    "xgboost": boosted,
}

if __name__ == "__main__":
    main()
