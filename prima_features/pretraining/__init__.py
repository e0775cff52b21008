"""Pretraining in four stages: tokenizer, sequence names, CLIP, heads (docs/pretraining.md).

settings     a run's dataclasses, read from TOML
data         studies, reports and labels; the cache of tokens and latents
batches      sampling, augmentation, tensors
model        the weights that a run starts from, and the model directory that it writes
objectives   losses and retrieval
training     the loop, the optimiser, checkpoints and the log
stages       one module per stage

Each may import those before it. `run.pretrain` ties them together.
"""
