"""Talking to the Hub through its client: without telemetry, and with errors of one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prima_features.errors import UsageError


@contextmanager
def talking(hub_id: str, revision: str | None) -> Iterator[None]:
    """Around calls of the Hub client: keep it from sending telemetry, and say what it raises in one sentence.

    Args:
        hub_id: the model that the calls are about.
        revision: and its revision, if one was asked for.

    Raises:
        UsageError: the Hub cannot be reached, does not have it, or refuses it.
    """
    from huggingface_hub import constants, errors

    at = f"{hub_id}@{revision}" if revision else hub_id
    told_before, constants.HF_HUB_DISABLE_TELEMETRY = constants.HF_HUB_DISABLE_TELEMETRY, True
    try:
        yield
    except errors.GatedRepoError as error:
        raise UsageError(f"{hub_id} is gated: accept its terms on the Hub and run `hf auth login`") from error
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
            f"{at} is no folder and not in the Hub cache, and the Hub cannot be reached or HF_HUB_OFFLINE is set: "
            f"on a machine with internet run `prima weights download {at} --output DIR`, and copy DIR here"
        ) from error
    except errors.EntryNotFoundError as error:
        raise UsageError(f"{at} on the Hub lacks files of a Prima model: is it one?") from error
    # The HTTP library's own errors: which library it is depends on the client's version.
    except (errors.HTTPError, OSError) as error:
        first_line = str(error).partition("\n")[0]
        raise UsageError(f"the Hub refused {at}, or cannot be reached ({first_line})") from error
    finally:
        constants.HF_HUB_DISABLE_TELEMETRY = told_before
