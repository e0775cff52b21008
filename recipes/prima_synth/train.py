"""Train a stage of prima-synth, the bundled model.

    python recipes/prima_synth/train.py clip CONFIG.toml
    torchrun --nproc-per-node 2 recipes/prima_synth/train.py clip CONFIG.toml

Stages, options and exit codes are those of `prima pretrain`; the CLIP stage has the recipe's settings as well.
`make pretrain-default` runs all stages with the settings in configs/.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from prima_features.cli.main import main as run
from prima_features.cli.pretrain import stage_commands

if TYPE_CHECKING:
    from synth.stage import SynthClipStage


def _clip() -> type[SynthClipStage]:
    from synth.stage import SynthClipStage

    return SynthClipStage


app = stage_commands("recipes/prima_synth/train.py", _clip)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(arguments, app, "train.py")


if __name__ == "__main__":
    sys.exit(main())
