"""The cache of subvolumes and latents, one file per series verified by hashes; and the studies of a run in it."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from prima_features.embedding.file.records import Failure
from prima_features.errors import OutputError, UsageError
from prima_features.files.disk import write_bytes
from prima_features.files.paths import utf8_name
from prima_features.pretraining.data.records import SeriesTokens, TrainingStudy, Wordings


def digest_of(tensors: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]]) -> str:
    """Hash of named tensors, in hexadecimal."""
    digest = hashlib.sha256()
    for name, tensor in sorted(dict(tensors).items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A series' place in the cache."""

    path: Path
    inputs: str
    """Hash of all that the content depends on."""


class Cache:
    """A folder of safetensors files, one per series.

    An entry's name and header hold a hash of what it was made from (the series' files, preprocessing, tokenizer), so
    that datasets and tokenizers can share a folder; the header also has a hash of its content. Missing, stale and
    damaged entries are recomputed. Nothing is removed: entries of changed files stay.

    Args:
        folder: created if it does not exist.
        settings: what the content depends on in addition to the series; JSON types.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self._settings = json.dumps(settings, sort_keys=True)

    def entry(self, place: str, fingerprint: str) -> Entry:
        """The entry of a series: `place` says which it is, `fingerprint` in what state."""
        inputs = hashlib.sha256(f"{self._settings}\n{fingerprint}".encode()).hexdigest()
        # Ids may hold any character, and for a manifest a path: a hash is a file name everywhere.
        name = f"{hashlib.sha256(place.encode()).hexdigest()[:32]}-{inputs[:16]}.safetensors"
        return Entry(self.folder / name, inputs)

    def save(self, entry: Entry, tensors: Mapping[str, Tensor]) -> None:
        """Write an entry, whole or not at all.

        Raises:
            OutputError: the disk is full or cannot be written to.
        """
        try:
            entry.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"Cannot create the cache folder {self.folder}: {error.strerror}") from error
        made = {name: tensor.contiguous() for name, tensor in tensors.items()}
        write_bytes(entry.path, save(made, {"inputs": entry.inputs, "content": digest_of(made)}))

    def load(self, entry: Entry) -> dict[str, Tensor] | None:
        """The tensors of an entry; None if it is missing, damaged or computed from other inputs."""
        try:
            with utf8_name(entry.path) as path, safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("inputs") != entry.inputs:
                    return None
                # Copies: what the library gives is mapped from the file, and would change with it.
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError) as error:
            logger.warning("Cache file %s is damaged (%s); recomputing it", entry.path.name, error)
            return None
        if metadata.get("content") != digest_of(tensors):
            logger.warning("Cache file %s is damaged; recomputing it", entry.path.name)
            return None
        return tensors

    def shape(self, entry: Entry, name: str) -> tuple[int, ...]:
        """Shape of one tensor of an entry that is there, without reading it.

        Raises:
            UsageError: the entry was damaged or removed since it was checked.
        """
        try:
            with utf8_name(entry.path) as path, safe_open(path, framework="pt") as file:
                return tuple(file.get_slice(name).get_shape())
        except (SafetensorError, OSError) as error:
            raise _damaged(entry) from error

    def rows(self, entry: Entry, name: str, numbers: Sequence[int]) -> Tensor:
        """Some rows of one tensor of an entry that is there; not checked against its hash.

        Raises:
            UsageError: the entry was changed or removed since it was checked.
        """
        try:
            with utf8_name(entry.path) as path, safe_open(path, framework="pt") as file:
                if (file.metadata() or {}).get("inputs") != entry.inputs:
                    raise UsageError(f"{entry.path} was changed during the run; run the same command again")
                part = file.get_slice(name)
                return torch.cat([part[number : number + 1] for number in map(int, numbers)])
        except (SafetensorError, OSError) as error:
            raise _damaged(entry) from error


def _damaged(entry: Entry) -> UsageError:
    return UsageError(f"{entry.path} was damaged or removed during the run; run the same command again")


@dataclass(frozen=True)
class CachedSeries:
    """A series whose cache entry is there."""

    name: str
    entry: Entry


@dataclass(frozen=True)
class CachedStudy:
    """A study of which at least one series is there."""

    id: str
    subject: str
    description: str
    series: tuple[CachedSeries, ...]
    wordings: Wordings
    abnormal: bool
    split: str

    @property
    def findings(self) -> tuple[str, ...]:
        """Items of the report, in its first wording."""
        return self.wordings[0]


@dataclass(frozen=True)
class Cohort:
    """The usable studies, and the failures of the others."""

    studies: tuple[CachedStudy, ...]
    cache: Cache
    failures: tuple[Failure, ...] = ()

    @cached_property
    def digest(self) -> str:
        """Hash of the studies, so that a run is not resumed with others."""
        rows = [
            (study.id, study.subject, study.description, study.wordings, study.abnormal, study.split,
             [(series.name, series.entry.inputs) for series in study.series])
            for study in self.studies
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    def tensors(self, series: CachedSeries) -> dict[str, Tensor]:
        """What is cached of a series.

        Raises:
            UsageError: the entry was damaged or removed during the run.
        """
        found = self.cache.load(series.entry)
        if found is None:
            raise UsageError(
                f"{series.entry.path} was changed or removed during the run; run the same command again "
                "to recompute it"
            )
        return found

    def tokens(self, series: CachedSeries) -> SeriesTokens:
        """The latents of a series and their places, from a cache of latents.

        Raises:
            UsageError: as `tensors`.
        """
        tensors = self.tensors(series)
        row = tensors.pop("row")
        return SeriesTokens(
            name=series.name,
            slice_axis=int(tensors.pop("slice_axis")),
            latent=tensors.pop("latent"),
            row=row,
            coord=tensors.pop("coord"),
            counts=tuple(tensors.pop("counts").tolist()),
            number=torch.arange(len(row)),
            annotations=tensors,
        )

    def study(self, study: CachedStudy, wording: int = 0) -> TrainingStudy:
        """A study with its tokens, and its report in one of its wordings.

        Raises:
            UsageError: as `tensors`.
        """
        series = tuple(map(self.tokens, study.series))
        return TrainingStudy(study.description, series, study.wordings[wording])
