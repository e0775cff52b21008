"""The ablations of prima-synth: short trainings from its tokenizer that differ in one setting.

Each is the content and the CLIP stage of the package's settings, shortened, with Muon, on studies with incidental
findings: a reference, without sequence names, without patient discrimination, and with half of
the studies. The same command resumes after an interruption, and finally prints the evaluation command.

    python recipes/prima_synth/ablations.py runs/ablations --tokenizer runs/prima-synth/tokenizer
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CONFIGS = HERE / "configs"
NAMELESS = "no-names"
STAGES = ("content", "clip")


def main() -> None:
    """Train all variants."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the runs and their cache")
    parser.add_argument(
        "--tokenizer", type=Path, required=True, help="model directory of the tokenizer stage"
    )
    parser.add_argument("--studies", type=int, default=800)
    parser.add_argument("--seed", type=int, default=105, help="of the studies")
    parser.add_argument("--steps", type=int, nargs=2, default=(200, 300), help="of the two stages")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--drop-token", type=float, default=0.7, help="of each series' tokens, in each step")
    parser.add_argument("--workers", type=int, default=2, help="processes that make studies")
    parser.add_argument("--processes", type=int, default=2, help="that train")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    for name, changes in variants(chosen.studies).items():
        before = chosen.tokenizer.resolve()
        for stage, steps in zip(STAGES, chosen.steps, strict=True):
            output = chosen.folder / name / stage
            common = {
                "output": f'"{output.resolve()}"',
                "model": f'"{before}"',
                "cache": f'"{(chosen.folder / "cache").resolve()}"',
                "synthetic_seed": chosen.seed,
                "steps": steps,
                "batch": chosen.batch,
                "drop_token": chosen.drop_token,
                "name": '"muon"',
                "workers": chosen.workers,
                "warmup": min(40, steps // 2),
                "every": 250,
            }
            path = output.with_suffix(".toml")
            path.parent.mkdir(exist_ok=True)
            path.write_text(settings(stage, {**common, **changes}))
            train(path, chosen.processes)
            before = output.resolve()
    also = " ".join(f"--also {name}={chosen.folder / name / STAGES[-1]}" for name in variants(2))
    print(f"python recipes/prima_synth/evaluate.py --work WORK --pairs 50 {also} --nameless {NAMELESS}")


def variants(studies: int) -> dict[str, dict[str, object]]:
    """The settings of each variant that differ from the recipe, by name."""
    all_studies: dict[str, object] = {"synthetic": studies}
    return {
        "reference": all_studies,
        NAMELESS: {**all_studies, "unknown_name": 1.0},
        "no-patients": {**all_studies, "patient_weight": 0.0},
        "half-the-data": {"synthetic": studies // 2},
    }


def settings(stage: str, changes: dict[str, object]) -> str:
    """The settings of a stage of the recipe with some values changed.

    Raises:
        ValueError: a key does not exist.
    """
    text = (CONFIGS / f"{stage}.toml").read_text()
    # Not for a GPU, and export the last step instead of the best on few held-out studies.
    text = re.sub(r"^(precision|readers|export) = .*\n", "", text, flags=re.MULTILINE)
    for key, value in changes.items():
        text, count = re.subn(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.MULTILINE)
        if not count:
            raise ValueError(f"{stage}.toml has no {key}")
    return text


def train(path: Path, processes: int) -> None:
    """Train the stage of a settings file."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    command += [str(HERE / "train.py"), "clip", str(path)]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


if __name__ == "__main__":
    main()
