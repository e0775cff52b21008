"""A local server that behaves like Google Drive's downloads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

CONTENT = np.random.default_rng(0).bytes(3_000_000)
CONFIRM = """<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>
<p>Google Drive can't scan this file for viruses.</p>
<form id="download-form" action="{action}" method="get">
<input type="submit" value="Download anyway"/>
<input type="hidden" name="id" value="{id}"><input type="hidden" name="export" value="download">
<input type="hidden" name="confirm" value="t"><input type="hidden" name="uuid" value="b1-c2"></form></body></html>"""
QUOTA = """<html><head><title>Google Drive - Quota exceeded</title></head><body><p>Sorry, you can't view or download
this file at this time. Too many users have viewed or downloaded this file recently.</p></body></html>"""


@dataclass
class Drive:
    """A server, what it does, and what it was asked."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=lambda: {"weights": CONTENT})
    """By id."""
    large: bool = True
    quota: bool = False
    breaks: list[int] = field(default_factory=list)
    """Bytes after which the next transfers break off."""
    status: list[int] = field(default_factory=list)
    """Statuses of the next answers."""
    ranges: bool = True
    action: str = ""
    location: str = ""
    etag: str = "one"
    raw: bytes = b""
    """The whole answer, if given."""
    asked: list[str] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)


@contextmanager
def serving() -> Iterator[Drive]:
    """The server, until the block ends."""
    state = Drive()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: Any) -> None:
            pass

        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            state.asked.append(self.headers.get("Range", ""))
            if state.raw:
                self.wfile.write(state.raw)
                self.close_connection = True
                return None
            if state.status:
                return self.answer(state.status.pop(0), b"", "text/plain")
            (name,) = query.get("id", [""])
            if name not in state.files:
                return self.answer(404, b"<html>not found</html>", "text/html")
            if state.quota:
                return self.answer(200, QUOTA.encode(), "text/html; charset=utf-8")
            if state.location:
                self.send_response(303)
                self.send_header("Location", state.location)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return None
            if state.large and (query.get("confirm"), query.get("uuid")) != (["t"], ["b1-c2"]):
                page = CONFIRM.format(action=state.action or state.url, id=name)
                return self.answer(200, page.encode(), "text/html; charset=utf-8")
            return self.file(state.files[name])

        def file(self, content: bytes) -> None:
            first = int(self.headers.get("Range", "bytes=0-")[6:-1]) if state.ranges else 0
            if first >= len(content):
                return self.answer(416, b"", "text/plain")
            body = content[first:]
            self.send_response(206 if first else 200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", state.etag)
            if first:
                self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            end = state.breaks.pop(0) if state.breaks else len(body)
            self.wfile.write(body[:end])
            state.sent.append(min(end, len(body)))
            if end < len(body):
                self.close_connection = True
            return None

        def answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}/download"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join()
