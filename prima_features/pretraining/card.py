"""The model card of a trained model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prima_features._version import __version__

_HEAD = """---
library_name: prima-features
pipeline_tag: image-feature-extraction
tags: [mri, brain, neuroimaging, medical]
---

# Prima, trained by `prima pretrain {stage}`

**For research use only. This is not a medical device, and nothing it computes may guide the care of a patient.**

The architecture is that of Prima ([arXiv 2509.18638](https://arxiv.org/abs/2509.18638)). Trained with prima-features
{version}. What the training data were, and whom they leave out, is for the one who trained it to say here.
"""


def model_card(stage: str, record: Mapping[str, Any]) -> str:
    """A card that says what the run was: the stage, its data, steps and last validation."""
    rows = "".join(f"| {name} | {_shown(value)} |\n" for name, value in record.items())
    return f"{_HEAD.format(stage=stage, version=__version__)}\n| | |\n|---|---|\n{rows}"


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
