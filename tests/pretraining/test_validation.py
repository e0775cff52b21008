"""What validation measures, and the codebook's care."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator

from prima_features.encoders.prima.networks.tokenizer import Codebook
from prima_features.pretraining.data.draws import generator
from prima_features.pretraining.objectives import recall, retrieval
from prima_features.pretraining.stages.tokenizer import restore, revive, snapshot
from prima_features.pretraining.training.record import (
    History,
    draw_history,
    reconstruction_picture,
    save_picture,
)


def test_a_partner_among_the_k_most_similar_is_a_hit() -> None:
    texts = F.normalize(torch.randn(30, 8), dim=-1)
    measures = retrieval(texts, texts)
    assert set(measures.values()) == {1.0} and len(measures) == 6
    shifted = retrieval(texts.roll(1, 0), texts)
    similarity = texts @ texts.roll(1, 0).T
    ranks = (similarity > similarity.diagonal()[:, None]).sum(1)
    for k in (1, 5, 10):
        assert shifted[f"text_to_study_recall_at_{k}"] == pytest.approx((ranks < k).double().mean().item())


def test_both_ways_are_measured_apart() -> None:
    # Every text is nearest to image 0, and each image to its own text.
    images = torch.eye(3)
    texts = torch.tensor([[1.0, 0, 0], [0.8, 0.6, 0], [0.8, 0, 0.6]])
    measures = retrieval(images, texts)
    assert measures["text_to_study_recall_at_1"] == pytest.approx(1 / 3)
    assert measures["study_to_text_recall_at_1"] == 1.0


def test_equal_reports_share_their_places() -> None:
    similarity = torch.zeros(10, 10)
    assert recall(similarity, 1) == pytest.approx(0.1)
    assert recall(similarity, 5) == pytest.approx(0.5)
    assert recall(similarity, 10) == 1.0


def test_what_is_no_number_is_not_found() -> None:
    similarity = torch.eye(10)
    similarity[3] = torch.nan
    assert np.isnan(recall(similarity, 1)) and np.isnan(recall(similarity, 10))


def test_a_reconstruction_stands_below_its_subvolume() -> None:
    subvolumes = torch.rand(3, 1, 32, 8, 32)
    picture = reconstruction_picture(subvolumes, torch.zeros_like(subvolumes))
    assert picture.shape == (65, 3 * 32 + 2)
    middle = subvolumes[0, 0, :, 4].numpy()
    expected = (middle - middle.min()) / (middle.max() - middle.min())
    np.testing.assert_allclose(picture[:32, :32], expected, atol=1e-6)
    assert (picture[33:, :32] == 0).all()
    assert picture.min() >= 0 and picture.max() <= 1


def test_plots_are_drawn_from_the_log(tmp_path: Path) -> None:
    history = History(tmp_path / "log.jsonl")
    for step in range(1, 4):
        history.add({"step": step, "loss": 1 / step if step != 2 else float("nan"), "lr": 0.1})
    history.add({"step": 3, "validation": {"clip_loss": 0.5, "text_to_study_recall_at_1": 0.25}})
    draw_history(history.read(), tmp_path)
    save_picture(np.zeros((4, 5)), tmp_path / "p.png")
    from matplotlib.image import imread

    assert imread(tmp_path / "loss.png").std() > 0
    assert (tmp_path / "retrieval.png").exists()
    assert imread(tmp_path / "p.png").shape[:2] == (4, 5)
    assert history.read()[1]["loss"] is None


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
