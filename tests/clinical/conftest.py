"""Embeddings files with given vectors, and the golden values of the public code."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from browser import Page, browser
from public_scores import KINDS, SeriesSets, Write

from prima_features.embedding.file.records import EmbeddedStudy
from prima_features.embedding.file.write import Provenance, write_embeddings
from prima_features.files.disk import sha256
from prima_features.studies.study import Failure


@pytest.fixture(scope="session")
def sets(golden_clinical: Path) -> SeriesSets:
    names = json.loads((golden_clinical / "a_clinical.json").read_text())
    values = dict(np.load(golden_clinical / "a_heads.npz"))
    return SeriesSets(tuple(names["sets"]), values, {kind: names[kind] for kind in KINDS})


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes an embeddings file of study vectors (N, D), made with the model of a directory."""

    def written(
        vectors: np.ndarray,
        model: Path,
        ids: Sequence[str] = (),
        clip: np.ndarray | None = None,
        failures: Sequence[Failure] = (),
        name: str = "embeddings.h5",
        caveat: str = "",
    ) -> Path:
        ids = list(ids) or [f"sub-{i:03d}" for i in range(len(vectors))]
        width = None if clip is None else clip.shape[1]
        provenance = Provenance(
            model.name,
            "local",
            sha256(model / "model.safetensors"),
            {},
            caveat=caveat,
            widths={"study": vectors.shape[1], "series": 4, "clip": width, "token": None},
        )
        studies = [
            EmbeddedStudy(
                id=one,
                subject=one.removeprefix("sub-"),
                session="",
                description="MRI BRAIN",
                source="",
                embedding=np.asarray(vectors[i], np.float32),
                clip=None if clip is None else np.asarray(clip[i], np.float32),
                series=(),
            )
            for i, one in enumerate(ids)
        ]
        write_embeddings(tmp_path / name, studies, provenance, failures)
        return tmp_path / name

    return written


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened
