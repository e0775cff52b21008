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
from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache

from prima_features.errors import UsageError
from prima_features.files.cells import MISSING as MISSING
from prima_features.files.cells import NUMBER, code, tidy, written
from prima_features.files.cells import is_missing as is_missing
from prima_features.files.cells import number as number
from prima_features.files.safe_pattern import SafePattern

_SEX = {"f": "F", "female": "F", "w": "F", "woman": "F", "m": "M", "male": "M", "man": "M"}


def is_top_coded(text: str) -> bool:
    """Whether the cell stands for this number or more, as `89+` does."""
    match = NUMBER.fullmatch(tidy(text))
    return match is not None and bool(match[2] or tidy(text).startswith(">"))


def may_be_thousands(text: str) -> bool:
    """Whether a comma or point in the number can separate thousands as well as decimals, as in `1,303`."""
    return re.fullmatch(r"[+-]?[1-9]\d{0,2}[.,]\d{3}", tidy(text)) is not None


def sex(text: str, codes: Mapping[str, str]) -> str:
    """`F` or `M` by the words that are clear by themselves and the table's own codes; else empty."""
    return codes.get(code(text), _SEX.get(code(text), ""))


Rule = Callable[[str], str]

GENERIC_RULES: tuple[tuple[str, ...], ...] = (("bare",), ("bare", "unpad"))
"""Rules for ids without a preset, the stricter ones first."""


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
        f"{name!r} is not a rule for ids: expected bare, unpad, match:REGEX or number:FORMAT "
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
        raise UsageError(f"the pattern {regex!r} has no group: put the part to keep in parentheses")
    return compiled


def bare_session(text: str) -> str:
    """A session's label without `ses-`, case and leading zeros, so that `ses-01` and `1` are the same."""
    return _unpad(_bare(re.sub(r"^ses-", "", tidy(text), flags=re.IGNORECASE)))


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
