"""Filter files as fMRIPrep and PyBIDS read them: `{"t1w": {"session": "02", "acquisition": null}}`."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from prima_features.errors import UsageError
from prima_features.files.safe import UnsafeFileError, load_json, read_text
from prima_features.studies.labels import bare

ABSENT = ""
"""Value of an entity that is missing."""
ANY = "*"

_WORDS = {"Query.NONE": ABSENT, "Query.ANY": ANY, "Query.REQUIRED": ANY, "*": ANY}


@dataclass(frozen=True)
class BidsFilter:
    """One query of a filter file. It restricts the images that it concerns, and no others."""

    name: str
    """Its key in the file: a suffix or datatype in any case, unless the query names one itself."""
    wanted: tuple[tuple[str, tuple[str, ...]], ...]
    """BIDS entities by their short names, each with the values that match."""

    @property
    def named(self) -> frozenset[str]:
        """Entities that it decides on."""
        return frozenset(entity for entity, _ in self.wanted)

    def concerns(self, entities: Mapping[str, str]) -> bool:
        """Whether the query applies to an image, by datatype and suffix."""
        scope = [(entity, values) for entity, values in self.wanted if entity in ("datatype", "suffix")]
        if scope:
            return all(_matches(entities.get(entity, ABSENT), values) for entity, values in scope)
        kinds = (entities.get("datatype", ABSENT), entities.get("suffix", ABSENT).lower())
        return self.name.lower() in (*kinds, "")

    def matches(self, entities: Mapping[str, str]) -> bool:
        """Whether an image has all requested values."""
        return all(_matches(entities.get(entity, ABSENT), values) for entity, values in self.wanted)


def read_filters(path: Path) -> tuple[BidsFilter, ...]:
    """Queries of a filter file. One query without a name concerns every image.

    A value is a string or number, a list of which one must match, null or `Query.NONE` for an entity that must be
    absent, or `*` or `Query.ANY` for one that must be present. Entities have their long or short names.

    Raises:
        UsageError: the file does not exist, is not JSON, or names an unknown entity.
    """
    try:
        queries = load_json(read_text(path, encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"The filter file {path} cannot be read: {error.strerror}") from error
    except UnsafeFileError as error:
        raise UsageError(f"The filter file {path} {error}; it is not read") from error
    except ValueError as error:
        raise UsageError(f"The filter file {path} is not valid JSON: {error}") from error
    if not isinstance(queries, dict) or not queries:
        raise UsageError(
            f'The filter file {path} must contain queries, such as {{"t1w": {{"session": "02"}}}}'
        )
    if not any(isinstance(query, dict) for query in queries.values()):
        queries = {"": queries}
    return tuple(_filter(path, name, query) for name, query in queries.items())


def _filter(path: Path, name: str, query: Any) -> BidsFilter:
    if not isinstance(query, dict):
        raise UsageError(f"In the filter file {path}, {name!r} must be an object of entities, not {query!r}")
    wanted = []
    for entity, values in query.items():
        if values != "Query.OPTIONAL":
            short = _short_name(path, entity)
            listed = values if isinstance(values, list) else [values]
            wanted.append((short, tuple(_value(path, short, value) for value in listed)))
    return BidsFilter(name, tuple(wanted))


def _short_name(path: Path, entity: str) -> str:
    names = _entity_names()
    if entity not in names:
        near = get_close_matches(entity, names, n=3)
        meant = f"; did you mean {' or '.join(near)}?" if near else ""
        raise UsageError(f"The filter file {path} names {entity!r}, which is not a BIDS entity{meant}")
    return names[entity]


def _entity_names() -> dict[str, str]:
    """Short names of BIDS entities, by long and by short names."""
    from bids2table import get_arrow_schema

    fields = [field for field in get_arrow_schema() if b"entity" in (field.metadata or {})]
    long = {field.metadata[b"entity"].decode(): field.name for field in fields}
    return long | {field.name: field.name for field in fields}


def _value(path: Path, entity: str, value: Any) -> str:
    if value is None:
        return ABSENT
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UsageError(
            f"The filter file {path} asks for {entity} {value!r}; use a string, a number or null"
        )
    text = _WORDS.get(str(value), str(value))
    return bare(text, f"{entity}-")


def _matches(value: str, wanted: tuple[str, ...]) -> bool:
    return any(value != ABSENT if one == ANY else _same(value, one) for one in wanted)


def _same(value: str, wanted: str) -> bool:
    """Equal, or the same number: `run-01` is run 1."""
    return value == wanted or (value.isdecimal() and wanted.isdecimal() and int(value) == int(wanted))
