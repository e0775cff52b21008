"""How well explanations find known lesions: AUROC of tokens by truth, for each method at the same number of passes.

Studies are synthetic brains with one glioma or one stroke, of a few series each; a token counts as lesion if at least
3% of it is lesion, oedema included. The target is the logit of a logistic regression on study embeddings (lesion
against no lesion), fitted on other synthetic studies with and without lesions.

    python benchmarks/explain.py --cache DIR prepare --studies 40 --training 120
    python benchmarks/explain.py --cache DIR measure --samples 500 --json
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from prima_features.encoders.prima import PrimaModel
from prima_features.encoders.prima.encode import Network
from prima_features.encoders.prima.subvolumes import cut
from prima_features.explain.passes import Passes, SeriesTokens, series_tokens
from prima_features.pretraining.data.sources.rendered import RenderedSeries
from prima_features.studies.labels import series_name
from prima_features.synthetic import (
    build_anatomy,
    content,
    draw_acquisitions,
    draw_subject,
    holds_lesion,
    render_series,
)

SEQUENCES = {"glioma": ("FLAIR", "T1w"), "stroke": ("DWI", "FLAIR")}
"""The series of each study; controls get both pairs, one each in turn."""
DESCRIPTION = "MRI BRAIN"


def prepare(folder: Path, model: PrimaModel, seed: int, index: int, condition: str, like: str) -> Path:
    """Make one study and keep its token vectors and truth.

    Args:
        condition: of the subject.
        like: the condition whose series it gets.
    """
    path = folder / f"{like}-{condition}-{seed}-{index}.npz"
    if path.exists():
        return path
    subject = draw_subject(seed, index, condition=condition)
    anatomy = build_anatomy(subject)
    arrays: dict[str, np.ndarray] = {"condition": np.array(condition)}
    network = Network(model, torch.device("cpu"), torch.float32, 64)
    for i, scan in enumerate(
        draw_acquisitions(seed, index, subject.site, sequences=SEQUENCES[like])  # type: ignore[arg-type]
    ):
        rendered = render_series(anatomy, scan)
        name = series_name(scan.description, scan.protocol) or scan.sequence
        made = RenderedSeries(name, "", lambda rendered=rendered: (rendered.volume, rendered.affine))  # type: ignore[misc]
        kept = cut(made.volume(model.preprocessing), model.preprocessing)
        size = kept.values.shape[1:]
        shares = content(anatomy, scan, kept.coord, size, model.preprocessing.matrix)  # type: ignore[arg-type]
        arrays |= {
            f"name_{i}": np.array(name),
            f"vectors_{i}": series_tokens(network, name, kept).vectors.numpy(),
            f"coord_{i}": kept.coord,
            f"size_{i}": np.array(size),
            f"lesion_{i}": holds_lesion(shares).numpy(),
        }
    np.savez(path.with_suffix(".partial.npz"), **arrays)
    path.with_suffix(".partial.npz").rename(path)
    return path


def load(path: Path, model: PrimaModel) -> tuple[Passes, dict[str, np.ndarray]]:
    """The passes of a prepared study, and its arrays."""
    arrays = dict(np.load(path))
    series = [
        SeriesTokens(str(arrays[f"name_{i}"]), torch.from_numpy(arrays[f"vectors_{i}"]), arrays[f"coord_{i}"])
        for i in range(sum(name.startswith("name_") for name in arrays))
    ]
    return Passes(model, series, DESCRIPTION), arrays


def prepare_all(folder: Path, model: PrimaModel, n_studies: int, n_training: int) -> None:
    """Test studies (seed 1), and training studies (seed 2): as many with a lesion as without."""
    for index in range(n_training // 4):
        for like in SEQUENCES:
            prepare(folder, model, 2, index, like, like)
            prepare(folder, model, 2, 100_000 + index, "control", like)
        if index < n_studies:
            for like in SEQUENCES:
                prepare(folder, model, 1, index, like, like)
    for index in range(n_studies):
        for like in SEQUENCES:
            prepare(folder, model, 1, index, like, like)


def main() -> None:
    """Prepare studies, or measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("prepare")
    making.add_argument("--studies", type=int, default=40, help="with each lesion")
    making.add_argument("--training", type=int, default=160, help="in all")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    model = PrimaModel.from_pretrained("prima-synth")
    chosen.cache.mkdir(exist_ok=True)
    prepare_all(chosen.cache, model, chosen.studies, chosen.training)


if __name__ == "__main__":
    main()
