"""Generates and embeds the synthetic studies of the heads of prima-synth.

    python recipes/prima_synth/cohort.py WORK --model prima-synth --seed 106 --studies 400
    python recipes/prima_synth/cohort.py WORK --model prima-synth --seed 107 --studies 100

Studies of a seed are made in shards of 25: each is generated as BIDS, embedded as `prima embed` does, and deleted; an
embeddings file and a table of labels remain per shard. The same command resumes after an interruption. At the end
WORK/SEED.h5 and WORK/SEED.tsv contain all studies.

Scanner settings are `varied`. Every condition is frequent enough to learn from (`BLOCK`), unlike in `prima synth`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from prima_features import PrimaModel, embed
from prima_features.embedding.engine.options import EngineOptions
from prima_features.embedding.merge import merge
from prima_features.embedding.resume.options import RunOptions
from prima_features.files.disk import replacing
from prima_features.synthetic import CONDITIONS
from prima_features.synthetic.labels import COLUMNS
from prima_features.synthetic.output.run import CohortOptions, make_study
from prima_features.synthetic.output.table import write_table

SHARD = 25
"""Studies generated and embedded at a time."""
BLOCK: Mapping[str, int] = {"control": 8, "glioma": 7, "stroke": 4, "dementia": 2, "autism": 1}
"""Studies per 50; two of each other condition."""


def conditions() -> list[str]:
    """Conditions of 50 studies, in an order that spreads them; further studies repeat it."""
    block = [name for name in CONDITIONS for _ in range(BLOCK.get(name, 2))]
    return [block[i] for i in np.random.default_rng(0).permutation(len(block))]


def main() -> None:
    """Generate, embed and merge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--model", default="prima-synth")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--studies", type=int, required=True)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    model = PrimaModel.from_pretrained(chosen.model)
    chosen.work.mkdir(parents=True, exist_ok=True)
    shards = []
    for start in range(0, chosen.studies, SHARD):
        indices = range(start, min(start + SHARD, chosen.studies))
        shards.append(make_shard(chosen.work, model, chosen.seed, indices))
        print(f"seed {chosen.seed}: {indices.stop}/{chosen.studies} studies", file=sys.stderr)
    output = chosen.work / f"{chosen.seed}.h5"
    merge(output, shards, force=True, report=False)
    tables = [
        pd.read_csv(path.with_suffix(".tsv"), sep="\t", dtype=str, keep_default_na=False) for path in shards
    ]
    pd.concat(tables).to_csv(output.with_suffix(".tsv"), sep="\t", index=False)


def make_shard(work: Path, model: PrimaModel, seed: int, indices: range) -> Path:
    """The embeddings file of some studies; kept if it exists."""
    path = work / f"{seed}-{indices.start:05d}-{indices.stop:05d}.h5"
    if path.is_file():
        return path
    with tempfile.TemporaryDirectory(dir=work) as name:
        folder, order = Path(name), conditions()
        rows = []
        for index in indices:
            options = CohortOptions(1, seed, settings="varied", conditions=(order[index % len(order)],))
            rows.append(make_study(folder, options, index).labels)
        with replacing(path.with_suffix(".tsv")) as temporary:
            write_table(temporary, rows, COLUMNS)
        embed(
            folder,
            path,
            model,
            engine_options=EngineOptions(workers=0, pictures=False),
            run_options=RunOptions(report=False),
        )
    return path


if __name__ == "__main__":
    main()
