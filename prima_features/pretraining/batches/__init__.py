"""Batches: which studies are drawn, how they are augmented, and how they become tensors."""
