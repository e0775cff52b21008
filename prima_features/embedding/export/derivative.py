"""A folder of results as a BIDS derivative, laid out as BIDS Apps do (the `participant` and `group` levels)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from prima_features._version import __version__
from prima_features.embedding.resume.parts import PartsFolder
from prima_features.errors import UsageError
from prima_features.files.disk import output_errors, write_bytes, write_json
from prima_features.files.paths import is_folder, resolved
from prima_features.files.safe import load_json, read_text
from prima_features.files.targets import same_file
from prima_features.studies import Selection
from prima_features.studies.labels import digest, safe_label

DESCRIPTION = "dataset_description.json"
EMBEDDINGS = "embeddings.h5"
"""What all participants together are written to."""
_BIDS_VERSION = "1.9.0"
_GENERATOR = "prima-features"
_LONGEST_LABELS = 100


def participant_output(folder: Path, source: Path, selection: Selection = Selection()) -> Path:
    """Make the folder of results and name the embeddings file in it.

    A cluster's jobs, one a participant, must not write over each other: a selection of participants or sessions
    has a file of its own, such as `sub-01_embeddings.h5`; `group_inputs` finds them.

    Raises:
        UsageError: the folder is the dataset itself, in a participant's folder of it, a file, or another tool's; or
            there is no dataset.
        OutputError: it cannot be made.
    """
    if folder.suffix in (".h5", ".hdf5"):
        raise UsageError(f"{folder} is a file name; a BIDS App writes to a folder and names its files itself")
    if not source.is_dir():
        raise UsageError(f"{source} is not a folder; a BIDS App takes a BIDS dataset")
    if same_file(folder, source):
        raise UsageError(
            f"{folder} is the dataset itself; name another folder, such as {source / 'derivatives' / 'prima'}"
        )
    parents = (resolved(folder), *resolved(folder).parents)
    if inside := next(
        (one for one in parents if one.name.startswith("sub-") and same_file(one.parent, source)), None
    ):
        raise UsageError(
            f"{folder} is in {inside.name}, a participant of the dataset; name another folder, such as "
            f"{source / 'derivatives' / 'prima'}"
        )
    _check_ours(folder)
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    labels = [
        f"{prefix}-{_joined(chosen)}"
        for prefix, chosen in (("sub", selection.participants), ("ses", selection.sessions))
        if chosen
    ]
    return folder / "_".join([*labels, EMBEDDINGS])


def group_inputs(folder: Path) -> list[Path]:
    """What the participant level left in a folder to be merged: files of selections, and parts of unfinished runs.

    Returns:
        Nothing if one run embedded all participants.

    Raises:
        UsageError: the folder is another tool's, or holds nothing that the participant level made.
    """
    _check_ours(folder)
    files = set(folder.glob(f"*_{EMBEDDINGS}"))
    unfinished = {path.with_suffix("") for path in folder.glob(f"*{EMBEDDINGS}.parts")}
    if not files | unfinished | set(folder.glob(EMBEDDINGS)):
        raise UsageError(f"{folder} contains no embeddings; run the participant level first")
    return sorted(files | {PartsFolder.of(output).folder for output in unfinished - files})


def describe_derivative(folder: Path, source: Path, model: str) -> None:
    """Write dataset_description.json, and a .bidsignore that lists what BIDS has no names for.

    Args:
        folder: the folder of results.
        source: the dataset that was embedded.
        model: what made the embeddings, for people.

    Raises:
        OutputError: it cannot be written.
    """
    raw = _read(source / DESCRIPTION)
    described: dict[str, Any] = {
        "Name": f"Embeddings of {raw.get('Name') or source.resolve().name}",
        "BIDSVersion": _BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [
            {"Name": _GENERATOR, "Version": __version__, "Description": f"Embeddings of brain MRI by {model}"}
        ],
        "SourceDatasets": [{"URL": source.resolve().as_uri()}],
    }
    if isinstance(doi := raw.get("DatasetDOI"), str):
        described["SourceDatasets"][0]["DOI"] = doi
    write_json(folder / DESCRIPTION, described)
    write_bytes(folder / ".bidsignore", f"*{EMBEDDINGS[:-3]}.*\n".encode())


def _joined(labels: tuple[str, ...]) -> str:
    """Labels in a file's name; if they are too many, how many and a digest of them."""
    safe = sorted(map(safe_label, labels))
    joined = "+".join(safe)
    if len(joined) <= _LONGEST_LABELS:
        return joined
    return f"{safe[0]}+{len(safe) - 1}more+{digest(joined)}"


def _check_ours(folder: Path) -> None:
    if os.path.lexists(folder) and not is_folder(folder):
        raise UsageError(f"{folder} is a file; a BIDS App writes to a folder")
    if not (folder / DESCRIPTION).exists():
        if (folder / ".bidsignore").exists():
            raise UsageError(
                f"{folder} contains a .bidsignore that prima embed did not write; name another folder"
            )
        return
    described = _read(folder / DESCRIPTION)
    generators = described.get("GeneratedBy")
    first = generators[0] if isinstance(generators, list) and generators else None
    ours = isinstance(first, dict) and first.get("Name") == _GENERATOR
    # prima synth makes datasets too: raw ones, which must not be described again.
    if not ours or described.get("DatasetType") != "derivative":
        raise UsageError(
            f"{folder} contains a dataset that prima embed did not write ({DESCRIPTION}); name another folder"
        )


def _read(path: Path) -> dict[str, Any]:
    """A dataset's description; empty if there is none or it cannot be read, as many datasets have it."""
    try:
        described = load_json(read_text(path))
    except (OSError, ValueError):
        return {}
    return described if isinstance(described, dict) else {}
