"""Writes a model directory with random weights: `python make_model.py DIR`."""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from toy_encoder.encoder import ToyNetwork

from prima_features.models.directory import MODEL, write_checksums, write_config

directory = Path(sys.argv[1])
config = {"model_type": "toy", "n_blocks": 4, "dim": 12}
torch.manual_seed(0)
network = ToyNetwork(config["n_blocks"], config["dim"])
directory.mkdir()
write_config(directory, config)
save_file(network.state_dict(), directory / MODEL, {"format": "pt"})
write_checksums(directory)
