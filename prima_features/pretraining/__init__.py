"""Pretraining in four stages: tokenizer, sequence names, CLIP, heads (docs/pretraining.md).

settings   a run's dataclasses, read from TOML    sources, reports, cohort, cache   its data, tokenised once
sampler, augment, collate   batches               objectives, grad_cache, gather    losses and gradients
stages     one module a stage                     loop, checkpoint, record          what all of them share

`run.pretrain` ties them together.
"""
