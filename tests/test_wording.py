"""Numbers in sentences."""

import pytest

from prima_features.wording import count, verb


@pytest.mark.parametrize(
    ("n", "noun", "plural", "said"),
    [
        (1, "study", "", "1 study"),
        (0, "study", "", "0 studies"),
        (2, "labelled study", "", "2 labelled studies"),
        (1200, "row", "", "1,200 rows"),
        (2, "series", "series", "2 series"),
        (1, "subject or group", "subjects or groups", "1 subject or group"),
    ],
)
def test_nouns_go_with_their_number(n: int, noun: str, plural: str, said: str) -> None:
    assert count(n, noun, plural) == said


def test_verbs_go_with_their_number() -> None:
    assert [verb(n, "is", "are") for n in (0, 1, 2)] == ["are", "is", "are"]
