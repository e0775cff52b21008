"""Heads on embeddings: many at once, with thresholds and with labels that are missing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from prima_features.embedding.file.records import EmbeddedSeries, EmbeddedStudy
from prima_features.embedding.file.write import Provenance, write_embeddings
from prima_features.encoders.prima import score_heads
from prima_features.encoders.prima.model_config import read_config
from prima_features.errors import UsageError
from prima_features.files.disk import sha256
from prima_features.pretraining.data.labels import read_labelled
from prima_features.pretraining.plan import make_plan
from prima_features.pretraining.run import pretrain, read_stage
from prima_features.pretraining.stages.heads import best_threshold

Write = Callable[..., Path]
N, D = 60, 64
SETTINGS = """
output = "run"
steps = 150
batch = 16
hidden = [32, 16]
device = "cpu"
[data]
embeddings = "e.h5"
labels = "labels.csv"
validation = 0.3
diagnosis = ["tumour", "rare thing"]
referral = ["neuro.surgery"]
priority = ["none", "medium", "high"]
[optimiser]
lr = 3e-4
[log]
tensorboard = false
plots = false
"""


@pytest.fixture
def labelled(tmp_path: Path, tokenizer_model: Path) -> np.ndarray:
    """Embeddings whose first numbers tell the labels, in `e.h5` and `labels.csv`; returns the embeddings."""
    rng = np.random.default_rng(0)
    embedding = rng.standard_normal((N, D)).astype(np.float32)
    numbers = np.arange(N)
    tumour, rare = numbers % 2 == 0, numbers % 6 == 0
    levels = numbers % 3
    embedding[:, 0] = np.where(tumour, 4, -4)
    embedding[:, 1] = np.where(rare, 4, -4)
    embedding[numbers, 2 + levels] += 8
    write_file(tmp_path / "e.h5", embedding, tokenizer_model)
    rows = ["study,tumour,rare thing,neuro.surgery,priority"]
    for i in range(N):
        unknown = "" if i % 7 == 0 else int(tumour[i])
        rows.append(
            f"sub-{i},{int(tumour[i])},{int(rare[i])},{unknown},{('none', 'medium', 'high')[levels[i]]}"
        )
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    return embedding


def write_file(path: Path, embedding: np.ndarray, model: Path) -> None:
    series = EmbeddedSeries("T1w", "axial", "", 9, (4, 256, 256), (1.0, 1.0, 1.0), np.zeros(32, np.float32))
    studies = [
        EmbeddedStudy(f"sub-{i}", str(i), "", "MRI", "", embedding[i], np.zeros(12, np.float32), (series,))
        for i in range(N)
    ]
    digest = sha256(model / "model.safetensors")
    write_embeddings(path, studies, Provenance("m", "local", digest, {}))


def test_many_heads_learn_at_once(
    labelled: np.ndarray, tokenizer_model: Path, write: Write, tmp_path: Path
) -> None:
    summary = pretrain("heads", write(f'model = "{tokenizer_model}"\n{SETTINGS}'))
    assert summary.measures["accuracy"] > 0.85
    scores = score_heads(summary.output, labelled)
    numbers = np.arange(N)
    for found, expected in (
        (scores.diagnosis[:, 0] > 0, numbers % 2 == 0),
        (scores.diagnosis[:, 1] > 0, numbers % 6 == 0),
        (scores.referral[:, 0] > 0, numbers % 2 == 0),
        (scores.priority.argmax(1), numbers % 3),
    ):
        assert (found == expected).mean() > 0.9
    heads = read_config(summary.output).heads
    assert [head.name for head in heads.diagnosis] == ["tumour", "rare thing"]
    assert heads.priority == ("none", "medium", "high")


def test_standardised_heads_do_not_depend_on_the_scale_of_embeddings_and_read_them_as_they_are(
    labelled: np.ndarray, tokenizer_model: Path, write: Write, tmp_path: Path
) -> None:
    text = f'standardise = true\nmodel = "{tokenizer_model}"\n{SETTINGS.replace("150", "20")}'
    scaled = 3 * labelled + np.linspace(-5, 5, D, dtype=np.float32)
    found = []
    for embedding in (labelled, scaled):
        write_file(tmp_path / "e.h5", embedding, tokenizer_model)
        found.append(score_heads(pretrain("heads", write(text), fresh=True).output, embedding).diagnosis)
    np.testing.assert_allclose(found[1], found[0], atol=1e-2)
    assert np.abs(found[0]).max() > 0.3


def test_embeddings_of_another_model_are_refused(labelled: np.ndarray, write: Write, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="was made by another model than"):
        pretrain("heads", write(f'model = "prima-untrained"\n{SETTINGS}'))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "study,",
            "scan,",
            "has no column study; its columns are scan, tumour, rare thing, neuro.surgery, priority; set data.",
        ),
        ("tumour", "glioma", "has no column tumour; its columns are study, glioma"),
        (",priority", ",urgency", "rare thing, neuro.surgery, urgency; set data.priority_column"),
        ("sub-1,0", "sub-1,maybe", "tumour must be 0, 1 or empty, not 'maybe'"),
        ("sub-1,", "sub-2,", "row 4: the study already has a row"),
        ("medium", "urgent", "priority must be one of none, medium, high, not 'urgent'"),
        ("sub-", "case-", "study ids look like sub-0"),
    ],
)
def test_a_wrong_label_table_is_told(
    old: str, new: str, told: str, labelled: np.ndarray, tokenizer_model: Path, write: Write, tmp_path: Path
) -> None:
    table = tmp_path / "labels.csv"
    table.write_text(table.read_text().replace(old, new))
    settings = read_stage("heads", write(f'model = "{tokenizer_model}"\n{SETTINGS}'))
    with pytest.raises(UsageError) as error:
        read_labelled(settings.data, tokenizer_model)
    assert told in str(error.value)


def test_columns_go_by_the_names_that_are_set(
    labelled: np.ndarray, tokenizer_model: Path, write: Write, tmp_path: Path
) -> None:
    text = f'model = "{tokenizer_model}"\n{SETTINGS}'
    usual = read_labelled(read_stage("heads", write(text)).data, tokenizer_model)
    table = tmp_path / "labels.csv"
    head, *rows = table.read_text().splitlines()
    head = head.replace("study", "scan").replace("priority", "urgency")
    # Columns of the usual names hold something else.
    table.write_text("\n".join([f"{head},study,priority", *(f"{row},x,y" for row in rows)]) + "\n")
    named = text.replace("[data]", '[data]\nid_column = "scan"\npriority_column = "urgency"')
    found = read_labelled(read_stage("heads", write(named)).data, tokenizer_model)
    assert found.ids == usual.ids == tuple(f"sub-{i}" for i in range(N))
    np.testing.assert_array_equal(found.priority, np.arange(N) % 3)
    for key, values in usual.presence.items():
        np.testing.assert_array_equal(found.presence[key], values)


def test_a_head_without_positives_is_refused(
    labelled: np.ndarray, tokenizer_model: Path, write: Write, tmp_path: Path
) -> None:
    table = tmp_path / "labels.csv"
    rows = [row.split(",") for row in table.read_text().splitlines()]
    table.write_text(
        "\n".join(",".join([*row[:2], row[2] if n == 0 else "0", *row[3:]]) for n, row in enumerate(rows))
    )
    path = write(f'model = "{tokenizer_model}"\n{SETTINGS}')
    for refuse in (make_plan, pretrain):
        with pytest.raises(UsageError, match="rare thing has 0 positive and 42 negative training studies"):
            refuse("heads", path)


def test_the_threshold_is_that_of_best_accuracy() -> None:
    outputs = np.array([-3.0, -2.5, 1.0, 1.5, 6.0, 7.0])
    present = np.array([False, False, False, True, True, True])
    threshold, accuracy = best_threshold(outputs, present)
    assert (threshold, accuracy) == (1.25, 1.0)
    rng = np.random.default_rng(0)
    for _ in range(50):
        outputs, present = rng.integers(0, 8, 20).astype(float), rng.random(20) < 0.4
        threshold, accuracy = best_threshold(outputs, present)
        assert ((outputs > threshold) == present).mean() == pytest.approx(accuracy)
        every = [((outputs > level) == present).mean() for level in np.arange(-0.5, 8, 0.5)]
        assert accuracy == pytest.approx(max(every))


def test_of_equal_thresholds_the_widest_gap_is_taken() -> None:
    outputs = np.array([0.0, 1.0, 2.0, 9.0])
    assert best_threshold(outputs, np.array([False, True, False, True]))[0] == 5.5
    assert best_threshold(outputs, np.zeros(4, dtype=bool))[0] == 10.0
