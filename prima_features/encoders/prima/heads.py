"""The heads of a model directory, loaded one at a time, and their scores.

A head of the published size has 45 million parameters (180 MB), and there are more than fifty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from prima_features.encoders.prima.model_config import read_config
from prima_features.encoders.prima.networks.config import HeadsConfig
from prima_features.errors import UsageError
from prima_features.files.paths import utf8_name
from prima_features.files.text import printable
from prima_features.models import directory as files
from prima_features.models.loading import assign, difference

if TYPE_CHECKING:
    import torch
    from safetensors import safe_open

    from prima_features.encoders.prima.networks.heads import MLP

_PARTS = tuple(f"{layer}.{part}" for layer in (0, 2, 4) for part in ("weight", "bias"))

_STUDIES_AT_ONCE = 4096
"""Studies in one call of a head: 4096 x 4000 hidden values are 66 MB."""


class NamedHead(NamedTuple):
    """A loaded head."""

    kind: str
    """`diagnosis`, `referral` or `priority`."""
    name: str
    """What it detects; empty for priority."""
    module: MLP


def heads_config(directory: Path) -> HeadsConfig:
    """Names and thresholds of a model directory's heads.

    Raises:
        UsageError: the model has none.
    """
    config = read_config(directory).heads
    if config is None:
        raise UsageError(
            f"the model in {directory} has no heads: scores need a model with heads, such as Prima's"
        )
    return config


def iter_heads(directory: Path) -> Iterator[NamedHead]:
    """The heads of a model directory in the order of config.json, each loaded when it is asked for.

    Raises:
        UsageError: the model has no heads, or its file is damaged.
    """
    for load in _loaders(directory):
        yield load()


def load_head(directory: Path, kind: str, name: str = "") -> NamedHead:
    """One head of a model directory.

    Args:
        directory: a model directory.
        kind: `diagnosis`, `referral` or `priority`.
        name: what it detects; empty for priority.

    Raises:
        UsageError: the model has no such head, or its file is damaged.
    """
    for load in _loaders(directory):
        if load.args == (kind, name):
            return load()
    raise UsageError(f"the model in {directory} has no head {kind} {name}".rstrip())


def _loaders(directory: Path) -> list[partial[NamedHead]]:
    """A function of (kind, name) for each head that config.json lists, which loads it."""
    from prima_features.encoders.prima.networks.heads import Head, PriorityHead

    config = heads_config(directory)
    path = directory / files.HEADS
    with _opened(path) as file:
        _check_names(config, set(file.keys()), path)
    loaders = [
        partial(_load_head, kind, head.name, path=path, make=partial(Head, threshold=head.threshold))
        for kind, heads in (("diagnosis", config.diagnosis), ("referral", config.referral))
        for head in heads
    ]
    if config.priority:
        levels = partial(PriorityHead, levels=len(config.priority))
        loaders.append(partial(_load_head, "priority", "", path=path, make=levels))
    return loaders


def _load_head(kind: str, name: str, path: Path, make: Callable[..., MLP]) -> NamedHead:
    return NamedHead(kind, name, _load(path, f"{kind}.{name}" if name else kind, make))


@contextmanager
def _opened(path: Path) -> Iterator[safe_open]:
    from safetensors import SafetensorError, safe_open

    try:
        with utf8_name(path) as name, safe_open(name, framework="pt") as file:
            yield file
    except FileNotFoundError as error:
        raise UsageError(f"{path} is missing: download or convert the model again") from error
    except SafetensorError as error:
        raise UsageError(f"{path} is damaged ({error}): copy, download or convert it again") from error


def _load(path: Path, prefix: str, make: Callable[..., MLP]) -> MLP:
    import torch

    from prima_features.encoders.prima.networks.heads import MLP

    # The file is mapped into memory while it is open, and pages once read stay resident: opened for each head, no more
    # than one head's are.
    with _opened(path) as file:
        tensors = {part: file.get_tensor(f"{prefix}.{part}") for part in _PARTS}
    if any(tensor.ndim != 1 + part.endswith("weight") for part, tensor in tensors.items()):
        raise UsageError(f"{prefix} in {files.HEADS} is not an MLP: convert or download the model again")
    in_dim, hidden, _ = MLP.sizes(tensors)
    with torch.device("meta"):
        module = make(in_dim, hidden)
    assign(module, tensors, f"{prefix} in {files.HEADS}", dtype=torch.float32)
    if not all(bool(torch.isfinite(tensor).all()) for tensor in module.state_dict().values()):
        raise UsageError(
            f"{path} contains NaN or infinity in {printable(prefix)}: convert or download the model again"
        )
    return module


def _check_names(config: HeadsConfig, found: Iterable[str], path: Path) -> None:
    prefixes = [f"diagnosis.{head.name}" for head in config.diagnosis]
    prefixes += [f"referral.{head.name}" for head in config.referral]
    prefixes += ["priority"] if config.priority else []
    expected = [f"{prefix}.{part}" for prefix in prefixes for part in _PARTS]
    if problem := difference(dict.fromkeys(expected, ()), dict.fromkeys(found, ())):
        raise UsageError(f"{path} does not contain the heads listed in config.json ({problem})")


@dataclass(frozen=True, eq=False)
class HeadScores:
    """Outputs of all heads of a model for N studies."""

    diagnosis: np.ndarray
    """(N, n) float32, logit minus threshold: present if 0 or more."""
    diagnosis_names: tuple[str, ...]
    referral: np.ndarray
    """(N, m) float32, logit minus threshold: present if 0 or more."""
    referral_names: tuple[str, ...]
    priority: np.ndarray
    """(N, k) float32, one raw output per level; k is 0 without a priority head."""
    priority_names: tuple[str, ...]
    """From the least to the most urgent level."""


def score_heads(
    directory: Path,
    study_embedding: np.ndarray,
    device: torch.device | str = "cpu",
    on_head: Callable[[int, int], None] = lambda done, total: None,
) -> HeadScores:
    """Run all heads of a model directory, in float32, each loaded when its turn comes.

    Args:
        directory: a model directory.
        study_embedding: (N, D), made by the model in the same directory.
        device: where to compute.
        on_head: called after each head with the number of heads done and of all heads.

    Raises:
        UsageError: the model has no heads, its file is damaged, or D is not what the heads read.
    """
    import torch

    config = heads_config(directory)
    n_heads = len(config.diagnosis) + len(config.referral) + bool(config.priority)
    studies = torch.from_numpy(np.ascontiguousarray(study_embedding, dtype=np.float32))  # (N, D)
    scores: dict[str, list[np.ndarray]] = {"diagnosis": [], "referral": [], "priority": []}
    with torch.inference_mode():
        for done, head in enumerate(iter_heads(directory), start=1):
            if (width := head.module[0].in_features) != studies.shape[-1]:
                raise UsageError(
                    f"the heads in {directory} read study embeddings of {width} numbers, not of "
                    f"{studies.shape[-1]}: embed with the same model"
                )
            module = head.module.to(device)
            # At least one call, so that no studies give an empty column.
            output = torch.cat([module(some.to(device)).cpu() for some in studies.split(_STUDIES_AT_ONCE)])
            if not bool(torch.isfinite(output).all()):
                raise UsageError(
                    f"the head {head.kind} {printable(head.name)} in {directory} gives scores that are not finite: "
                    "check its threshold in config.json, or convert or download the model again"
                )
            scores[head.kind].append((output if output.ndim == 2 else output[:, None]).numpy())
            on_head(done, n_heads)
    nothing = np.zeros((len(studies), 0), dtype=np.float32)
    diagnosis, referral, priority = (
        np.concatenate([nothing, *columns], axis=1) for columns in scores.values()
    )
    return HeadScores(
        diagnosis,
        tuple(head.name for head in config.diagnosis),
        referral,
        tuple(head.name for head in config.referral),
        priority,
        config.priority,
    )
