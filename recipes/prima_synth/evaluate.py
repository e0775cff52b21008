"""Evaluates a model trained on synthetic brains on unseen synthetic studies.

Studies have their own seed and scanner settings (`--settings wide`: beyond those of training). Measured on
frozen embeddings: text-to-study retrieval; probes (5-fold, grouped by subject); the sequence type from the series
embedding without names; whether two scans of a subject with other planes and thicknesses are nearer than
scans of others of the same age; and how well the site can be predicted (lower is better). Baselines of each
probe are the untrained network and intensities: histograms, and volumes of bright and dark tissue.

    python recipes/prima_synth/evaluate.py --model prima-synth --work /tmp/brains --json

Studies are generated once and kept in --work with their latents, so another model with the same tokenizer is quick.
With --real, the sequence classifier is also applied to a folder of scans. `--also NAME=DIR` adds models, such as
ablations, and `--nameless NAME` hides the sequence names from one of them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from prima_features import PrimaModel
from prima_features.encoders.prima.prepare import read_volume
from prima_features.encoders.prima.preprocessing import Preprocessing
from prima_features.encoders.prima.subvolumes import Subvolumes, cut
from prima_features.encoders.prima.text import load_text
from prima_features.encoders.ragged import Ragged
from prima_features.errors import SeriesError, UsageError
from prima_features.files.disk import replacing
from prima_features.pretraining.batches.studies import UNKNOWN_NAME
from prima_features.pretraining.data.cache import digest_of
from prima_features.pretraining.data.reports import ReportVocabulary
from prima_features.pretraining.data.synthetic import RenderedSeries
from prima_features.pretraining.data.tokenize import latents as latents_of
from prima_features.pretraining.objectives import retrieval
from prima_features.probes import Features, Probe, tasks
from prima_features.probes.evaluation import EvaluationPlan
from prima_features.processes import in_processes
from prima_features.reports import findings
from prima_features.studies import find
from prima_features.studies.labels import series_name
from prima_features.synthetic import (
    Acquisition,
    Anatomy,
    Subject,
    build_anatomy,
    draw_acquisitions,
    draw_subject,
    measure,
    render_series,
)
from prima_features.synthetic.acquisition import SEQUENCES
from prima_features.synthetic.output.table import row
from prima_features.synthetic.protocol import Settings
from prima_features.synthetic.render import IMAGES
from prima_features.synthetic.report import write_report
from prima_features.synthetic.report.phrases import WORDING
from prima_features.volumes import Volume

TYPES = {"T1w": "T1w", "T1c": "T1w", "T2w": "T2w", "FLAIR": "FLAIR", "DWI": "DWI"}
"""Type of each sequence; ADC maps are left out."""
PROBES = {
    "brain-age": "age",
    "glioma-presence": "glioma",
    "stroke": "stroke",
    "dementia": "dementia",
    "autism": "autism",
    "glioma-grade": "glioma_grade",
}
"""Tasks and their columns in the table."""
BINS = 24
HUNDRED = 100
BAND = 5.0
"""Maximum age difference in years of subjects of the same age."""


@dataclass(frozen=True)
class Setup:
    """The studies and models of an evaluation."""

    work: Path
    models: tuple[tuple[str, str], ...]
    """Names and arguments of `PrimaModel.from_pretrained`."""
    seed: int
    settings: Settings
    pairs: int
    """Subjects that are scanned twice."""
    nameless: frozenset[str] = frozenset()
    """Names of the models that were trained, and are evaluated, without sequence names."""


def main() -> None:
    """Run the evaluation and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="prima-synth")
    parser.add_argument("--untrained", default="prima-untrained", help="an untrained network")
    parser.add_argument("--also", action="append", default=[], metavar="NAME=DIR", help="another model")
    parser.add_argument(
        "--nameless",
        action="append",
        default=[],
        metavar="NAME",
        help="a model of --also that is given no names",
    )
    parser.add_argument("--studies", type=int, default=400)
    parser.add_argument("--pairs", type=int, default=100, help="subjects that are scanned twice")
    parser.add_argument("--seed", type=int, default=9001)
    parser.add_argument("--settings", choices=("usual", "varied", "wide"), default="wide")
    parser.add_argument("--real", type=Path, help="a folder of NIfTI files for the sequence classifier")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args()
    also = [tuple(item.split("=", 1)) for item in chosen.also]
    if unknown := set(chosen.nameless) - {name for name, _ in also}:
        parser.error(f"--nameless {min(unknown)}: no --also has that name")
    models = (("trained", chosen.model), ("untrained", chosen.untrained), *also)
    setup = Setup(chosen.work, models, chosen.seed, chosen.settings, chosen.pairs, frozenset(chosen.nameless))
    studies = make_all(setup, chosen.studies, chosen.workers)
    result = {
        "studies": len(studies),
        "seed": chosen.seed,
        "settings": chosen.settings,
        **{name: of_model(name, place, studies) for name, place in setup.models},
        "intensities": {"probes": probes(np.stack([study["intensities"] for study in studies]), studies)},
    }
    if chosen.real:
        result["real_scans"] = real_scans(chosen.model, studies, chosen.real)
    print(json.dumps(result, indent=None if chosen.json else 1))


def of_model(name: str, place: str, studies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """All results of one model."""
    print(f"{name}: probes", file=sys.stderr)
    found: dict[str, Any] = {"probes": probes(stack(studies, f"{name}/study"), studies)}
    found["sequence_type"] = sequence_types(name, studies)
    found["pairs"] = pairs(name, studies)
    found["site_balanced_accuracy"] = site_accuracy(name, studies)
    if name != "untrained":
        found["retrieval_among_100"] = retrieve(name, place, studies)
    return found


# Making and encoding


def make_all(setup: Setup, count: int, workers: int) -> list[dict[str, Any]]:
    """All studies, read from the folder if they exist there."""
    setup.work.mkdir(parents=True, exist_ok=True)
    make = partial(one_study, setup)
    made = []
    for study in in_processes(make, range(count), workers, "a worker process died: set fewer --workers"):
        made.append(study)
        if len(made) % 20 == 0:
            print(f"{len(made)}/{count} studies", file=sys.stderr)
    return made


@dataclass(frozen=True, eq=False)
class SeriesLatents:
    """Latents of one series."""

    latent: torch.Tensor
    """(N, ...) float16, one per token."""
    coord: torch.Tensor
    slice_axis: int


def one_study(setup: Setup, index: int) -> dict[str, Any]:
    """Ground truth, findings and vectors of one study."""
    path = setup.work / f"{setup.settings}-{setup.seed}-{index:05d}-{IMAGES}-{WORDING}.npz"
    kept = dict(np.load(path, allow_pickle=False)) if path.is_file() else {}
    twice = index < setup.pairs
    missing = tuple(
        (name, place)
        for name, place in setup.models
        if str(kept.get(f"{name}/of")) != _of(setup, name, place)
        or (twice and f"again/{name}/study" not in kept)
    )
    if kept and not missing:
        return kept
    subject = draw_subject(setup.seed, index)
    anatomy = cache(partial(build_anatomy, subject))
    scans = draw_acquisitions(setup.seed, index, subject.site, settings=setup.settings)
    series = cache(lambda: cut_all(subject, scans, anatomy()))
    stale = {f"again/{name}/study" for name, _ in missing}  # of another model
    made: dict[str, Any] = {key: value for key, value in kept.items() if key not in stale}
    made |= {"sequences": np.array([scan.sequence for scan in scans])}
    if not kept:
        truth = measure(anatomy())
        made["row"] = json.dumps(row(subject, truth, scans, setup.settings, subject.id))
        made["findings"] = json.dumps(findings(write_report(subject, truth, scans)))
        made["intensities"] = intensities(scans, [volume for volume, _ in series()])
    made |= encoded(setup, missing, scans, Kept(path.with_suffix(""), series))
    if twice:
        again = draw_acquisitions(setup.seed + 1, index, subject.site, settings=setup.settings)
        other = Kept(path.with_name(f"{path.stem}-again"), lambda: cut_all(subject, again, anatomy()))
        vectors_again = encoded(setup, missing, again, other)
        made |= {f"again/{name}/study": vectors_again[f"{name}/study"] for name, _ in missing}
    write(path, made)
    return dict(np.load(path, allow_pickle=False))


def write(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write the file completely or not at all."""
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays)


@dataclass(frozen=True, eq=False)
class Kept:
    """The latents of one study by tokenizer, computed if missing."""

    stem: Path
    series: Callable[[], list[tuple[Volume, Subvolumes]]]

    def latents(self, place: str) -> list[SeriesLatents]:
        """Latents of each series by the tokenizer of a model."""
        path = self.stem.with_name(f"{self.stem.name}-{_tokenizer_digest(place)[:12]}.latents.npz")
        if not path.is_file():
            model, arrays = load(place), {}
            for number, (_, subvolumes) in enumerate(self.series()):
                latent = latents_of(model, subvolumes, torch.float16)[torch.from_numpy(subvolumes.row)]
                arrays[f"{number}/latent"], arrays[f"{number}/coord"] = latent.numpy(), subvolumes.coord
                arrays[f"{number}/axis"] = np.array(subvolumes.slice_axis)
            write(path, arrays)
        found = np.load(path, allow_pickle=False)
        return [
            SeriesLatents(
                torch.from_numpy(found[f"{number}/latent"]),
                torch.from_numpy(found[f"{number}/coord"]),
                int(found[f"{number}/axis"]),
            )
            for number in range(len(found.files) // 3)
        ]


def rendered(anatomy: Anatomy, scan: Acquisition) -> tuple[np.ndarray, np.ndarray]:
    """Voxels and affine of a series."""
    made = render_series(anatomy, scan)
    return made.volume, made.affine


def cut_all(
    subject: Subject, scans: Sequence[Acquisition], anatomy: Anatomy
) -> list[tuple[Volume, Subvolumes]]:
    """Each series as `prima embed` would read it from its NIfTI file, and its subvolumes."""
    found = []
    for scan in scans:
        volume = RenderedSeries(scan.sequence, "", partial(rendered, anatomy, scan)).volume(Preprocessing())
        found.append((volume, cut(volume)))
    return found


def encoded(
    setup: Setup, models: Sequence[tuple[str, str]], scans: Sequence[Acquisition], kept: Kept
) -> dict[str, np.ndarray]:
    """Vectors of a study by each model: `NAME/study`, `NAME/clip` and `NAME/unnamed` (series, without names)."""
    names = [series_name(scan.description, scan.protocol) or scan.sequence for scan in scans]
    found: dict[str, np.ndarray] = {}
    for name, place in models:
        given = [UNKNOWN_NAME] * len(names) if name in setup.nameless else names
        study, unnamed = vectors(load(place), kept.latents(place), given)
        found[f"{name}/of"] = np.array(_of(setup, name, place))
        found[f"{name}/study"], found[f"{name}/clip"] = study
        found[f"{name}/unnamed"] = unnamed
    return found


@torch.inference_mode()
def vectors(
    model: PrimaModel, series: Sequence[SeriesLatents], names: Sequence[str]
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Study and CLIP embedding, and the series embeddings without names."""
    tokens = Ragged.from_list(
        [model.token_vectors(one.latent.float(), one.coord, one.slice_axis) for one in series]
    )
    _, study = model(tokens, names, [len(series)], ["MRI BRAIN"])
    unnamed = model.encode_series(tokens, [UNKNOWN_NAME] * len(series)).embedding
    return (study.embedding[0].numpy(), study.clip[0].numpy()), unnamed.numpy()


@cache
def load(place: str) -> PrimaModel:
    """A model, loaded once per process."""
    return PrimaModel.from_pretrained(place)


def _of(setup: Setup, name: str, place: str) -> str:
    """Identifies the weights that made the vectors of a model."""
    return _digest(place) + (" nameless" if name in setup.nameless else "")


@cache
def _digest(place: str) -> str:
    return load(place).sha256


@cache
def _tokenizer_digest(place: str) -> str:
    return digest_of(load(place).tokenizer.encoder.state_dict())


def intensities(scans: Sequence[Acquisition], volumes: Sequence[Volume]) -> np.ndarray:
    """For each sequence a histogram of its foreground, and the volumes of bright and dark tissue and of all, in liters.

    Intensities are divided by the foreground's median. Zeros where a study lacks the sequence.
    """
    found = []
    by_sequence = {scan.sequence: volume for scan, volume in zip(scans, volumes, strict=True)}
    for sequence in SEQUENCES:
        volume = by_sequence.get(sequence)
        if volume is None:
            found.append(np.zeros(BINS + 3))
            continue
        values = volume.values[volume.values > 50].astype(float)
        values = values / np.median(values) if len(values) else np.ones(1)
        voxel = float(np.prod(volume.spacing)) / 1000
        histogram = np.histogram(values.clip(0, 2.99), BINS, (0, 3))[0] / len(values)
        volumes_ml = [float((values > 1.5).sum()), float((values < 0.5).sum()), float(len(values))]
        found.append(np.concatenate([histogram, np.array(volumes_ml) * voxel / 1000]))
    return np.concatenate(found).astype(np.float32)


# Measuring


def stack(studies: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    """(N, D) of all studies that have it."""
    return np.stack([study[key] for study in studies if key in study])


def table_of(studies: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The rows of participants.tsv."""
    return pd.DataFrame([json.loads(str(study["row"])) for study in studies])


def probes(X: np.ndarray, studies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The main measures of each task with 95% intervals."""
    people = table_of(studies)
    found: dict[str, Any] = {}
    for task, column in PROBES.items():
        rows = np.flatnonzero(people[column] != "n/a")
        chosen = people.iloc[rows].reset_index(drop=True)
        is_age = tasks.get(task).is_age
        frame = pd.DataFrame(
            {
                "study": chosen["participant_id"],
                "subject": chosen["participant_id"],
                "group": chosen["participant_id"],
                "target": chosen[column].astype(float) if is_age else chosen[column],
                "site": chosen["site"],
                "sex": chosen["sex"],
                "age": chosen["age"].astype(float),
            }
        )
        features = Features.of(np.ascontiguousarray(X[rows], dtype=np.float32))
        try:
            result = Probe(task).cross_validate(features, frame, EvaluationPlan(site_check=False))
        except UsageError as error:  # few studies hold too few of a class
            found[task] = {"refused": str(error)}
            continue
        shown = ("mae", "pearson_r") if is_age else ("auroc",)
        document = result.metrics_json()
        found[task] = {
            "n": result.n_studies,
            **{name: document["metrics"][name] for name in shown if name in document["metrics"]},
            "baselines": {
                name: {metric: one[metric] for metric in shown if metric in one}
                for name, one in document["baselines"].items()
            },
        }
    return found


def series_frame(
    name: str, studies: Sequence[Mapping[str, Any]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Series embeddings without names (S, d), their types (S,) and studies (S,), ADC maps left out."""
    X, types, owners = [], [], []
    for number, study in enumerate(studies):
        for sequence, vector in zip(study["sequences"], study[f"{name}/unnamed"], strict=True):
            if str(sequence) in TYPES:
                X.append(vector)
                types.append(TYPES[str(sequence)])
                owners.append(number)
    return np.stack(X), np.array(types), np.array(owners)


def classifier() -> Any:
    """A linear classifier of standardised vectors."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))


def sequence_types(name: str, studies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Accuracy and confusions of the sequence type, 5-fold, all series of a study in one fold."""
    from sklearn.metrics import confusion_matrix
    from sklearn.model_selection import GroupKFold, cross_val_predict

    X, types, owners = series_frame(name, studies)
    said = cross_val_predict(classifier(), X, types, groups=owners, cv=GroupKFold(5))
    order = sorted(set(types))
    confusion = confusion_matrix(types, said, labels=order)
    return {"n": len(types), "accuracy": round(float((said == types).mean()), 4), "order": order,
            "confusion": confusion.tolist()}  # fmt: skip


def pairs(name: str, studies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How much nearer the second scan of a subject is than scans of others of the same age (cosine distance).

    Both scans are of one site, and what a model knows of sites helps: `same_site` counts others of that site only.
    """
    people = table_of(studies)
    ages, sites = people["age"].astype(float).to_numpy(), people["site"].to_numpy()
    first = stack(studies, f"{name}/study")
    second = stack(studies, f"again/{name}/study")
    first, second = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (first, second))
    similarity = second @ first.T
    shares: dict[str, list[float]] = {"all": [], "same_site": []}
    for i in range(len(second)):
        others = (np.abs(ages - ages[i]) <= BAND) & (np.arange(len(ages)) != i)
        for which, rows in (("all", others), ("same_site", others & (sites == sites[i]))):
            if rows.any():
                shares[which].append(float((similarity[i, rows] < similarity[i, i]).mean()))
    return {"pairs": len(second), **nearer(shares["all"]), "same_site": nearer(shares["same_site"])}


def nearer(shares: Sequence[float]) -> dict[str, float]:
    """Summary of the shares of others that are farther; empty without others."""
    if not shares:
        return {}
    return {
        "mean_share_of_others_farther": round(float(np.mean(shares)), 4),
        "median_share_of_others_farther": round(float(np.median(shares)), 4),
        "pairs_nearer_than_95_percent": round(float(np.mean(np.array(shares) >= 0.95)), 4),
    }


def site_accuracy(name: str, studies: Sequence[Mapping[str, Any]]) -> float | None:
    """Balanced accuracy of predicting the site from study embeddings, 5-fold; None if no site has five studies."""
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    sites = table_of(studies)["site"].to_numpy()
    if np.unique(sites, return_counts=True)[1].max() < 5:
        return None
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    said = cross_val_predict(classifier(), stack(studies, f"{name}/study"), sites, cv=folds)
    return round(float(balanced_accuracy_score(sites, said)), 4)


def retrieve(name: str, place: str, studies: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Mean recall over groups of a hundred studies."""
    folder = load(place).directory
    assert folder is not None
    tower = load_text(folder)
    text = load(place).config.text
    assert text is not None
    vocabulary = ReportVocabulary.read(folder, text.max_tokens)
    reports = [json.loads(str(study["findings"])) for study in studies]
    with torch.inference_mode():
        parts = [tower(*vocabulary.batch(reports[i : i + 50])) for i in range(0, len(reports), 50)]
    texts, images = torch.cat(parts), torch.from_numpy(stack(studies, f"{name}/clip"))
    size = min(HUNDRED, len(studies))
    groups = [
        retrieval(images[i : i + size], texts[i : i + size]) for i in range(0, len(studies) - size + 1, size)
    ]
    return {key: round(float(np.mean([one[key] for one in groups])), 4) for key in groups[0]}


def real_scans(place: str, studies: Sequence[Mapping[str, Any]], folder: Path) -> dict[str, Any]:
    """Predictions of the sequence classifier, fitted on all synthetic series, for each scan of a folder."""
    X, types, _ = series_frame("trained", studies)
    fitted = classifier().fit(X, types)
    model = load(place)
    said: dict[str, Any] = {}
    for study in find(folder).studies:
        for series in study.series:
            try:
                subvolumes = cut(read_volume(series, model.preprocessing), model.preprocessing)
            except SeriesError as error:  # the folder holds files that no model can use
                said[series.source] = {"refused": str(error)}
                continue
            latent = latents_of(model, subvolumes, torch.float16)[torch.from_numpy(subvolumes.row)]
            one = SeriesLatents(latent, torch.from_numpy(subvolumes.coord), subvolumes.slice_axis)
            _, unnamed = vectors(model, [one], [UNKNOWN_NAME])
            shares = fitted.predict_proba(unnamed)[0]
            said[series.source] = {
                str(kind): round(float(share), 3) for kind, share in zip(fitted.classes_, shares, strict=True)
            }
    return said


if __name__ == "__main__":
    main()
