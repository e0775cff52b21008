"""One step of the CLIP stage, next to the same step written out."""

import copy
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from small_training import clip_settings, loop_of
from torch import Tensor, nn

from prima_features.pretraining.batches.studies import StudyBatch
from prima_features.pretraining.build import Workplace, build_stage
from prima_features.pretraining.run import read_stage

PATIENT_WEIGHT = 0.03
OPTIMISER = "[optimiser]\nlr = 1e-3\nweight_decay = 1e-2\neps = 1e-3\n"
"""With Adam's usual eps of 1e-8, the step of a weight whose gradient and decay nearly cancel depends on the rounding
of the processor's kernels."""


def written_out(prima: nn.Module, tower: nn.Module, batch: StudyBatch) -> Tensor:
    """The loss of a batch of one chunk, by the formulas of the papers."""
    series, study = prima(batch.tokens, batch.names, batch.n_series, batch.descriptions)
    images, texts = F.normalize(study.clip, dim=1), F.normalize(tower(batch.ids, batch.lengths), dim=1)
    logits = images @ texts.T * prima.contrast.temperature.exp()
    own = torch.arange(len(logits))
    clip = 0.5 * (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own))
    vectors = prima.contrast.project(series.registers)
    owners = torch.repeat_interleave(own, torch.tensor(batch.n_series))
    patients = torch.zeros(())
    for i, owner in enumerate(owners):
        mass = (vectors @ vectors[i] / 0.1).masked_fill(torch.arange(len(vectors)) == i, -10).exp()
        siblings = (owners == owner) & (torch.arange(len(vectors)) != i)
        if siblings.any():
            patients = patients - (mass[siblings].sum() / mass.sum()).log() / siblings.sum()
    return clip + PATIENT_WEIGHT * patients


def test_a_step_is_adam_on_clip_and_patient_discrimination(
    bids: Path, reports: Path, tokenizer_model: Path, tmp_path: Path
) -> None:
    text = clip_settings(bids, reports, tokenizer_model, steps=1)
    (tmp_path / "c.toml").write_text(text.replace("warmup = 2", "warmup = 0") + OPTIMISER)
    settings = read_stage("clip", tmp_path / "c.toml")
    accelerator = Accelerator(cpu=True)
    stage = build_stage(settings, Workplace(tmp_path, accelerator))
    expected = copy.deepcopy(stage.modules)
    (batch,) = stage.load(0)

    loss = written_out(expected["prima"], expected["text"], batch)
    loss.backward()
    trained = [p for module in expected.values() for p in module.parameters() if p.requires_grad]
    torch.optim.Adam(trained, lr=1e-3, weight_decay=1e-2, eps=1e-3).step()

    loop = loop_of(stage, settings, accelerator, tmp_path)
    loop.run()
    logged = loop.recorder.history.read()[0]
    assert abs(logged["loss"] - loss.item()) < 1e-5 * loss.item()
    moved = 0
    for kind, module in expected.items():
        for name, parameter in module.named_parameters():
            found = stage.modules[kind].get_parameter(name)
            torch.testing.assert_close(found, parameter, atol=2e-6, rtol=1e-4)
            moved += parameter.requires_grad
    assert moved > 20
