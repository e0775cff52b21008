"""The bundled models `intensity` and `acquisition`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from prima_features import model_cards
from prima_features.encoders.base import Prepared, Preparer, Widths
from prima_features.encoders.baselines.network import BaselineConfig, Unchanged
from prima_features.encoders.baselines.prepare import (
    ACQUISITION,
    INTENSITY,
    AcquisitionPreparer,
    IntensityPreparer,
)
from prima_features.encoders.series_encoder import SeriesArchitecture
from prima_features.files.new_directory import new_directory
from prima_features.models import directory

WIDTHS = {"intensity": len(INTENSITY), "acquisition": len(ACQUISITION)}


def intensity(config: BaselineConfig, options: Mapping[str, str]) -> Preparer:
    """What reads series."""
    return IntensityPreparer()


def acquisition(config: BaselineConfig, options: Mapping[str, str]) -> Preparer:
    """What reads series."""
    return AcquisitionPreparer()


def widths(config: BaselineConfig) -> Widths:
    """Of series."""
    return Widths(study=None, series=config.width)


def gflop(config: BaselineConfig, prepared: Prepared) -> float:
    """None: the network changes nothing."""
    return 0.0


INTENSITY_MODEL = SeriesArchitecture(
    "intensity", BaselineConfig, Unchanged, intensity, widths, 1, unit="series", gflop=gflop
)
ACQUISITION_MODEL = SeriesArchitecture(
    "acquisition", BaselineConfig, Unchanged, acquisition, widths, 1, unit="series", gflop=gflop
)


def build(name: str, output: Path, overwrite: bool = False) -> None:
    """Write one of the bundled models to a new directory.

    Raises:
        UsageError: `output` contains something and `overwrite` is off.
        OutputError: it could not be written.
    """
    from safetensors.numpy import save

    # Different weights for each, since a checksum tells models apart.
    version = np.full(WIDTHS[name], sorted(WIDTHS).index(name) + 1, np.float32)
    config = BaselineConfig(WIDTHS[name])
    with new_directory(output, overwrite) as made:
        (made / directory.MODEL).write_bytes(save({"version": version}, metadata={"format": "pt"}))
        directory.write_config(
            made, {"model_type": name, "format_version": 1, "preprocessing": 1, "network": asdict(config)}
        )
        (made / directory.CARD).write_text(model_cards.card(name), encoding="utf-8")
        directory.write_checksums(made)
