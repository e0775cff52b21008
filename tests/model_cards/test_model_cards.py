"""Cards that people and the Hub can read."""

import re

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.utils import validate_repo_id

from prima_features import model_cards
from prima_features.models import bundled
from prima_features.models.published import PUBLISHED, Bundled, PublishedModel


def test_every_bundled_model_and_the_converted_one_has_a_card() -> None:
    assert {*bundled.names(), "prima"} <= {*model_cards.names()}


@pytest.mark.parametrize("name", model_cards.names())
def test_the_metadata_is_what_the_hub_reads(name: str) -> None:
    validate_repo_id(name)
    data = ModelCard(model_cards.card(name), ignore_metadata_errors=False).data
    assert data.library_name == "prima-features"
    assert data.pipeline_tag == "image-feature-extraction"
    assert data.license
    assert {"mri", "brain", "neuroimaging"} <= {*data.tags}
    if data.license == "other":
        assert data.license_name
        assert data.license_link


@pytest.mark.parametrize("name", model_cards.names())
def test_every_card_says_that_it_is_for_research_only(name: str) -> None:
    text = " ".join(model_cards.card(name).split()).lower()
    assert "not a medical device" in text
    assert "research" in text


def test_the_converted_card_names_paper_source_licence_and_limits() -> None:
    text = model_cards.card("prima")
    for needed in ("2509.18638", "MLNeurosurg/Prima", "primafullmodel107.pt", "## Licence", "## Limits"):
        assert needed in text


CODE = {"not public": "code was not available", "this package": "this package's"}
"""How cards say what the list says of the licence of the code."""
SERIES = [row for row in PUBLISHED if row.name != "prima" and not isinstance(row.source, Bundled)]


@pytest.mark.parametrize("model", SERIES, ids=lambda row: row.name)
def test_cards_of_published_models_state_what_the_list_states(model: PublishedModel) -> None:
    """Licences of code and weights, gate, citation, input, warnings, variants, and what was not verified."""
    text = " ".join(model_cards.card(model.model_type).split())
    weights = re.split(r"[;(]", model.weights_licence)[0].strip()
    assert weights.replace("none stated for", "none is stated for") in text
    assert CODE.get(model.code_licence, model.code_licence) in text
    assert ("institutional e-mail" if model.gate else "no gate") in text
    for reference in re.findall(r"\d{4}\.\d{5}|10\.\d+/\S+", model.citation) or ["Gilmore, Rokem"]:
        assert reference in text
    assert "## Input" in text
    assert re.search(r"not available for these tests|[Nn]ot verified", text)
    if model.caveat:
        assert re.search(r"trained on natural images|do not recommend|\*\*Unverified", text)
    if len(variants := [row.name for row in SERIES if row.model_type == model.model_type]) > 1:
        assert all(f"`{name}`" in text for name in variants)


def test_a_card_that_does_not_exist_is_told() -> None:
    with pytest.raises(KeyError, match=r"there are .*prima-synth"):
        model_cards.card("nobody")
