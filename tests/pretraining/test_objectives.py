"""The objectives against the public Prima code, and what must hold of them."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from prima_features.encoders.prima.networks.config import TokenizerConfig
from prima_features.encoders.prima.networks.tokenizer import Tokenizer
from prima_features.pretraining.objectives import (
    clip_loss,
    level_loss,
    patient_accuracy,
    patient_loss,
    presence_loss,
    recall,
    reconstruction_loss,
    retrieval,
)

TOLERANCE = {"atol": 1e-5, "rtol": 1e-6}


@pytest.fixture(scope="module")
def parts(golden: Path) -> dict[str, Tensor]:
    with np.load(golden / "parts.npz") as arrays:
        return {name: torch.from_numpy(np.array(values)) for name, values in arrays.items()}


def test_the_clip_loss_is_the_public_one(parts: dict[str, Tensor]) -> None:
    found = clip_loss(parts["clip_image"], parts["clip_text"], parts["clip_temperature"])
    torch.testing.assert_close(found, parts["clip_loss"], **TOLERANCE)
    unscaled = clip_loss(parts["clip_image"], parts["clip_text"], torch.zeros(1))
    torch.testing.assert_close(unscaled, parts["clip_loss_unscaled"], **TOLERANCE)


def test_the_patient_loss_is_the_public_one(parts: dict[str, Tensor]) -> None:
    found = patient_loss(parts["patient_vectors"], parts["patient_study"])
    torch.testing.assert_close(found, parts["patient_loss"], **TOLERANCE)


def test_the_tokenizer_rebuilds_and_commits_as_the_public_one(
    published: Path, parts: dict[str, Tensor]
) -> None:
    tokenizer = Tokenizer(TokenizerConfig(channels=(16, 24), res_channels=(20, 12), codes=64)).eval()
    tensors = load_file(published / "model.safetensors")
    prefix = "tokenizer."
    tokenizer.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    with torch.no_grad():
        output = tokenizer(parts["vqvae_input"])
    assert torch.equal(output.codes, parts["vqvae_codes"])
    torch.testing.assert_close(output.reconstruction, parts["vqvae_reconstruction"], atol=1e-5, rtol=1e-4)
    distance, commitment = reconstruction_loss(output, parts["vqvae_input"])
    torch.testing.assert_close(commitment, parts["vqvae_quantization_loss"], **TOLERANCE)
    expected = (parts["vqvae_reconstruction"] - parts["vqvae_input"]).abs().mean()
    torch.testing.assert_close(distance, expected, **TOLERANCE)


def test_the_clip_loss_is_that_of_guessing_where_all_are_alike() -> None:
    same = torch.ones(5, 3)
    torch.testing.assert_close(clip_loss(same, same, torch.zeros(1)), torch.tensor(5.0).log())


def test_the_clip_loss_ignores_lengths_and_the_order_of_the_batch() -> None:
    images, texts, order = torch.randn(6, 4), torch.randn(6, 4), torch.randperm(6)
    loss = clip_loss(images, texts, torch.tensor([0.5]))
    torch.testing.assert_close(clip_loss(3 * images[order], texts[order], torch.tensor([0.5])), loss)


def test_other_reports_of_a_subject_are_no_wrong_answers_to_clip() -> None:
    images, texts, temperature = torch.randn(4, 3), torch.randn(4, 3), torch.tensor([0.7])
    cosine = torch.nn.functional.normalize(images) @ torch.nn.functional.normalize(texts).T
    scaled = (cosine * temperature.exp()).exp()
    expected = torch.tensor(0.0)
    for i, others in enumerate(([2, 3], [2, 3], [0, 1], [0, 1])):
        expected += -(scaled[i, i] / scaled[i, [i, *others]].sum()).log()
        expected += -(scaled[i, i] / scaled[[i, *others], i].sum()).log()
    found = clip_loss(images, texts, temperature, torch.tensor([0, 0, 1, 1]))
    torch.testing.assert_close(found, expected / 8)
    torch.testing.assert_close(
        clip_loss(images, texts, temperature, torch.arange(4)), clip_loss(images, texts, temperature)
    )


def test_series_alone_in_their_study_are_left_out() -> None:
    vectors = torch.randn(4, 3, requires_grad=True)
    assert patient_loss(vectors, torch.arange(4)) == 0
    patient_loss(vectors, torch.arange(4)).backward()
    study = torch.tensor([0, 0, 1, 2])
    logits = (vectors @ vectors.T / 0.1).masked_fill(torch.eye(4, dtype=torch.bool), -10)
    mass = logits.softmax(1)[[0, 1], [1, 0]]
    torch.testing.assert_close(patient_loss(vectors, study), -mass.log().sum(), atol=1e-4, rtol=1e-4)


def test_a_subjects_other_studies_are_not_compared_with() -> None:
    vectors, study = torch.randn(6, 3), torch.tensor([0, 0, 1, 1, 2, 2])
    mass = torch.tensor(0.0)
    for i, (sibling, others) in enumerate(zip([1, 0, 3, 2], [[4, 5]] * 4, strict=True)):
        products = (vectors[i] @ vectors.T / 0.1).exp()
        mass -= (products[sibling] / (products[[sibling, *others]].sum() + np.exp(-10))).log()
    for i, sibling in ((4, 5), (5, 4)):
        products = (vectors[i] @ vectors.T / 0.1).exp()
        mass -= (products[sibling] / (products[[sibling, 0, 1, 2, 3]].sum() + np.exp(-10))).log()
    found = patient_loss(vectors, study, subject=torch.tensor([0, 0, 0, 0, 1, 1]))
    torch.testing.assert_close(found, mass, atol=1e-4, rtol=1e-4)


def test_the_patient_loss_stays_finite_where_a_mass_underflows() -> None:
    vectors = torch.tensor([[30.0, 0], [-30.0, 0], [30.0, 1]], requires_grad=True)
    loss = patient_loss(vectors, torch.tensor([0, 0, 1]))
    loss.backward()
    assert loss.isfinite() and vectors.grad is not None and vectors.grad.isfinite().all()


def test_patient_accuracy_counts_series_nearest_to_their_own_study() -> None:
    vectors = torch.tensor([[1.0, 0], [0.9, 0.1], [0, 1.0], [0.8, 0]])
    assert patient_accuracy(vectors, torch.tensor([0, 0, 1, 1])) == 0.5


def test_rare_positives_weigh_as_much_as_the_negatives() -> None:
    outputs = torch.zeros(4, requires_grad=True)
    labels = torch.tensor([1.0, 0, 0, 0])
    presence_loss(outputs, labels, torch.tensor(3.0), known=4).backward()
    assert outputs.grad is not None
    torch.testing.assert_close(outputs.grad.sum(), torch.tensor(0.0), atol=1e-7, rtol=0)


def test_what_is_not_known_has_no_gradient() -> None:
    outputs = torch.randn(3, requires_grad=True)
    labels = torch.tensor([1.0, torch.nan, 0.0])
    loss = presence_loss(outputs, labels, torch.tensor(1.0), known=2)
    loss.backward()
    assert outputs.grad is not None and outputs.grad[1] == 0 and loss.isfinite()
    levels = torch.randn(2, 3, requires_grad=True)
    level_loss(levels, torch.tensor([-1, 2]), known=1).backward()
    assert levels.grad is not None and levels.grad[0].abs().sum() == 0


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
