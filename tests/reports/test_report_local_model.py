"""A transformers model in a folder: a tiny GPT-2, random or with weights set by hand."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from prima_features.errors import UsageError
from prima_features.reports import Report, summarize
from prima_features.reports.local_model import LocalModel
from prima_features.reports.records import ReportError

transformers = pytest.importorskip("transformers")
REPORT = Report("s1", "FINDINGS: Colloid cyst.")
FIRST, SECOND, GO = "1. Colloid cyst.", "\n2. Mild edema.", "<go>"
Folder = Callable[..., Path]


def tokenizer(chat_template: str | None) -> "transformers.PreTrainedTokenizerFast":
    """One token a byte, and one for each item of the answer."""
    import tokenizers

    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    made = tokenizers.Tokenizer(tokenizers.models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    made.add_special_tokens(["<end>", GO])
    made.add_tokens([tokenizers.AddedToken(item, normalized=False) for item in (FIRST, SECOND)])
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<end>")
    fast.chat_template = chat_template
    return fast


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Saves a tiny GPT-2, random unless `starts` is set: then it answers a list of two to what ends in that token."""

    def save(starts: str = "", chat_template: str | None = None, context: int = 4096) -> Path:
        path = tmp_path / "tiny-gpt2"
        words = tokenizer(chat_template)
        torch.manual_seed(0)
        config = transformers.GPT2Config(
            vocab_size=len(words), n_positions=context, n_embd=4, n_layer=1, n_head=1,
            tie_word_embeddings=False, eos_token_id=words.eos_token_id, bos_token_id=words.eos_token_id,
        )  # fmt: skip
        model = transformers.GPT2LMHeadModel(config)
        if starts:
            _answer_after(model, words, starts)
        model.save_pretrained(path)
        words.save_pretrained(path)
        return path

    return save


def _answer_after(model: "transformers.GPT2LMHeadModel", words: object, starts: str) -> None:
    """Each token only tells which comes next: after `starts` the first item, the second, the end."""
    first, second, end, start = (words.convert_tokens_to_ids(one) for one in (FIRST, SECOND, "<end>", starts))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.transformer.ln_f.weight.fill_(1)
        model.transformer.wte.weight[:, 3] = 1
        for kind, (token, following) in enumerate([(start, first), (first, second), (second, end)]):
            model.transformer.wte.weight[token] = torch.eye(4)[kind]
            model.lm_head.weight[following, kind] = 10
        model.lm_head.weight[end, 3] = 10


def test_a_model_summarises_a_report(folder: Folder, tmp_path: Path) -> None:
    output = tmp_path / "out.tsv"
    model = LocalModel(folder(starts="Ċ"))  # the byte level's name of the line end, in which prompts end
    assert summarize([REPORT], output, model=model).n_studies == 1
    assert output.read_text().splitlines()[1:] == [
        's1\t"1. Colloid cyst.',
        '2. Mild edema."\ttransformers:tiny-gpt2',
    ]


def test_a_chat_template_is_used_where_there_is_one(folder: Folder) -> None:
    template = (
        "{{ messages[0].role }}: {{ messages[0].content }}{% if add_generation_prompt %}<go>{% endif %}"
    )
    model = LocalModel(folder(starts=GO, chat_template=template))
    assert model.ask("Report: x") == f"{FIRST}{SECOND}"


def test_a_random_model_answers_rubbish_which_is_no_summary(folder: Folder, tmp_path: Path) -> None:
    output = tmp_path / "out.tsv"
    summary = summarize([REPORT], output, model=LocalModel(folder(), max_tokens=20))
    assert [failed.study for failed in summary.failures] == ["s1"]
    assert not output.exists()


def test_answers_are_the_same_each_time(folder: Folder) -> None:
    model = LocalModel(folder(starts="Ċ"))
    assert model.ask("a\n") == model.ask("a\n")


def test_a_prompt_longer_than_the_context_is_refused(folder: Folder) -> None:
    with pytest.raises(ReportError, match="200 tokens is longer than the model's context of 100"):
        LocalModel(folder(context=100)).ask("x" * 200)


def test_an_answer_that_does_not_end_is_refused(folder: Folder) -> None:
    model = LocalModel(folder(starts="Ċ"), max_tokens=2)
    with pytest.raises(ReportError, match="longer than 2 tokens"):
        model.ask("x\n")


def test_another_model_in_the_same_folder_is_another_one(folder: Folder, tmp_path: Path) -> None:
    before = LocalModel(folder(starts="Ċ"))
    weights = tmp_path / "tiny-gpt2" / "model.safetensors"
    os.utime(weights, ns=(0, 0))
    assert LocalModel(tmp_path / "tiny-gpt2").identity != before.identity
    assert LocalModel(tmp_path / "tiny-gpt2").name == before.name


@pytest.mark.parametrize("name", ["empty", "missing", "gpt2"])
def test_what_is_no_folder_with_a_model_is_refused_and_nothing_is_downloaded(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"is not a folder|no language model"):
        LocalModel(tmp_path / name)


def test_weights_that_would_run_code_are_not_read(folder: Folder, tmp_path: Path) -> None:
    path = folder()
    (path / "model.safetensors").unlink()
    torch.save({}, path / "pytorch_model.bin")
    with pytest.raises(UsageError, match="no language model"):
        LocalModel(path)
