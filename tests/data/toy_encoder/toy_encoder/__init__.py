"""A toy encoder: block means of each series, through one linear layer."""
