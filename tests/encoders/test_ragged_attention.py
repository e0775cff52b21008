import pytest
import torch
from torch import Tensor

from prima_features.encoders.ragged import KERNELS, Ragged, ragged_attention


def random_heads(
    lengths: list[int], heads: int = 3, dim_head: int = 16
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, sum(lengths), heads, dim_head, generator=generator)
    return q, k, v, Ragged.from_lengths(q, lengths).cu_seqlens


def plain_attention(q: Tensor, k: Tensor, v: Tensor, cu_seqlens: Tensor) -> Tensor:
    """Softmax written out, in double precision, with a mask between the sequences."""
    owner = torch.bucketize(torch.arange(len(q)), cu_seqlens[1:], right=True)
    scores = torch.einsum("ihd,jhd->hij", q.double(), k.double()) / q.shape[-1] ** 0.5
    weights = scores.masked_fill(owner[:, None] != owner, -torch.inf).softmax(dim=-1)
    return torch.einsum("hij,jhd->ihd", weights, v.double())


@pytest.mark.parametrize("dim_head", [8, 24, 64])
@pytest.mark.parametrize("lengths", [[7], [5, 1, 40, 5], [3, 0, 2]])
def test_it_is_the_softmax_within_each_sequence(lengths: list[int], dim_head: int) -> None:
    q, k, v, cu_seqlens = random_heads(lengths, dim_head=dim_head)
    result = ragged_attention(q, k, v, cu_seqlens, max(lengths))
    torch.testing.assert_close(result.double(), plain_attention(q, k, v, cu_seqlens), atol=2e-6, rtol=0)


@pytest.mark.parametrize("lengths", [[7], [70, 1, 40]])
def test_bfloat16_on_the_processor_is_near_it_whatever_its_instructions(lengths: list[int]) -> None:
    q, k, v, cu_seqlens = random_heads(lengths)
    result = ragged_attention(q.bfloat16(), k.bfloat16(), v.bfloat16(), cu_seqlens, max(lengths))
    torch.testing.assert_close(result.double(), plain_attention(q, k, v, cu_seqlens), atol=0.05, rtol=0)


def test_gradients_are_those_of_the_softmax() -> None:
    *heads, cu_seqlens = random_heads([6, 11])
    ours, plain = ([x.clone().requires_grad_() for x in heads] for _ in range(2))
    weights = torch.randn_like(heads[0])
    (ragged_attention(*ours, cu_seqlens, 11) * weights).sum().backward()
    (plain_attention(*plain, cu_seqlens) * weights).sum().backward()
    for x, y in zip(ours, plain, strict=True):
        torch.testing.assert_close(x.grad, y.grad, atol=1e-5, rtol=0)


def test_a_sequence_never_sees_another() -> None:
    q, k, v, cu_seqlens = random_heads([4, 9, 3])
    alone = ragged_attention(*(x[4:13] for x in (q, k, v)), torch.tensor([0, 9], dtype=torch.int32), 9)
    for x in (q, k, v):
        x[:4] = torch.nan
        x[13:] = torch.inf
    assert torch.equal(ragged_attention(q, k, v, cu_seqlens, 9)[4:13], alone)


def test_an_empty_batch_gives_an_empty_result() -> None:
    q, k, v, cu_seqlens = random_heads([])
    assert ragged_attention(q, k, v, cu_seqlens, 0).shape == q.shape


def test_every_input_has_a_kernel() -> None:
    *_, last = KERNELS.values()
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        assert last.fits(torch.empty(1, 1, 7, dtype=dtype))


def test_the_variable_length_kernel_takes_our_call() -> None:
    pytest.importorskip("torch.nn.attention.varlen", reason="torch before 2.10 has no such kernel")
    q, k, v, cu_seqlens = (x.to("meta") for x in random_heads([4, 9]))
    assert KERNELS["varlen"].run(q, k, v, cu_seqlens, 9).shape == q.shape


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_kernels_agree_on_cuda(dtype: torch.dtype) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    lengths = [5, 300, 1, 64]
    *heads, cu_seqlens = (x.cuda() for x in random_heads(lengths, dim_head=64))
    q, k, v = (x.to(dtype) for x in heads)
    if not KERNELS["varlen"].fits(q):
        pytest.skip("this torch or device has no variable-length kernel")
    varlen, sdpa = (KERNELS[name].run(q, k, v, cu_seqlens, 300).float() for name in ("varlen", "sdpa"))
    exact = plain_attention(*(x.cpu() for x in (q, k, v, cu_seqlens))).float().cuda()
    torch.testing.assert_close(varlen, sdpa, atol=0.02, rtol=0)
    torch.testing.assert_close(varlen, exact, atol=0.02, rtol=0)
