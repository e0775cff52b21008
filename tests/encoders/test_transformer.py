import torch
import torch.nn.functional as F

from prima_features.encoders.prima.networks.config import TransformerConfig
from prima_features.encoders.prima.networks.transformer import Attention, Block, Transformer
from prima_features.encoders.ragged import Ragged

CONFIG = TransformerConfig(dim=12, depth=2, heads=3, dim_head=8, mlp_dim=20)


def test_a_block_adds_attention_and_then_the_mlp() -> None:
    torch.manual_seed(0)
    block, x = Block(CONFIG), torch.randn(5, 12)
    weights = dict(block.named_parameters())

    def norm(y: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(y, (12,), weights[f"{name}.weight"], weights[f"{name}.bias"])

    qkv = norm(x, "attention_norm") @ weights["attention.to_qkv.weight"].T
    q, k, v = qkv.view(5, 3, 3, 8).permute(1, 2, 0, 3)  # each (heads, n, dim_head)
    mixed = (q @ k.transpose(1, 2) * 8**-0.5).softmax(-1) @ v
    y = x + F.linear(
        mixed.transpose(0, 1).flatten(1), weights["attention.to_out.weight"], weights["attention.to_out.bias"]
    )
    hidden = F.gelu(F.linear(norm(y, "mlp_norm"), weights["mlp.0.weight"], weights["mlp.0.bias"]))
    expected = y + F.linear(hidden, weights["mlp.2.weight"], weights["mlp.2.bias"])
    result = block(x, torch.tensor([0, 5], dtype=torch.int32), 5)
    torch.testing.assert_close(result, expected, atol=1e-6, rtol=1e-5)


def test_one_head_as_wide_as_the_model_has_no_output_projection() -> None:
    one = Attention(TransformerConfig(dim=8, depth=1, heads=1, dim_head=8, mlp_dim=8))
    assert set(one.state_dict()) == {"to_qkv.weight"}
    two = Attention(TransformerConfig(dim=8, depth=1, heads=2, dim_head=4, mlp_dim=8))
    assert set(two.state_dict()) == {"to_qkv.weight", "to_out.weight", "to_out.bias"}


def test_a_batch_gives_what_its_sequences_give() -> None:
    torch.manual_seed(0)
    transformer = Transformer(CONFIG)
    sequences = [torch.randn(n, 12) for n in (30, 1, 7, 7)]
    together = transformer(Ragged.from_list(sequences)).split()
    for sequence, output in zip(sequences, together, strict=True):
        alone = transformer(Ragged.from_list([sequence])).values
        torch.testing.assert_close(output, alone, atol=1e-5, rtol=1e-5)
