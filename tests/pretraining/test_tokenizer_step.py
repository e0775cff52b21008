"""One step of the tokenizer stage, next to the same step written out."""

import copy
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from small_training import loop_of, tokenizer_settings

from prima_features.pretraining.build import Workplace, build_stage
from prima_features.pretraining.run import read_stage


def test_a_step_is_adam_on_l1_and_commitment_and_moves_the_codebook(bids: Path, tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(tokenizer_settings(bids, steps=1))
    settings = read_stage("tokenizer", tmp_path / "t.toml")
    accelerator = Accelerator(cpu=True)
    stage = build_stage(settings, Workplace(tmp_path, accelerator))
    expected = copy.deepcopy(stage.modules["tokenizer"]).train()
    values = stage.load(0).values

    latent = expected.encoder(values)
    vectors = latent.movedim(1, -1).flatten(0, -2)
    codes = torch.cdist(vectors, expected.quantizer.quantizer.embedding.weight).argmin(1)
    nearest = expected.quantizer.quantizer.embedding.weight[codes].clone()
    quantized = nearest.view(*latent.movedim(1, -1).shape).movedim(-1, 1)
    rebuilt = expected.decoder(latent + (quantized - latent).detach())
    loss = F.l1_loss(rebuilt, values) + 0.25 * F.mse_loss(latent, quantized)
    loss.backward()
    counts = torch.bincount(codes, minlength=32).float()
    sums = torch.zeros(32, 2).index_add_(0, codes, vectors.detach())
    averages = 0.5 * expected.quantizer.quantizer.ema_w + 0.5 * sums
    torch.optim.Adam([p for p in expected.parameters() if p.requires_grad], lr=1e-4).step()

    loop = loop_of(stage, settings, accelerator, tmp_path)
    loop.run()
    assert abs(loop.recorder.history.read()[0]["loss"] - loss.item()) < 1e-6
    found = stage.modules["tokenizer"]
    for name, parameter in expected.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(found.get_parameter(name), parameter, atol=1e-7, rtol=1e-5)
    torch.testing.assert_close(found.quantizer.quantizer.ema_cluster_size, 0.5 * counts)
    torch.testing.assert_close(found.quantizer.quantizer.ema_w, averages)
    used = counts > 0
    torch.testing.assert_close(
        found.quantizer.quantizer.embedding.weight[used],
        (averages / (0.5 * counts)[:, None])[used],
        atol=1e-3,
        rtol=1e-3,
    )
