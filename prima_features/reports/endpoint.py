"""A language model behind an OpenAI-compatible server, such as vLLM's or llama.cpp's."""

from __future__ import annotations

import email.utils
import http.client
import ipaddress
import json
import logging
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import SplitResult, urlsplit

from prima_features.errors import UsageError
from prima_features.reports.records import ReportError

logger = logging.getLogger(__name__)

_MOST_BYTES = 1 << 24
_LONGEST_WAIT_S = 600.0
_RETRIED = {408, 425, 429}
_THOUGHTS = re.compile(r"^.*</think>", re.DOTALL)
"""What a reasoning model says before its answer."""


@dataclass(frozen=True)
class EndpointConfig:
    """Where the server is and how it is asked."""

    url: str
    """Its address, with or without `/v1` and `/chat/completions`."""
    model: str
    """The model's name on the server."""
    api_key: str = field(default="", repr=False)
    rate: float | None = None
    """Requests a minute at most."""
    workers: int = 4
    """Requests at a time."""
    timeout_s: float = 120.0
    retries: int = 4
    """Further attempts after a 408, 425, 429 or 5xx, a dropped connection, a time-out, an answer that is no JSON."""
    backoff_s: float = 1.0
    """Wait before the first of them; doubled each time. The server's Retry-After is honoured, up to ten minutes."""
    max_tokens: int = 1024
    """Length of an answer at most."""

    def __post_init__(self) -> None:
        parts = self.address
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError("the endpoint is not an address such as http://localhost:8000/v1")
        if parts.username is not None or parts.query:
            raise UsageError("the endpoint's address holds a key or a query: give the key by --api-key-env")
        if not self.model:
            raise UsageError("an endpoint needs the name of a model on it: give --model")
        if (self.rate is not None and self.rate <= 0) or min(self.workers, self.timeout_s) <= 0:
            raise UsageError("rate, workers and time-out of an endpoint must be above 0")

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
        for attempt in range(self._config.retries + 1):
            self._wait_for_turn()
            try:
                return self._answer(self._post(prompt))
            except _TryAgainError as error:
                last = error
            if attempt < self._config.retries:
                wait = last.after if last.after is not None else self._config.backoff_s * 2**attempt
                logger.debug("%s; asking again in %.1f s", last, wait)
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
        try:
            with self._opener.open(request, timeout=config.timeout_s) as response:
                return bytes(response.read(_MOST_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                self._refuse(error)
        except urllib.error.URLError as error:
            raise self._not_sent(error.reason) from error
        except TimeoutError as error:
            raise self._late() from error
        except (http.client.HTTPException, OSError) as error:
            raise _TryAgainError("the server dropped the connection") from error

    def _not_sent(self, reason: str | BaseException) -> _TryAgainError:
        if isinstance(reason, TimeoutError):
            return self._late()
        if isinstance(reason, ConnectionResetError | BrokenPipeError):
            return _TryAgainError("the server dropped the connection")
        return _TryAgainError(str(getattr(reason, "strerror", None) or reason), unreachable=True)

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
            message = json.loads(error.read(_MOST_BYTES))["error"]["message"]
        except (ValueError, TypeError, KeyError, OSError, http.client.HTTPException):
            return ""
        message = " ".join(str(message).split())
        if self._config.api_key:
            message = message.replace(self._config.api_key, "...")
        return f" ({message[:160]})"

    def _answer(self, content: bytes) -> str:
        try:
            choice = json.loads(content)["choices"][0]
            answer = choice["message"]["content"]
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise _TryAgainError("the server's answer is not a chat completion in JSON") from error
        if choice.get("finish_reason") == "length":
            raise ReportError(
                f"the answer is longer than {self._config.max_tokens} tokens: raise --max-tokens"
            )
        return _THOUGHTS.sub("", str(answer or "")).strip()


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
        except ValueError:
            return None
    return min(max(seconds, 0.0), _LONGEST_WAIT_S) if seconds == seconds else None
