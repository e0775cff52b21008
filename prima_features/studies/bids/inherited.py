"""Files that describe images, by BIDS's inheritance principle.

A sidecar applies to every image below its folder whose name has its suffix and all its entities; files closer to the
image, or with more entities, take precedence. bids2table's loader is not used: version 2.3.1 reads JSON only, reads the
files of a folder in any order, and fails on unreadable ones.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from prima_features.studies.bids.image import BidsImage
from prima_features.studies.sidecar import SidecarError, read_json

_KINDS = (".json", ".bval")


class Inherited:
    """Looks up the sidecars and gradient tables of the images in the dataset at `root`."""

    def __init__(self, root: Path):
        self._root = root
        # Cached: the folders of one subject at a time, and the files at the top for all.
        self._describing = lru_cache(maxsize=32)(_list_describing)
        self._applicable = lru_cache(maxsize=4)(self._list_applicable)
        self._read_json = lru_cache(maxsize=32)(_read_json)

    def fields(self, image: BidsImage) -> dict[str, Any]:
        """Fields of all the JSON sidecars that apply to an image.

        Raises:
            SidecarError: one of them cannot be read.
        """
        fields: dict[str, Any] = {}
        for path in self._applying(image, ".json"):
            read = self._read_json(path)
            if isinstance(read, SidecarError):
                raise SidecarError(f"{path.relative_to(self._root).as_posix()} {read}")
            fields |= read
        return fields

    def bvals(self, image: BidsImage) -> Path | None:
        """The gradient table that applies to an image, or None."""
        return next(reversed(self._applying(image, ".bval")), None)

    def _applying(self, image: BidsImage, kind: str) -> list[Path]:
        """Files that apply to an image, from the most general to the closest."""
        return [
            path
            for path, entities in self._applicable(image.source.rpartition("/")[0])
            if entities.get("ext", "").lower() == kind and _applies(entities, image.entities)
        ]

    def _list_applicable(self, folder: str) -> list[tuple[Path, dict[str, str]]]:
        """Sidecars and tables in a folder and those above it, from the dataset's folder down."""
        names = folder.split("/") if folder else []
        folders = [self._root, *(self._root.joinpath(*names[: i + 1]) for i in range(len(names)))]
        return [pair for one in folders for pair in self._describing(one)]


def _read_json(path: Path) -> dict[str, Any] | SidecarError:
    """Fields of a sidecar, or its error: both are cached."""
    try:
        return read_json(path)
    except SidecarError as error:
        return error


def _applies(sidecar: Mapping[str, str], image: Mapping[str, str]) -> bool:
    return all(image.get(entity) == value for entity, value in sidecar.items() if entity != "ext")


def _list_describing(folder: Path) -> list[tuple[Path, dict[str, str]]]:
    """Sidecars and gradient tables of a folder with their entities, the fewest first."""
    from bids2table import parse_bids_entities

    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.name.lower().endswith(_KINDS))
    described = [(folder / name, parse_bids_entities(name)) for name in names if not name.startswith(".")]
    return sorted(((path, e) for path, e in described if "suffix" in e), key=lambda pair: len(pair[1]))
