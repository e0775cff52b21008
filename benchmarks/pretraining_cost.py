"""What pretraining at the published sizes costs: python benchmarks/pretraining_cost.py [--json].

Operations are counted by torch's own counter on the networks themselves, for one study of so many series and tokens;
a CLIP step of `--studies` studies and a tokenizer's step of `--subvolumes` (forward, backward, optimiser) are then
timed here, and what `--devices` devices need for `--cohort` studies follows from the rate that each is taken to reach.
That rate is an assumption, and is printed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from prima_features.encoders.prima.networks import Prima, PrimaConfig
from prima_features.encoders.prima.networks.config import TextConfig
from prima_features.encoders.prima.networks.text import TextTower
from prima_features.encoders.prima.networks.tokenizer import Tokenizer
from prima_features.encoders.ragged import Ragged
from prima_features.pretraining.objectives import clip_loss, reconstruction_loss

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
        "--studies", type=int, default=2, help="studies in the CLIP step that is timed; 0 times none"
    )
    parser.add_argument(
        "--subvolumes", type=int, default=8, help="in the tokenizer's step that is timed; 0 times none"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args()
    torch.manual_seed(0)
    prima, text = Prima(PrimaConfig()), TextTower(TextConfig())
    counted = count(prima, text)
    study = PASSES * (counted["study_gflop"] + counted["report_gflop"])
    latents = SERIES * TOKENS * counted["token_gflop"]
    trained = counted["tokenizer_step_gflop_a_token"]
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
        "tokenizer_hours_a_pass": round(chosen.cohort * SERIES * TOKENS * trained / rate / 3600, 2),
        "threads_here": torch.get_num_threads(),
    }
    if chosen.studies:
        seconds = clip_seconds(prima, text, chosen.studies)
        result |= {
            "timed_studies": chosen.studies,
            "clip_seconds_here": round(seconds, 2),
            "clip_gflops_here": round(chosen.studies * study / seconds, 1),
        }
    if chosen.subvolumes:
        seconds = tokenizer_seconds(prima.tokenizer, chosen.subvolumes)
        result |= {
            "timed_subvolumes": chosen.subvolumes,
            "tokenizer_seconds_here": round(seconds, 2),
            "tokenizer_gflops_here": round(chosen.subvolumes * trained / seconds, 1),
        }
    print(json.dumps(result) if chosen.json else "\n".join(f"{k:24} {v}" for k, v in result.items()))


def count(prima: Prima, text: TextTower) -> dict[str, float]:
    """GFLOP forward: of a token's latent, of a study after that, of a report; and of a token in a tokenizer's step."""
    return {
        "token_gflop": gflop(lambda: prima.encode_subvolumes(torch.zeros(1, 4, 32, 32))),
        "study_gflop": gflop(lambda: images(prima, 1)),
        "report_gflop": gflop(lambda: reports(text, 1)),
        "tokenizer_step_gflop_a_token": round(PASSES * gflop(lambda: prima.tokenizer(subvolumes(1))), 1),
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


def subvolumes(n: int) -> torch.Tensor:
    """What the tokenizer reads: axial subvolumes with each slice twice."""
    return torch.rand(n, 1, 8, 32, 32)


def clip_seconds(prima: Prima, text: TextTower, studies: int) -> float:
    """Of a CLIP step."""
    trained = [
        *(p for name, p in prima.named_parameters() if not name.startswith("tokenizer.")),
        *text.parameters(),
    ]
    return step_seconds(
        lambda: clip_loss(images(prima, studies), reports(text, studies), torch.tensor([0.07])), trained
    )


def tokenizer_seconds(tokenizer: Tokenizer, n: int) -> float:
    """Of a tokenizer's step."""
    values = subvolumes(n)
    return step_seconds(
        lambda: sum(reconstruction_loss(tokenizer(values), values), torch.zeros(())),
        [p for p in tokenizer.parameters() if p.requires_grad],
    )


def step_seconds(loss: Callable[[], torch.Tensor], trained: list[torch.nn.Parameter]) -> float:
    """One step after one that warms up."""
    optimiser = torch.optim.AdamW(trained, lr=2e-6)
    seconds = 0.0
    for _ in range(2):
        start = time.perf_counter()
        loss().backward()
        optimiser.step()
        optimiser.zero_grad()
        seconds = time.perf_counter() - start
    return seconds


if __name__ == "__main__":
    main()
