"""One model card a model, as Markdown with the Hub's metadata in front; a model directory's README.md."""

from importlib.resources import files


def names() -> list[str]:
    """Names of the models that have a card."""
    return sorted(
        file.name.removesuffix(".md") for file in files(__name__).iterdir() if file.name.endswith(".md")
    )


def card(name: str) -> str:
    """The text of a model's card.

    Raises:
        KeyError: there is no card of that name.
    """
    if name not in names():
        raise KeyError(f"no model card {name!r}; there are {', '.join(names())}")
    return files(__name__).joinpath(f"{name}.md").read_text(encoding="utf-8")
