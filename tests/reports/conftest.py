"""Made-up reports, tables of them, and a server that behaves as OpenAI-compatible ones do."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

Table = Callable[..., Path]

FULL_REPORT = """\
NAME: ROE, JANE      MRN: 00123456
DOB: 01/02/1950
ACCESSION NUMBER: A1234567
EXAM: MRI BRAIN WITH AND WITHOUT CONTRAST 3/4/2021 10:22 AM

INDICATION: 71-year-old woman with history of lymphoma, evaluate for recurrence.

TECHNIQUE: Multiplanar multisequence MRI of the brain before and after 7 mL Gadavist.

COMPARISON: MRI brain dated 01/15/2020.

FINDINGS:
There is an extra-axial dural based enhancing mass over the left frontal
convexity measuring 2.3 x 1.8 cm (series 12, image 45), previously 2.1 cm on January 15, 2020. Mild
surrounding vasogenic edema. No midline shift. No acute infarct.
Ventricles: Normal in size.
Patient of Dr. Smith. Chronic microvascular ischemic changes, similar to prior on [**2150-3-4**].
Flow voids are preserved. Mucosal thickening, seen by ___ before.

IMPRESSION:
1. Left frontal convexity meningioma measuring 2.3 x 1.8 cm, slightly increased.
2. No acute infarct.
3. Findings were discussed with Dr. John Miller by phone at 3:15 PM on 3/4/2021.

I have personally reviewed the images.
Electronically signed by: Mary Poe, MD on 03/04/2021 11:01
"""
IDENTIFYING = (
    "ROE", "JANE", "00123456", "1950", "A1234567", "3/4/2021", "10:22", "01/15/2020", "January", "Smith", "2150",
    "John", "Miller", "3:15", "Mary", "Poe", "03/04/2021", "11:01", "[**", "___",
)  # fmt: skip


@pytest.fixture
def full_report() -> str:
    """A whole report with header, sections, dictation's leftovers and signature."""
    return FULL_REPORT


@pytest.fixture
def identifying() -> Sequence[str]:
    """What in it tells who and when."""
    return IDENTIFYING


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Writes a table of reports, given as id=text."""

    def write(name: str = "reports.tsv", **reports: str) -> Path:
        path = tmp_path / name
        with path.open("w", newline="") as file:
            csv.writer(file, delimiter="\t").writerows([("study_id", "report"), *reports.items()])
        return path

    return write


@pytest.fixture
def rows() -> Callable[[Path], list[dict[str, str]]]:
    """Reads a table of summaries."""

    def read(path: Path) -> list[dict[str, str]]:
        with path.open(newline="") as file:
            return list(csv.DictReader(file, delimiter="\t"))

    return read


class ChatServer:
    """An OpenAI-compatible server on this machine.

    Each request takes the next of `script`, or `answers` where that is empty: `answer` (its text, or what it
    makes of the prompt), a number (that HTTP status), `garbage` (no JSON), `drop` (no response) or `hang`.
    """

    def __init__(self) -> None:
        self.script: list[Any] = []
        self.answer: str | Callable[[str], str] = "1. Acute infarct.\n2. Mild edema."
        self.headers: dict[str, str] = {}
        self.error: Mapping[str, Any] = {"error": {"message": "not today"}}
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.finish_reason = "stop"
        self.released = threading.Event()
        self.hanging = threading.Event()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def prompts(self) -> list[str]:
        return [body["messages"][0]["content"] for _, _, body in self.requests]

    def take(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> Any:
        with self._lock:
            self.requests.append((path, headers, body))
            return self.script.pop(0) if self.script else "answer"

    def completion(self, prompt: str) -> dict[str, Any]:
        text = self.answer if isinstance(self.answer, str) else self.answer(prompt)
        message = {"role": "assistant", "content": text}
        return {"choices": [{"index": 0, "message": message, "finish_reason": self.finish_reason}]}

    def stop(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


def _handler(server: ChatServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            doing = server.take(self.path, dict(self.headers), body)
            if doing == "hang":
                server.hanging.set()
                server.released.wait()
            elif doing == "garbage":
                self._send(200, b"<html>busy</html>", {})
            elif isinstance(doing, int):
                self._send(doing, json.dumps(server.error).encode(), server.headers)
            elif doing == "answer":
                prompt = body["messages"][0]["content"]
                self._send(200, json.dumps(server.completion(prompt)).encode(), {})

        def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@pytest.fixture
def server() -> Iterator[ChatServer]:
    """A fresh server."""
    made = ChatServer()
    yield made
    made.stop()


@pytest.fixture
def other_server() -> Iterator[ChatServer]:
    """Another one, which nobody gave as the endpoint."""
    made = ChatServer()
    yield made
    made.stop()
