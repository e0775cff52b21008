"""Text search: the public code's cosines and retrieval metrics, and queries in the form of the training texts."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from browser import Page
from public_scores import SeriesSets, Write

from prima_features.cli.main import main
from prima_features.clinical.diagnose import diagnose
from prima_features.clinical.search import check_output, retrieval, search, search_like
from prima_features.embedding.file.read import read_embeddings
from prima_features.encoders.prima.text import TextEncoder, load_text
from prima_features.errors import UsageError
from prima_features.models import bundled

SYNTH = bundled.path("prima-synth")


@pytest.fixture(scope="session")
def public(golden_clinical: Path) -> dict[str, np.ndarray]:
    return dict(np.load(golden_clinical / "a_search.npz"))


@pytest.fixture
def file(write: Write) -> Path:
    """Six studies with random vectors."""
    pytest.importorskip("transformers")
    vectors = np.random.default_rng(0).normal(size=(6, 128)).astype(np.float32)
    clip = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return write(np.random.default_rng(1).normal(size=(6, 8)), SYNTH, clip=clip, ids=list("abcdef"))


def test_cosines_and_ranks_are_those_of_the_public_code(
    public: dict[str, np.ndarray], sets: SeriesSets, published: Path
) -> None:
    pytest.importorskip("transformers")
    tower = load_text(published)
    with torch.inference_mode():
        texts = tower(torch.from_numpy(public["text_ids"]), torch.from_numpy(public["text_length"])).numpy()
    cosine = texts @ sets.values["clip_embedding"].T
    np.testing.assert_allclose(cosine, public["cosine"], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(np.argsort(-cosine, axis=1), np.argsort(-public["cosine"], axis=1))
    for k in (1, 5):
        np.testing.assert_array_equal(np.argsort(-cosine, axis=1)[:, :k].T, public[f"image_of_text_top{k}"])
        np.testing.assert_array_equal(np.argsort(-cosine, axis=0)[:k], public[f"text_of_image_top{k}"])


def test_retrieval_metrics_are_those_of_the_public_code(public: dict[str, np.ndarray]) -> None:
    found = retrieval(public["text_embedding"], public["image_embedding"], at=(1, 5))
    for k in (1, 5):
        expected = public[f"accuracy_top{k}"]
        assert (found.text_of_study[k].value, found.study_of_text[k].value) == pytest.approx(tuple(expected))
        assert found.text_of_study[k].ci_low <= found.text_of_study[k].value <= found.text_of_study[k].ci_high
    assert found.clip_score.value == pytest.approx(float(public["clipscore"]), abs=1e-4)
    assert found.chance(5) == pytest.approx(5 / 11)


def test_equal_texts_share_their_rank() -> None:
    studies = np.eye(4, dtype=np.float32)
    texts = np.stack([studies[0], studies[0], studies[2], studies[3]])
    found = retrieval(texts, studies, at=(1, 2), n_resamples=10)
    # Study 0's text is one of two equal ones; study 1's is as dissimilar as all others.
    assert found.text_of_study[1].value == pytest.approx((0.5 + 0.25 + 1 + 1) / 4)
    assert found.study_of_text[1].value == pytest.approx((1 + 0 + 1 + 1) / 4)


def test_a_query_is_ranked_in_the_form_of_the_training_texts(file: Path) -> None:
    found = search(file, ["acute left MCA infarct"])
    expected = (
        TextEncoder.from_directory(SYNTH)(["1. acute left MCA infarct"])
        @ read_embeddings(file).clip_embedding.T
    )
    table = found.table.set_index("study").loc[list("abcdef")]
    np.testing.assert_allclose(table["cosine"], expected[0], rtol=0, atol=1e-6)
    assert found.table["rank"].tolist() == [1, 2, 3, 4, 5, 6]
    assert found.table["cosine"].is_monotonic_decreasing
    assert "synthetic brains only" in found.caveat


def test_several_findings_are_one_numbered_text(file: Path) -> None:
    both = search(file, [("infarct", "midline shift")]).table
    expected = (
        TextEncoder.from_directory(SYNTH)(["1. infarct\n2. midline shift"])
        @ read_embeddings(file).clip_embedding.T
    )
    np.testing.assert_allclose(both.set_index("study").loc[list("abcdef")]["cosine"], expected[0], atol=1e-6)


def test_a_contrast_ranks_by_the_difference(file: Path) -> None:
    table = search(file, ["tumour"], against="no tumour").table
    one, other = (search(file, [text]).table.set_index("study")["cosine"] for text in ("tumour", "no tumour"))
    expected = (one - other).sort_values(ascending=False)
    assert table["study"].tolist() == expected.index.tolist()
    np.testing.assert_allclose(table["difference"], expected, atol=1e-6)


def test_vectors_of_a_text_do_not_depend_on_the_batch() -> None:
    pytest.importorskip("transformers")
    encode = TextEncoder.from_directory(SYNTH)
    texts = ["1. infarct", "1. a much longer text about a large tumour\n2. oedema", "1. atrophy"]
    together = encode(texts)
    alone = np.concatenate([encode([text]) for text in texts])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)
    np.testing.assert_allclose(encode(texts, batch_size=2), together, rtol=0, atol=1e-5)


def test_a_text_that_is_too_long_is_cut_and_said_so(file: Path) -> None:
    found = search(file, ["tumour " * 400])
    assert len(found.warnings) == 1
    assert "more than 200 tokens" in found.warnings[0]


def test_a_text_of_a_contrast_that_is_too_long_is_named_too(file: Path) -> None:
    (warning,) = search(file, ["glioma"], against="no glioma " * 300).warnings
    assert "only the beginning of 'no glioma" in warning


def test_a_repeated_query_counts_once(file: Path) -> None:
    once = search(file, ["glioma"]).table
    pd.testing.assert_frame_equal(search(file, ["glioma", " glioma "]).table, once)


def test_a_text_with_invalid_bytes_from_the_command_line_is_refused(file: Path) -> None:
    with pytest.raises(UsageError, match="not valid in UTF-8"):
        search(file, [b"gliom\xe4".decode(errors="surrogateescape")])


def test_one_study_is_like_no_other(write: Write) -> None:
    with pytest.raises(UsageError, match="has no other study than sub-000"):
        search_like(write(np.ones((1, 8)), SYNTH), "sub-000")


@pytest.mark.parametrize("name", ["ranks.csv", "ranks.html", "ranks.h5", "ranks"])
def test_the_name_of_the_table_ends_in_tsv(file: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"end it in \.tsv"):
        check_output(file, tmp_path / name, SYNTH)
    with pytest.raises(UsageError, match=r"end it in \.tsv"):
        diagnose(file, tmp_path / name, SYNTH)


@pytest.mark.parametrize("with_clip", [True, False])
def test_other_studies_like_one(write: Write, with_clip: bool) -> None:
    vectors = np.random.default_rng(0).normal(size=(6, 16)).astype(np.float32)
    vectors[4] = vectors[1] + 0.01
    clip = vectors / np.linalg.norm(vectors, axis=1, keepdims=True) if with_clip else None
    found = search_like(write(vectors, SYNTH, clip=clip, ids=list("abcdef")), "b")
    assert found.table["study"][0] == "e"
    assert found.table["cosine"][0] > 0.99
    assert set(found.table["study"]) == set("acdef")
    assert found.table["rank"].tolist() == [1, 2, 3, 4, 5]


def test_unknown_studies_empty_texts_and_models_without_a_text_tower_are_refused(
    file: Path, write: Write
) -> None:
    with pytest.raises(UsageError, match="has no study z"):
        search_like(file, "z")
    with pytest.raises(UsageError, match="is empty"):
        search(file, [" "])
    with pytest.raises(UsageError, match="is empty"):
        search(file, [])
    with pytest.raises(UsageError, match="has no text tower"):
        search(file, ["tumour"], bundled.path("prima-untrained"))
    other = write(np.zeros((1, 4)), SYNTH, name="other.h5")
    with pytest.raises(UsageError, match="no vectors that are comparable with text"):
        search(other, ["tumour"])


def test_the_command_prints_ranks_and_writes_all_of_them(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["search", str(file), "tumour", "no tumour", "--top", "2", "--output", str(tmp_path / "o.tsv")])
        == 0
    )
    said = capsys.readouterr()
    assert "For research use only" in said.out
    assert "synthetic brains only" in said.err
    table = pd.read_csv(tmp_path / "o.tsv", sep="\t")
    expected = search(file, ["tumour", "no tumour"]).table
    assert table["study"].tolist() == expected["study"].tolist()
    assert table["query"].unique().tolist() == ["tumour", "no tumour"]
    assert table["caveat"].str.contains("synthetic").all()
    for study in table["study"][:2]:
        assert study in said.out
    queries = tmp_path / "queries.txt"
    queries.write_text("tumour\n\nno tumour\n")
    assert main(["search", str(file), "--texts", str(queries), "--output", str(tmp_path / "p.tsv")]) == 0
    assert (tmp_path / "p.tsv").read_bytes() == (tmp_path / "o.tsv").read_bytes()
    assert main(["search", str(file), "tumour", "--against", "no tumour"]) == 0
    assert main(["search", str(file), "tumour", "oedema", "--all-of"]) == 0
    assert main(["search", str(file), "--like", "b"]) == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "give one of"),
        (["tumour", "--like", "a"], "give one of"),
        (["--like", "a", "--against", "no tumour"], "leave out --against"),
        (["--like", "z"], "has no study z"),
        (["--texts", "queries.txt", "--all-of"], "not the lines of --texts"),
        (["--texts", "missing.txt"], "cannot be read"),
    ],
)
def test_usage_errors_are_one_sentence(
    file: Path, arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", str(file), *arguments]) == 2
    said = capsys.readouterr().err
    assert reason in said
    assert said.count("\n") == 1


def test_an_input_is_not_replaced_by_the_table(file: Path) -> None:
    before = file.read_bytes()
    assert main(["search", str(file), "tumour", "--output", str(file), "--force"]) == 2
    assert file.read_bytes() == before


@pytest.mark.parametrize("width", [1200, 400])
def test_the_page_shows_the_most_similar_studies_of_each_query(
    file: Path, tmp_path: Path, page: Page, width: int
) -> None:
    arguments = ["search", str(file), "tumour <b>", "oedema", "--output", str(tmp_path / "o.tsv")]
    assert main(arguments) == 0
    page.open(tmp_path / "o.html", width=width)
    assert page.run("document.documentElement.dataset.ready") == "yes"
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.requests == [(tmp_path / "o.html").as_uri()]
    assert not page.complaints
    for number, query in enumerate(["tumour <b>", "oedema"]):
        page.run(
            f"(() => {{ const s = document.querySelector('#list select'); s.value = {number};"
            " s.dispatchEvent(new Event('change')); })()"
        )
        shown = page.run(
            "[...document.querySelectorAll('.worklist .who')].map(one => one.firstChild.textContent)"
        )
        assert shown == search(file, [query]).table["study"].tolist()
    text = page.run("document.body.innerText")
    assert "For research use only" in text
    assert text.index("synthetic brains only") < text.index("Results")
    assert main([*arguments, "--against", "no tumour"]) == 0
    page.open(tmp_path / "o.html", width=width)
    text = page.run("document.body.innerText")
    assert "difference" in text
    assert "minus the cosine with the contrast “no tumour”" in text


def test_reports_are_matched_to_their_studies(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("transformers")
    texts = {"a": "a large tumour", "b": "no abnormality", "c": "enlarged ventricles; atrophy"}
    vectors = TextEncoder.from_directory(SYNTH)([f"1. {text}" for text in texts.values()])
    file = write(np.zeros((4, 8)), SYNTH, clip=np.concatenate([vectors, -vectors[:1]]), ids=[*texts, "d"])
    table = tmp_path / "reports.tsv"
    rows = [f"{study}\t1. {text}" for study, text in {**texts, "z": "of nobody"}.items()]
    table.write_text("study_id\tsummary\n" + "\n".join(rows) + "\n")
    assert main(["search", str(file), "--reports", str(table), "--output", str(tmp_path / "o.json")]) == 0
    said = capsys.readouterr()
    found = json.loads((tmp_path / "o.json").read_text())
    assert found["n"] == 3
    for way in ("study_of_text", "text_of_study"):
        assert found["recall"][way]["1"]["value"] == 1
        assert found["recall"][way]["1"]["chance"] == pytest.approx(1 / 3)
    assert found["clip_score"]["value"] == pytest.approx(100, abs=1e-3)
    assert "1 study of" in said.err and "1 report in" in said.err
    assert "research use only" in found["notice"] and "synthetic" in found["caveat"]
    assert main(["search", str(file), "--reports", str(table), "--output", str(table), "--force"]) == 2
    assert main(["search", str(file), "--reports", str(table), "--against", "x"]) == 2
    table.write_text("study_id\tsummary\nq\t1. nothing\n")
    assert main(["search", str(file), "--reports", str(table)]) == 2
    assert "reports of 0 studies" in capsys.readouterr().err
