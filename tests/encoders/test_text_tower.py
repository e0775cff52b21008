import sys

import pytest
import torch

from prima_features.encoders.prima.networks.config import TextConfig
from prima_features.encoders.prima.networks.text import TextTower
from prima_features.errors import UsageError

CONFIG = TextConfig(vocab_size=50, positions=24, dim=16, depth=2, heads=2, out_dim=6)


@pytest.fixture
def tower() -> TextTower:
    pytest.importorskip("transformers", reason="needs the extra prima-features[text]")
    torch.manual_seed(0)
    return TextTower(CONFIG).eval()


def test_padding_changes_nothing(tower: TextTower) -> None:
    torch.manual_seed(0)
    ids, lengths = torch.randint(0, 50, (3, 20)), torch.tensor([20, 7, 1])
    together = tower(ids, lengths)
    for i, length in enumerate(lengths):
        alone = tower(ids[i : i + 1, :length], lengths[i : i + 1])
        torch.testing.assert_close(together[i], alone[0], atol=1e-5, rtol=1e-5)


def test_the_last_token_is_read(tower: TextTower) -> None:
    ids = torch.arange(10)[None]
    changed = ids.clone()
    changed[0, 9] = 30
    lengths = torch.tensor([10])
    assert (tower(ids, lengths) - tower(changed, lengths)).abs().max() > 1e-3


def test_texts_are_unit_vectors(tower: TextTower) -> None:
    vectors = tower(torch.randint(0, 50, (4, 5)), torch.full((4,), 5))
    assert vectors.shape == (4, 6)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(4))


def test_keys_are_those_of_gpt2_and_of_the_projection(tower: TextTower) -> None:
    keys = set(tower.state_dict())
    assert {key for key in keys if not key.startswith("gpt2.")} == {
        f"project.{i}.{kind}" for i in range(3) for kind in ("weight", "bias")
    }
    assert {"gpt2.wte.weight", "gpt2.wpe.weight", "gpt2.h.1.attn.c_attn.weight", "gpt2.ln_f.bias"} <= keys


def test_without_transformers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match=r"pip install 'prima-features\[text\]'"):
        TextTower(CONFIG)
