"""`torchrun -m prima_features.pretraining clip CONFIG.toml` is `prima pretrain clip CONFIG.toml` in each process."""

import sys

from prima_features.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["pretrain", *sys.argv[1:]]))
