"""Publishing a probe on the Hub."""

from __future__ import annotations

from pathlib import Path

from prima_features.hub import repositories as hub
from prima_features.probes.persistence.layout import SHARED
from prima_features.probes.persistence.load import load


def push(source: Path, hub_id: str, private: bool = False) -> str:
    """Upload a probe in one commit, without what tells of single persons.

    Returns:
        The commit's address.

    Raises:
        UsageError: the folder holds no whole probe, or the Hub refuses it or cannot be reached.
    """
    load(source)
    return hub.upload(source, hub_id, SHARED, "Upload probe", private)
