"""Pictures outlive a run in its page, and are shown for no other scans than theirs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from prima_features.embedding.report import album, report_path, write_report
from prima_features.embedding.report.album import Album
from prima_features.embedding.resume.parts import PartsFolder


def stored(page: Path) -> dict:
    text = page.read_text().partition('<script type="application/json" id="pictures">')[2]
    return json.loads(text.partition("</script>")[0])


def test_a_page_written_anew_takes_the_pictures_of_the_one_before(make: Callable[..., Path]) -> None:
    output = make()
    first = stored(write_report(output, [PartsFolder.of(output).folder]))
    assert len(first) == 58
    PartsFolder.of(output).remove()
    assert stored(write_report(output)) == first


def test_another_page_leaves_the_first_and_may_be_without_pictures(
    make: Callable[..., Path], tmp_path: Path
) -> None:
    output = make()
    page = write_report(output, [PartsFolder.of(output).folder])
    before = page.read_bytes()
    shared = write_report(output, pictures=False, path=tmp_path / "share.html")
    assert stored(shared) == {} and 'id="gallery"' not in shared.read_text()
    assert page.read_bytes() == before


def test_pictures_of_other_scans_are_not_taken(make: Callable[..., Path]) -> None:
    output = make()
    write_report(output, [PartsFolder.of(output).folder])
    kept = Album(pages=[report_path(output)])
    assert len(kept.pictures("sub-0001", "s:1")) == 3
    assert not kept.pictures("sub-0001", "s:changed")
    assert not kept.pictures("sub-0001", "")
    assert not kept.pictures("sub-9999", "s:9999")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "<!DOCTYPE html>no page of ours",
        '<script type="application/json" id="pictures">{"sub-0001":</script>',
        '<script type="application/json" id="pictures">["sub-0001"]</script>',
        '<script type="application/json" id="pictures">{"sub-0001": {"hash": "s:1", "series": [["?", 1]]}}</script>',
    ],
)
def test_a_page_that_is_damaged_has_none(make: Callable[..., Path], content: str) -> None:
    output = make(with_parts=False)
    report_path(output).write_text(content)
    assert not Album(pages=[report_path(output)]).pictures("sub-0001", "s:1")
    assert stored(write_report(output)) == {}


def test_a_page_that_is_full_shows_what_one_would_look_at_first(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = make()
    monkeypatch.setattr(album, "MOST_BYTES", 60_000)
    page = write_report(output, [PartsFolder.of(output).folder])
    shown = list(stored(page))
    assert shown[:5] == ["sub-0011", "sub-0007", "sub-0008", "sub-0005", "sub-0055"]
    assert 5 < len(shown) < 30
    assert f"There are pictures of {len(shown)} of 58 studies" in page.read_text()
