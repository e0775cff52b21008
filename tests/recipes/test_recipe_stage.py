"""The CLIP stage of prima-synth, through its command."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import train
from safetensors.torch import load_file
from small_training import QUIET, TEXT, clip_settings
from synth.stage import SynthClipStage

from prima_features.encoders.prima import PrimaModel
from prima_features.models.directory import MODEL
from prima_features.models.directory import TEXT as TEXT_FILE

Write = Callable[..., Path]


def run(*arguments: object) -> int:
    return train.main([str(argument) for argument in arguments])


def log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "training" / "log.jsonl").read_text().splitlines()]


def test_a_model_can_keep_a_share_of_the_weights_that_it_started_from(
    bids: Path, reports: Path, tokenizer_model: Path, write: Write, tmp_path: Path
) -> None:
    assert run("clip", write(clip_settings(bids, reports, tokenizer_model))) == 0
    rate = "[optimiser]\nlr = 1e-2\n" + QUIET
    text = clip_settings(bids, reports, tmp_path / "run", tables=rate)
    text = text.replace(TEXT, "[network.contrast]\nhidden = 12\nout_dim = 6\n")  # of new sizes, so made anew
    text = text.replace('output = "run"', 'output = "later"')
    assert run("clip", write(text)) == 0
    trained = {name: load_file(tmp_path / "later" / name) for name in (MODEL, TEXT_FILE)}
    measured = (tmp_path / "later" / "README.md").read_text()
    # The trained weights are those of the checkpoint, which the same command takes up.
    assert run("clip", write(text.replace("steps", "start_share = 0.25\nsteps"))) == 0
    for name, tensors in trained.items():
        initial, kept = load_file(tmp_path / "run" / name), load_file(tmp_path / "later" / name)
        taken = [key for key in tensors if not key.startswith("contrast.")]
        assert any((tensors[key] - initial[key]).abs().max() > 1e-3 for key in taken)
        for key, tensor in tensors.items():
            expected = torch.lerp(tensor, initial[key], 0.25) if key in taken else tensor
            torch.testing.assert_close(kept[key], expected)
    card = (tmp_path / "later" / "README.md").read_text()
    assert "| start_share | 0.25 |" in card and "start_share" not in measured
    assert card.replace("| start_share | 0.25 |\n", "") != measured, "it has the measures of the mean"


def test_pairs_resume_from_any_checkpoint_to_the_same_bits(
    visits: tuple[Path, Path], tokenizer_model: Path, write: Write, tmp_path: Path
) -> None:
    more = "[checkpoint]\nevery = 1\nkeep = 9\n[log]\ntensorboard = false\nplots = false\n"
    text = clip_settings(*visits, tokenizer_model, more="pair_weight = 1", tables=more)
    path = write(text.replace("cache_type", f'cache = "{tmp_path}/cache"\ncache_type'))
    assert run("clip", path) == 0
    whole = log(tmp_path / "run")
    weights = (tmp_path / "run" / "model.safetensors").read_bytes()
    for step in (3, 1, 0):
        for later in range(step + 1, 5):
            (tmp_path / "run" / "training" / "checkpoints" / f"step-0000000{later}.pt").unlink(
                missing_ok=True
            )
        (tmp_path / "run" / "config.json").unlink()
        assert run("clip", path) == 0
        again = log(tmp_path / "run")
        for one, other in zip(again, whole, strict=True):
            assert {**one, "seconds": 0} == {**other, "seconds": 0}
        assert (tmp_path / "run" / "model.safetensors").read_bytes() == weights


def test_chunks_of_pairs_train_to_the_same_weights_as_the_whole_batch(
    visits: tuple[Path, Path], tokenizer_model: Path, write: Write, tmp_path: Path
) -> None:
    for name, more in (("whole", ""), ("chunks", "chunk = 1")):
        more = f"pair_weight = 1\n{more}"
        text = clip_settings(*visits, tokenizer_model, more=more).replace('"run"', f'"{name}"')
        # Steps far larger than the agreement asked for, and in proportion to the gradient.
        text = text.replace("[data]", "[optimiser]\nlr = 1e-3\neps = 0.1\n[data]")
        assert run("clip", write(text)) == 0
    for one, other in zip(log(tmp_path / "whole"), log(tmp_path / "chunks"), strict=True):
        if "loss" in one:
            assert one["loss"] == pytest.approx(other["loss"], abs=1e-5)
            assert one["gradient_norm"] == pytest.approx(other["gradient_norm"], rel=1e-4)
    whole, chunks = (PrimaModel.from_pretrained(tmp_path / name).state_dict() for name in ("whole", "chunks"))
    for name, tensor in whole.items():
        torch.testing.assert_close(chunks[name], tensor, atol=1e-5, rtol=1e-5)


def test_short_runs_tell_studies_apart_and_words_from_the_first_step(
    bids: Path, reports: Path, tokenizer_model: Path, write: Write, tmp_path: Path
) -> None:
    more = 'tell_apart = true\nwords_weight = 1\nexport_type = "float16"'
    for name, steps, chosen in (("drawn", 2, ""), ("fitted", 40, more)):
        text = clip_settings(bids, reports, tokenizer_model, steps=steps, more=chosen)
        text = text.replace('"run"', f'"{name}"').replace("[data]", "[optimiser]\nlr = 3e-3\n[data]")
        assert run("clip", write(text)) == 0
    first, *rest = (line for line in log(tmp_path / "fitted") if "loss" in line)
    # It starts from how often each word occurs, and a word that is in half of the reports costs log 2.
    assert 0.4 < first["words_loss"] < 0.75
    assert np.mean([line["words_loss"] for line in rest[-8:]]) < 0.93 * first["words_loss"]
    assert "words_loss" not in log(tmp_path / "drawn")[1]
    kinds = {tensor.dtype for tensor in load_file(tmp_path / "fitted" / "model.safetensors").values()}
    assert torch.float16 in kinds and torch.float32 not in kinds
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("fitted", "drawn")]
    assert sizes[0] < 0.6 * sizes[1]
    assert PrimaModel.from_pretrained(tmp_path / "fitted").dtype == torch.float32


def test_prima_pretrain_names_the_recipe_for_its_settings(
    bids: Path, reports: Path, tokenizer_model: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    from prima_features.cli.main import main

    path = write(clip_settings(bids, reports, tokenizer_model, more="pair_weight = 1"))
    assert main(["pretrain", "clip", str(path)]) == 2
    assert "unknown key pair_weight: it belongs to the recipe" in " ".join(capsys.readouterr().err.split())
    assert run("clip", path, "--dry-run") == 0


def test_an_earlier_releases_checkpoint_without_the_recipes_settings_is_resumed(
    bids: Path, reports: Path, tokenizer_model: Path, write: Write
) -> None:
    from prima_features.errors import UsageError
    from prima_features.pretraining.run import read_stage
    from prima_features.pretraining.training.checkpoint import check_settings, settings_record

    path = write(clip_settings(bids, reports, tokenizer_model))
    prima = read_stage("clip", path)
    off = settings_record(read_stage("clip", path, SynthClipStage))
    assert json.loads(off)["pair_weight"] == 0
    check_settings(off, prima, path)
    on = json.dumps(json.loads(off) | {"pair_weight": 1.0})
    with pytest.raises(UsageError, match=r"pair_weight was 1\.0"):
        check_settings(on, prima, path)
