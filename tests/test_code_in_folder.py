"""Code in the current folder is only data: no process that the tool starts imports it.

For those of `prima synth` see synthetic/test_synthetic_output.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from shadows import write_shadows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A current folder with scans and with modules that leave a trace when they are imported."""
    here = tmp_path / "here"
    scans = here / "scans"
    scans.mkdir(parents=True)
    write_shadows(here, tmp_path / "ran")
    for i in range(2):
        values = np.random.default_rng(i).integers(0, 900, (32, 32, 8)).astype(np.int16)
        nib.save(nib.Nifti1Image(values, np.diag([2.0, 2.0, 5.0, 1.0])), scans / f"{i}.nii.gz")
    return here


def run(folder: Path, *command: str) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, env=environment, check=False
    )
    assert not (folder.parent / "ran").exists(), (folder.parent / "ran").read_text()
    assert done.returncode == 0, done.stderr


# As the console script starts: the folder of the script, not the current one, comes first.
PRIMA = "import sys\nfrom prima_features.cli.main import main\nsys.exit(main())\n"


def test_reading_processes_import_nothing_from_the_current_folder(folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "prima.py"
    script.write_text(PRIMA)
    run(
        folder,
        "-P",
        str(script),
        "embed",
        "scans",
        "out.h5",
        "--workers",
        "2",
        "--no-report",
        "--device",
        "cpu",
    )
    assert (folder / "out.h5").is_file()


def test_python_m_imports_nothing_from_the_current_folder(folder: Path) -> None:
    run(folder, "-m", "prima_features.cli.main", "inspect", "scans")
