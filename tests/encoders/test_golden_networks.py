"""The networks against the public Prima code, with the weights of the published layout."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from prima_features.encoders.prima.convert.run import convert
from prima_features.encoders.prima.networks import Prima, PrimaConfig, TextTower
from prima_features.encoders.prima.networks.heads import MLP, Head, PriorityHead
from prima_features.encoders.prima.networks.prima import SeriesOutput, StudyOutput
from prima_features.encoders.ragged import Ragged

TOLERANCE = 1e-4
Arrays = Mapping[str, np.ndarray]
Outputs = tuple[SeriesOutput, StudyOutput]


@pytest.fixture(scope="module")
def converted(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("converted") / "model"
    convert(golden / "published_layout_full.pt", golden / "published_layout_vqvae.pth", directory)
    return directory


@pytest.fixture(scope="module")
def config(converted: Path) -> PrimaConfig:
    return PrimaConfig.from_json(json.loads((converted / "config.json").read_text()))


@pytest.fixture(scope="module")
def arrays(golden: Path) -> Arrays:
    return np.load(golden / "study_a.npz")


@pytest.fixture(scope="module")
def outputs(golden: Path, converted: Path, config: PrimaConfig, arrays: Arrays) -> Outputs:
    """The study's own token vectors and names through the sequence and study ViTs."""
    prima = Prima(config).eval()
    prima.load_state_dict(load_file(converted / "model.safetensors"))
    study = json.loads((golden / "study_a.json").read_text())
    names = [series["name"] for series in study["series"]]
    tokens = [torch.from_numpy(arrays[f"token_vector_{i}"]) for i in range(len(names))]
    with torch.no_grad():
        return prima(Ragged.from_list(tokens), names, [len(names)], [study["description"]])


def assert_close(ours: Tensor, expected: np.ndarray) -> None:
    assert ours.shape == expected.shape
    assert np.abs(ours.numpy() - expected).max() < TOLERANCE * np.abs(expected).max()


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def test_series_embeddings_are_met(outputs: Outputs, arrays: Arrays) -> None:
    assert_close(outputs[0].embedding, arrays["series_embedding"])


def test_the_study_embedding_is_met(outputs: Outputs, arrays: Arrays) -> None:
    assert_close(outputs[1].embedding, arrays["study_embedding"])


def test_the_clip_embedding_is_met(outputs: Outputs, arrays: Arrays) -> None:
    assert_close(outputs[1].clip, arrays["clip_embedding"])


@pytest.mark.parametrize("kind", ["diagnosis", "referral"])
def test_scores_are_met(
    converted: Path, config: PrimaConfig, outputs: Outputs, arrays: Arrays, kind: str
) -> None:
    tensors = load_file(converted / "heads.safetensors")
    scores = []
    for head in getattr(config.heads, kind):
        state = part(tensors, f"{kind}.{head.name}.")
        in_dim, hidden, _ = MLP.sizes(state)
        network = Head(in_dim, hidden, head.threshold)
        network.load_state_dict(state)
        scores.append(network(outputs[1].embedding))
    assert_close(torch.cat(scores).detach(), arrays[kind])


def test_priorities_are_met(converted: Path, outputs: Outputs, arrays: Arrays) -> None:
    state = part(load_file(converted / "heads.safetensors"), "priority.")
    network = PriorityHead(*MLP.sizes(state))
    network.load_state_dict(state)
    assert_close(network(outputs[1].embedding)[0].detach(), arrays["priority"])


def test_the_text_tower_is_met(golden: Path, converted: Path, config: PrimaConfig) -> None:
    pytest.importorskip("transformers", reason="needs the extra prima-features[text]")
    assert config.text is not None
    tower = TextTower(config.text).eval()
    tower.load_state_dict(load_file(converted / "text.safetensors"))
    parts = np.load(golden / "parts.npz")
    with torch.no_grad():
        vectors = tower(torch.from_numpy(parts["text_ids"]), torch.from_numpy(parts["text_lengths"]))
    assert_close(vectors, parts["text_embedding"])
