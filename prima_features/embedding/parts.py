"""Work in progress: one file a finished study in `OUTPUT.h5.parts/`, so that a killed run loses little."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from prima_features.embedding.records import EmbeddedSeries, EmbeddedStudy, Failure, TokenLevel
from prima_features.embedding.write import replacing
from prima_features.studies.study import Study

logger = logging.getLogger(__name__)


def input_hash(study: Study, settings: dict[str, Any]) -> str:
    """Hash of all that a study's embedding depends on: settings, texts, and its files' sizes and times.

    Args:
        settings: model, preprocessing and whatever else changes the numbers; JSON types.
    """
    files = []
    for series in study.series:
        states = [path.stat() if path.exists() else None for path in series.files]
        sizes = [(state.st_size, state.st_mtime_ns) if state else None for state in states]
        files.append((series.name, asdict(series.image), sizes))
    text = json.dumps([settings, study.id, study.description, files], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


class Parts:
    """The parts folder of one output file.

    A part is a safetensors file: vectors as tensors, the rest as JSON in its header. It is written to a
    temporary name, fsynced and renamed, so what has a part's name is whole. Resuming trusts a part only if
    its hash still matches, never because it exists.
    """

    def __init__(self, output: Path):
        self.folder = output.with_name(output.name + ".parts")

    def create(self) -> None:
        """Make the folder where it is not there yet."""
        self.folder.mkdir(exist_ok=True)

    def save(self, study: EmbeddedStudy, digest: str) -> None:
        """Keep a finished study.

        Raises:
            OutputError: the disk is full or the folder cannot be written to.
        """
        tensors, record = _dismantle(study)
        metadata = {"input_hash": digest, "study": json.dumps(record)}
        with replacing(self._path(study.id)) as temporary:
            temporary.write_bytes(save(tensors, metadata))

    def load(self, study_id: str, digest: str) -> EmbeddedStudy | None:
        """The study's part, or None where there is none, it is damaged, or was made of other inputs."""
        path = self._path(study_id)
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="numpy") as file:
                metadata = file.metadata() or {}
                if metadata.get("input_hash") != digest:
                    return None
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError:
            logger.warning("The part of %s is damaged; the study is embedded again.", study_id)
            return None
        return _assemble(tensors, json.loads(metadata["study"]))

    def remove(self) -> None:
        """Delete the folder with everything in it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, study_id: str) -> Path:
        return self.folder / f"{study_id}.safetensors"


def _dismantle(study: EmbeddedStudy) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The study's arrays by name, and all the rest as JSON types."""
    record = asdict(study)
    tensors = {name: record.pop(name) for name in ("embedding", "clip")}
    for i, series in enumerate(record["series"]):
        tensors[f"series.{i}.embedding"] = series.pop("embedding")
        for name, values in (series.pop("tokens") or {}).items():
            tensors[f"series.{i}.tokens.{name}"] = values
    return {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, record


def _assemble(tensors: dict[str, np.ndarray], record: dict[str, Any]) -> EmbeddedStudy:
    series = []
    for i, values in enumerate(record.pop("series")):
        tokens = None
        if f"series.{i}.tokens.embedding" in tensors:
            tokens = TokenLevel(tensors[f"series.{i}.tokens.embedding"], tensors[f"series.{i}.tokens.coord"])
        values |= {name: tuple(values[name]) for name in ("shape", "spacing")}
        series.append(EmbeddedSeries(**values, embedding=tensors[f"series.{i}.embedding"], tokens=tokens))
    failures = tuple(Failure(**failure) for failure in record.pop("failures"))
    embedding, clip = tensors["embedding"], tensors["clip"]
    return EmbeddedStudy(**record, embedding=embedding, clip=clip, series=tuple(series), failures=failures)
