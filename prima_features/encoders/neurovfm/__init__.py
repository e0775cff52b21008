"""NeuroVFM (arXiv 2511.18640): preparation, network, and conversion of the published file."""
