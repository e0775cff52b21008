"""`prima weights download NAME` and `prima doctor --gated`, with local servers in place of the Hub and other sites."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from drive import serving

from prima_features.cli.main import main
from prima_features.models import published
from prima_features.models.published import CONVERTIBLE, PUBLISHED, HubFile, WebFile, published_model

Capture = pytest.CaptureFixture[str]
COMMIT = "0" * 40
TOKEN = "hf_member"


class Hub(ThreadingHTTPServer):
    """Files by `OWNER/NAME/FILE`; those of gated repositories are for `TOKEN` only."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.gated: set[str] = set()
        self.downloads: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        repository, _, rest = self.path.lstrip("/").partition("/resolve/")
        name = f"{repository}/{rest.partition('/')[2]}"
        if repository in self.server.gated and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer(403, b"", {"X-Error-Code": "GatedRepo"})
        if name not in self.server.files:
            return self.answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        if self.command == "GET":
            self.server.downloads.append(name)
        content = self.server.files[name]
        etag = hashlib.sha1(content).hexdigest()
        return self.answer(200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})

    def answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, golden_encoders: Path) -> Iterator[Hub]:
    """The Hub with a small NeuroVFM, gated, and a user without a token."""
    from huggingface_hub import constants

    made = Hub()
    for name, value in {
        "ENDPOINT": made.address,
        "HUGGINGFACE_CO_URL_TEMPLATE": made.address + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": False,
        "HF_TOKEN_PATH": str(tmp_path / "token"),
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    repository = _hub_file("neurovfm").repository
    for file in (golden_encoders / "neurovfm" / "small").glob("[cp]*"):
        made.files[f"{repository}/{file.name}"] = file.read_bytes()
    made.gated = {repository, _hub_file("neurojepa").repository}
    yield made
    made.shutdown()
    made.server_close()


def _hub_file(name: str) -> HubFile:
    source = published_model(name).source
    assert isinstance(source, HubFile)
    return source


def download(name: str, output: Path, *options: str) -> int:
    return main(["weights", "download", name, "--output", str(output), "--yes", *options])


def test_a_gated_model_is_explained_with_its_page(hub: Hub, tmp_path: Path, capsys: Capture) -> None:
    assert download("neurovfm", tmp_path / "model") == 2
    shown = capsys.readouterr()
    page = f"{hub.address}/mlinslab/neurovfm-encoder"
    assert f"is gated: request access at {page} with your account" in shown.err
    assert len(shown.err.strip().splitlines()) <= 2  # the announcement and one sentence
    assert "CC BY-NC-SA 4.0" in shown.out and "institutional e-mail" in shown.out
    assert not (tmp_path / "model").exists()


def test_with_access_it_is_downloaded_converted_and_has_a_known_answer(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert download("neurovfm", tmp_path / "model") == 0
    assert "pytorch_model.bin: 651,190 bytes, SHA-256" in capsys.readouterr().out
    assert json.loads((tmp_path / "model" / "config.json").read_text())["published"] == "neurovfm"
    assert (tmp_path / "model" / "known_answer.json").is_file()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("model")) == ["model"]


@pytest.mark.parametrize("has_config", [True, False])
def test_a_configuration_that_a_repository_may_have_is_downloaded_too(
    has_config: bool, hub: Hub, golden_encoders: Path, tmp_path: Path
) -> None:
    source = _hub_file("dinov3d-neuro")
    file = golden_encoders / "dinov3d_neuro" / "small_teacher_checkpoint.pth"
    hub.files[f"{source.repository}/{source.file}"] = file.read_bytes()
    if has_config:
        hub.files[f"{source.repository}/config.yaml"] = b"student: {norm_layer: layernormbf16}"
    assert download("dinov3d-neuro", tmp_path / "model") == 0
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["network"]["eps"] == (1e-5 if has_config else 1e-6)


def test_a_file_that_does_not_convert_is_kept_and_not_downloaded_again(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    weights = f"{_hub_file('neurovfm').repository}/pytorch_model.bin"
    hub.files[weights] = b"not weights at all"
    for _ in range(2):
        assert download("neurovfm", tmp_path / "model") == 2
        assert "the downloaded files are kept in" in capsys.readouterr().err
    assert hub.downloads.count(weights) == 1


def test_the_doctor_says_which_gates_are_open(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert main(["doctor", "--gated"]) == 0
    assert capsys.readouterr().out.count("WARN") == 2
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.files[f"{_hub_file('neurojepa').repository}/model.safetensors"] = b"x"
    assert main(["doctor", "--gated"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("PASS") == 2 and "neurojepa" in shown
    assert not hub.downloads


@pytest.fixture
def small_brainiac(golden_encoders: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A server with a small BrainIAC at the address of its row."""
    content = (golden_encoders / "brainiac" / "small_BrainIAC.ckpt").read_bytes()
    with serving() as state:
        state.large, state.files = False, {"weights": content}
        source = WebFile(
            f"{state.url}?id=weights", "BrainIAC.ckpt", "https://a.page", hashlib.sha256(content).hexdigest()
        )
        rows = [replace(row, source=source) if row.model_type == "brainiac" else row for row in PUBLISHED]
        monkeypatch.setattr(published, "PUBLISHED", tuple(rows))
        yield state


def test_a_file_at_a_public_address_is_fetched_in_spite_of_a_broken_transfer(
    small_brainiac: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prima_features.hub.web.time.sleep", lambda seconds: None)
    small_brainiac.breaks = [100_000]
    assert download("brainiac-token0", tmp_path / "model", "--keep-files") == 0
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert (config["model_type"], config["network"]["feature"]) == ("brainiac", "token0")
    fetched = tmp_path / "model.download" / "BrainIAC.ckpt"
    assert fetched.read_bytes() == small_brainiac.files["weights"]


def test_another_checksum_than_the_authors_is_refused(
    small_brainiac: Any, tmp_path: Path, capsys: Capture
) -> None:
    small_brainiac.files["weights"] += b"x"
    assert download("brainiac", tmp_path / "model") == 2
    error = capsys.readouterr().err
    assert "as expected, and was removed" in error and "https://a.page" in error
    assert not list((tmp_path / "model.download").iterdir())


def test_a_web_page_in_place_of_the_file_is_refused(
    small_brainiac: Any, tmp_path: Path, capsys: Capture
) -> None:
    small_brainiac.quota = True  # answers with a page
    assert download("brainiac", tmp_path / "model") == 2
    assert "does not provide BrainIAC.ckpt" in capsys.readouterr().err


def test_nobody_is_asked_where_there_is_no_terminal(
    hub: Hub, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert main(["weights", "download", "neurovfm", "--output", str(tmp_path / "model")]) == 2
    assert "give --yes" in capsys.readouterr().err
    assert main(["weights", "download", "neurovfm"]) == 2
    assert "give --output DIR" in capsys.readouterr().err
    assert main(["weights", "download", "intensity"]) == 2
    assert "use it with --model intensity" in capsys.readouterr().err


def test_the_list_shows_every_published_model_with_its_terms(capsys: Capture) -> None:
    assert main(["weights", "list"]) == 0
    shown = capsys.readouterr().out.splitlines()
    for row in CONVERTIBLE:
        terms, inputs = (line for line in shown if line.split()[:1] == [row.name] and "gated (" not in line)
        assert row.weights_licence in terms and str(row.width) in terms
        assert row.input in inputs and row.about in inputs
        if row.gate:
            gate = next(line for line in shown if line.startswith(f"{row.name} is gated ({row.gate})"))
            assert row.source.page in gate
    assert any("do not recommend their models for feature extraction" in line for line in shown)
    # Readable in a log or a pager, where rows are not folded.
    assert max(len(line.rstrip()) for line in shown if "models/bundled" not in line) <= 160


@pytest.mark.parametrize(
    "command", [["weights", "verify"], ["doctor", "--model"], ["embed", "x", "y.h5", "--model"]]
)
@pytest.mark.parametrize("name", ["brainiac", "BrainIAC", "prima"])
def test_a_published_model_that_is_not_here_is_said_to_need_a_download(
    command: list[str], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*command, name]) != 0
    said = capsys.readouterr()
    assert f"prima weights download {name.lower()} --output {name.lower()}" in said.out + said.err


def test_names_to_convert_are_those_with_a_published_file(tmp_path: Path, capsys: Capture) -> None:
    command = ["weights", "convert", str(tmp_path / "x.pt"), "--encoder", "nosuch"]
    assert main([*command, "--output", str(tmp_path / "model")]) == 2
    known = capsys.readouterr().err.split("known are ")[1].strip().split(", ")
    assert known == [row.name for row in CONVERTIBLE]
    assert "brainiac" in known and "intensity" not in known


def test_every_published_model_can_be_converted_and_has_a_card() -> None:
    from prima_features import model_cards
    from prima_features.encoders.registry import series_architecture

    for row in PUBLISHED:
        assert row.model_type in model_cards.names(), row.name
        if row.name != "prima":
            assert series_architecture(row.model_type).model_type == row.model_type
