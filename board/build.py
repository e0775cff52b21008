"""Build index.html from the JSON files of this folder: python board/build.py."""

from pathlib import Path

from prima_features.bench.board import build_board

FOLDER = Path(__file__).resolve().parent

if __name__ == "__main__":
    build_board(FOLDER, FOLDER / "index.html")
    print(FOLDER / "index.html")
