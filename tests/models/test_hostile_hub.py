"""Answers in the Hub's place: portals, proxies and servers of strangers; and configurations that claim too much."""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from prima_features.encoders.prima.model_config import read_config
from prima_features.encoders.prima.networks.config import PrimaConfig
from prima_features.errors import UsageError
from prima_features.hub import repositories as hub
from prima_features.hub.client import talking
from prima_features.models import catalog
from prima_features.models.directory import CONFIG, read_checksums

COMMIT = "0" * 40
PAGE = ("text/html; charset=utf-8", b"<html>Welcome to the hotel</html>")


class Server(ThreadingHTTPServer):
    """Answers each path with what `answers` has for its beginning; notes who sent a token."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.tokens: list[tuple[str, str | None]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def do_GET(self) -> None:
        self.server.tokens.append((self.path, self.headers.get("Authorization")))
        beginnings = [name for name in self.server.answers if self.path.startswith(name)]
        status, headers, body = self.server.answers[max(beginnings, key=len)]
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server in the Hub's place, with an empty cache and a token of the user's."""
    from huggingface_hub import constants

    made = Server()
    for name, value in {
        "ENDPOINT": made.address,
        "HUGGINGFACE_CO_URL_TEMPLATE": made.address + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(tmp_path / "cache" / "hub"),
        "HF_HUB_OFFLINE": False,
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield made
    made.shutdown()
    made.server_close()


def ask(what: str, tmp_path: Path) -> str:
    """The sentence that a command ends with."""
    calls = {
        "fetch": lambda: hub.fetch("lab/model", None, ("config.json",)),
        "download": lambda: catalog.download("lab/model"),
        "download to a folder": lambda: catalog.download("lab/model", output=tmp_path / "out"),
        "upload": lambda: hub.upload(tmp_path, "lab/model", ("*.json",), "Upload"),
    }
    with pytest.raises(UsageError) as told:
        calls[what]()
    assert "\n" not in str(told.value)
    return str(told.value)


COMMANDS = ("fetch", "download", "download to a folder", "upload")


@pytest.mark.parametrize("what", COMMANDS)
def test_a_portal_that_answers_with_a_page_is_named(what: str, server: Server, tmp_path: Path) -> None:
    server.answers[""] = (200, {"Content-Type": PAGE[0]}, PAGE[1])
    assert "returned a web page" in ask(what, tmp_path)
    assert not list(tmp_path.rglob("config.json"))


@pytest.mark.parametrize("body", [b"{}", b"[]", b"null", b"7", b"", b"OK", b"[" * 10_000])
@pytest.mark.parametrize("what", COMMANDS)
def test_an_answer_that_is_not_the_hubs_is_said_in_one_sentence(
    what: str, body: bytes, server: Server, tmp_path: Path
) -> None:
    server.answers[""] = (200, {"Content-Type": "application/json"}, body)
    ask(what, tmp_path)


def test_the_token_stays_with_the_hub(server: Server, tmp_path: Path) -> None:
    other = Server()
    other.answers[""] = (200, {"Content-Type": PAGE[0]}, PAGE[1])
    try:
        for status in (301, 302, 303, 307, 308):
            server.answers[""] = (status, {"Location": f"{other.address}/x"}, b"")
            for what in COMMANDS:
                ask(what, tmp_path)
        # A repository so large that its files are listed in pages, the next one elsewhere.
        described = {
            "id": "lab/model",
            "sha": COMMIT,
            "siblings": [{"rfilename": f"{i}"} for i in range(2000)],
        }
        server.answers["/api/models/lab/model"] = (200, {}, json.dumps(described).encode())
        server.answers["/api/models/lab/model/tree"] = (
            200,
            {"Link": f'<{other.address}/next>; rel="next"'},
            b"[]",
        )
        with pytest.raises(UsageError):
            catalog.download("lab/model")
        with talking("lab/model", None):
            from huggingface_hub import HfApi

            with pytest.raises(UsageError, match="web page"):
                list(HfApi().list_repo_tree("lab/model"))
    finally:
        other.shutdown()
        other.server_close()
    assert other.tokens
    assert not [token for _, token in other.tokens if token]
    assert [token for _, token in server.tokens if token] != []


ESCAPES = {
    "a commit": {"X-Repo-Commit": "../../../../evil", "ETag": '"abc"'},
    "a tag": {"X-Repo-Commit": COMMIT, "ETag": '"../../../../evil"'},
    "a tag of a large file": {"X-Repo-Commit": COMMIT, "ETag": '"a"', "X-Linked-Etag": '"/tmp/../evil"'},
}


@pytest.mark.parametrize("case", ESCAPES)
def test_nothing_is_written_outside_the_cache(case: str, server: Server, tmp_path: Path) -> None:
    server.answers[""] = (200, ESCAPES[case], b"{}")
    assert "invalid commit or file name" in ask("fetch", tmp_path)
    for sha in ("../../../../evil", "x" * 40, None, 7):
        described = {"id": "lab/model", "sha": sha, "siblings": [{"rfilename": "config.json"}]}
        server.answers["/api/models"] = (200, {}, json.dumps(described).encode())
        ask("download", tmp_path)
    assert not [path for path in tmp_path.rglob("*") if "evil" in path.name]


CONFIGS: dict[str, Any] = {
    "deep": "[" * 100_000,
    "large": " " * (2 << 20),
    "NaN": '{"model_type": NaN}',
    "a depth without end": {"sequence": {"transformer": {"depth": 10**9}}},
    "a width without end": {"study": {"transformer": {"dim": 10**12}}},
    "a vocabulary without end": {"text": {"vocab_size": 10**9}},
    "codes without end": {"tokenizer": {"codes": 10**12}},
    "a padding without end": {"tokenizer": {"downsample": [[2, 4, 1, 10**9], [2, 2, 1, 0]]}},
    "a size that is text": {"study": {"registers": "10"}},
    "a size that is a fraction": {"study": {"registers": 1.5}},
    "a size that is true": {"study": {"registers": True}},
    "a part that is a list": {"study": []},
    "a part that is a number": {"names": 7},
    "a list that is text": {"tokenizer": {"channels": "ab"}},
    "a list that is an object": {"tokenizer": {"channels": {}}},
    "a level of three numbers": {"tokenizer": {"downsample": [[1, 2, 3], [1, 2, 3]]}},
    "a matrix without end": {"preprocessing": {"matrix": 1 << 30, "long_side": 32}},
    "a side of 0": {"preprocessing": {"long_side": 0}},
    "heads that are text": {"heads": {"diagnosis": ["x"]}},
    "a number of 6,000 digits": '{"model_type": 1' + "0" * 6000 + "}",
}


@pytest.mark.parametrize("case", CONFIGS)
def test_a_configuration_that_claims_too_much_is_refused_before_anything_is_built(
    case: str, tmp_path: Path
) -> None:
    content = CONFIGS[case]
    if isinstance(content, dict):
        whole = json.loads(json.dumps(PrimaConfig().to_json()))
        content = json.dumps(_merged(whole, content))
    (tmp_path / CONFIG).write_text(content)
    with pytest.raises(UsageError, match=r"is not a (Prima )?model's configuration") as told:
        read_config(tmp_path)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 600


def _merged(whole: Any, change: Any) -> Any:
    if isinstance(whole, dict) and isinstance(change, dict) and change:
        return whole | {name: _merged(whole.get(name), value) for name, value in change.items()}
    return change


def test_the_published_configuration_is_read_as_ever(tmp_path: Path) -> None:
    (tmp_path / CONFIG).write_text(json.dumps(PrimaConfig().to_json()))
    assert asdict(read_config(tmp_path)) == asdict(PrimaConfig())


def test_checksums_of_another_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "SHA256SUMS").write_bytes(b"a" * (2 << 20))
    with pytest.raises(UsageError, match="cannot be read"):
        read_checksums(tmp_path)


class Endless(Handler):
    """Sends zeros without end, or a byte at a time."""

    piece = bytes(1 << 16)
    wait_s = 0.0
    encoding = ""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        if self.encoding:
            self.send_header("Content-Encoding", self.encoding)
        self.end_headers()
        with contextlib.suppress(OSError):
            while self.command != "HEAD":
                self.wfile.write(f"{len(self.piece):x}\r\n".encode() + self.piece + b"\r\n")
                time.sleep(self.wait_s)


@pytest.mark.parametrize("case", ["endless", "slow", "compressed"])
def test_an_answer_without_end_is_ended(
    case: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {
        "endless": {},
        "slow": {"piece": b" ", "wait_s": 0.05},
        "compressed": {"encoding": "gzip", "piece": gzip.compress(bytes(1 << 26))},
    }
    server.RequestHandlerClass = type("Made", (Endless,), made[case])
    monkeypatch.setattr("prima_features.hub.client._PATIENCE_S", 0.5)
    monkeypatch.setattr("prima_features.hub.client._MOST_ANSWER", 1 << 22)
    said = ask("download", tmp_path)
    assert ("bytes per second" if case == "slow" else "returned more than") in said


@pytest.mark.parametrize("what", ["fetch", "download", "download to a folder"])
def test_a_file_with_other_content_than_its_checksum_is_removed(
    what: str, server: Server, tmp_path: Path
) -> None:
    content = b"weights"
    for sent in (b"weighed", content):
        described = {"id": "lab/model", "sha": COMMIT, "siblings": [{"rfilename": "model.safetensors"}]}
        server.answers["/api/models"] = (200, {}, json.dumps(described).encode())
        listed = [{"type": "file", "path": "model.safetensors", "size": len(content), "oid": "1"}]
        server.answers["/api/models/lab/model/tree"] = (200, {}, json.dumps(listed).encode())
        server.answers["/lab"] = (
            200,
            {"X-Repo-Commit": COMMIT, "ETag": '"abc"', "X-Linked-Etag": f'"{sha256(content).hexdigest()}"'},
            sent,
        )
        call = {
            "fetch": lambda: hub.fetch("lab/model", None, ("model.safetensors",)),
            "download": lambda: catalog.download("lab/model"),
            "download to a folder": lambda: catalog.download("lab/model", output=tmp_path / "out"),
        }[what]
        if sent != content:
            with pytest.raises(UsageError, match="does not match its checksum on the Hub"):
                call()
            assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.read_bytes() == sent]
        else:
            assert (call() / "model.safetensors").read_bytes() == content
