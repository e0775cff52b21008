"""What all stages share: the loop, the optimiser, checkpoints, gradients of large batches, and the log."""
