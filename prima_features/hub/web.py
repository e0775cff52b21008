"""Public files outside the Hub, on Google Drive, GitHub and Dropbox: download with resume and retries.

Drive answers for a large file with a page that asks for confirmation (it cannot scan the file for viruses), and for one
that was downloaded too often with a page about the quota. Both come with status 200.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlencode, urljoin, urlsplit

import httpx2

from prima_features.errors import UsageError
from prima_features.files.disk import output_errors
from prima_features.files.text import printable

logger = logging.getLogger(__name__)

DRIVE = "https://drive.usercontent.google.com/download"
_DRIVE_HOSTS = (".google.com", ".googleusercontent.com")
_HOSTS = {
    "github.com": (".github.com", ".githubusercontent.com"),
    "www.dropbox.com": (".dropbox.com", ".dropboxusercontent.com"),
}
"""Where a site's downloads may lead to."""
_MOST_PAGE = 1 << 20
_MOST_STEPS = 5
"""Redirects and confirmations on the way to one file."""
_QUOTA = ("quota", "too many users")
_TIMEOUT_S = 60.0

OnBytes = Callable[[int, int | None], None]


class _BrokenError(Exception):
    """The transfer ended early; what arrived is kept, and another attempt continues from there."""


@dataclass(frozen=True)
class _Site:
    """A server, and what its answers mean."""

    name: str
    hosts: tuple[str, ...] = ()
    """Ends of the names of other hosts that it may lead to."""
    is_drive: bool = False
    """A web page instead of a file asks for confirmation."""


def download(
    drive_id: str,
    output: Path,
    *,
    base: str = "",
    attempts: int = 5,
    wait_s: float = 5.0,
    on_bytes: OnBytes = lambda done, total: None,
) -> None:
    """Download a public file of Google Drive. It appears under its name when it is complete.

    Args:
        drive_id: the file's id, from its address.
        output: where to; nothing is done if it exists.
        base: address of the downloads; `DRIVE` if empty.
        attempts: how often a broken transfer is continued.
        wait_s: wait before the second attempt, doubled each time.
        on_bytes: called with the number of bytes there are and the number in all, None if the server does not state it.

    Raises:
        UsageError: the file is not there, its download quota is used up, or Drive cannot be reached.
        OutputError: the disk is full or the folder cannot be written to.
    """
    url = f"{base or DRIVE}?{urlencode({'id': drive_id, 'export': 'download'})}"
    _fetch(url, output, _Site("Google Drive", _DRIVE_HOSTS, is_drive=True), attempts, wait_s, on_bytes)


def download_url(
    url: str,
    output: Path,
    *,
    attempts: int = 5,
    wait_s: float = 5.0,
    on_bytes: OnBytes = lambda done, total: None,
) -> None:
    """Download a public file, such as one of a GitHub release or a shared one of Dropbox; else as `download`."""
    host = urlsplit(url).hostname or ""
    _fetch(url, output, _Site(host, _HOSTS.get(host, ())), attempts, wait_s, on_bytes)


def _fetch(url: str, output: Path, site: _Site, attempts: int, wait_s: float, on_bytes: OnBytes) -> None:
    if output.is_file():
        return
    partial = output.with_name(f"{output.name}.part")
    for attempt in range(attempts):
        try:
            with output_errors(output), _client() as client:
                _continue(client, url, partial, on_bytes, site)
                partial.replace(output)
                partial.with_name(f"{partial.name}.version").unlink(missing_ok=True)
            return
        except (httpx2.RequestError, httpx2.InvalidURL, _BrokenError) as error:
            reason = printable(str(error) or type(error).__name__)[:200]
            logger.debug("%s; attempt %d of %d", reason, attempt + 1, attempts)
            last = error
            if attempt + 1 < attempts:
                time.sleep(wait_s * 2**attempt)
    kept = f"; {partial.name} is kept" if partial.is_file() else ""
    raise UsageError(
        f"{output.name} could not be downloaded from {urlsplit(url).hostname} after {attempts} attempts "
        f"({reason}){kept}: check the connection and run the same command again"
    ) from last


@contextmanager
def _client() -> Iterator[httpx2.Client]:
    # As it is stored: the number of bytes of a compressed answer would not be that of the file.
    with httpx2.Client(headers={"Accept-Encoding": "identity"}, timeout=_TIMEOUT_S) as client:
        yield client


def _continue(client: httpx2.Client, url: str, partial: Path, on_bytes: OnBytes, site: _Site) -> None:
    """Append what is missing to `partial`, past redirects and the page that asks for confirmation.

    Raises:
        UsageError: there is no such file, or its quota is used up.
        _BrokenError: the server ends or refuses the transfer for now.
        httpx2.RequestError, httpx2.InvalidURL: the connection breaks, or the answer cannot be read.
    """
    start = urlsplit(url)
    for _ in range(_MOST_STEPS):
        have = partial.stat().st_size if partial.is_file() else 0
        headers = {"Range": f"bytes={have}-"} if have else {}
        with client.stream("GET", url, headers=headers) as response:
            if response.is_redirect:
                url = _allowed(url, response.headers.get("location", ""), start, site)
            elif "text/html" in response.headers.get("content-type", ""):
                if not site.is_drive:
                    raise _missing(partial, response.status_code, site)
                url = _allowed(url, _confirmed(_page(response), url, partial, site), start, site)
            else:
                _append(response, partial, have, on_bytes, site)
                return
    raise UsageError(f"{site.name} redirects {partial.stem} without end: download it in a browser instead")


def _append(response: httpx2.Response, partial: Path, have: int, on_bytes: OnBytes, site: _Site) -> None:
    if response.status_code == 416:  # what is there is not the beginning of this file
        partial.unlink()
        raise _BrokenError("the file on the server is shorter than what was downloaded before")
    if response.status_code == 429 or response.status_code >= 500:
        raise _BrokenError(f"the server answers {response.status_code}")
    if response.status_code not in (200, 206):
        raise _missing(partial, response.status_code, site)
    if response.headers.get("content-encoding", "identity") != "identity":
        raise _BrokenError("the server compresses the file, which it was asked not to do")
    continues = response.status_code == 206 and _first_byte(response.headers) == have
    if response.status_code == 206 and not continues:
        partial.unlink(missing_ok=True)
        raise _BrokenError("the server sends another part than was asked for")
    version = partial.with_name(f"{partial.name}.version")
    state = _version(response.headers, have if continues else 0)
    if continues and (not version.is_file() or version.read_text(encoding="utf-8") != state):
        partial.unlink()
        raise _BrokenError("the file on the server has changed since it was downloaded in part")
    version.write_text(state, encoding="utf-8")
    have = have if continues else 0
    length = _number(response.headers.get("content-length", ""))
    total = have + length if length >= 0 else None
    with partial.open("ab" if continues else "wb") as file:
        for chunk in response.iter_bytes():
            file.write(chunk)
            have += len(chunk)
            on_bytes(have, total)
    if total is not None and have != total:
        raise _BrokenError(f"{have} of {total} bytes arrived")


def _version(headers: Mapping[str, str], have: int) -> str:
    """What one version of the file has in common: its size, and when it was changed, as far as the server says."""
    length = _number(headers.get("content-length", ""))
    size = have + length if length >= 0 else "?"
    return f"{size} {headers.get('etag', '')} {headers.get('last-modified', '')}"


def _first_byte(headers: Mapping[str, str]) -> int:
    """Of `Content-Range: bytes 100-199/200`; -1 if the header is missing or of another form."""
    unit, _, rest = headers.get("content-range", "").partition(" ")
    return _number(rest.partition("-")[0]) if unit == "bytes" else -1


def _number(digits: str) -> int:
    """A number of bytes in a header; -1 if it is anything else."""
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 20 else -1


def _page(response: httpx2.Response) -> str:
    content, start = b"", time.monotonic()
    for chunk in response.iter_bytes():
        content += chunk
        if len(content) > _MOST_PAGE:
            break
        if time.monotonic() - start > _TIMEOUT_S:
            raise _BrokenError("the server's page does not end")
    return content.decode("utf-8", "replace")


def _confirmed(page: str, url: str, partial: Path, site: _Site) -> str:
    """The address that the page's form leads to.

    Raises:
        UsageError: the page has no such form: the quota is used up, or the file is not public any more.
    """
    form = _Form()
    form.feed(page)
    if form.action:
        try:
            action = urlsplit(urljoin(url, form.action))
            return action._replace(query=urlencode(dict(parse_qsl(action.query)) | form.fields)).geturl()
        except ValueError as error:
            raise _missing(partial, 200, site) from error
    text = page.lower()
    if any(word in text for word in _QUOTA):
        raise UsageError(
            f"Google Drive's download quota of {partial.stem} is used up for now: run the same command again in a day, "
            "or download it in a browser, signed in, and give it to `prima weights convert`"
        )
    raise _missing(partial, 200, site)


def _missing(partial: Path, status: int, site: _Site) -> UsageError:
    return UsageError(
        f"{site.name} does not provide {partial.stem} (status {status}): see the model's repository for where it is "
        "now, download it there, and give it to `prima weights convert`"
    )


def _allowed(url: str, to: str, start: SplitResult, site: _Site) -> str:
    """An address that the server leads to, on the host of the start or one of the site's.

    Raises:
        UsageError: it leads elsewhere.
    """
    try:
        url = urljoin(url, to)
        parts = urlsplit(url)
    except ValueError as error:
        raise _BrokenError("the server leads to an address that is none") from error
    if (parts.scheme, parts.hostname) == (start.scheme, start.hostname):
        return url
    if parts.scheme == "https" and f".{parts.hostname}".endswith(site.hosts):
        return url
    raise UsageError(
        f"{site.name} leads to another site, {printable(str(parts.hostname))[:200]}: nothing was downloaded from there"
    )


class _Form(HTMLParser):
    """Action and hidden fields of the form `download-form`."""

    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given: dict[str, Any] = dict(attrs)
        if tag == "form" and given.get("id") == "download-form":
            self.action, self._inside = given.get("action") or "", True
        elif tag == "input" and self._inside and given.get("name"):
            self.fields[given["name"]] = given.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False
