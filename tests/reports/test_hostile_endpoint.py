"""Servers that mean harm, or are broken in unusual ways: time, depth, waits and characters are bounded."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from prima_features.errors import UsageError
from prima_features.reports.asking import Parts
from prima_features.reports.endpoint import Endpoint, EndpointConfig, _retry_after
from prima_features.reports.prompts import read_labels
from prima_features.reports.records import ReportError

Send = Callable[[socket.socket], None]


@pytest.fixture
def raw() -> Iterator[Callable[[Send], str]]:
    """A server that sends whatever bytes it likes; gives its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    stopped = threading.Event()

    def serve(send: Send) -> None:
        while not stopped.is_set():
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with suppress(OSError), connection:
                connection.recv(65536)
                send(connection)

    def start(send: Send) -> str:
        threading.Thread(target=serve, args=(send,), daemon=True).start()
        return f"http://127.0.0.1:{listening.getsockname()[1]}"

    yield start
    stopped.set()
    listening.close()


def drip(*pieces: bytes) -> Send:
    """Send the last piece again and again, slowly enough for every time-out of a socket."""

    def send(connection: socket.socket) -> None:
        for piece in pieces[:-1]:
            connection.sendall(piece)
        for _ in range(200):
            connection.sendall(pieces[-1])
            time.sleep(0.05)

    return send


DRIPS = {
    "a body without end": drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n", b" "),
    "headers without end": drip(b"HTTP/1.1 200 OK\r\nX: ", b"a"),
    "a status line without end": drip(b"HTTP/1.1 200 ", b"O"),
    "continue without end": drip(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "chunks without end": drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "an error without end": drip(b"HTTP/1.1 400 No\r\nContent-Length: 9999999\r\n\r\n", b" "),
}


@pytest.mark.parametrize("case", DRIPS)
def test_a_request_ends_in_time_however_slowly_the_server_sends(
    case: str, raw: Callable[[Send], str]
) -> None:
    asked = Endpoint(EndpointConfig(raw(DRIPS[case]), "m", timeout_s=0.4, retries=0))
    started = time.monotonic()
    with pytest.raises(ReportError) as told:
        asked.ask("x")
    assert time.monotonic() - started < 5
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("-5", 0.0), ("1e999", 600.0), ("inf", 600.0), ("-inf", 0.0), ("nan", None), ("9" * 5000, 600.0), ("", None),
        ("soon", None), ("Fri, 31 Dec 9999 23:59:59 -0000", 600.0), ("Fri, 31 Dec 99999 23:59:59 GMT", None),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0.0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0), ("\x00", None),
        ("Mon, 99 Foo 2020 99:99:99 GMT", None), ("7", 7.0), (None, None),
    ],
)  # fmt: skip
def test_a_retry_after_out_of_range_is_cut_or_passed_over(value: str | None, seconds: float | None) -> None:
    assert _retry_after(value) in (seconds, None if seconds == 0.0 else seconds)


def test_all_waits_together_are_bounded(server: Any) -> None:
    server.script, server.headers = [429] * 50, {"Retry-After": "600"}
    waits: list[float] = []
    asked = Endpoint(EndpointConfig(server.url, "m", retries=40), sleep=waits.append)
    with pytest.raises(ReportError, match="asks to wait longer"):
        asked.ask("x")
    assert sum(waits) <= 1800
    server.headers = {}
    waits.clear()
    with pytest.raises(ReportError):
        Endpoint(EndpointConfig(server.url, "m", retries=5000), sleep=waits.append).ask("x")
    assert sum(waits) <= 1800


ANSWERS: dict[str, Any] = {
    "deep": "[" * 100_000,
    "deep inside": '{"choices": [{"message": {"content": ' + '{"a":' * 500 + "1" + "}" * 500 + "}}]}",
    "a list": json.dumps({"choices": [{"message": {"content": ["1. x"]}}]}),
    "a number": json.dumps({"choices": [{"message": {"content": 7}}]}),
    "NaN": '{"choices": [{"message": {"content": NaN}}]}',
    "a long number": '{"choices": [{"message": {"content": 1' + "0" * 6000 + "}}]}",
}


@pytest.mark.parametrize("case", ANSWERS)
def test_an_answer_of_another_kind_is_no_answer(case: str, raw: Callable[[Send], str]) -> None:
    body = ANSWERS[case].encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    asked = Endpoint(EndpointConfig(raw(lambda connection: connection.sendall(head + body)), "m", retries=0))
    with pytest.raises(ReportError, match="not a chat completion"):
        asked.ask("x")


def test_control_characters_and_halves_of_pairs_reach_neither_files_nor_messages(
    server: Any, tmp_path: Path
) -> None:
    server.answer = "1. a\x1b[2J\ud800\x00\u202eb\r\n2. c\x07"
    answer = Endpoint(EndpointConfig(server.url, "m")).ask("x")
    answer.encode()
    assert answer.splitlines()[0].startswith("1. a")
    assert not set(answer) & set("\x1b\x00\x07\r\u202e\ud800")
    server.script, server.error = (
        [400],
        {"error": {"message": "\x1b]0;x\x07\nError: \ud800 disk erased\r\u202e"}},
    )
    with pytest.raises(ReportError) as told:
        Endpoint(EndpointConfig(server.url, "m")).ask("x")
    assert str(told.value).isprintable()
    str(told.value).encode()
    kept = tmp_path / "out.tsv.parts.jsonl"
    kept.write_text('{"key": "a", "answer": "1. x\\ud800\\u001b"}\n' + "[" * 100_000 + '\n{"key": "b"}\n7\n')
    assert Parts(tmp_path / "out.tsv").load() == {"a": "1. x  "}


def test_a_key_is_not_left_in_pieces_where_a_message_is_cut(server: Any) -> None:
    key = "sk-" + "s" * 60
    server.script, server.error = [400], {"error": {"message": "x" * 150 + key}}
    with pytest.raises(ReportError) as told:
        Endpoint(EndpointConfig(server.url, "m", api_key=key)).ask("x")
    assert "sk-" not in str(told.value)


@pytest.mark.parametrize(
    "answer", ["{" * 100_000 + "}", '{"present": [["x"]]}', '{"present": [{}]}', '{"present": [7]}']
)
def test_labels_of_another_kind_are_refused(answer: str) -> None:
    with pytest.raises(ReportError):
        read_labels(answer)


@pytest.mark.parametrize(
    "wrong",
    [{"timeout_s": float("nan")}, {"timeout_s": float("inf")}, {"timeout_s": 1e9}, {"rate": float("nan")},
     {"backoff_s": float("inf")}, {"backoff_s": -1.0}],
)  # fmt: skip
def test_times_that_are_none_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        EndpointConfig("http://h", "m", **wrong)  # type: ignore[arg-type]
