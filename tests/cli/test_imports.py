"""What commands and reader processes do not import, because it would take most of a short run's time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_PRINT_MODULES = "print(*{name.split('.')[0] for name in sys.modules})"
_HELP = "from prima_features.cli.main import main; main(['--help'])\n"
_READER = "import prima_features.embedding.engine.readers, prima_features.encoders.prima.prepare\n"


_EMBED = "from prima_features.cli.main import main; main(['embed', sys.argv[1], 'out.h5'])\n"


def imported(code: str, folder: Path, *arguments: str) -> set[str]:
    """Top-level names of what the code imports."""
    command = [sys.executable, "-c", f"import sys; {code}{_PRINT_MODULES}", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("code", "unused"),
    [
        (
            _HELP,
            "torch numpy scipy pandas sklearn matplotlib jinja2 h5py nibabel SimpleITK pydicom huggingface_hub",
        ),
        (_READER, "torch pandas sklearn matplotlib jinja2 h5py rich typer huggingface_hub"),
    ],
    ids=["help", "reader"],
)
def test_start_imports_no_more_than_it_needs(code: str, unused: str, tmp_path: Path) -> None:
    assert not imported(code, tmp_path) & set(unused.split())


def test_embedding_one_scan_imports_no_more_than_it_needs(bids: Path, tmp_path: Path) -> None:
    scan = min(bids.rglob("*_T1w.nii.gz"))
    found = imported(_EMBED, tmp_path, str(scan))
    assert (tmp_path / "out.report.html").exists()
    assert "torch" in found
    assert not found & {
        "pandas",
        "pyarrow",
        "sympy",
        "sklearn",
        "matplotlib",
        "huggingface_hub",
        "bids2table",
    }
