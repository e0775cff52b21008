"""Every command in README.md, docs/ and examples/ names commands and options that exist."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from prima_features.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.sh")])
COMMAND = typer.main.get_command(app)


def commands(text: str) -> list[list[str]]:
    """Words of each line of a code block or script that starts with prima; continued lines are one."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        line = line.replace('"$PRIMA"', "prima")
        if re.match(r"\s{0,4}prima [a-z]", line):
            words = shlex.split(line, comments=True)
            found.append(words[1 : next((i for i, one in enumerate(words) if one in ("|", ">")), None)])
    return found


def blocks(path: Path) -> str:
    """Code blocks of a page, or a whole script."""
    text = path.read_text()
    return "\n".join(text.split("```")[1::2]) if path.suffix == ".md" else text


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_documented_commands_exist(path: Path) -> None:
    for words in commands(blocks(path)):
        command, rest = COMMAND, list(words)
        while groups := getattr(command, "commands", None):
            assert rest and rest[0] in groups, " ".join(words)
            command = groups[rest.pop(0)]
        known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
        options = {one.partition("=")[0] for one in rest if one.startswith("--")}
        assert options <= known | {"--help"}, " ".join(words)


def test_commands_are_found() -> None:
    assert sum(len(commands(blocks(path))) for path in PAGES) > 50
