"""What commands and reader processes do not import, because it would take most of a short run's time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

_PRINT_MODULES = "import sys; print(*{name.split('.')[0] for name in sys.modules})"
_HELP = "from prima_features.cli.main import main; main(['--help'])\n"
_READER = "import prima_features.embedding.engine.readers, prima_features.encoders.prima.prepare\n"
_EMBED = "from prima_features.cli.main import main; assert not main(['embed', 'scan', 'out.h5'])\n"


def imported(code: str, folder: Path) -> set[str]:
    """Top-level names of what the code imports."""
    done = subprocess.run(
        [sys.executable, "-c", code + _PRINT_MODULES], cwd=folder, capture_output=True, text=True, check=True
    )
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


def test_embedding_one_scan_imports_neither_pandas_nor_the_compiler_of_torch(tmp_path: Path) -> None:
    grid = np.indices((64, 64, 40)) - np.array([32, 32, 20])[:, None, None, None]
    head = ((grid / np.array([28, 28, 18])[:, None, None, None]) ** 2).sum(axis=0) < 1
    image = nib.Nifti1Image(
        (head * np.random.default_rng(0).integers(300, 600, head.shape)).astype(np.int16),
        np.diag([3, 3, 4, 1]),
    )
    image.set_sform(image.affine, 1)
    (tmp_path / "scan").mkdir()
    nib.save(image, tmp_path / "scan" / "T1w.nii.gz")
    assert not imported(_EMBED, tmp_path) & {"pandas", "sympy", "sklearn", "matplotlib"}
    assert (tmp_path / "out.report.html").is_file()
