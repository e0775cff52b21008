"""The bundled model of random weights: what `build_untrained` makes, and good enough to tell inputs apart."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from prima_features import model_cards
from prima_features.encoders.prima import PrimaModel
from prima_features.encoders.prima.model_config import read_config
from prima_features.encoders.prima.untrained import CONFIG, NAME, build_untrained
from prima_features.encoders.ragged import Ragged
from prima_features.models import bundled


def test_the_shipped_model_is_what_the_script_builds(tmp_path: Path) -> None:
    build_untrained(tmp_path / "built")
    shipped = bundled.path(NAME)
    built, there = (
        load_file(tmp_path / "built" / "model.safetensors"),
        load_file(shipped / "model.safetensors"),
    )
    assert built.keys() == there.keys()
    for name, tensor in built.items():
        torch.testing.assert_close(tensor, there[name], rtol=2e-3, atol=1e-6)  # a last bit of half precision
    assert read_config(shipped) == CONFIG
    assert (shipped / "README.md").read_text() == model_cards.card(NAME)


def test_it_is_small() -> None:
    assert sum(file.stat().st_size for file in bundled.path(NAME).iterdir()) < 1_000_000


def test_its_card_says_first_of_all_that_the_numbers_mean_nothing() -> None:
    first = model_cards.card(NAME).split("---\n")[2].splitlines()[0]
    assert "random" in first
    assert "untrained" in first
    assert "mean nothing" in first


def test_different_inputs_give_clearly_different_embeddings() -> None:
    model = PrimaModel.from_pretrained(NAME)
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(30, 4, 32, 32, generator=generator)
    ramp = torch.linspace(0, 1, 32).expand(30, 4, 32, 32)
    coord = torch.stack([torch.arange(30) * 4, torch.zeros(30), torch.zeros(30)], dim=1).long()
    with torch.inference_mode():
        tokens = [
            model.token_vectors(model.encode_subvolumes(v), coord, 0) for v in (noise, ramp, ramp * 0.3)
        ]
        series = model.encode_series(Ragged.from_list(tokens), ["T1", "T1", "T1"])
        studies = model.encode_study(Ragged.from_lengths(series.embedding, [1, 1, 1]), ["MRI BRAIN"] * 3)
    for vectors in (series.embedding, studies.embedding):
        cosine = torch.nn.functional.cosine_similarity(vectors[:, None], vectors[None], dim=-1)
        assert (cosine - torch.eye(3)).max() < 0.995
    assert torch.isfinite(studies.clip).all()
