"""Peak memory at the published sizes."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from pathlib import Path
from prima_features.embedding.engine.local import embed_studies
from prima_features.encoders.prima import PrimaModel
from prima_features.encoders.prima.networks import PrimaConfig
from prima_features.studies.dicom import find_dicom
from prima_features.models.loading import hollow

# Drawing random weights takes longer than all the rest.
model = hollow(lambda: PrimaModel(PrimaConfig())).to_empty(device="cpu").eval()
for tensor in (*model.parameters(), *model.buffers()):
    tensor.data.fill_(1 / 128)
assert "torch._dynamo" not in sys.modules, "importing torch's compiler takes a second"
(study,) = embed_studies(find_dicom(Path(sys.argv[1])).studies, model)
print(study.embedding.shape[0], study.series[0].embedding.shape[0], study.clip.shape[0])
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(1024 * int(status["VmHWM"].split()[0]))
"""
"""Not getrusage's ru_maxrss, which counts what the process that started this one held."""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_the_published_sizes_embed_a_series_of_8_slices_within_1_7_gb(study_a: Path, tmp_path: Path) -> None:
    """Several batches of subvolumes; in one batch they take 1.85 GB."""
    for file in sorted((study_a / "002_t2_ax").iterdir())[6:14]:
        shutil.copy(file, tmp_path)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    sizes, peak = done.stdout.splitlines()
    assert sizes == "10240 1024 128"
    assert int(peak) < 1.7e9
