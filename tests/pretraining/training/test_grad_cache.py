"""A batch in chunks has the gradients of the whole."""

import copy

import pytest
import torch
from torch import Tensor, nn

from prima_features.pretraining.objectives import clip_loss
from prima_features.pretraining.training.gradients import backward_in_chunks


class Towers(nn.Module):
    """Two small towers and a temperature."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Linear(5, 7), nn.GELU(), nn.Linear(7, 4))
        self.text = nn.Linear(6, 4)
        self.temperature = nn.Parameter(torch.tensor([0.07]))

    def forward(self, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return self.image(pair[0]), self.text(pair[1])


@pytest.mark.parametrize("size", [1, 3, 5, 12])
def test_chunks_give_the_big_batch_within_1e_5(size: int) -> None:
    torch.manual_seed(0)
    whole = Towers()
    cached = copy.deepcopy(whole)
    images, texts = torch.randn(12, 5), torch.randn(12, 6)
    loss = clip_loss(*whole((images, texts)), whole.temperature)
    loss.backward()
    found = backward_in_chunks(
        list(zip(images.split(size), texts.split(size), strict=True)),
        cached,
        lambda embedded, shared: clip_loss(*embedded, shared[0]),
        [cached.temperature],
    )
    assert abs(found - loss) < 1e-5
    for one, other in zip(cached.parameters(), whole.parameters(), strict=True):
        assert one.grad is not None
        torch.testing.assert_close(one.grad, other.grad, atol=1e-5, rtol=1e-5)


def test_only_one_chunk_at_a_time_keeps_what_gradients_need() -> None:
    towers = Towers()
    alive, most = 0, 0

    def encode(pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        nonlocal alive, most
        images, texts = towers(pair)
        if images.requires_grad:
            alive += 1
            most = max(most, alive)

            def done(gradient: Tensor) -> None:
                nonlocal alive
                alive -= 1

            images.register_hook(done)
        return images, texts

    chunks = [(torch.randn(2, 5), torch.randn(2, 6)) for _ in range(4)]
    backward_in_chunks(chunks, encode, lambda e, s: clip_loss(e[0], e[1], s[0]), [towers.temperature])
    assert most == 1


def test_gradients_of_a_share_add_up() -> None:
    torch.manual_seed(0)
    once, twice = Towers(), Towers()
    twice.load_state_dict(once.state_dict())
    chunks = [(torch.randn(4, 5), torch.randn(4, 6))]

    def loss(embedded: list[Tensor], shared: list[Tensor]) -> Tensor:
        return clip_loss(embedded[0], embedded[1], shared[0])

    backward_in_chunks(chunks, once, loss, [once.temperature])
    for _ in range(2):
        backward_in_chunks(chunks, twice, loss, [twice.temperature], share=0.5)
    for one, other in zip(once.parameters(), twice.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
