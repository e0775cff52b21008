"""One module per stage: tokenizer, sequence names, CLIP, heads."""
