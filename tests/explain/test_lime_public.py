"""`--method lime-public`: the masks, outputs and coefficients of the public code."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from prima_features.encoders.prima import PrimaModel
from prima_features.explain.passes import Passes, SeriesTokens
from prima_features.explain.regression import cosine_weights, public_masks, ridge
from prima_features.explain.targets import Target, TargetName, head_target

CASES = ("one_series", "in_study", "kept_twice")


@dataclass
class Case:
    """One golden LIME run."""

    passes: Passes
    index: int
    target: Target
    values: dict[str, np.ndarray]
    facts: dict

    @property
    def masks(self) -> np.ndarray:
        n = int(self.values["n_features"])
        return np.unpackbits(self.values["mask_bits"], axis=1)[:, :n].astype(bool)


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, golden: Path, golden_clinical: Path, published: Path) -> Case:
    document = json.loads((golden_clinical / "a_clinical.json").read_text())
    facts = document["lime"][request.param]
    values = dict(np.load(golden_clinical / f"a_lime_{request.param}.npz"))
    model = PrimaModel.from_pretrained(published)

    def tokens(name: str, latent: np.ndarray, coord: np.ndarray) -> SeriesTokens:
        # The spatial axis of the latent that is two long is the slice axis.
        axis = latent.shape[2:].index(2)
        with torch.inference_mode():
            vectors = model.token_vectors(torch.from_numpy(latent), torch.from_numpy(coord), axis)
        return SeriesTokens(name, vectors, coord)

    if request.param == "kept_twice":
        series, description = [tokens(facts["series"], values["latent"], values["coord"])], "MRI BRAIN"
    else:
        study, description = np.load(golden / "study_a.npz"), document["description"]
        series = [
            tokens(name, study[f"latent_{i}"], study[f"coord_{i}"])
            for i, name in enumerate(document["series"])
            if name in facts["series_in_study"]
        ]
    index = [one.name for one in series].index(facts["series"])
    target = head_target(published, TargetName("diagnosis", facts["diagnosis"]))
    return Case(Passes(model, series, description), index, target, values, facts)


def test_masks_are_equal(case: Case) -> None:
    masks = public_masks(int(case.values["n_features"]), case.facts["samples"], case.facts["seed"])
    np.testing.assert_array_equal(masks, case.masks)


def test_coefficients_of_the_public_outputs_are_equal(case: Case) -> None:
    weights = case.values["kernel_weight"]
    fit = ridge(case.masks, case.values["model_output"], weights)
    np.testing.assert_allclose(fit.coefficient, case.values["coefficient"], rtol=0, atol=1e-10)
    assert abs(fit.intercept - case.values["intercept"]) <= 1e-10
    assert abs(fit.r2 - float(case.values["r2"])) <= 1e-10


def test_the_intended_kernel_gives_the_alternative_coefficients(case: Case) -> None:
    weights = cosine_weights(case.masks)
    np.testing.assert_allclose(weights, case.values["alt_cosine_weight"], rtol=0, atol=1e-12)
    fit = ridge(case.masks, case.values["model_output"], weights)
    np.testing.assert_allclose(fit.coefficient, case.values["alt_cosine_coefficient"], rtol=0, atol=1e-10)


def test_a_few_outputs_are_those_of_the_public_code(case: Case) -> None:
    found = case.passes.without_tokens(case.index, case.masks[:12], case.target)
    np.testing.assert_allclose(found, case.values["model_output"][:12], rtol=0, atol=5e-5)


@pytest.mark.slow
def test_all_outputs_and_own_coefficients_are_those_of_the_public_code(case: Case) -> None:
    outputs = case.passes.without_tokens(case.index, case.masks, case.target)
    np.testing.assert_allclose(outputs, case.values["model_output"], rtol=0, atol=5e-5)
    fit = ridge(case.masks, outputs, np.ones(len(outputs)))
    np.testing.assert_allclose(fit.coefficient, case.values["coefficient"], rtol=0, atol=1e-5)


def test_the_regression_is_scikit_learn_s_with_many_and_with_few_samples() -> None:
    rng = np.random.default_rng(0)
    for n_samples, n_features in ((40, 12), (12, 40)):
        masks, y = rng.random((n_samples, n_features)) < 0.5, rng.normal(size=n_samples)
        weights = rng.uniform(0.2, 1, n_samples)
        expected = Ridge(alpha=1.0).fit(masks, y, sample_weight=weights)
        fit = ridge(masks, y, weights)
        np.testing.assert_allclose(fit.coefficient, expected.coef_, rtol=0, atol=1e-12)
        assert fit.intercept == pytest.approx(expected.intercept_, abs=1e-12)
        assert fit.r2 == pytest.approx(expected.score(masks, y, weights), abs=1e-12)
