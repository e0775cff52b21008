"""The explained number: one output of a head, the similarity to a text, or a function of the study vector."""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prima_features.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from prima_features.encoders.prima.networks import StudyOutput

FORMS = {
    "diagnosis": "diagnosis/NAME",
    "referral": "referral/NAME",
    "priority": "priority/LEVEL",
    "text": "text:WORDS",
    "probe": "probe:DIR",
}
"""Targets by their kind, as in messages."""


@dataclass(frozen=True)
class TargetName:
    """A parsed `--target`."""

    kind: str
    """One of `FORMS`."""
    name: str
    """What follows the kind."""

    @classmethod
    def parse(cls, text: str) -> TargetName:
        """Split `diagnosis/NAME`, `referral/NAME`, `priority/LEVEL`, `text:WORDS` or `probe:DIR`.

        Raises:
            UsageError: it has none of these forms.
        """
        for kind, form in FORMS.items():
            start = form.rstrip(string.ascii_uppercase)
            if text.startswith(start):
                if name := text.removeprefix(start).strip():
                    return cls(kind, name)
                raise UsageError(f"the target {text!r} has nothing after {start!r}: give {form}")
        *forms, last = FORMS.values()
        raise UsageError(f"the target {text!r} is none of {', '.join(forms)} or {last}: give one of these")


@dataclass(frozen=True)
class Target:
    """What is explained."""

    label: str
    """As in outputs, such as `diagnosis/tumor_adult_glioma`."""
    meaning: str
    """What the number is, in a few words."""
    of: Callable[[StudyOutput], Tensor]
    """The number of each of B studies, (B,)."""
    has_gradient: bool = True

    def __call__(self, output: StudyOutput) -> Tensor:
        """The number of each of B studies, (B,)."""
        return self.of(output)


def head_target(directory: Path, name: TargetName, device: torch.device | str = "cpu") -> Target:
    """The logit of a diagnosis or referral, before its threshold is subtracted; or the raw output of a priority level.

    Raises:
        UsageError: the model has no such head, or its file is damaged.
    """
    from prima_features.encoders.prima.heads import heads_config, load_head
    from prima_features.encoders.prima.networks.heads import MLP

    config = heads_config(directory)
    is_priority = name.kind == "priority"
    names = config.priority if is_priority else tuple(head.name for head in getattr(config, name.kind))
    if name.name not in names:
        near = [one for one in names if name.name.lower() in one] or get_close_matches(name.name, names, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(names) or 'none'}"
        raise UsageError(f"the model in {directory} has no {name.kind} {name.name!r}: {hint}")
    column, meaning = names.index(name.name), "raw output of the priority head"
    if not is_priority:
        meaning = f"logit of the head; present from {getattr(config, name.kind)[column].threshold:.4g} on"
        column = 0
    head = load_head(directory, name.kind, "" if is_priority else name.name)
    module = head.module.to(device)
    return Target(
        f"{name.kind}/{name.name}",
        meaning,
        lambda output: MLP.forward(module, output.embedding)[:, column],
    )


def text_target(directory: Path, name: TargetName, device: torch.device | str = "cpu") -> Target:
    """Cosine similarity of the study's CLIP embedding and a text in the form of the training texts, `1. WORDS`.

    Raises:
        UsageError: the model has no text tower, the text is too long for it, or a package is missing.
    """
    import torch

    from prima_features.encoders.prima.text import TextEncoder

    encode, words = TextEncoder.from_directory(directory, device), f"1. {name.name}"
    if encode.is_cut(words):
        most = encode.vocabulary.max_tokens
        raise UsageError(
            f"the text of the target is longer than the {most} tokens that the model reads: shorten it"
        )
    (vector,) = encode([words])
    text = torch.from_numpy(vector).to(device)
    return Target(
        f"text:{name.name}", "cosine similarity of study and text", lambda output: output.clip @ text
    )


def function_target(label: str, meaning: str, function: Callable[[np.ndarray], np.ndarray]) -> Target:
    """A function of study vectors, (B, D) float32 to (B,). It has no gradient."""
    import torch

    def of(output: Any) -> Tensor:
        values = function(output.embedding.float().cpu().numpy())
        return torch.from_numpy(np.asarray(values, dtype=np.float64))

    return Target(label, meaning, of, has_gradient=False)
