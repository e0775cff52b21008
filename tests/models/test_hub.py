"""Models on the Hub, against a local server that speaks as much of its protocol as the client needs."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from prima_features.files.disk import sha256
from prima_features.models import bundled
from prima_features.models.directory import FILES

TOKEN = "hf_test"
MODEL = "lab/prima-small"
COMMIT = hashlib.sha1(b"first").hexdigest()

# A small stand-in for prima_features.cli.main: the sentence on stderr, and the exit code.
PRIMA = """
import sys
from prima_features.cli import weights
from prima_features.errors import PrimaError
try:
    weights.app(standalone_mode=False)
except PrimaError as error:
    print(f"Error: {error}", file=sys.stderr)
    sys.exit(error.exit_code)
"""
LOAD = """
import sys
from prima_features.encoders.prima import PrimaModel
model = PrimaModel.from_pretrained(sys.argv[1])
print(model.name, model.revision, model.sha256)
"""
LOAD_NUMBERS = """
import sys
from prima_features.encoders.prima import PrimaModel
print([float(one.sum()) for one in PrimaModel.from_pretrained(sys.argv[1]).state_dict().values()])
"""
FIND = """
import sys
from prima_features.models.resolve import resolve
found = resolve(sys.argv[1])
print(found.name, found.revision, found.directory)
"""


class Hub(ThreadingHTTPServer):
    """Repositories in memory: name -> revision -> path -> bytes. Each request is noted."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, dict[str, dict[str, bytes]]] = {}
        self.requests: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def add(self, name: str, files: dict[str, bytes], commit: str = COMMIT) -> None:
        self.repositories.setdefault(name, {}).update({commit: files, "main": files, "v1": files})


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(f"{self.command} {path}")
        if match := re.fullmatch(r"/api/models/(\w+/[\w.-]+)(?:/(?:revision|tree)/([^/]+))?", path):
            self._describe(match[1], match[2] or "main", tree="/tree/" in path)
        elif match := re.fullmatch(r"/(\w+/[\w.-]+)/resolve/([^/]+)/(.+)", path):
            self._file(*match.groups())
        else:
            self._answer(404, {})

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        self.server.requests.append(f"POST {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(401, {"error": "Invalid credentials"})
        elif path == "/api/repos/create":
            wanted = json.loads(body)
            name = f"{wanted['organization']}/{wanted['name']}"
            self.server.add(name, {"private": str(wanted.get("private")).encode()})
            self._answer(200, {"url": f"{self.server.address}/{name}"})
        elif path.endswith("/preupload/main"):
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            self._answer(200, {"files": files})
        elif match := re.fullmatch(r"/api/models/(\w+/[\w.-]+)/commit/main", path):
            self._commit(match[1], [json.loads(line) for line in body.splitlines()])
        else:
            self._answer(200, {"errors": [], "warnings": []})

    def _describe(self, name: str, revision: str, tree: bool) -> None:
        if (files := self._files(name, revision)) is None:
            return
        if tree:
            self._answer(200, [self._entry(path, data) for path, data in files.items()])
        else:
            siblings = [{"rfilename": path} for path in files]
            self._answer(
                200, {"id": name, "sha": self._sha(name, revision), "siblings": siblings, "tags": []}
            )

    def _file(self, name: str, revision: str, path: str) -> None:
        if (files := self._files(name, revision)) is None:
            return
        if path not in files:
            self._answer(
                404, {}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": self._sha(name, revision)}
            )
            return
        etag = hashlib.sha1(files[path]).hexdigest()
        self._answer(200, files[path], {"ETag": f'"{etag}"', "X-Repo-Commit": self._sha(name, revision)})

    def _commit(self, name: str, lines: list[dict[str, Any]]) -> None:
        files = {
            line["value"]["path"]: base64.b64decode(line["value"]["content"])
            for line in lines
            if line["key"] == "file"
        }
        self.server.add(name, files)
        url = f"{self.server.address}/{name}/commit/{COMMIT}"
        self._answer(200, {"commitUrl": url, "commitOid": COMMIT, "success": True})

    def _files(self, name: str, revision: str) -> dict[str, bytes] | None:
        if name not in self.server.repositories:
            self._answer(404, {}, {"X-Error-Code": "RepoNotFound"})
            return None
        if revision not in self.server.repositories[name]:
            self._answer(404, {}, {"X-Error-Code": "RevisionNotFound"})
            return None
        return self.server.repositories[name][revision]

    def _sha(self, name: str, revision: str) -> str:
        commits = self.server.repositories[name]
        same = [
            commit for commit, files in commits.items() if files is commits[revision] and len(commit) == 40
        ]
        return same[-1]

    @staticmethod
    def _entry(path: str, data: bytes) -> dict[str, object]:
        return {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}

    def _answer(self, status: int, content: object, headers: dict[str, str] | None = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def files() -> dict[str, bytes]:
    """What a model repository holds: a model, and something that is none of its files."""
    folder = bundled.path("prima-untrained")
    return {path.name: path.read_bytes() for path in folder.iterdir()} | {"notes.txt": b"not for us"}


class Client:
    """A fresh process that talks to the server, with a cache of its own."""

    def __init__(self, server: Hub, home: Path) -> None:
        self.environment = os.environ | {
            "HF_ENDPOINT": server.address,
            "HF_HOME": str(home),
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
        }
        for name in ("HF_HUB_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
            self.environment.pop(name, None)

    def run(self, code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env=self.environment | environment,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def client(hub: Hub, tmp_path: Path) -> Client:
    return Client(hub, tmp_path / "home")


def test_a_model_is_loaded_from_the_hub_without_its_heads(
    hub: Hub, client: Client, files: dict[str, bytes]
) -> None:
    hub.add(MODEL, files | {"heads.safetensors": b"large"})
    done = client.run(LOAD, MODEL)
    assert done.stdout.split() == [MODEL, COMMIT, hashlib.sha256(files["model.safetensors"]).hexdigest()], (
        done.stderr
    )
    asked = {request.rpartition("/")[2] for request in hub.requests}
    assert asked == {"config.json", "model.safetensors"}


def test_what_is_in_the_cache_is_found_without_a_request(
    hub: Hub, client: Client, files: dict[str, bytes]
) -> None:
    hub.add(MODEL, files)
    first = client.run(FIND, MODEL).stdout
    assert first.split()[:2] == [MODEL, COMMIT]
    hub.requests.clear()
    assert client.run(FIND, MODEL).stdout == first
    assert client.run(FIND, f"{MODEL}@{COMMIT}", HF_HUB_OFFLINE="1").stdout == first
    assert hub.requests == []


def test_a_revision_is_taken_from_the_name(hub: Hub, client: Client, files: dict[str, bytes]) -> None:
    other = hashlib.sha1(b"second").hexdigest()
    hub.add(MODEL, files)
    hub.repositories[MODEL]["v2"] = hub.repositories[MODEL][other] = dict(files)
    assert client.run(FIND, f"{MODEL}@v2").stdout.split()[1] == other
    assert client.run(FIND, MODEL).stdout.split()[1] == COMMIT


def test_a_model_is_downloaded_whole_to_a_folder_that_loads_without_the_hub(
    hub: Hub, client: Client, files: dict[str, bytes], tmp_path: Path
) -> None:
    hub.add(MODEL, files)
    output = tmp_path / "copied"
    done = client.run(PRIMA, "download", f"{MODEL}@v1", "--output", str(output))
    assert done.returncode == 0, done.stderr
    assert {path.name for path in output.iterdir()} == {*files} & {*FILES}
    offline = client.run(FIND, str(output), HF_HUB_OFFLINE="1")
    assert offline.stdout.split() == ["copied", "local", str(output)]
    assert sha256(output / "model.safetensors") == hashlib.sha256(files["model.safetensors"]).hexdigest()


def test_a_downloaded_model_is_listed_and_verified_by_its_name(
    hub: Hub, client: Client, files: dict[str, bytes]
) -> None:
    hub.add(MODEL, files)
    hub.add("lab/other", {"config.json": b"{}", "model.safetensors": b""})
    assert client.run(PRIMA, "download", MODEL).returncode == 0
    listed = client.run(PRIMA, "list").stdout
    assert MODEL in listed
    assert "prima-untrained" in listed
    verified = client.run(PRIMA, "verify", MODEL, HF_HUB_OFFLINE="1")
    assert verified.returncode == 0, verified.stderr
    assert "as recorded" in verified.stdout
    assert "Loaded: encoder" in verified.stdout


def test_a_pushed_model_is_what_is_downloaded_again(hub: Hub, client: Client, tmp_path: Path) -> None:
    folder = bundled.path("prima-untrained")
    done = client.run(PRIMA, "push", str(folder), "lab/mine", "--private")
    assert done.returncode == 0, done.stderr
    assert f"{hub.address}/lab/mine/commit/{COMMIT}" in done.stdout
    assert hub.repositories["lab/mine"]["main"].keys() == {path.name for path in folder.iterdir()}
    client.run(PRIMA, "download", "lab/mine", "--output", str(tmp_path / "back"))
    assert sha256(tmp_path / "back" / "model.safetensors") == sha256(folder / "model.safetensors")


PUSH = """
from prima_features.encoders.prima import PrimaModel
print(PrimaModel.from_pretrained("prima-untrained").push_to_hub("lab/mine", private=True))
"""


def test_a_model_in_memory_is_pushed_with_its_card(hub: Hub, client: Client) -> None:
    done = client.run(PUSH)
    assert done.returncode == 0, done.stderr
    assert f"{hub.address}/lab/mine/commit/{COMMIT}" in done.stdout
    pushed = hub.repositories["lab/mine"]["main"]
    assert pushed["README.md"] == (bundled.path("prima-untrained") / "README.md").read_bytes()
    assert json.loads(client.run(LOAD_NUMBERS, "lab/mine").stdout) == json.loads(
        client.run(LOAD_NUMBERS, "prima-untrained").stdout
    )


def one_sentence(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, done.stdout + done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert "Traceback" not in done.stderr
    return last


def test_offline_the_error_names_the_command_that_brings_the_model(client: Client) -> None:
    message = one_sentence(client.run(PRIMA, "verify", f"{MODEL}@v1", HF_HUB_OFFLINE="1"))
    assert f"prima weights download {MODEL}@v1 --output DIR" in message


def test_offline_a_published_model_is_called_by_its_name(client: Client, tmp_path: Path) -> None:
    """Its repository holds the authors' file, which has to be converted: downloading it by its id would not do."""
    folder = str(tmp_path / "out")
    done = client.run(PRIMA, "download", "dinov2-slices", "--output", folder, "--yes", HF_HUB_OFFLINE="1")
    assert "prima weights download dinov2-slices --output DIR" in one_sentence(done)


def test_an_unreachable_hub_is_told_in_one_sentence(client: Client) -> None:
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    assert "cannot be reached" in one_sentence(client.run(PRIMA, "download", MODEL, **nowhere))
    folder = str(bundled.path("prima-untrained"))
    assert "cannot be reached" in one_sentence(client.run(PRIMA, "push", folder, MODEL, **nowhere))


def test_what_the_hub_does_not_have_is_told_in_one_sentence(
    hub: Hub, client: Client, files: dict[str, bytes], tmp_path: Path
) -> None:
    hub.add(MODEL, files)
    hub.add("lab/other", {"config.json": b"{}"})
    assert "has no model lab/none" in one_sentence(client.run(PRIMA, "verify", "lab/none"))
    assert "has no revision 'v9'" in one_sentence(client.run(PRIMA, "verify", f"{MODEL}@v9"))
    assert "lacks a file that is needed" in one_sentence(client.run(PRIMA, "verify", "lab/other"))
    output = tmp_path / "copied"
    assert "not a model" in one_sentence(client.run(PRIMA, "download", "lab/other", "--output", str(output)))
    assert not output.exists()


def test_pushing_needs_a_login_a_model_and_a_connection(client: Client, tmp_path: Path) -> None:
    folder = str(bundled.path("prima-untrained"))
    assert "cannot be reached" in one_sentence(client.run(PRIMA, "push", folder, MODEL, HF_HUB_OFFLINE="1"))
    assert "refused" in one_sentence(client.run(PRIMA, "push", folder, MODEL, HF_TOKEN="hf_wrong"))
    assert "config.json cannot be read" in one_sentence(client.run(PRIMA, "push", str(tmp_path), MODEL))
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(config | {"sise": 3}))
    assert "unknown key sise" in one_sentence(client.run(PRIMA, "push", str(broken), MODEL))


PREDICT = """
import sys
import numpy as np
import pandas as pd
from prima_features.probes import Features, Probe
probe = Probe.load(sys.argv[1])
features = Features.of(np.ones((1, 6), np.float32), probe.fitted.training.source)
print(probe.predict(features, pd.DataFrame({"study": ["x"]})).table["prediction"][0])
"""


def test_a_pushed_probe_predicts_from_the_hub_and_leaves_persons_at_home(
    hub: Hub, client: Client, tmp_path: Path
) -> None:
    folder = tmp_path / "probe"
    shutil.copytree(Path(__file__).parents[1] / "data" / "probes" / "v1" / "ridge", folder)
    (folder / "predictions.tsv").write_text("study\nsub-01\n")
    done = client.run(PRIMA, "push", str(folder), "lab/brain-age")
    assert done.returncode == 0, done.stderr
    assert hub.repositories["lab/brain-age"]["main"].keys() == {
        "probe.json",
        "model.safetensors",
        "README.md",
    }
    here = client.run(PREDICT, str(folder)).stdout
    there = client.run(PREDICT, "lab/brain-age")
    assert there.returncode == 0, there.stderr
    assert float(there.stdout) == float(here)
    (folder / "model.safetensors").write_bytes(b"")
    assert "damaged" in one_sentence(client.run(PRIMA, "push", str(folder), "lab/brain-age"))
