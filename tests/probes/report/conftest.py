"""Contents of reports, made by real probes on made-up features."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from prima_features.probes import Features, FeatureSource, Probe, Recipe, tasks
from prima_features.probes.evaluation import EvaluationPlan, Scheme, learning_curve
from prima_features.probes.evaluation.leakage import check_leakage
from prima_features.probes.labels.records import JoinSummary
from prima_features.probes.report import PageContent, feature_map
from prima_features.probes.report.page import page
from prima_features.probes.samples import samples
from prima_features.probes.tasks import Task

N_BOOTSTRAP = 50
SITES = ("<script>alert(1)</script>", "北京大学第一医院", "Guy's & $St$ Thomas'")
SOURCE = FeatureSource("prima-untrained", "r1", "ab" * 32)
SMALL = Recipe("ridge", {"alphas": (1.0, 100.0, 10000.0)}, bias_correction="beheshti")


def people(n: int, seed: int = 0) -> pd.DataFrame:
    """Subjects whose ids a report must not show."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "study": [f"sub-secret{i}_ses-1" for i in range(n)],
            "subject": [f"secret{i}" for i in range(n)],
            "site": rng.choice(SITES, n),
            "sex": rng.choice(["F", "M"], n),
            "age": rng.uniform(20, 80, n).round(1),
            "scanner": rng.choice(["Prisma", "Achieva"], n, p=[0.95, 0.05]),
            "field_strength": rng.choice(["1.5", "3"], n),
        }
    )


def features_of(signal: np.ndarray, frame: pd.DataFrame, seed: int = 0, noise: float = 2.0) -> Features:
    """32 numbers that hold a signal (N, k), a little of the site, and noise."""
    rng = np.random.default_rng(seed)
    weights = np.random.default_rng(7).normal(size=(signal.shape[1], 32))
    site = (frame["site"].to_numpy()[:, None] == np.array(SITES)).astype(float)
    site_weights = np.random.default_rng(8).normal(size=(len(SITES), 32))
    values = signal @ weights + site @ site_weights + noise * rng.normal(size=(len(frame), 32))
    return Features.of(values.astype(np.float32), SOURCE)


def one_hot(target: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    return (target[:, None] == np.array(classes)).astype(float)


def with_classes(task: Task, n: int, seed: int = 0) -> tuple[Features, pd.DataFrame]:
    frame = people(n, seed)
    frame["target"] = np.random.default_rng(seed + 1).permutation(np.resize(task.classes, n))
    return features_of(0.6 * one_hot(frame["target"].to_numpy(dtype=str), task.classes), frame, seed), frame


def with_ages(n: int, seed: int = 0) -> tuple[Features, pd.DataFrame]:
    frame = people(n, seed)
    frame["target"] = frame["age"]
    return features_of((frame["age"].to_numpy()[:, None] - 50) / 15, frame, seed), frame


def content(
    task: Task | str, data: tuple[Features, pd.DataFrame], recipe: Recipe, scheme: Scheme, **plan: object
) -> PageContent:
    """All that a report can show, of one evaluation."""
    features, frame = data
    probe = Probe(task, recipe)
    evaluation = probe.cross_validate(features, frame, EvaluationPlan(scheme, N_BOOTSTRAP, **plan))
    given = samples(features.X, frame, probe.task)
    probe.fit(features, frame, "OpenBHB")
    return PageContent(
        evaluation,
        probe.fitted.training,
        learning_curve(given, recipe, evaluation.splits, (0.4, 1.0), N_BOOTSTRAP),
        feature_map(features.X, frame, probe.task),
        command="prima probe fit brain-age out.h5 --labels 'a & b.tsv'",
        n_bootstrap=N_BOOTSTRAP,
    )


@pytest.fixture(scope="session")
def brain_age() -> PageContent:
    features, frame = with_ages(120)
    frame["control"] = np.r_[np.zeros(10), np.ones(110)]
    made = content("brain-age", (features, frame), SMALL, Scheme(outer_folds=3, inner_folds=3, repeats=2))
    joined = JoinSummary(
        130,
        120,
        120,
        {"no label has the study's id": 8, "the label is missing": 2},
        {"no study has the label's id": 5},
        {},
        (20.0, 50.0, 80.0),
        pd.DataFrame(),
        ("3 ages in age are written like 89+ and read as that number",),
    )
    return replace(made, join=joined)


@pytest.fixture(scope="session")
def autism() -> PageContent:
    task = tasks.get("autism")
    recipe = Recipe(options={"C": (0.001, 0.1)}, calibration="platt", harmonize="combat")
    scheme = Scheme(outer_folds=3, inner_folds=3)
    data = with_classes(task, 120)
    made = content(task, data, recipe, scheme, n_permutations=5)
    given = samples(data[0].X, data[1], task)
    found = check_leakage(given, Recipe(options={"C": (0.1,)}), scheme, 0.5, n_permutations=4)
    return replace(made, evaluation=replace(made.evaluation, leakage=found))


@pytest.fixture(scope="session")
def dementia() -> PageContent:
    task = tasks.get("dementia", ("cn", "mci", "ad"))
    recipe = Recipe("xgboost", {"rounds": (5, 20), "depths": (2,), "n_jobs": 1})
    return content(task, with_classes(task, 150), recipe, Scheme(outer_folds=3, inner_folds=3))


@pytest.fixture(scope="session")
def memory() -> PageContent:
    frame = people(60, 3)
    signal = np.random.default_rng(4).normal(size=60)
    frame["target"] = 26.5 + 2.1 * signal
    frame["group"] = [f"secretkin{i // 2}" for i in range(60)]
    frame["site"] = ""
    task = Task("memory score", "a score of the user's own", unit="points")
    recipe = Recipe("knn", confounds=("age", "sex"))
    return content(task, (features_of(signal[:, None], frame, 3, 1.0), frame), recipe, Scheme(outer_folds=3))


@pytest.fixture(scope="session")
def left_out_site() -> PageContent:
    task = tasks.get("stroke")
    recipe = Recipe("mlp", {"alphas": (1.0,), "components": 8}, calibration="isotonic")
    return content(task, with_classes(task, 150, 5), recipe, Scheme("leave-site-out", inner_folds=3))


@pytest.fixture(scope="session")
def other_cohort() -> PageContent:
    task = tasks.get("glioma", variant="idh")
    probe = Probe(task, Recipe(options={"C": (0.01, 1.0)})).fit(*with_classes(task, 120, 6), "UCSF-PDGM")
    evaluation = probe.evaluate(*with_classes(task, 60, 9), n_bootstrap=N_BOOTSTRAP)
    return PageContent(evaluation, probe.fitted.training, title="IDH in another cohort")


@pytest.fixture(scope="session")
def given_split() -> PageContent:
    features, frame = with_ages(120, 8)
    frame["split"] = np.resize(["train", "train", "test"], 120)
    recipe = replace(SMALL, bias_correction="cole")
    made = content("brain-age", (features, frame), recipe, Scheme("split", inner_folds=3))
    return replace(made, training=None, curve=None, map=None, n_bootstrap=None)


KINDS = ("brain_age", "autism", "dementia", "memory", "left_out_site", "other_cohort", "given_split")


@pytest.fixture(scope="session", params=KINDS)
def any_content(request: pytest.FixtureRequest) -> PageContent:
    return request.getfixturevalue(request.param)


VOID = {"meta", "br", "path", "rect", "circle", "line", "use", "image"}


@dataclass
class Page(HTMLParser):
    """Headings, rows of tables, attributes and text of a page."""

    headings: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    attributes: list[tuple[str, str, str]] = field(default_factory=list)
    tags: set[str] = field(default_factory=set)
    text: str = ""
    style: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)
        if tag in ("h1", "h2"):
            self.headings.append("")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"{tag} closes what is not open"

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            self.style += data
            return
        self.text += data
        if {"h1", "h2"} & set(self._open):
            self.headings[-1] += data
        if {"td", "th"} & set(self._open):
            self.rows[-1][-1] = " ".join(f"{self.rows[-1][-1]} {data}".split())

    def row(self, start: str) -> list[str]:
        """The first row whose first cell starts so."""
        return next(row for row in self.rows if row and row[0].startswith(start))


@pytest.fixture(scope="session")
def html() -> Callable[[PageContent], str]:
    """A report's page, drawn once for all tests."""
    drawn: dict[int, tuple[PageContent, str]] = {}

    def draw(made: PageContent) -> str:
        if id(made) not in drawn:
            drawn[id(made)] = made, page(made)
        return drawn[id(made)][1]

    return draw


@pytest.fixture(scope="session")
def read(html: Callable[[PageContent], str]) -> Callable[[PageContent], Page]:
    """Parse a report's page, whose elements must be closed in order."""

    def parse(made: PageContent) -> Page:
        found = Page()
        found.feed(html(made))
        found.close()
        return found

    return parse
