"""Plots and pictures of a run."""

from pathlib import Path

import numpy as np
import torch

from prima_features.pretraining.training.record import (
    History,
    draw_history,
    reconstruction_picture,
    save_picture,
)


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
