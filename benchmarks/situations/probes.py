"""Probes whose numbers could be taken for more than they are: caveats, intervals, harmonisation, unlike studies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from situations.common import Box, Outcome, Ran, Situations

SITUATIONS = Situations("probes")
_QUICK = ("--bootstrap", 100, "--no-learning-curve", "--folds", 3, "--inner-folds", 2)
_CAVEAT = "trained on synthetic brains only"


def _write(folder: Path, vectors: np.ndarray, frame: pd.DataFrame, model: str = "mine", **more: str) -> Path:
    """An embeddings file and participants.tsv in a new folder."""
    from prima_features.embedding.file.records import EmbeddedSeries, EmbeddedStudy
    from prima_features.embedding.file.write import Provenance, write_embeddings

    folder.mkdir()
    series = EmbeddedSeries("T1w", "axial", "", 3, (8, 64, 64), (4.0, 1.0, 1.0), np.ones(3, np.float32))
    studies = [
        EmbeddedStudy(
            f"sub-{name}",
            name,
            "",
            "MRI BRAIN",
            "",
            vector.astype(np.float32),
            np.ones(2, np.float32),
            (series,),
        )
        for name, vector in zip(frame["participant_id"].str.removeprefix("sub-"), vectors, strict=True)
    ]
    write_embeddings(
        folder / "e.h5", studies, Provenance(model, "1", more.pop("sha256", "0" * 64), {}, **more)
    )
    frame.to_csv(folder / "participants.tsv", sep="\t", index=False)
    return folder


def _cohort(
    n: int = 60, seed: int = 0, width: int = 16, centre: float = 1.0
) -> tuple[np.ndarray, pd.DataFrame]:
    """(n, width) vectors with age, and labels."""
    rng = np.random.default_rng(seed)
    age = rng.uniform(20, 80, n).round(1)
    sick = rng.permutation(n) % 2 == 0
    vectors = centre + rng.normal(size=(n, width))
    vectors[:, 0] += (age - 50) / 8
    vectors[:, 1] += 2 * sick
    frame = pd.DataFrame(
        {
            "participant_id": [f"sub-{seed}x{i:03d}" for i in range(n)],
            "age": age,
            "sex": rng.choice(["F", "M"], n),
            "site": rng.choice(["A", "B", "C"], n),
            "diagnosis": np.where(sick, "autism", "control"),
        }
    )
    return vectors, frame


def _fit(box: Box, folder: Path, task: str = "brain-age", *more: object) -> Ran:
    column = ("--target-column", "diagnosis") if task == "autism" else ()
    labels = ("--labels", folder / "participants.tsv", *column)
    return box.prima(
        "probe", "fit", task, folder / "e.h5", *labels, "--output", folder / "probe", *_QUICK, *more
    )


def _metrics(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "probe" / "metrics.json").read_text())


def _right(condition: bool, detail: str = "") -> Outcome:
    return Outcome("right" if condition else "silently wrong", detail)


def _named(ran: Ran, *words: str) -> Outcome:
    """Named by a warning; the run itself may succeed."""
    said = all(word.lower() in ran.text.lower() for word in words) and "Traceback" not in ran.text
    return Outcome("named" if said else "silently wrong", f"exit code {ran.code}: {ran.text.strip()[-300:]}")


def _synth(box: Box, **more: str) -> Path:
    return _write(box.folder / "synth", *_cohort(), model="prima-synth", **more)


@SITUATIONS("a probe on the toy model's features says so on the console")
def _(box: Box) -> Outcome:
    return _named(_fit(box, _synth(box), "brain-age", "--no-site-check"), _CAVEAT)


@SITUATIONS("the report, the card, metrics.json and the table of a probe on the toy model say so")
def _(box: Box) -> Outcome:
    folder = _synth(box)
    _fit(box, folder, "brain-age", "--no-site-check")
    files = ("report.html", "README.md", "metrics.json", "probe.json", "predictions.tsv")
    missing = [name for name in files if _CAVEAT not in (folder / "probe" / name).read_text()]
    return _right(not missing, f"missing in {missing}")


@SITUATIONS("the methods text does not credit the published model for the toy model's weights")
def _(box: Box) -> Outcome:
    folder = _synth(box)
    _fit(box, folder, "brain-age", "--no-site-check")
    text = (folder / "probe" / "report.html").read_text()
    return _right(
        "Its weights are not those of the cited paper" in text and "the Prima model prima-synth" not in text
    )


@SITUATIONS("predictions of a probe on the toy model carry the caveat in the table and stay plain TSV")
def _(box: Box) -> Outcome:
    folder = _synth(box)
    _fit(box, folder, "brain-age", "--no-site-check")
    ran = box.prima("probe", "predict", folder / "probe", folder / "e.h5", folder / "p.tsv")
    table = pd.read_csv(folder / "p.tsv", sep="\t")
    return _right(len(table) == 60 and table["caveat"].str.contains(_CAVEAT).all() and _CAVEAT in ran.text)


@SITUATIONS("a file of the toy model from a release that stored no caveat")
def _(box: Box) -> Outcome:
    folder = _synth(box)
    with h5py.File(folder / "e.h5", "a") as file:
        del file.attrs["caveat"], file.attrs["encoder"]
        file.attrs["format_version"] = 1
    return _named(_fit(box, folder, "brain-age", "--no-site-check"), _CAVEAT)


@SITUATIONS("the toy model under another name is recognised by its checksum")
def _(box: Box) -> Outcome:
    from prima_features.models import bundled

    sums = (bundled.path("prima-synth") / "SHA256SUMS").read_text().split()
    sha256 = sums[sums.index("model.safetensors") - 1]
    folder = _write(box.folder / "copy", *_cohort(), model="our-model", sha256=sha256)
    return _named(box.prima("inspect", folder / "e.h5"), _CAVEAT)


@SITUATIONS("merging and exporting a file of the toy model keep its caveat")
def _(box: Box) -> Outcome:
    folder = _synth(box)
    box.prima("merge", folder / "all.h5", folder / "e.h5", "--no-report")
    box.prima("export", folder / "all.h5", folder / "all.csv")
    return _right(_CAVEAT in (folder / "all.csv").read_text())


@SITUATIONS("a model of unknown origin: the methods text claims nothing about its training")
def _(box: Box) -> Outcome:
    folder = _write(box.folder / "own", *_cohort())
    _fit(box, folder, "brain-age", "--no-site-check")
    text = (folder / "probe" / "report.html").read_text()
    return _right("is not recorded in the embeddings file" in text and "synthetic" not in text)


@SITUATIONS("classes that are separated perfectly have an AUROC with an interval")
def _(box: Box) -> Outcome:
    vectors, frame = _cohort()
    vectors[:, 1] = np.where(frame["diagnosis"] == "autism", 9, -9)
    folder = _write(box.folder / "apart", vectors, frame)
    _fit(box, folder, "autism", "--no-site-check")
    one = _metrics(folder)["metrics"]["auroc"]
    return _right(one["value"] == 1 and one["ci_low"] < 0.97 and one["ci_high"] == 1, str(one))


@SITUATIONS("classes that are separated perfectly have a balanced accuracy and an AUPRC with intervals")
def _(box: Box) -> Outcome:
    vectors, frame = _cohort(40)
    vectors[:, 1] = np.where(frame["diagnosis"] == "autism", 9, -9)
    folder = _write(box.folder / "apart", vectors, frame)
    _fit(box, folder, "autism", "--no-site-check")
    found = _metrics(folder)["metrics"]
    return _right(
        all(found[name]["ci_low"] < found[name]["ci_high"] for name in ("balanced_accuracy", "auprc"))
    )


@SITUATIONS("the difference from the baseline has an interval at perfect separation")
def _(box: Box) -> Outcome:
    vectors, frame = _cohort()
    vectors[:, 1] = np.where(frame["diagnosis"] == "autism", 9, -9)
    folder = _write(box.folder / "apart", vectors, frame)
    _fit(box, folder, "autism", "--no-site-check")
    one = _metrics(folder)["over_baselines"]["dummy"]["auroc"]
    return _right(one["ci_low"] < one["value"] <= one["ci_high"], str(one))


@SITUATIONS("sites that do not differ: the largest gap's interval includes 0")
def _(box: Box) -> Outcome:
    folder = _write(box.folder / "alike", *_cohort(150, seed=5))
    _fit(box, folder, "brain-age", "--no-site-check")
    one = _metrics(folder)["groups"]["site"]["largest_gap"]["mae"]
    return _right(one["ci_low"] == 0 < one["value"] < one["ci_high"], str(one))


@SITUATIONS("a site that is much worse: the largest gap's interval excludes 0")
def _(box: Box) -> Outcome:
    vectors, frame = _cohort(240, seed=6)
    noisy = (frame["site"] == "C").to_numpy()
    vectors[noisy, 0] += np.random.default_rng(1).normal(0, 8, noisy.sum())
    folder = _write(box.folder / "one worse", vectors, frame)
    _fit(box, folder, "brain-age", "--no-site-check")
    one = _metrics(folder)["groups"]["site"]["largest_gap"]["mae"]
    return _right(one["ci_low"] > 0, str(one))


@SITUATIONS("the site is read before and after harmonisation")
def _(box: Box) -> Outcome:
    vectors, frame = _cohort(90)
    vectors[:, 2:8] += 3 * (frame["site"] == "B").to_numpy()[:, None]
    folder = _write(box.folder / "sites", vectors, frame)
    ran = _fit(box, folder, "brain-age", "--harmonize", "combat")
    found = _metrics(folder)["site_decodability"]
    after = found["harmonized"]["value"]
    return _right(
        found["balanced_accuracy"]["value"] > after + 0.1 and "before harmonisation" in ran.text, str(found)
    )


@SITUATIONS("ComBat shrinks each site's shifts towards the site's own mean over features")
def _(box: Box) -> Outcome:
    from prima_features.probes.steps.adjust import ComBat

    rng = np.random.default_rng(0)
    site = np.repeat(["a", "b"], [60, 6])
    X = rng.normal(size=(66, 200)) + 2 * (site == "b")[:, None]
    made = ComBat().fit(X, site, None).transform(X, site, None)
    left = made[site == "b"].mean(axis=0) - made[site == "a"].mean(axis=0)
    return _right(
        abs(left.mean()) < 0.05 and left.std() > 0.1, f"mean {left.mean():.3f}, sd {left.std():.3f}"
    )


@SITUATIONS("sex that each site has one value of cannot be kept by ComBat")
def _(box: Box) -> Outcome:
    vectors, frame = _cohort(90)
    frame["sex"] = np.where(frame["site"] == "A", "F", "M")
    folder = _write(box.folder / "by site", vectors, frame)
    ran = _fit(box, folder, "autism", "--no-site-check", "--harmonize", "combat")
    return _named(ran, "the effect of sex cannot be separated from that of the site")


def _predicted(box: Box, change: Any, n: int = 40) -> tuple[Ran, pd.DataFrame]:
    """Predictions for new studies whose vectors were changed, by a probe on 120 others."""
    folder = _write(box.folder / "train", *_cohort(120))
    _fit(box, folder, "brain-age", "--no-site-check")
    vectors, frame = _cohort(n, seed=7)
    new = _write(box.folder / "new", change(vectors), frame)
    ran = box.prima("probe", "predict", folder / "probe", new / "e.h5", new / "p.tsv")
    return ran, pd.read_csv(new / "p.tsv", sep="\t")


@SITUATIONS("new studies like those in training are mostly not flagged")
def _(box: Box) -> Outcome:
    ran, table = _predicted(box, lambda X: X, 100)
    share = table["unlike_training"].mean()
    return _right(share < 0.1 and "as a whole" not in ran.text, f"{share:.2f} flagged")


@SITUATIONS("vectors that were scaled by 0.5")
def _(box: Box) -> Outcome:
    return _named(_predicted(box, lambda X: 0.5 * X)[0], "differ from the training set", "shorter")


@SITUATIONS("vectors that were scaled by 2")
def _(box: Box) -> Outcome:
    return _named(_predicted(box, lambda X: 2 * X)[0], "unlike the training set")


@SITUATIONS("vectors that all collapsed to one")
def _(box: Box) -> Outcome:
    ran, table = _predicted(box, lambda X: np.repeat(X.mean(axis=0)[None], len(X), axis=0))
    return _named(ran, "unlike the training set") if table["unlike_training"].all() else _right(False)


@SITUATIONS("vectors that were shrunk towards their mean")
def _(box: Box) -> Outcome:
    return _named(_predicted(box, lambda X: X.mean(axis=0) + 0.3 * (X - X.mean(axis=0)))[0], "training set")


@SITUATIONS("vectors of zeros")
def _(box: Box) -> Outcome:
    return _named(_predicted(box, np.zeros_like)[0], "unlike the training set")


@SITUATIONS("vectors whose features were permuted")
def _(box: Box) -> Outcome:
    return _named(_predicted(box, lambda X: 3 * X[:, ::-1] - 2)[0], "training set")


@SITUATIONS("a shift along the direction that the probe reads")
def _(box: Box) -> Outcome:
    def moved(X: np.ndarray) -> np.ndarray:
        X = X.copy()
        X[:, 0] += 14
        return X

    return _named(_predicted(box, moved)[0], "prediction high")


@SITUATIONS("studies whose predictions all agree")
def _(box: Box) -> Outcome:
    def flat(X: np.ndarray) -> np.ndarray:
        X = X.copy()
        X[:, 0] = X[:, 0].mean()
        return X

    return _named(_predicted(box, flat)[0], "predictions hardly differ")


@SITUATIONS("the report writes AD vs CN and names the measure of association")
def _(box: Box) -> Outcome:
    vectors, frame = _cohort(90)
    frame["dementia"] = np.where(frame["diagnosis"] == "autism", "ad", "cn")
    folder = _write(box.folder / "dementia", vectors, frame)
    labels = ("--labels", folder / "participants.tsv", "--target-column", "dementia")
    box.prima("probe", "fit", "dementia", folder / "e.h5", *labels, "--output", folder / "probe", *_QUICK)
    text = (folder / "probe" / "report.html").read_text()
    return _right("AD vs CN: AUROC" in text and "with Bergsma" in text and "told from" not in text)
