"""Numbers in sentences."""


def count(n: int, noun: str, plural: str = "") -> str:
    """`1 study`, `1,200 studies`, `2 subjects`; `plural` for nouns with an irregular one."""
    if n == 1:
        return f"1 {noun}"
    regular = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{n:,} {plural or regular}"


def verb(n: int, one: str, several: str) -> str:
    """The form of a verb that goes with `n` of something: `is` or `are`."""
    return one if n == 1 else several
