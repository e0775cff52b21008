"""The four stages one after the other, through the command, from scans to a model that embeds and scores."""

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_training import QUIET, clip_settings, tokenizer_settings
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from prima_features.cli.main import main
from prima_features.embedding.file.read import read_embeddings
from prima_features.encoders.prima import PrimaModel, load_text, score_heads
from prima_features.encoders.prima.model_config import read_config
from prima_features.encoders.registry import verify
from prima_features.models.directory import MODEL
from prima_features.pretraining.data.reports import ReportVocabulary
from prima_features.pretraining.objectives import clip_loss
from prima_features.reports.summaries import read_findings

Write = Callable[..., Path]


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "training" / "log.jsonl").read_text().splitlines()]


def tensorboard(training: Path) -> EventAccumulator:
    """What TensorBoard would show."""
    (folder,) = {file.parent for file in (training / "tensorboard").rglob("events.*")}
    board = EventAccumulator(str(folder))
    board.Reload()
    return board


def test_four_stages_make_a_model_that_embeds_and_scores(
    bids: Path, reports: Path, write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # 1: the tokenizer, with everything that is recorded.
    text = tokenizer_settings(bids, tables="[validation]\nevery = 2\npictures = 2\n").replace(
        '"run"', '"one"'
    )
    assert run("pretrain", "tokenizer", write(text)) == 0
    printed = capsys.readouterr()
    assert "step 4/4: loss" in printed.err and "reconstruction_loss" in printed.out
    training = tmp_path / "one" / "training"
    assert {path.name for path in (training / "plots").iterdir()} == {"loss.png", "reconstructions.png"}
    board = tensorboard(training)
    assert {"train/loss", "train/lr", "validation/reconstruction_loss"} <= set(board.Tags()["scalars"])
    assert [event.step for event in board.Scalars("train/loss")] == [1, 2, 3, 4]
    assert board.Tags()["images"] == ["reconstructions"]
    first = PrimaModel.from_pretrained(tmp_path / "one")

    # 2: the names, from the first stage's output and with its tokenizer.
    text = f'output = "two"\nmodel = "one"\nsteps = 3\nbatch = 2\ndevice = "cpu"\n[data]\nsource = "{bids}"\n'
    text += "[schedule]\nwarmup = 0\n[tower]\ndepth = 1\nheads = 2\ndim_head = 8\nmlp_dim = 16\nout_dim = 8\n"
    assert run("pretrain", "names", write(text + "[log]\ntensorboard = false\n")) == 0
    second = PrimaModel.from_pretrained(tmp_path / "two")
    changed = {
        name.split(".")[0] + "." + name.split(".")[1]
        for name, tensor in second.state_dict().items()
        if not torch.equal(tensor, first.state_dict()[name])
    }
    assert changed == {"names.sequence"}

    # 3: CLIP.
    text = clip_settings(
        bids, reports, tmp_path / "two", tables="[validation]\nevery = 2\n[log]\ntensorboard = false\n"
    )
    assert run("pretrain", "clip", write(text.replace('"run"', '"three"'))) == 0
    validations = [line["validation"] for line in log(tmp_path / "three") if "validation" in line]
    ways = ("text_to_study", "study_to_text")
    expected = {f"{way}_recall_at_{k}" for way in ways for k in (1, 5, 10)} | {
        "patient_accuracy",
        "patient_loss",
    }
    assert expected <= set(validations[-1])
    assert (tmp_path / "three" / "training" / "plots" / "retrieval.png").stat().st_size > 1000
    third = PrimaModel.from_pretrained(tmp_path / "three")
    for name, tensor in third.tokenizer.state_dict().items():
        assert torch.equal(tensor, first.tokenizer.state_dict()[name])
    tower, vocabulary = load_text(tmp_path / "three"), ReportVocabulary.read(tmp_path / "three", 40)
    with torch.no_grad():
        vector = tower(*vocabulary.batch([["wide ventricles"]]))
    assert vector.shape == (1, 12)

    # What it embeds, and 4: heads on that.
    assert run("embed", bids, tmp_path / "e.h5", "--model", tmp_path / "three") == 0
    file = read_embeddings(tmp_path / "e.h5")
    assert file.clip_embedding.shape == (8, 12)
    # Validation measured what embedding and the text tower give.
    for measure, numbers in (("clip_loss", [6, 7]), ("trained_clip_loss", [0, 1])):
        findings = [read_findings(reports)[f"sub-{i:02}"].findings for i in numbers]
        with torch.no_grad():
            texts = tower(*vocabulary.batch(findings))
        images = torch.from_numpy(file.clip_embedding[numbers])
        expected_loss = clip_loss(images, texts, third.contrast.temperature).item()
        assert validations[-1][measure] == pytest.approx(expected_loss, abs=1e-5)
    with (tmp_path / "labels.tsv").open("w") as table:
        rows = csv.writer(table, delimiter="\t")
        rows.writerow(["study", "left lesion", "neurology", "priority"])
        for i in range(8):
            rows.writerow([f"sub-{i:02}", i % 2, "" if i == 3 else int(i > 3), ["none", "high"][i % 2]])
    text = 'output = "four"\nmodel = "three"\nsteps = 5\nbatch = 4\nhidden = [16, 8]\ndevice = "cpu"\n'
    text += 'export_type = "float16"\n'
    text += '[data]\nembeddings = "e.h5"\nlabels = "labels.tsv"\nvalidation = 0.25\n'
    text += 'diagnosis = ["left lesion"]\nreferral = ["neurology"]\npriority = ["none", "high"]\n'
    text += "[optimiser]\nlr = 1e-3\n[log]\ntensorboard = false\n"
    assert run("pretrain", "heads", write(text)) == 0
    losses = [line["loss"] for line in log(tmp_path / "four") if "loss" in line]
    assert len(losses) == 5 and np.isfinite(losses).all()
    assert all(file.stat().st_mode & 0o044 for file in (tmp_path / "four").glob("*.*"))
    checked, loaded = verify(tmp_path / "four")
    assert all(file.ok for file in checked) and loaded == ["encoder", "text tower", "3 heads"]
    stored = load_file(tmp_path / "four" / "heads.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    scores = score_heads(tmp_path / "four", file.study_embedding)
    assert scores.diagnosis_names == ("left lesion",) and scores.referral_names == ("neurology",)
    assert scores.priority.shape == (8, 2) and np.isfinite(scores.diagnosis).all()
    config = read_config(tmp_path / "four")
    assert config == replace(read_config(tmp_path / "three"), heads=config.heads)
    assert config.heads.diagnosis[0].threshold != 0
    assert "prima pretrain heads" in (tmp_path / "four" / "README.md").read_text()


def test_clip_learns_which_report_belongs_to_which_study(
    bids: Path, reports: Path, tokenizer_model: Path, write: Write, tmp_path: Path
) -> None:
    text = clip_settings(bids, reports, tokenizer_model, steps=80, more="patient_weight = 0.0")
    assert run("pretrain", "clip", write(text.replace("[data]", "[optimiser]\nlr = 1e-3\n[data]"))) == 0
    losses = [line["clip_loss"] for line in log(tmp_path / "run") if "clip_loss" in line]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


def test_the_tokenizer_learns_to_rebuild(bids: Path, write: Write, tmp_path: Path) -> None:
    text = tokenizer_settings(bids, steps=100, more="revive_every = 5").replace(
        "[data]", "[optimiser]\nlr = 3e-3\n[data]"
    )
    assert run("pretrain", "tokenizer", write(text)) == 0
    lines = [line for line in log(tmp_path / "run") if "loss" in line]
    assert np.mean([line["loss"] for line in lines[-5:]]) < 0.6 * np.mean(
        [line["loss"] for line in lines[:5]]
    )
    assert sum(line["codes_revived"] for line in lines) > 0


def test_the_card_tells_of_the_weights_that_are_exported(
    bids: Path, write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = "[validation]\nevery = 1\n[optimiser]\nlr = 0.3\n[log]\ntensorboard = false\n"
    text = tokenizer_settings(bids, steps=6, more='export = "best"', tables=tables)
    assert run("pretrain", "tokenizer", write(text)) == 0
    scores = {
        line["step"]: line["validation"]["reconstruction_loss"]
        for line in log(tmp_path / "run")
        if "validation" in line
    }
    best = min(scores, key=scores.__getitem__)
    assert best < 6, "a rate so high makes the last step worse"
    state = torch.load(tmp_path / "run" / "training" / "checkpoints" / "best.pt", weights_only=True)
    assert state["progress"]["step"] == best
    card = (tmp_path / "run" / "README.md").read_text()
    assert f"| steps | {best}, the best of 6 |" in card
    assert f"| reconstruction_loss | {scores[best]:.4g} |" in card
    printed = " ".join(capsys.readouterr().out.split())
    assert f"reconstruction_loss: {scores[best]:.4g}" in printed
    assert f"6 steps; exported step {best}, the best" in printed


@pytest.mark.parametrize("stage", ["tokenizer", "clip"])
def test_a_stage_goes_on_from_any_checkpoint_to_the_same_bits(
    stage: str, bids: Path, reports: Path, tokenizer_model: Path, write: Write, tmp_path: Path
) -> None:
    more = "[checkpoint]\nevery = 1\nkeep = 9\n[log]\ntensorboard = false\nplots = false\n"
    if stage == "clip":
        text = clip_settings(bids, reports, tokenizer_model, tables=more)
    else:
        text = tokenizer_settings(bids, more="revive_every = 2", tables=more)
    path = write(text.replace("cache_type", f'cache = "{tmp_path}/cache"\ncache_type'))
    assert run("pretrain", stage, path) == 0
    whole = log(tmp_path / "run")
    weights = (tmp_path / "run" / "model.safetensors").read_bytes()
    for step in (3, 1, 0):
        for later in range(step + 1, 5):
            (tmp_path / "run" / "training" / "checkpoints" / f"step-0000000{later}.pt").unlink(
                missing_ok=True
            )
        (tmp_path / "run" / "config.json").unlink()
        assert run("pretrain", stage, path) == 0
        again = log(tmp_path / "run")
        for one, other in zip(again, whole, strict=True):
            assert {**one, "seconds": 0} == {**other, "seconds": 0}
        assert (tmp_path / "run" / "model.safetensors").read_bytes() == weights


def test_chunks_train_to_the_same_weights_as_the_whole_batch(
    bids: Path, reports: Path, tokenizer_model: Path, write: Write, tmp_path: Path
) -> None:
    for name, more in (("whole", ""), ("chunks", "chunk = 1")):
        text = clip_settings(bids, reports, tokenizer_model, more=more).replace('"run"', f'"{name}"')
        # Steps far larger than the agreement asked for, and in proportion to the gradient.
        text = text.replace("[data]", "[optimiser]\nlr = 1e-3\neps = 0.1\n[data]")
        assert run("pretrain", "clip", write(text)) == 0
    for one, other in zip(log(tmp_path / "whole"), log(tmp_path / "chunks"), strict=True):
        if "loss" in one:
            assert one["loss"] == pytest.approx(other["loss"], abs=1e-5)
            assert one["gradient_norm"] == pytest.approx(other["gradient_norm"], rel=1e-4)
    whole, chunks = (PrimaModel.from_pretrained(tmp_path / name).state_dict() for name in ("whole", "chunks"))
    for name, tensor in whole.items():
        torch.testing.assert_close(chunks[name], tensor, atol=1e-5, rtol=1e-5)


def test_half_precision_trains_close_to_single(
    bids: Path, reports: Path, tokenizer_model: Path, write: Write, tmp_path: Path
) -> None:
    for name, more in (("single", ""), ("half", 'precision = "bf16"')):
        text = clip_settings(bids, reports, tokenizer_model, more=more).replace('"run"', f'"{name}"')
        assert run("pretrain", "clip", write(text)) == 0
    single, half = (
        [line["loss"] for line in log(tmp_path / name) if "loss" in line] for name in ("single", "half")
    )
    assert single != half
    assert single == pytest.approx(half, rel=0.03)


def test_a_run_that_was_stopped_gives_a_model_and_can_go_on(
    bids: Path, write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tokenizer_settings(bids, tables=f"[checkpoint]\nevery = 1\nkeep = 9\n{QUIET}"))
    output = tmp_path / "run"
    assert run("pretrain", "tokenizer", path, "--export") == 2
    assert "has no checkpoint to export" in " ".join(capsys.readouterr().err.split())
    assert not output.exists()
    assert run("pretrain", "tokenizer", path) == 0
    weights, told = (output / MODEL).read_bytes(), log(output)
    checkpoints = output / "training" / "checkpoints"
    for step in (3, 4):
        (checkpoints / f"step-0000000{step}.pt").unlink()
    assert run("pretrain", "tokenizer", path, "--export") == 0
    assert f"{output}: 2 steps" in capsys.readouterr().out.replace("\n", "")
    made, state = load_file(output / MODEL), torch.load(checkpoints / "step-00000002.pt", weights_only=True)
    for name, tensor in state["modules"]["tokenizer"].items():
        assert torch.equal(made[f"tokenizer.{name}"], tensor), name
    card = (output / "README.md").read_text()
    assert "| steps | 2; 4 were planned |" in card and "| reconstruction_loss |" in card
    assert verify(output)
    assert log(output) == told, "it took no step"
    assert run("pretrain", "tokenizer", path, "--export", "--fresh") == 2
    assert "use only one of them" in " ".join(capsys.readouterr().err.split())
    assert run("pretrain", "tokenizer", path) == 0
    assert (output / MODEL).read_bytes() == weights


def test_other_settings_need_another_output_or_a_fresh_start(
    bids: Path, write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("pretrain", "tokenizer", write(tokenizer_settings(bids))) == 0
    cache = tmp_path / "run" / "training" / "cache"
    shutil.rmtree(cache)
    wider = write(tokenizer_settings(bids).replace('cache_type = "float32"', 'cache_type = "float16"'))
    assert run("pretrain", "tokenizer", wider) == 2
    assert "data.cache_type was 'float32' and is 'float16'" in capsys.readouterr().err
    changed = write(tokenizer_settings(bids, more="seed = 3"))
    for options in ([], ["--dry-run"]):
        assert run("pretrain", "tokenizer", changed, *options) == 2
        assert "seed was 0 and is 3" in capsys.readouterr().err
    assert run("pretrain", "tokenizer", changed, "--dry-run", "--fresh") == 0
    assert "newest checkpoint none" in " ".join(capsys.readouterr().out.split())
    assert not cache.exists(), "it was told after the scans were read, which can take hours"
    assert run("pretrain", "tokenizer", changed, "--fresh") == 0
    assert len(log(tmp_path / "run")) == 4 + 1
    smaller = write(tokenizer_settings(bids, more='seed = 3\nexport_type = "float16"'))
    assert run("pretrain", "tokenizer", smaller) == 0, "the type of the model's weights changes no step"
    assert "resumed from step 4" in capsys.readouterr().out


def test_a_dry_run_tells_the_plan_and_writes_nothing(
    bids: Path, reports: Path, tokenizer_model: Path, write: Write, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = write(clip_settings(bids, reports, tokenizer_model))
    before = sorted(tmp_path.rglob("*"))
    assert run("pretrain", "clip", path, "--dry-run") == 0
    assert sorted(tmp_path.rglob("*")) == before
    shown = " ".join(capsys.readouterr().out.split())
    assert "training studies 6 validation studies 2 series 16" in shown
    assert "abnormal studies 4" in shown
    chosen = path.read_text().replace(
        "cache_type", 'suffixes = ["T1w"]\nparticipants = ["01", "sub-03"]\ncache_type'
    )
    chosen = chosen.replace("batch = 4", "batch = 2")
    assert run("pretrain", "clip", write(chosen), "--dry-run") == 0
    assert "series 2" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        (("batch = 4", "batch = 7"), 2, "batch is 7, but there are only 6 different studies"),
        (("steps = 4", "stepz = 4"), 2, "unknown key stepz; did you mean steps?"),
        (("dim = 16", "dim = 15"), 2, "network.text: invalid sizes"),
        (("vocab_size", "vocab"), 2, "unknown key network.text.vocab; did you mean vocab_size?"),
        (("[network.text]", "[network.study]\nout_dim = 7\n[network.heads]"), 2, "network.heads cannot be set"),
        (("[network.contrast]", "[network.names.sequence]\nout_dim = 5\n[network.contrast]"), 2, "out_dim is 5"),
        (
            ("[network.contrast]", "[network.tokenizer]\ncodes = 8\n[network.contrast]"), 2,
            "network.tokenizer differs from that of the initial model",
        ),
        (
            ("[network.contrast]", "[network.preprocessing]\nstart_percent = 3\n[network.contrast]"), 2,
            "network.preprocessing differs from that of the initial model",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_in_one_sentence(
    change: tuple[str, str], code: int, told: str, bids: Path, reports: Path, tokenizer_model: Path, write: Write,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    text = clip_settings(bids, reports, tokenizer_model).replace("cache_type", 'cache = "cache"\ncache_type')
    assert change[0] in text
    path = write(text.replace(*change))
    for options in (["--dry-run"], []):
        assert run("pretrain", "clip", path, *options) == code
        printed = capsys.readouterr().err
        error = [line for line in printed.splitlines() if line.startswith("Error")]
        assert len(error) == 1 and told in error[0]
        assert "studies read" not in printed, "it was told after the scans were read, which can take hours"
    assert not (path.parent / "cache").exists()


def test_the_best_needs_studies_to_tell_it_by(
    bids: Path, write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tokenizer_settings(bids, more='export = "best"').replace("[data]", "[data]\nvalidation = 0.0")
    assert run("pretrain", "tokenizer", write(text)) == 2
    assert "export = 'best' needs held-out studies" in " ".join(capsys.readouterr().err.split())
    assert run("pretrain", "tokenizer", write(text.replace('"best"', '"last"'))) == 0


@pytest.mark.parametrize("options", [["--dry-run"], []])
def test_an_optimiser_that_torch_lacks_is_told_before_the_cache_is_filled(
    options: list[str],
    bids: Path,
    write: Write,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    path = write(tokenizer_settings(bids) + '\n[optimiser]\nname = "muon"\n')
    assert run("pretrain", "tokenizer", path, *options) == 2
    assert "'muon' needs torch 2.9 or later" in capsys.readouterr().err
    assert not list(path.parent.rglob("*.safetensors"))


@pytest.mark.parametrize("options", [["--dry-run"], []])
def test_a_source_of_which_nothing_is_left_is_told(
    options: list[str], write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bids" / "sub-01" / "func").mkdir(parents=True)
    (tmp_path / "bids" / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.8.0"}')
    (tmp_path / "bids" / "sub-01" / "func" / "sub-01_task-rest_bold.nii.gz").write_bytes(b"x")
    assert run("pretrain", "tokenizer", write(tokenizer_settings(tmp_path / "bids")), *options) == 4
    printed = capsys.readouterr().err
    assert "1 left out by design" in printed and "the source has no usable study" in printed


def test_bad_scans_are_told_and_the_rest_is_trained_on(
    bids: Path, write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(bids, tmp_path / "bids")
    (tmp_path / "bids" / "sub-03" / "anat" / "sub-03_T1w.nii.gz").write_bytes(b"no image")
    assert run("pretrain", "tokenizer", write(tokenizer_settings(tmp_path / "bids"))) == 3
    assert "sub-03 T1w" in capsys.readouterr().err
    PrimaModel.from_pretrained(tmp_path / "run")


def test_a_gpt2_on_disk_becomes_the_text_tower(
    bids: Path, reports: Path, tokenizer_model: Path, write: Write, tmp_path: Path
) -> None:
    from transformers import GPT2Config, GPT2Model

    from prima_features.pretraining.data.reports import train_vocabulary

    sizes = GPT2Config(vocab_size=300, n_positions=64, n_embd=16, n_layer=1, n_head=2)
    gpt2 = GPT2Model(sizes)
    gpt2.save_pretrained(tmp_path / "gpt2")
    train_vocabulary(["1. wide ventricles"], 300, 40).save(tmp_path / "gpt2")
    text = clip_settings(bids, reports, tokenizer_model, steps=2)
    text = text[: text.index("[network.text]")].replace("[data]", '[text]\nsource = "gpt2"\n[data]')
    assert run("pretrain", "clip", write(text)) == 0
    tower = load_text(tmp_path / "run")
    difference = (tower.gpt2.wte.weight - gpt2.wte.weight).abs().max().item()
    assert 0 < difference < 1e-4
    assert read_config(tmp_path / "run").text.max_tokens == 64
    # A further run takes the tower from the model itself.
    more = text.replace('[text]\nsource = "gpt2"\n', "").replace(f'"{tokenizer_model}"', '"run"', 1)
    more = more.replace('output = "run"', 'output = "more"')
    assert run("pretrain", "clip", write(more)) == 0
    assert (tmp_path / "more" / "tokenizer.json").read_bytes() == (
        tmp_path / "gpt2" / "tokenizer.json"
    ).read_bytes()


def test_the_module_is_the_command() -> None:
    import subprocess
    import sys

    module = [sys.executable, "-m", "prima_features.pretraining", "clip", "none.toml"]
    done = subprocess.run(module, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "none.toml cannot be read" in done.stderr
