"""Peak memory at the published sizes."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import resource, sys
from pathlib import Path
import torch
from prima_features.embedding.engine import embed_studies
from prima_features.encoder import Prima, PrimaConfig
from prima_features.studies.dicom import find_dicom

model = Prima(PrimaConfig()).eval()  # random weights
(study,) = embed_studies(find_dicom(Path(sys.argv[1])).studies, model)
print(study.embedding.shape[0], study.series[0].embedding.shape[0], study.clip.shape[0])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_the_published_sizes_embed_a_series_of_22_slices_within_3_gb(study_a: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(study_a / "002_t2_ax")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    sizes, peak_kb = done.stdout.splitlines()
    assert sizes == "10240 1024 128"
    assert int(peak_kb) * 1024 < 3e9
