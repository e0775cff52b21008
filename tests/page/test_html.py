import os
from pathlib import Path

import pytest

from prima_features.errors import OutputError
from prima_features.page import write_html


def test_a_page_is_utf_8_also_if_a_file_name_in_it_is_not(tmp_path: Path) -> None:
    name = os.fsdecode(b"r\xe9sum\xe9.nii")
    write_html(tmp_path / "page.html", f"<p>\u00e9t\u00e9 {name} \ud800</p>")
    assert (tmp_path / "page.html").read_text("utf-8") == "<p>\u00e9t\u00e9 r\\xe9sum\\xe9.nii \\ud800</p>"


def test_a_page_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.html"
    write_html(page, "<p>1</p>\n")
    assert page.read_bytes() == b"<p>1</p>\n"

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"disk is full: .*page\.html was not written"):
        write_html(page, "<p>2</p>\n")
    assert page.read_bytes() == b"<p>1</p>\n"
    assert list(tmp_path.iterdir()) == [page]
