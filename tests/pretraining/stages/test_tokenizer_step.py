"""The tokenizer stage: one step next to the same step written out, and the care of the codebook."""

import copy
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from small_training import loop_of, tokenizer_settings

from prima_features.encoders.prima.networks.tokenizer import Codebook
from prima_features.pretraining.build import Workplace, build_stage
from prima_features.pretraining.data.draws import generator
from prima_features.pretraining.run import read_stage
from prima_features.pretraining.stages.tokenizer import restore, revive, snapshot


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


def codebook() -> Codebook:
    torch.manual_seed(0)
    made = Codebook(6, 2)
    made.ema_cluster_size[:] = torch.tensor([5.0, 0.0, 3.0, 0.001, 2.0, 1.0])
    return made


def test_codes_that_nobody_uses_move_to_latents() -> None:
    book, vectors = codebook(), torch.randn(50, 2)
    before = book.embedding.weight.clone()
    assert revive(book, vectors, 0.01, generator(0, "revive", 1)) == 2
    assert torch.equal(book.embedding.weight[[0, 2, 4, 5]], before[[0, 2, 4, 5]])
    for code in (1, 3):
        assert (vectors == book.embedding.weight[code]).all(1).any()
        assert torch.equal(book.ema_w[code], book.embedding.weight[code])
    assert revive(book, vectors, 0.01, generator(0, "revive", 2)) == 0


def test_a_codebook_goes_back_to_its_copy() -> None:
    book = codebook()
    before = snapshot(book)
    book.update(torch.full((4, 2), torch.nan), torch.tensor([0, 1, 2, 3]))
    assert book.embedding.weight.isnan().any()
    restore(book, before)
    for name, tensor in book.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_batch_that_is_not_finite_leaves_the_tokenizer_as_it_was(bids: Path, tmp_path: Path) -> None:
    from small_training import tokenizer_settings

    from prima_features.pretraining.build import Workplace, build_stage
    from prima_features.pretraining.run import read_stage
    from prima_features.pretraining.stages.tokenizer import TokenBatch

    (tmp_path / "t.toml").write_text(tokenizer_settings(bids))
    settings = read_stage("tokenizer", tmp_path / "t.toml")
    stage = build_stage(settings, Workplace(tmp_path, Accelerator(cpu=True)))
    before = {name: tensor.clone() for name, tensor in stage.modules["tokenizer"].state_dict().items()}
    measures = stage.backward(TokenBatch(torch.full((8, 1, 8, 32, 32), torch.nan)), 0)
    assert measures["loss"].isnan()
    stage.undo()
    for name, tensor in stage.modules["tokenizer"].state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_codes_are_revived_below_the_count_that_is_set(bids: Path, tmp_path: Path) -> None:
    from small_training import tokenizer_settings

    from prima_features.pretraining.build import Workplace, build_stage
    from prima_features.pretraining.run import read_stage

    def step(more: str) -> tuple[int, torch.Tensor]:
        (tmp_path / "t.toml").write_text(tokenizer_settings(bids, more=more))
        settings = read_stage("tokenizer", tmp_path / "t.toml")
        stage = build_stage(settings, Workplace(tmp_path, Accelerator(cpu=True)))
        measures = stage.backward(stage.load(0), 0)
        return int(measures["codes_revived"]), stage.modules["tokenizer"].quantizer.quantizer.ema_cluster_size

    revived, counts = step("")
    assert revived == 0
    below = counts.unique()[1].item() * 1.01
    fewer, more = (counts < 1e-3).sum().item(), (counts < below).sum().item()
    assert 0 < fewer < more < len(counts)
    assert step("revive_every = 1\nrevive_below = 1e-3")[0] == fewer
    assert step(f"revive_every = 1\nrevive_below = {below}")[0] == more
    assert step(f"revive_every = 2\nrevive_below = {below}")[0] == 0


def test_a_tokens_axes_are_exchanged_in_one_way_for_a_batch(bids: Path, tmp_path: Path) -> None:
    from small_training import tokenizer_settings

    from prima_features.pretraining.build import Workplace, build_stage
    from prima_features.pretraining.run import read_stage

    shapes = {}
    for more in ("", "permute_axes = false"):
        (tmp_path / "t.toml").write_text(tokenizer_settings(bids, more=more))
        settings = read_stage("tokenizer", tmp_path / "t.toml")
        stage = build_stage(settings, Workplace(tmp_path, Accelerator(cpu=True)))
        shapes[more] = {tuple(stage.load(number).values.shape) for number in range(20)}
        assert torch.equal(stage.load(3).values, stage.load(3).values)
    assert shapes[""] == {(8, 1, 8, 32, 32), (8, 1, 32, 8, 32), (8, 1, 32, 32, 8)}
    assert shapes["permute_axes = false"] == {(8, 1, 8, 32, 32)}
