"""Talking to the Hub through its client: without telemetry, errors in one sentence, answers not trusted.

A proxy, a captive portal or a server under another's control can answer in the Hub's place. The user's token goes to
the Hub's own address only, and what an answer names never becomes a path outside the cache.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from prima_features.errors import PrimaError, UsageError

_COMMIT = re.compile(r"[0-9a-f]{40}")
_TAG = re.compile(r"[\w.+=-]{1,200}")
_MOST_ANSWER, _MOST_FILE = 1 << 26, 50 << 30
"""Bytes of an answer, and of a file, which the client limits alike."""
_MOST_PACKED = 1 << 18
"""Bytes of an answer that is compressed: it inflates to a thousand times as many at most."""
_SLOWEST, _PATIENCE_S = 1000, 60.0
"""Bytes a second below which an answer is given up, after these seconds. The client bounds the wait for a byte only."""
_CHECK = "log in to the network, or check the proxy and HF_ENDPOINT"


@contextmanager
def talking(hub_id: str, revision: str | None, called: str = "") -> Iterator[None]:
    """Around calls of the Hub client: keep it from sending telemetry, and say what it raises in one sentence.

    Args:
        hub_id: the model that the calls are about.
        revision: and its revision, if one was asked for.
        called: what `prima weights download` calls it, if not by id and revision.

    Raises:
        UsageError: the Hub cannot be reached, does not have it, or refuses it.
    """
    from huggingface_hub import constants, errors

    at = f"{hub_id}@{revision}" if revision else hub_id
    telemetry_disabled, constants.HF_HUB_DISABLE_TELEMETRY = constants.HF_HUB_DISABLE_TELEMETRY, True
    try:
        with guarded():
            yield
    except PrimaError:
        raise
    except errors.GatedRepoError as error:
        raise UsageError(
            f"{hub_id} is gated: request access at {constants.ENDPOINT}/{hub_id} with your account on the Hub, and run "
            "`hf auth login`"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UsageError(
            f"the Hub has no model {hub_id} that you may read: check the name, or log in"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UsageError(
            f"the Hub has no revision {revision!r} of {hub_id}: give a branch, tag or commit"
        ) from error
    except errors.LocalEntryNotFoundError as error:
        raise UsageError(
            f"{at} is neither a folder nor in the Hub cache, and the Hub cannot be reached or HF_HUB_OFFLINE is set: "
            f"on a machine with internet run `prima weights download {called or at} --output DIR`, and copy DIR here"
        ) from error
    except errors.EntryNotFoundError as error:
        raise UsageError(f"{at} on the Hub lacks a file that is needed: check the name") from error
    # The HTTP library's own errors: which library it is depends on the client's version.
    except (errors.HTTPError, OSError) as error:
        raise UsageError(
            f"the Hub refused access to {at}, or cannot be reached ({_first_line(error)})"
        ) from error
    # What the client raises when an answer is not the Hub's: no JSON, or JSON without what it looks for.
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError) as error:
        raise UsageError(
            f"the response for {at} does not come from the Hub ({type(error).__name__}): {_CHECK}"
        ) from error
    finally:
        constants.HF_HUB_DISABLE_TELEMETRY = telemetry_disabled


@contextmanager
def guarded() -> Iterator[None]:
    """Around calls of the Hub client: check each request before it is sent and each answer before it is used."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    # Xet is another client, whose requests are not checked here.
    disabled, constants.HF_HUB_DISABLE_XET = constants.HF_HUB_DISABLE_XET, True
    session: Any = get_session()
    hooks = session.event_hooks
    session.event_hooks = {
        "request": [*hooks.get("request", ()), _keep_token],
        "response": [*hooks.get("response", ()), _check_answer],
    }
    try:
        yield
    finally:
        session.event_hooks = hooks
        constants.HF_HUB_DISABLE_XET = disabled


def _keep_token(request: Any) -> None:
    """Take the user's token out of a request that does not go to the Hub: a redirect, or the next page of a list."""
    from huggingface_hub import constants

    hub, target = urlsplit(constants.ENDPOINT), urlsplit(str(request.url))
    if (hub.scheme, hub.hostname, hub.port) != (target.scheme, target.hostname, target.port):
        for name in ("authorization", "cookie"):
            if name in request.headers:
                del request.headers[name]


def _check_answer(answer: Any) -> None:
    """Refuse a web page, and names of commits and files that could not be the Hub's; bound the size and time of others.

    Raises:
        UsageError: it is one.
    """
    headers: Mapping[str, str] = answer.headers
    address = urlsplit(str(answer.url))
    _bound(
        answer,
        address.netloc,
        "/resolve/" in str(answer.request.url) or answer.headers.get("etag") is not None,
    )
    commit = headers.get("x-repo-commit")
    if (
        answer.status_code == 200
        and commit is None
        and "text/html" in headers.get("content-type", "").lower()
    ):
        raise UsageError(f"{address.netloc} returned a web page instead of a response of the Hub: {_CHECK}")
    tags = (headers.get(name) for name in ("etag", "x-linked-etag"))
    # Both become names of files in the cache.
    if (commit is not None and not _COMMIT.fullmatch(commit)) or any(
        not _TAG.fullmatch(tag.removeprefix("W/").strip('"')) for tag in tags if tag is not None
    ):
        raise UsageError(f"{address.netloc} returned an invalid commit or file name: {_CHECK}")
    if answer.status_code == 200 and re.fullmatch(r"/api/models/[^/]+/[^/]+(/revision/.+)?", address.path):
        _check_description(answer, address.netloc)


def _bound(answer: Any, host: str, is_file: bool) -> None:
    """End an answer that has no end, or that comes too slowly, while it is read."""
    base: Any = sys.modules[type(answer).__module__.partition(".")[0]].SyncByteStream
    stream = answer.stream
    if not isinstance(stream, base):  # has been read already
        return
    most = _MOST_FILE if is_file else _MOST_ANSWER
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        most = _MOST_PACKED * (16 if is_file else 1)

    class Bounded(base):
        def __iter__(self) -> Iterator[bytes]:
            started, received = time.monotonic(), 0
            for piece in stream:
                received += len(piece)
                passed = time.monotonic() - started
                if received > most:
                    raise UsageError(f"{host} returned more than {most} bytes: {_CHECK}")
                if passed > _PATIENCE_S and received < passed * _SLOWEST:
                    raise UsageError(f"{host} sent fewer than {_SLOWEST} bytes per second: {_CHECK}")
                yield piece

        def close(self) -> None:
            stream.close()

    answer.stream = Bounded()


def _check_description(answer: Any, host: str) -> None:
    """Of a repository: its commit becomes the name of a folder."""
    if callable(getattr(answer, "read", None)):
        answer.read()
    described = answer.json()
    if not isinstance(described, dict) or not _COMMIT.fullmatch(str(described.get("sha"))):
        raise UsageError(f"{host} returned an invalid description of the repository: {_CHECK}")


def _first_line(error: Exception) -> str:
    return "".join(filter(str.isprintable, str(error).partition("\n")[0]))[:200]
