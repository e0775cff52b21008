"""The published heads: a plain dict of MLPs for diagnoses, one for referrals, and the priority MLP."""

from __future__ import annotations

from prima_features.encoders.prima.convert.vit import linear
from prima_features.encoders.prima.networks.config import HeadConfig, HeadsConfig
from prima_features.models.checkpoint.module_tree import Module
from prima_features.models.checkpoint.records import CheckpointError
from prima_features.models.checkpoint.stored_tensor import StoredTensor
from prima_features.wording import count

PRIORITIES = {3: ("none", "low", "high"), 4: ("none", "low", "medium", "high")}
"""Names of the priority head's outputs by their number, from the least to the most urgent.

Published files from before 19 February 2026 most likely have four and newer ones three; the levels of any other number
have no published names.
"""

_MAX_HEADS = 1000
_MAX_LEVELS = 100
_WITHOUT_WEIGHTS = {"ReLU", "Dropout", "Identity"}

Tensors = dict[str, StoredTensor]


def heads(model: Module) -> tuple[HeadsConfig | None, Tensors]:
    """Names, thresholds and tensors of all heads; None and none for a checkpoint without any.

    Of each diagnosis and referral only the row of the last layer that is ever read is kept.

    Raises:
        CheckpointError: heads of another layout, or without a threshold.
    """
    diagnosis, tensors = _family(model, "diagnosisheads", "diagnosis")
    referral, more = _family(model, "referralheads", "referral")
    levels: tuple[str, ...] = ()
    if (priority := model.find("priorityhead")) is not None:
        more |= _mlp(priority, "priority")
        levels = _priorities(more["priority.4.weight"].length(0))
    tensors |= more
    return HeadsConfig(diagnosis, referral, levels) if tensors else None, tensors


def _family(model: Module, attribute: str, kind: str) -> tuple[tuple[HeadConfig, ...], Tensors]:
    entries = model.attribute(attribute, {})
    if not (isinstance(entries, dict) and len(entries) <= _MAX_HEADS):
        raise CheckpointError(f"has {attribute} that are not a dict of at most {_MAX_HEADS} names")
    configs: list[HeadConfig] = []
    tensors: Tensors = {}
    for name, entry in entries.items():
        where = f"{attribute}.{name}"
        if not (isinstance(entry, list | tuple) and len(entry) == 2 and isinstance(entry[1], int)):
            raise CheckpointError(f"has something other than a module and an output index at {where}")
        module = Module(entry[0], where)
        configs.append(HeadConfig(str(name), _threshold(module), entry[1]))
        tensors |= _one_output(_mlp(module, f"{kind}.{name}"), f"{kind}.{name}.4", entry[1])
    return tuple(configs), tensors


def _mlp(module: Module, prefix: str) -> Tensors:
    """Three linear layers, renamed to 0, 2 and 4 whatever lies between them."""
    children = list(module.children().values())
    layers = [child for child in children if child.class_name not in _WITHOUT_WEIGHTS]
    if len(layers) != 3 or sum(child.class_name == "ReLU" for child in children) != 2:
        raise CheckpointError(
            f"has a head at {module.path} that is not three linear layers with ReLU between"
        )
    return {
        name: tensor
        for place, layer in zip((0, 2, 4), layers, strict=True)
        for name, tensor in linear(layer, f"{prefix}.{place}").items()
    }


def _one_output(tensors: Tensors, last: str, index: int) -> Tensors:
    return tensors | {f"{last}.{part}": tensors[f"{last}.{part}"].row(index) for part in ("weight", "bias")}


def _threshold(module: Module) -> float:
    threshold = module.attribute("thresh")
    if not isinstance(threshold, int | float):
        raise CheckpointError(f"has no numeric threshold (thresh) in {module.path}")
    return float(threshold)


def _priorities(outputs: int) -> tuple[str, ...]:
    if not 2 <= outputs <= _MAX_LEVELS:
        raise CheckpointError(
            f"has a priority head with {count(outputs, 'output')}; expected 2 to {_MAX_LEVELS}"
        )
    return PRIORITIES.get(outputs) or tuple(f"level_{i}" for i in range(outputs))
