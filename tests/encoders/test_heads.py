import torch

from prima_features.encoders.prima.networks.heads import MLP, Head, PriorityHead


def test_a_score_is_the_output_minus_the_threshold() -> None:
    torch.manual_seed(0)
    head, study = Head(5, (4, 3), threshold=0.3), torch.randn(6, 5)
    hidden = (study @ head[0].weight.T + head[0].bias).clamp(min=0)
    hidden = (hidden @ head[2].weight.T + head[2].bias).clamp(min=0)
    torch.testing.assert_close(head(study), hidden @ head[4].weight[0] + head[4].bias - 0.3)


def test_priority_has_one_output_a_level() -> None:
    assert PriorityHead(5, (4, 3), levels=3)(torch.randn(6, 5)).shape == (6, 3)


def test_the_layers_are_0_2_and_4() -> None:
    keys = {f"{layer}.{kind}" for layer in (0, 2, 4) for kind in ("weight", "bias")}
    assert set(Head(5, (4, 3)).state_dict()) == set(PriorityHead(5, (4, 3)).state_dict()) == keys


def test_sizes_are_read_off_the_tensors() -> None:
    assert MLP.sizes(MLP(7, (6, 5), 4).state_dict()) == (7, (6, 5), 4)
