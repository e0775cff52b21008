"""What one cell of a label table means: missing, a number, a sex, a code, or an id in one form.

Ids are compared after rules, each a small text-to-text function that a cohort's preset names:

`bare`            lower case without `sub-`, punctuation and spaces: `sub-IXI_002` becomes `ixi002`
`unpad`           numbers without leading zeros: `ixi002` becomes `ixi2`
`match:REGEX`     the groups of the first match, ignoring case, joined by `-`; no match gives no id
`number:FORMAT`   the first number in the text, printed in a form such as `IXI%03d`; no number gives no id

Rules are applied in order, to the ids of both sides; ids match if the results are equal. All rules read an id in one
Unicode form, so accents that a file system wrote as separate characters (NFD) make no difference.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache, lru_cache
from math import isfinite

from prima_features.errors import UsageError
from prima_features.files.safe_pattern import SafePattern

MISSING = frozenset(
    {
        "", "n/a", "na", "n.a.", "n.a", "n/k", "#n/a", "<na>", "nan", "nat", "null", "#null!", "nil", "unknown",
        "unk", "not available", "not known", "not reported", "not applicable", "not assessed", "not tested",
        "not done", "not recorded", "no data", "missing", "-999", "-9999", "-99999", "`", "?", ".", "..", "...",
        "-", "--", "#ref!", "#value!", "#div/0!", "#name?", "#num!",
    }
)  # fmt: skip
"""Cells without a value, as `code` writes them. `none` is not here: it is a finding in many tables."""

_NUMBER = re.compile(r">?\s*([+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?)\s*(\+?)")
_SEX = {"f": "F", "female": "F", "w": "F", "woman": "F", "m": "M", "male": "M", "man": "M"}
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d"), "-")


@lru_cache(maxsize=65536)
def tidy(text: str) -> str:
    """The text in Unicode NFC with plain hyphens and single spaces, without invisible characters.

    Spreadsheets and web pages leave no-break spaces, zero-width characters and typographic dashes in cells, and
    file systems write accents as separate characters (NFD): none of them makes another value.
    """
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()
    text = unicodedata.normalize("NFC", text).translate(_DASHES)
    visible = (character for character in text if unicodedata.category(character) not in ("Cf", "Cs", "Co"))
    return " ".join("".join(" " if unicodedata.category(c) == "Cc" else c for c in visible).split())


@lru_cache(maxsize=65536)
def code(text: str) -> str:
    """The cell as mappings write it: lower case, `1.0` and `01` as `1`, `0,5` as `0.5`."""
    text = unicodedata.normalize("NFKC", tidy(text)).casefold()
    match = _NUMBER.fullmatch(text)
    if match is None or match[2] or text.startswith(">"):
        return text
    return f"{float(match[1].replace(',', '.')):.12g}"


def is_missing(text: str, extra: Collection[str] = ()) -> bool:
    """Whether the cell has no value, for every table or by the `extra` codes of this one."""
    return code(text) in MISSING or code(text) in extra


def number(text: str) -> float | None:
    """The cell as a number, decimal comma or point; `89+` and `>89` as 89. None if it is none."""
    match = _NUMBER.fullmatch(tidy(text))
    value = float(match[1].replace(",", ".")) if match else None
    return value if value is not None and isfinite(value) else None


def is_top_coded(text: str) -> bool:
    """Whether the cell stands for this number or more, as `89+` does."""
    match = _NUMBER.fullmatch(tidy(text))
    return match is not None and bool(match[2] or tidy(text).startswith(">"))


def may_be_thousands(text: str) -> bool:
    """Whether a comma or point in the number can separate thousands as well as decimals, as in `1,303`."""
    return re.fullmatch(r"[+-]?[1-9]\d{0,2}[.,]\d{3}", tidy(text)) is not None


def sex(text: str, codes: Mapping[str, str]) -> str:
    """`F` or `M` by the words that are clear by themselves and the table's own codes; else empty."""
    return codes.get(code(text), _SEX.get(code(text), ""))


Rule = Callable[[str], str]

GENERIC_RULES: tuple[tuple[str, ...], ...] = (("bare",), ("bare", "unpad"))
"""How ids are compared where no preset says it: the stricter way first."""


def normalise(text: str, rules: Iterable[str]) -> str:
    """The id after all rules; empty if it is none of the ids that the rules are for."""
    text = unicodedata.normalize("NFKC", tidy(text))
    for name in rules:
        text = rule(name)(text)
    return text


@cache
def rule(name: str) -> Rule:
    """The rule of this name.

    Raises:
        UsageError: there is none, or its argument is not a pattern or number format.
    """
    kind, _, argument = name.partition(":")
    if name in _PLAIN:
        return _PLAIN[name]
    if kind == "match":
        return _match(argument)
    if kind == "number" and re.fullmatch(r"[^%]{0,100}%0?\d{0,2}d[^%]{0,100}", argument):
        return lambda text: argument % int(found[0]) if (found := re.search(r"\d{1,99}", text)) else ""
    raise UsageError(
        f"{name!r} is no rule for ids: expected bare, unpad, match:REGEX or number:FORMAT "
        "(such as number:IXI%03d)"
    )


@cache
def pattern(regex: str) -> SafePattern:
    """A regular expression that ignores case; the same object each time, so that its time is bounded as a whole.

    Raises:
        UsageError: it is not one, or captures nothing.
    """
    compiled = SafePattern(regex, re.IGNORECASE)
    if not compiled.groups:
        raise UsageError(f"the pattern {regex!r} captures nothing: put what is to be kept in parentheses")
    return compiled


def bare_session(text: str) -> str:
    """A session's label without `ses-`, case and leading zeros, so that `ses-01` and `1` are the same."""
    return _unpad(_bare(re.sub(r"^ses-", "", tidy(text), flags=re.IGNORECASE)))


@lru_cache(maxsize=65536)
def written(text: str) -> str:
    """An id as it is written, without `sub-` and upper case: ids that differ here may be two subjects."""
    text = unicodedata.normalize("NFKC", tidy(text)).casefold()
    text = unicodedata.normalize("NFC", re.sub(r"^sub-", "", text).strip())
    # A number that passed through a spreadsheet comes back as `12.0`.
    return re.sub(r"^(\d+)\.0+$", r"\1", text)


@lru_cache(maxsize=65536)
def _bare(text: str) -> str:
    return "".join(letter for letter in written(text) if unicodedata.category(letter)[0] in "LMN")


def _unpad(text: str) -> str:
    return re.sub(r"(?<!\d)0+(?=\d)", "", text)


def _match(regex: str) -> Rule:
    compiled = pattern(regex)

    def keep(text: str) -> str:
        found = compiled.search(text)
        return "-".join(group for group in found.groups() if group).casefold() if found else ""

    return keep


_PLAIN: dict[str, Rule] = {"bare": _bare, "unpad": _unpad}
