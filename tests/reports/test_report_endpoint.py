"""Asking a server, against a real one on this machine that behaves as such servers do."""

import email.utils
import time
from typing import Any

import pytest

from prima_features.errors import UsageError
from prima_features.reports.endpoint import Endpoint, EndpointConfig
from prima_features.reports.records import ReportError

KEY = "sk-very-secret"


def endpoint(server: Any, waits: list[float] | None = None, **options: Any) -> Endpoint:
    """An endpoint that does not really wait between attempts."""
    config = EndpointConfig(server.url, "tiny", **{"timeout_s": 20.0, **options})
    return Endpoint(config, sleep=(waits if waits is not None else []).append)


def test_an_answer_comes_back_and_the_request_is_what_such_servers_take(server: Any) -> None:
    assert endpoint(server, api_key=KEY, max_tokens=7).ask("Report: x") == "1. Acute infarct.\n2. Mild edema."
    ((path, headers, body),) = server.requests
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert body == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "Report: x"}],
        "temperature": 0,
        "max_tokens": 7,
    }


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/", "/v1/chat/completions"])
def test_the_address_may_be_given_in_full_or_in_part(path: str) -> None:
    assert EndpointConfig(f"http://h:1{path}", "m").chat_url == "http://h:1/v1/chat/completions"


def test_without_a_key_none_is_sent(server: Any) -> None:
    endpoint(server).ask("x")
    assert "Authorization" not in server.requests[0][1]


@pytest.mark.parametrize("trouble", [429, 500, 503, "garbage", "drop"])
def test_trouble_that_passes_is_waited_out_longer_each_time(server: Any, trouble: Any) -> None:
    server.script = [trouble, trouble]
    waits: list[float] = []
    assert endpoint(server, waits, backoff_s=3.0).ask("x").startswith("1. ")
    assert len(server.requests) == 3
    assert waits == [3.0, 6.0]


def test_the_servers_retry_after_is_honoured_in_seconds_and_as_a_date(server: Any) -> None:
    waits: list[float] = []
    server.script, server.headers = [429], {"Retry-After": "7"}
    endpoint(server, waits).ask("x")
    server.script, server.headers = (
        [503],
        {"Retry-After": email.utils.formatdate(time.time() + 100, usegmt=True)},
    )
    endpoint(server, waits).ask("x")
    assert waits[0] == 7.0
    assert 80 < waits[1] <= 100


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (429, "the server answered HTTP 429, after 3 attempts"),
        ("garbage", "not a chat completion in JSON, after 3 attempts"),
        ("drop", "dropped the connection, after 3 attempts"),
    ],
)
def test_trouble_that_stays_is_a_reason(server: Any, trouble: Any, reason: str) -> None:
    server.script = [trouble] * 5
    with pytest.raises(ReportError, match=reason):
        endpoint(server, retries=2).ask("x")
    assert len(server.requests) == 3


def test_an_answer_that_does_not_come_is_not_waited_for_for_ever(server: Any) -> None:
    server.script = ["hang"] * 2
    with pytest.raises(ReportError, match=r"no answer within 0.3 s, after 2 attempts"):
        endpoint(server, timeout_s=0.3, retries=1).ask("x")


@pytest.mark.parametrize("answer", [{}, {"choices": []}, {"choices": [{"message": None}]}, [], None])
def test_json_that_is_no_completion_is_no_answer(server: Any, answer: Any) -> None:
    server.completion = lambda prompt: answer
    with pytest.raises(ReportError, match="not a chat completion"):
        endpoint(server, retries=0).ask("x")


def test_a_refused_prompt_is_not_sent_again_and_the_servers_reason_is_told_without_the_key(
    server: Any,
) -> None:
    server.script, server.error = [400], {"error": {"message": f"context too long for {KEY}"}}
    with pytest.raises(ReportError, match=r"HTTP 400 \(context too long for \.\.\.\)"):
        endpoint(server, api_key=KEY).ask("x")
    assert len(server.requests) == 1


@pytest.mark.parametrize(("status", "hint"), [(401, "api-key-env"), (403, "api-key-env"), (404, "--model")])
def test_a_refused_key_or_model_ends_the_run(server: Any, status: int, hint: str) -> None:
    server.script = [status]
    with pytest.raises(UsageError, match=hint):
        endpoint(server).ask("x")
    assert len(server.requests) == 1


def test_where_no_server_is_the_run_ends(server: Any) -> None:
    dead = endpoint(server, retries=1)
    server.stop()
    with pytest.raises(UsageError, match=r"no server answers at 127\.0\.0\.1"):
        dead.ask("x")


def test_redirects_are_not_followed(server: Any, other_server: Any) -> None:
    server.script, server.headers = [307], {"Location": other_server.url}
    with pytest.raises(UsageError, match="HTTP 307"):
        endpoint(server, api_key=KEY).ask("x")
    assert other_server.requests == []


def test_a_proxy_is_not_used_for_a_server_on_this_machine(
    server: Any, other_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", other_server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    endpoint(server).ask("x")
    assert (len(server.requests), len(other_server.requests)) == (1, 0)


@pytest.mark.parametrize("proxy", ["socks9://user:secret@h", "foo bar://"])
def test_a_proxy_that_cannot_be_used_is_refused_without_repeating_secrets(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("all_proxy", proxy)
    with pytest.raises(UsageError, match="ALL_PROXY") as error:
        Endpoint(EndpointConfig("http://example.org", "m"))
    assert "secret" not in str(error.value)


def test_requests_keep_to_the_rate(server: Any) -> None:
    waits: list[float] = []
    limited = endpoint(server, waits, rate=6)
    for _ in range(3):
        limited.ask("x")
    assert [round(wait, -1) for wait in waits] == [10, 20]  # no time goes by: the waits are only noted


def test_an_answer_that_was_cut_off_is_refused(server: Any) -> None:
    server.finish_reason = "length"
    with pytest.raises(ReportError, match="longer than 1024 tokens"):
        endpoint(server).ask("x")


def test_what_a_reasoning_model_thinks_is_no_part_of_its_answer(server: Any) -> None:
    server.answer = "<think>\n1. hm\n</think>\n\n1. Cyst."
    assert endpoint(server).ask("x") == "1. Cyst."


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.1.1", "[::1]"])
def test_loopback_addresses_are_this_machine(host: str) -> None:
    assert EndpointConfig(f"http://{host}:8000", "m").is_local


@pytest.mark.parametrize("host", ["example.org", "10.0.0.1", "localhost.example.org", "[2001:db8::1]"])
def test_other_addresses_are_not(host: str) -> None:
    assert not EndpointConfig(f"http://{host}:8000", "m").is_local


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "localhost:8000"},
        {"url": "ftp://h"},
        {"url": "http://"},
        {"url": "http://h:port"},
        {"url": "http://user:secret@h"},
        {"url": "http://h?key=secret"},
        {"model": ""},
        {"rate": 0},
        {"workers": 0},
        {"timeout_s": 0},
        {"api_key": "secret\n"},
        {"api_key": "s\xe9cret"},
    ],
)
def test_an_endpoint_that_cannot_be_is_refused_without_repeating_secrets(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as error:
        EndpointConfig(**{"url": "http://h", "model": "m", **wrong})
    assert "secret" not in str(error.value)


def test_the_key_shows_in_no_representation() -> None:
    assert KEY not in repr(EndpointConfig("http://h", "m", api_key=KEY))
