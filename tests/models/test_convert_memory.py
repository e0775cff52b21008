"""A checkpoint larger than the memory allowed is converted piece by piece."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

HEADS = "abcde"
STUDY_DIM = 20_000
HIDDEN = (1500, 1000)
HEAD_BYTES = 4 * STUDY_DIM * HIDDEN[0]
ALLOWED = 500_000_000
"""Of which Python and torch take some 300."""

CONVERT = """
import sys
from pathlib import Path
from prima_features.encoders.prima.convert.run import convert
convert(*map(Path, sys.argv[1:]))
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(1024 * int(status["VmHWM"].split()[0]))
"""
"""Not getrusage's ru_maxrss, which counts what the process that started this one held."""


@pytest.fixture
def large_file(
    make_full: Callable[..., nn.Module], make_head: Callable[..., nn.Module], tmp_path: Path
) -> Path:
    """Five heads of 120 MB. Neither made nor saved with numbers: the file is nearly all holes."""
    model = make_full()
    with torch.device("meta"):
        heads = {name: make_head(3, in_dim=STUDY_DIM, hidden=HIDDEN, threshold=0.5) for name in HEADS}
    model.diagnosisheads = {name: [head.to_empty(device="cpu"), 1] for name, head in heads.items()}  # type: ignore[assignment]
    path = tmp_path / "large.pt"
    with torch.serialization.skip_data():
        torch.save(model, path)
    return path


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_a_file_larger_than_the_memory_allowed_is_converted(
    large_file: Path, tokenizer_file: Path, tmp_path: Path
) -> None:
    assert large_file.stat().st_size > len(HEADS) * HEAD_BYTES > ALLOWED
    arguments = [str(large_file), str(tokenizer_file), str(tmp_path / "output")]
    done = subprocess.run(
        [sys.executable, "-c", CONVERT, *arguments], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < ALLOWED
    assert (tmp_path / "output" / "heads.safetensors").stat().st_size > len(HEADS) * HEAD_BYTES
    names = [
        head["name"]
        for head in json.loads((tmp_path / "output" / "config.json").read_text())["heads"]["diagnosis"]
    ]
    assert names == [*HEADS]
    for file in (large_file, tmp_path / "output" / "heads.safetensors"):
        file.unlink()  # pytest would keep them for three runs
