"""Work in progress: part files, what of a plan is finished, and processes that share an output."""
