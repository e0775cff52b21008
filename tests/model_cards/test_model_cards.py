"""Cards that people and the Hub can read."""

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.utils import validate_repo_id

from prima_features import model_cards
from prima_features.models import bundled


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


def test_a_card_that_does_not_exist_is_told() -> None:
    with pytest.raises(KeyError, match=r"there are .*prima-synth"):
        model_cards.card("nobody")
