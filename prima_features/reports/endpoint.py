"""A language model behind an OpenAI-compatible server, such as vLLM's or llama.cpp's."""

from __future__ import annotations

import asyncio
import email.utils
import ipaddress
import json
import logging
import math
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

import httpx2

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
    """For one whole request, however slowly the server sends its response."""
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
        if not (self.api_key.isascii() and self.api_key.isprintable()):
            raise UsageError(
                "the API key contains characters other than printable ASCII: check --api-key-env"
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

    Redirects are not followed, since they would hand reports and key to an address that the user did not give. No
    proxy is used for a server on this machine.

    Raises:
        UsageError: the proxy or certificates that the environment names cannot be used.
    """

    def __init__(self, config: EndpointConfig, sleep: Callable[[float], None] = time.sleep):
        self._config, self._sleep = config, sleep
        self.name = f"endpoint:{config.model}"
        self.identity = f"{self.name} max_tokens={config.max_tokens}"
        self.workers = config.workers
        self._headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            **({"Authorization": f"Bearer {config.api_key}"} if config.api_key else {}),
        }
        try:
            # Made once: it reads all certificates.
            tls = httpx2.create_ssl_context(trust_env=not config.is_local)
            # All time-outs of the client bound a single read or write; `_post` bounds the whole request.
            self._client: dict[str, Any] = {"verify": tls, "trust_env": not config.is_local, "timeout": None}
            httpx2.AsyncClient(**self._client)
        except (ImportError, ValueError, OSError) as error:
            raise UsageError(
                f"the proxy or certificates that the environment names cannot be used ({type(error).__name__}): check "
                "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE; a SOCKS proxy needs pip install socksio"
            ) from error
        self._turn = threading.Lock()
        self._next_turn = 0.0

    def ask(self, prompt: str) -> str:
        """The model's answer, at temperature 0.

        Raises:
            ReportError: the server refuses this prompt, answers nothing usable, or fails more often than `retries`.
            UsageError: there is no server, or it refuses the key or the model.
        """
        # Own loop: with tenacity the module has 218 lines of code, not 210, since the bound on all waits, Retry-After
        # and the three ways to end need functions of their own.
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
        """The body of the server's response.

        Raises:
            _TryAgainError: there is none this time.
            ReportError: the server refuses this prompt.
            UsageError: the server refuses the key or the model.
        """
        config = self._config
        try:
            response, content = asyncio.run(asyncio.wait_for(self._send(prompt), config.timeout_s))
        except TimeoutError as error:
            raise _TryAgainError(f"no answer within {config.timeout_s:g} s") from error
        except (httpx2.ConnectError, httpx2.ProxyError) as error:
            raise _TryAgainError(one_line(_reason(error), _MOST_QUOTED), unreachable=True) from error
        except httpx2.HTTPError as error:
            raise _TryAgainError("the server dropped the connection") from error
        if response.is_success:
            return content
        code, reason = response.status_code, f"the server answered HTTP {response.status_code}"
        if code in _RETRIED or code >= 500:
            raise _TryAgainError(reason, _retry_after(response.headers.get("Retry-After")))
        reason += self._message(content)
        if code in (401, 403):
            raise UsageError(f"{reason}: check the key that --api-key-env names")
        if code in (404, 405) or code < 400:
            raise UsageError(f"{reason}: check --endpoint and --model")
        raise ReportError(reason)

    async def _send(self, prompt: str) -> tuple[httpx2.Response, bytes]:
        config = self._config
        body = {
            "model": config.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": 0,
            "max_tokens": config.max_tokens,
        }
        content = bytearray()
        async with (
            httpx2.AsyncClient(**self._client) as client,
            client.stream(
                "POST", config.chat_url, content=json.dumps(body), headers=self._headers
            ) as response,
        ):
            async for piece in response.aiter_raw():  # not inflated, which could be to any size
                content += piece
                if len(content) > _MOST_BYTES:
                    break
        return response, bytes(content)

    def _message(self, content: bytes) -> str:
        """The server's reason, without the key if it repeats that."""
        try:
            message = load_json(content)["error"]["message"]
        except (ValueError, TypeError, KeyError, IndexError):
            return ""
        if not isinstance(message, str):
            return ""
        # Without the key first: a piece of it could remain at the end of a message that is cut.
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


def _reason(error: BaseException) -> str:
    """Why there is no connection: the operating system's reason if there is one."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError | socket.gaierror) and cause.strerror:
            return cause.strerror
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno)
        cause = cause.__cause__ or cause.__context__
    return str(error)


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait: the header states them, or the time until which to wait (RFC 9110, 10.2.3)."""
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
