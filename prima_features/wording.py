"""Numbers and lists in sentences, and the sentence that every output repeats."""

from collections.abc import Iterable

RESEARCH_ONLY = "For research use only: not a medical device."


def count(n: int, noun: str, plural: str = "") -> str:
    """`1 study`, `1,200 studies`, `2 subjects`; `plural` for nouns with an irregular one."""
    if n == 1:
        return f"1 {noun}"
    regular = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{n:,} {plural or regular}"


def verb(n: int, one: str, several: str) -> str:
    """The form of a verb that goes with `n` of something: `is` or `are`."""
    return one if n == 1 else several


def listed(items: Iterable[str], last: str = "and") -> str:
    """`a, b and c`."""
    *first, end = items
    return f"{', '.join(first)} {last} {end}" if first else end


def capital(text: str) -> str:
    """With a capital first letter, unless the first word is an abbreviation such as mRS."""
    first, _, _ = text.partition(" ")
    return text if any(map(str.isupper, first[1:])) else text[:1].upper() + text[1:]


def sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    return capital(text) + ("" if text.endswith((".", "?", "!")) else ".")
