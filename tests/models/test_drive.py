"""Downloads from Google Drive, against a local server that behaves like it: confirmation, quota, broken transfers."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from drive import CONTENT, Drive, serving

from prima_features.errors import OutputError, UsageError
from prima_features.hub.web import download


@pytest.fixture
def drive() -> Iterator[Drive]:
    with serving() as state:
        yield state


def fetch(drive: Drive, output: Path, drive_id: str = "weights", **options: Any) -> None:
    download(drive_id, output, base=drive.url, wait_s=0.0, **options)


@pytest.mark.parametrize("large", [True, False])
def test_a_file_arrives_whole_past_the_confirmation(drive: Drive, large: bool, tmp_path: Path) -> None:
    drive.large = large
    seen: list[tuple[int, int | None]] = []
    fetch(drive, tmp_path / "w.pt", on_bytes=lambda *numbers: seen.append(numbers))
    assert (tmp_path / "w.pt").read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [path.name for path in tmp_path.iterdir()] == ["w.pt"]


def test_a_broken_transfer_continues_where_it_broke_off(drive: Drive, tmp_path: Path) -> None:
    drive.breaks = [1_000_000, 500_000]
    fetch(drive, tmp_path / "w.pt")
    assert (tmp_path / "w.pt").read_bytes() == CONTENT
    assert sum(drive.sent) < len(CONTENT) + 2_000_000  # what was in flight may be sent again


def test_an_interrupted_command_continues_when_it_is_run_again(drive: Drive, tmp_path: Path) -> None:
    drive.breaks = [1_000_000]
    with pytest.raises(UsageError, match=r"after 1 attempts .*w\.pt\.part is kept: check the connection"):
        fetch(drive, tmp_path / "w.pt", attempts=1)
    kept = (tmp_path / "w.pt.part").stat().st_size
    assert 0 < kept <= 1_000_000
    fetch(drive, tmp_path / "w.pt")
    assert f"bytes={kept}-" in drive.asked
    assert (tmp_path / "w.pt").read_bytes() == CONTENT


def test_parts_of_two_versions_are_never_joined(drive: Drive, tmp_path: Path) -> None:
    drive.breaks = [1_000_000]
    with pytest.raises(UsageError, match="is kept"):
        fetch(drive, tmp_path / "w.pt", attempts=1)
    (tmp_path / "w.pt.part").write_bytes(
        bytes((tmp_path / "w.pt.part").stat().st_size)
    )  # as of the old version
    drive.etag = "two"
    fetch(drive, tmp_path / "w.pt")
    assert (tmp_path / "w.pt").read_bytes() == CONTENT


def test_a_server_that_cannot_continue_starts_again(drive: Drive, tmp_path: Path) -> None:
    drive.ranges = False
    (tmp_path / "w.pt.part").write_bytes(b"other bytes")
    fetch(drive, tmp_path / "w.pt")
    assert (tmp_path / "w.pt").read_bytes() == CONTENT


def test_more_than_the_whole_file_from_before_is_thrown_away(drive: Drive, tmp_path: Path) -> None:
    (tmp_path / "w.pt.part").write_bytes(CONTENT + b"more")
    fetch(drive, tmp_path / "w.pt")
    assert (tmp_path / "w.pt").read_bytes() == CONTENT


def test_a_busy_server_is_asked_again(drive: Drive, tmp_path: Path) -> None:
    drive.status = [503, 429]
    fetch(drive, tmp_path / "w.pt")
    assert (tmp_path / "w.pt").read_bytes() == CONTENT


def test_a_used_up_quota_is_said_at_once(drive: Drive, tmp_path: Path) -> None:
    drive.quota = True
    with pytest.raises(UsageError, match=r"download quota of w\.pt is used up"):
        fetch(drive, tmp_path / "w.pt")
    assert len(drive.asked) == 1
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_gone_is_said_at_once(drive: Drive, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not provide"):
        fetch(drive, tmp_path / "w.pt", drive_id="gone")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("how", ["action", "location"])
@pytest.mark.parametrize(
    "address",
    [
        "http://example.org/malware",
        "http://drive.google.com/x",
        "https://127.0.0.1/download",
        "file:///etc/passwd",
        "https://drive.google.com.example.org/",
    ],
)
def test_no_other_site_is_asked(drive: Drive, how: str, address: str, tmp_path: Path) -> None:
    setattr(drive, how, address)
    with pytest.raises(UsageError, match="leads to another site"):
        fetch(drive, tmp_path / "w.pt")


def test_redirects_without_end_end(drive: Drive, tmp_path: Path) -> None:
    drive.location = f"{drive.url}?id=weights"
    with pytest.raises(UsageError, match="without end"):
        fetch(drive, tmp_path / "w.pt")


def test_nobody_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"could not be downloaded from 127\.0\.0\.1 after 2 attempts"):
        download("weights", tmp_path / "w.pt", base="http://127.0.0.1:9", attempts=2, wait_s=0.0)


def test_a_folder_that_cannot_be_written_to_is_one_sentence(drive: Drive, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        fetch(drive, tmp_path / "missing" / "w.pt")


def test_what_is_there_is_not_downloaded_again(drive: Drive, tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(b"there")
    fetch(drive, tmp_path / "w.pt")
    assert not drive.asked


BOMB = gzip.compress(bytes(50_000_000))


@pytest.mark.parametrize(
    "answer",
    {
        "address of no host": b"303 See Other\r\nLocation: http://[::bad/x\r\nContent-Length: 0",
        "address of no port": b"303 See Other\r\nLocation: //127.0.0.1:99999999/x\r\nContent-Length: 0",
        "address with control characters": b"303 See Other\r\nLocation: /\x07\x1b[31m x\r\nContent-Length: 0",
        "no address": b"303 See Other\r\nContent-Length: 0",
        "compressed file": b"200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d" % len(BOMB),
        "damaged compression": b"200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\n\r\nno gzip",
        "compressed page": b"200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\n\r\n" + BOMB,
        "page without end": b"200 OK\r\nContent-Type: text/html\r\n\r\n" + bytes(3_000_000),
        "form that leads nowhere": b"200 OK\r\nContent-Type: text/html\r\n\r\n"
        b'<form id="download-form" action="http://[bad">',
        "length of 5000 digits": b"200 OK\r\nContent-Length: " + b"9" * 5000,
        "length below 0": b"200 OK\r\nContent-Length: -5",
        "shorter than said": b"200 OK\r\nContent-Length: 500\r\n\r\nabc",
        "part of 5000 digits": b"206 Partial\r\nContent-Length: 3\r\nContent-Range: bytes "
        + b"9" * 5000
        + b"-1/1\r\n\r\nabc",
        "large header": b"200 OK\r\nX: " + b"x" * 500_000,
        "no HTTP": b"\x00\xff\x00",
    }.items(),
    ids=lambda answer: answer[0],
)
def test_a_server_that_answers_nonsense_is_one_sentence(
    drive: Drive, answer: tuple[str, bytes], tmp_path: Path
) -> None:
    head = b"" if answer[0] == "no HTTP" else b"HTTP/1.1 "
    drive.raw = head + answer[1] + (b"" if b"\r\n\r\n" in answer[1] else b"\r\n\r\n")
    with pytest.raises(UsageError) as caught:
        fetch(drive, tmp_path / "w.pt", attempts=2)
    assert len(str(caught.value)) < 600 and str(caught.value).isprintable()
    assert not (tmp_path / "w.pt").exists()


def test_a_page_that_never_ends_is_given_up(drive: Drive, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("prima_features.hub.web._TIMEOUT_S", -1.0)
    monkeypatch.setattr("prima_features.hub.web._client", httpx2.Client)
    with pytest.raises(UsageError, match="page does not end"):
        fetch(drive, tmp_path / "w.pt", attempts=1)
