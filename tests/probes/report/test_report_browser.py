import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from browser import FLAGS, installed

from prima_features.probes.report import PageContent, write_page


def opened(path: Path, profile: Path) -> tuple[str, list[str]]:
    """The page's elements after it was loaded by a browser, and what it wrote to its console."""
    options = ["--enable-logging=stderr", f"--user-data-dir={profile}", "--dump-dom"]
    command = [installed(), *FLAGS, *options, path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_the_console_of_a_page_with_an_error_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "wrong.html"
    page.write_text("<!DOCTYPE html><script>nothing.here</script>")
    assert opened(page, tmp_path / "profile")[1]


def test_a_browser_shows_all_sections_without_a_complaint(
    autism: PageContent, read: Callable[[PageContent], Any], tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    write_page(page, autism)
    elements, console = opened(page, tmp_path / "profile")
    assert not console
    headings = read(autism).headings
    assert len(headings) == 11
    for heading in headings[1:]:
        assert f"<h2>{heading}</h2>" in elements
    assert f"<h1>{headings[0]}</h1>" in elements
    assert elements.count('role="img"') == page.read_text().count('role="img"') == 8
    assert "<script" not in elements
