"""Pictures for the page: from parts, where the run has just drawn them, and from an earlier page.

When a run is over, its page is where its pictures are kept: a later run, or `prima merge`, takes them from there, and
who deletes the page has deleted the pictures.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from prima_features.embedding.file.records import EmbeddedStudy
from prima_features.embedding.resume.parts import PartsFolder
from prima_features.encoders.base import Picture
from prima_features.errors import PrimaError
from prima_features.files.safe import MIB, load_json, read_bytes

MOST_BYTES = 16 << 20
"""Of pictures in one page: some 1,300 studies of five series. More would make it slow to open."""
_MOST_PAGE = 256 * MIB
BLOCK = "pictures"
"""Id of the page's element that holds them."""
_OPENING, _CLOSING = f'<script type="application/json" id="{BLOCK}">'.encode(), b"</script>"

Pictures = Sequence[Picture | None]
"""One a series, in the order of the file; None if a series has none."""


class Album:
    """Looks for studies' pictures in parts folders, and then in pages.

    A picture is taken only where it is of the same scans: where the input hash is the same.
    """

    def __init__(self, folders: Iterable[Path] = (), pages: Iterable[Path] = ()):
        self._parts = [PartsFolder(folder) for folder in folders]
        self._pages = list(pages)
        self._read: dict[str, Any] | None = None

    def pictures(self, study_id: str, input_hash: str) -> Pictures:
        """A study's pictures; none if there are none."""
        for parts in self._parts:
            try:
                part = parts.load(study_id, input_hash)
            except PrimaError:  # the disk is away: the page does without
                continue
            if isinstance(part, EmbeddedStudy):
                return [series.picture for series in part.series]
        stored = self._stored().get(study_id)
        if stored is None or not input_hash or stored["hash"] != input_hash:
            return ()
        return [_decoded(picture) for picture in stored["series"]]

    def _stored(self) -> dict[str, Any]:
        if self._read is None:
            self._read = {}
            for page in reversed(self._pages):  # what stands first in the list counts
                self._read |= _stored_in(page)
        return self._read


def choose(album: Album, studies: Iterable[tuple[str, str]]) -> dict[str, dict[str, Any]]:
    """Pictures as the page holds them, until it is full.

    Args:
        studies: ids and input hashes, the most wanted first.

    Returns:
        By study id, its input hash and a list a series; studies without a picture are left out.
    """
    chosen, size = {}, 0
    for study_id, input_hash in studies:
        found = album.pictures(study_id, input_hash)
        if not any(found):
            continue
        size += sum(len(one.jpeg) + len(one.outline) for one in found if one)
        if size > MOST_BYTES:
            break
        chosen[study_id] = {"hash": input_hash, "series": [_encoded(one) for one in found]}
    return chosen


def _encoded(picture: Picture | None) -> list[Any] | None:
    if picture is None:
        return None
    return [base64.b64encode(picture.jpeg).decode(), picture.width, picture.height, picture.outline]


def _decoded(stored: list[Any] | None) -> Picture | None:
    if stored is None:
        return None
    jpeg, width, height, outline = stored
    return Picture(base64.b64decode(jpeg), width, height, outline)


def _stored_in(page: Path) -> dict[str, Any]:
    """The pictures of a page; none if there is no page, or one that is no page of ours."""
    try:
        content = read_bytes(page, _MOST_PAGE)
        start = content.index(_OPENING) + len(_OPENING)
        stored = load_json(content[start : content.index(_CLOSING, start)])
        return {study: one for study, one in stored.items() if all(map(_is_sound, _series_of(one)))}
    except (OSError, ValueError, AttributeError, TypeError, KeyError):
        return {}


def _series_of(one: dict[str, Any]) -> Iterator[Any]:
    if not isinstance(one["hash"], str):
        raise TypeError
    yield from one["series"]


def _is_sound(stored: Any) -> bool:
    if stored is None:
        return True
    try:
        return bool(_decoded(stored))
    except (binascii.Error, ValueError, TypeError):
        return False
