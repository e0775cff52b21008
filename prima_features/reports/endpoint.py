"""A language model behind an OpenAI-compatible server, such as vLLM's or llama.cpp's."""

from __future__ import annotations

import email.utils
import http.client
import ipaddress
import json
import logging
import math
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import SplitResult, urlsplit

from prima_features.errors import UsageError
from prima_features.files.safe import load_json
from prima_features.reports.records import ReportError, clean_text, one_line

logger = logging.getLogger(__name__)

_MOST_BYTES = 1 << 24
_MOST_QUOTED = 160
_LONGEST_WAIT_S = 600.0
_RETRIED = {408, 425, 429}
_LONGEST_WAITS_S = 1800.0
"""For all attempts at one question together."""
_LONGEST_TIMEOUT_S = 86400.0
_END_OF_THOUGHTS = "</think>"
"""After what a reasoning model says before its answer."""


@dataclass(frozen=True)
class EndpointConfig:
    """Where the server is and how it is asked."""

    url: str
    """Its address, with or without `/v1` and `/chat/completions`."""
    model: str
    """The model's name on the server."""
    api_key: str = field(default="", repr=False)
    rate: float | None = None
    """Maximum number of requests per minute."""
    workers: int = 4
    """Concurrent requests."""
    timeout_s: float = 120.0
    """For one request, from its first byte to the last of the answer."""
    retries: int = 4
    """Further attempts after a 408, 425, 429 or 5xx, a dropped connection, a time-out, an answer that is no JSON."""
    backoff_s: float = 1.0
    """Wait before the first of them; doubled each time. The server's Retry-After is honoured, up to ten minutes."""
    max_tokens: int = 1024
    """Maximum length of an answer, in tokens."""

    def __post_init__(self) -> None:
        parts = self.address
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError("the endpoint is not an address such as http://localhost:8000/v1")
        if parts.username is not None or parts.query:
            raise UsageError(
                "the endpoint's address contains a key or a query: give the key by --api-key-env"
            )
        if not self.model:
            raise UsageError("an endpoint needs the name of a model on it: give --model")
        numbers = (1.0 if self.rate is None else self.rate, self.workers, self.timeout_s)
        if not all(0 < number < math.inf for number in numbers):
            raise UsageError("rate, workers and time-out of an endpoint must be positive")
        if self.timeout_s > _LONGEST_TIMEOUT_S or not 0 <= self.backoff_s <= _LONGEST_WAIT_S:
            raise UsageError(
                f"the time-out of an endpoint must be {_LONGEST_TIMEOUT_S:g} s or less, and the wait before the second "
                f"attempt {_LONGEST_WAIT_S:g} s or less"
            )

    @property
    def address(self) -> SplitResult:
        """The URL in parts."""
        try:
            parts = urlsplit(self.url)
            _ = parts.port
        except ValueError as error:
            raise UsageError(f"the endpoint is not a valid address ({error})") from error
        return parts

    @property
    def chat_url(self) -> str:
        """Address of the chat completions."""
        path = self.address.path.rstrip("/")
        if not path.endswith("/chat/completions"):
            path = f"{path or '/v1'}/chat/completions"
        return self.address._replace(path=path, fragment="").geturl()

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine, by its name or loopback address."""
        host = self.address.hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")


class _TryAgainError(Exception):
    def __init__(self, reason: str, after: float | None = None, unreachable: bool = False):
        super().__init__(reason)
        self.after, self.unreachable = after, unreachable


class Endpoint:
    """A `LanguageModel` on a server.

    Redirects are not followed, since they would hand reports and key to an address nobody gave; nor is a proxy
    used for a server on this machine.
    """

    def __init__(self, config: EndpointConfig, sleep: Callable[[float], None] = time.sleep):
        self._config, self._sleep = config, sleep
        self.name = f"endpoint:{config.model}"
        self.identity = f"{self.name} max_tokens={config.max_tokens}"
        self.workers = config.workers
        handlers: list[Any] = [
            _NoRedirects(),
            _Watched(),
            _WatchedSecure(),
            *([urllib.request.ProxyHandler({})] if config.is_local else []),
        ]
        self._opener = urllib.request.build_opener(*handlers)
        self._turn = threading.Lock()
        self._next_turn = 0.0

    def ask(self, prompt: str) -> str:
        """The model's answer, at temperature 0.

        Raises:
            ReportError: the server refuses this prompt, answers nothing usable, or fails more often than `retries`.
            UsageError: there is no server, or it refuses the key or the model.
        """
        waited = 0.0
        for attempt in range(self._config.retries + 1):
            self._wait_for_turn()
            try:
                return self._answer(self._post(prompt))
            except _TryAgainError as error:
                last = error
            if attempt < self._config.retries:
                doubled = min(self._config.backoff_s * 2 ** min(attempt, 30), _LONGEST_WAIT_S)
                wait = last.after if last.after is not None else doubled
                if (waited := waited + wait) > _LONGEST_WAITS_S:
                    raise ReportError(
                        f"{last}, and the server asks to wait longer than {_LONGEST_WAITS_S:g} s"
                    ) from last
                logger.debug("%s; retrying in %.1f s", last, wait)
                self._sleep(wait)
        if last.unreachable:
            raise UsageError(
                f"no server answers at {self._config.address.netloc} ({last}): start it, or correct --endpoint"
            ) from last
        raise ReportError(f"{last}, after {self._config.retries + 1} attempts") from last

    def _wait_for_turn(self) -> None:
        if self._config.rate is None:
            return
        with self._turn:
            now = time.monotonic()
            turn = max(now, self._next_turn)
            self._next_turn = turn + 60.0 / self._config.rate
        if turn > now:
            self._sleep(turn - now)

    def _post(self, prompt: str) -> bytes:
        config = self._config
        body = {
            "model": config.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": 0,
            "max_tokens": config.max_tokens,
        }
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if config.api_key:
            headers["Authorization"] = f"Bearer {config.api_key}"
        request = urllib.request.Request(config.chat_url, json.dumps(body).encode(), headers)
        with _Deadline(config.timeout_s) as deadline:
            request.deadline = deadline  # type: ignore[attr-defined]
            try:
                with self._opener.open(request, timeout=config.timeout_s) as response:
                    content = bytes(response.read(_MOST_BYTES))
                if deadline.is_over:  # what was cut off can look whole
                    raise self._late()
                return content
            except urllib.error.HTTPError as error:
                with error:
                    self._refuse(error)
            except urllib.error.URLError as error:
                raise (self._late() if deadline.is_over else self._not_sent(error.reason)) from error
            except TimeoutError as error:
                raise self._late() from error
            except (http.client.HTTPException, OSError, ValueError) as error:
                if isinstance(error, UsageError | ReportError):
                    raise
                late = self._late() if deadline.is_over else None
                raise late or _TryAgainError("the server dropped the connection") from error

    def _not_sent(self, reason: str | BaseException) -> _TryAgainError:
        if isinstance(reason, TimeoutError):
            return self._late()
        if isinstance(reason, ConnectionResetError | BrokenPipeError):
            return _TryAgainError("the server dropped the connection")
        why = one_line(str(getattr(reason, "strerror", None) or reason), _MOST_QUOTED)
        return _TryAgainError(why, unreachable=True)

    def _late(self) -> _TryAgainError:
        return _TryAgainError(f"no answer within {self._config.timeout_s:g} s")

    def _refuse(self, error: urllib.error.HTTPError) -> NoReturn:
        reason = f"the server answered HTTP {error.code}"
        if error.code in _RETRIED or error.code >= 500:
            raise _TryAgainError(reason, _retry_after(error.headers.get("Retry-After")))
        reason += self._message(error)
        if error.code in (401, 403):
            raise UsageError(f"{reason}: check the key that --api-key-env names")
        if error.code in (404, 405) or error.code < 400:
            raise UsageError(f"{reason}: check --endpoint and --model")
        raise ReportError(reason)

    def _message(self, error: urllib.error.HTTPError) -> str:
        """The server's reason, without the key if it repeats that."""
        try:
            message = load_json(error.read(_MOST_BYTES))["error"]["message"]
        except (ValueError, TypeError, KeyError, IndexError, OSError, http.client.HTTPException):
            return ""
        if not isinstance(message, str):
            return ""
        # Without the key first: a piece of it could be left where the message is cut.
        if self._config.api_key:
            message = message.replace(self._config.api_key, "...")
        return f" ({one_line(message, _MOST_QUOTED)})"

    def _answer(self, content: bytes) -> str:
        try:
            choice = load_json(content)["choices"][0]
            answer = choice["message"]["content"]
            if not isinstance(answer, str | None):
                raise TypeError("an answer that is not text")
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise _TryAgainError("the server's answer is not a chat completion in JSON") from error
        if choice.get("finish_reason") == "length":
            raise ReportError(
                f"the answer is longer than {self._config.max_tokens} tokens: raise --max-tokens"
            )
        return clean_text((answer or "").rpartition(_END_OF_THOUGHTS)[2]).strip()


class _Deadline:
    """Ends a request that takes longer in all: a time-out of the socket only bounds the time between two bytes."""

    def __init__(self, seconds: float):
        self.is_over = False
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def watch(self, connected: socket.socket) -> None:
        """End what comes over this socket in time. Whoever waits for it reads the end of the stream."""
        self._socket = connected

    def _end(self) -> None:
        self.is_over = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


def _watching(make: Callable[..., http.client.HTTPConnection], request: Any) -> Callable[..., Any]:
    def watched(*where: Any, **options: Any) -> http.client.HTTPConnection:
        connection = make(*where, **options)
        connect = connection.connect

        def connect_and_watch() -> None:
            connect()
            # urllib takes the socket from the connection before it reads the answer.
            request.deadline.watch(connection.sock)

        connection.connect = connect_and_watch  # type: ignore[method-assign]
        return connection

    return watched


class _Watched(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(_watching(http.client.HTTPConnection, req), req)


class _WatchedSecure(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(_watching(http.client.HTTPSConnection, req), req)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait: the header holds them, or the time to wait for (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (
            ValueError,
            TypeError,
            IndexError,
            OverflowError,
            OSError,
        ):  # no date, or one beyond the calendar
            return None
    return min(max(seconds, 0.0), _LONGEST_WAIT_S) if seconds == seconds else None
