"""What a run was asked for, as its record tells it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch

from prima_features.embedding.engine.device import computation
from prima_features.embedding.engine.options import EngineOptions
from prima_features.embedding.resume.options import RunOptions
from prima_features.studies import FindOptions, Found


def asked_for(
    found: Found, find: FindOptions, engine: EngineOptions, run: RunOptions, device: torch.device, dtype: str
) -> dict[str, Any]:
    """The options of a run, as JSON types.

    Of a selection only how many are told: a label may be a PatientID.

    Args:
        found: what the finder made of the source.
        device: of the model, which computes where no other is named.
        dtype: number type of the stored vectors.
    """
    computes = computation(engine, device)
    special: Any = {"dicom": find.dicom, "bids": find.bids}.get(found.format)
    return {
        "source_format": found.format,
        "studies_found": len(found.studies),
        "participants_asked_for": len(find.selection.participants),
        "sessions_asked_for": len(find.selection.sessions),
        "find": asdict(special) if special is not None else {},
        "level": "token" if engine.keep_tokens else "study",
        "dtype": dtype,
        "slice_axis": engine.read.slice_axis,
        "min_slices": engine.read.min_slices,
        "nan": engine.read.nan,
        "max_subvolumes_action": engine.read.max_subvolumes_action,
        "devices": [_described(one) for one in computes.devices],
        "precision": str(computes.dtype).removeprefix("torch."),
        "workers": engine.n_workers,
        "batch_size": computes.batch_size,
        "threads": torch.get_num_threads(),
        "retry_failed": run.retry_failed,
        "force": run.force,
        "fail_fast": run.fail_fast,
        "pictures": engine.pictures,
    }


def _described(device: torch.device) -> str:
    if device.type != "cuda":
        return str(device)
    return f"{device} ({torch.cuda.get_device_name(device)})"
