"""What pretraining at the published sizes costs: python benchmarks/pretraining_cost.py [--json].

Operations are counted by torch's own counter on the networks themselves, for one study of so many series and tokens;
a CLIP step of `--studies` studies (forward, backward, optimiser) is then timed here, and what `--devices` devices need
for `--cohort` studies follows from the rate that each is taken to reach. That rate is an assumption, and is printed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from prima_features.encoder import Prima, PrimaConfig, Ragged
from prima_features.encoder.config import TextConfig
from prima_features.encoder.text import TextTower
from prima_features.pretraining.objectives import clip_loss

SERIES, TOKENS, WORDS = 5, 300, 200
PASSES = 3
"""Forward, and twice as much backward."""


def main() -> None:
    """Count, time, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--cohort", type=int, default=220_000, help="studies to train on (the paper's number)"
    )
    parser.add_argument("--devices", type=int, default=8)
    parser.add_argument(
        "--rate", type=float, default=200.0, help="TFLOP/s that each device is taken to reach"
    )
    parser.add_argument(
        "--studies", type=int, default=2, help="studies in the step that is timed; 0 times none"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args()
    torch.manual_seed(0)
    prima, text = Prima(PrimaConfig()), TextTower(TextConfig())
    counted = count(prima, text)
    study = PASSES * (counted["study_gflop"] + counted["report_gflop"])
    latents = SERIES * TOKENS * counted["token_gflop"]
    rate = chosen.devices * chosen.rate * 1000  # GFLOP/s
    result: dict[str, Any] = {
        **counted,
        "series": SERIES,
        "tokens_a_series": TOKENS,
        "clip_gflop_a_study": round(study, 1),
        "latents_gflop_a_study": round(latents, 1),
        "assumed_tflops": chosen.rate,
        "latents_hours": round(chosen.cohort * latents / rate / 3600, 2),
        "clip_minutes_a_pass": round(chosen.cohort * study / rate / 60, 2),
    }
    if chosen.studies:
        seconds = step_seconds(prima, text, chosen.studies)
        result |= {
            "timed_studies": chosen.studies,
            "step_seconds_here": round(seconds, 2),
            "gflops_here": round(chosen.studies * study / seconds, 1),
            "threads_here": torch.get_num_threads(),
        }
    print(json.dumps(result) if chosen.json else "\n".join(f"{k:24} {v}" for k, v in result.items()))


def count(prima: Prima, text: TextTower) -> dict[str, float]:
    """GFLOP forward: of a token's latent, of a study after that, of a report."""
    return {
        "token_gflop": gflop(lambda: prima.encode_subvolumes(torch.zeros(1, 4, 32, 32))),
        "study_gflop": gflop(lambda: images(prima, 1)),
        "report_gflop": gflop(lambda: reports(text, 1)),
    }


def gflop(run: Callable[[], object]) -> float:
    """Operations of a call."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        run()
    return round(counter.get_total_flops() / 1e9, 2)


def images(prima: Prima, studies: int) -> torch.Tensor:
    """CLIP embeddings of studies of random tokens."""
    dim = prima.config.sequence.transformer.dim
    tokens = Ragged.from_lengths(torch.randn(studies * SERIES * TOKENS, dim), [TOKENS] * (studies * SERIES))
    return prima(tokens, ["T1"] * (studies * SERIES), [SERIES] * studies, ["MRI BRAIN"] * studies)[1].clip


def reports(text: TextTower, studies: int) -> torch.Tensor:
    """Embeddings of reports of as many tokens as are read."""
    return text(torch.zeros(studies, WORDS, dtype=torch.long), torch.full((studies,), WORDS))


def step_seconds(prima: Prima, text: TextTower, studies: int) -> float:
    """One step after one that warms up."""
    prima.tokenizer.requires_grad_(False)
    trained = [p for p in (*prima.parameters(), *text.parameters()) if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=2e-6)
    seconds = 0.0
    for _ in range(2):
        start = time.perf_counter()
        clip_loss(images(prima, studies), reports(text, studies), torch.tensor([0.07])).backward()
        optimiser.step()
        optimiser.zero_grad()
        seconds = time.perf_counter() - start
    return seconds


if __name__ == "__main__":
    main()
