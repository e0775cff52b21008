"""Dataclasses from settings of strangers: what a field cannot be is refused with the key's name."""

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from prima_features.encoders.prima.networks.config import HeadsConfig
from prima_features.files.plain import from_plain


@dataclass(frozen=True)
class Settings:
    number: float = 0.0
    count: int = 0
    level: Literal[1, 2] = 1
    pair: tuple[int, int] = (1, 2)
    name: str | None = None
    on: bool = False


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("number", True),
        ("number", 10**400),
        ("number", float("nan")),
        ("number", float("-inf")),
        ("number", "1"),
        ("count", True),
        ("count", 1.0),
        ("level", True),
        ("level", 1.0),
        ("level", [1]),
        ("pair", [1]),
        ("pair", [1, True]),
        ("pair", {"a": 1}),
        ("name", 3),
        ("on", 1),
    ],
)
def test_a_value_of_another_type_is_refused(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=key):
        from_plain(Settings, {key: value})


@pytest.mark.parametrize(
    "heads",
    [
        {"diagnosis": [{"name": "a", "threshold": 0}, {"name": "a", "threshold": 1}]},
        {"referral": [{"name": "", "threshold": 0}]},
        {"priority": ["low", "low"]},
    ],
)
def test_names_of_heads_stand_for_one_output_each(heads: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a name twice or one that is empty"):
        from_plain(HeadsConfig, heads)


@pytest.mark.parametrize("name", ["a\tb", "a\nb", " a", "\u202ea", "a\x00"])
@pytest.mark.parametrize("kind", ["diagnosis", "priority"])
def test_names_of_heads_can_be_columns_of_tables(kind: str, name: str) -> None:
    heads = {"diagnosis": [{"name": name, "threshold": 0}], "priority": ["low", name]}
    with pytest.raises(ValueError, match="names are columns of tables"):
        from_plain(HeadsConfig, {kind: heads[kind]})


def test_a_worklist_needs_two_priority_levels() -> None:
    with pytest.raises(ValueError, match="needs two or more"):
        from_plain(HeadsConfig, {"priority": ["high"]})
