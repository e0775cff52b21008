"""Ray: two machines' worth of processes give what one process gives, also where some of them die."""

import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

pytest.importorskip("ray", reason="needs the extra prima-features[ray]")

from prima_features.cli.main import main
from prima_features.embedding.engine.options import EngineOptions
from prima_features.embedding.engine.ray import engine as ray_engine
from prima_features.embedding.engine.ray import run as ray_run
from prima_features.embedding.engine.ray import workers as ray_workers
from prima_features.embedding.engine.ray.engine import RayEngine
from prima_features.embedding.file.read import read_embeddings
from prima_features.embedding.resume.options import RunOptions, Shard
from prima_features.embedding.run import embed, embed_several
from prima_features.encoders.prima import PrimaModel
from prima_features.models import DEFAULT_MODEL

OPTIONS = EngineOptions(batch_size=2)
"""Windows of 16 subvolumes: one study or two."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two raylets, each with one processor."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    yield cluster
    cluster.shutdown()


@pytest.fixture(scope="module")
def model() -> PrimaModel:
    return PrimaModel.from_pretrained(DEFAULT_MODEL)


@pytest.fixture(scope="module")
def bids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight small studies; the third has a series that is empty, the sixth no usable one."""
    root = tmp_path_factory.mktemp("ray") / "bids"
    for number in range(1, 9):
        folder = root / f"sub-{number:02}" / "anat"
        folder.mkdir(parents=True)
        values = np.random.default_rng(number).integers(0, 900, (32, 32, 8)).astype(np.int16)
        name = f"{folder}/sub-{number:02}_T1w.nii"
        nib.save(nib.Nifti1Image(values, np.diag([2.0, 2.0, 5.0, 1.0])), name)
    (root / "sub-03/anat/sub-03_FLAIR.nii").touch()
    (root / "sub-06/anat/sub-06_T1w.nii").write_bytes(b"no image")
    return root


@pytest.fixture(scope="module")
def local(bids: Path, model: PrimaModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the engine of one machine makes of them."""
    output = tmp_path_factory.mktemp("local") / "out.h5"
    embed(bids, output, model, engine_options=OPTIONS)
    return output


def assert_same(one: Path, other: Path, without: tuple[str, ...] = ()) -> None:
    a, b = read_embeddings(one), read_embeddings(other)
    kept = ~b.studies["id"].isin(without).to_numpy()
    columns = [name for name in b.studies.columns if name != "command"]
    assert list(a.studies["id"]) == list(b.studies["id"][kept])
    assert a.studies[columns].equals(b.studies[columns][kept].reset_index(drop=True))
    close = {"rtol": 0, "atol": 1e-5 * float(np.abs(b.study_embedding).max())}
    np.testing.assert_allclose(a.study_embedding, b.study_embedding[kept], **close)
    if not without:
        assert a.series.equals(b.series)
        assert a.failures.equals(b.failures)
        np.testing.assert_allclose(a.series_embedding, b.series_embedding, **close)


def test_two_raylets_give_what_one_process_gives_and_run_no_code_of_the_current_folder(
    cluster: Any,
    bids: Path,
    local: Path,
    model: PrimaModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("SimpleITK", "numpy", "nibabel"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('code of the current folder was run')")
    monkeypatch.chdir(tmp_path)
    with RayEngine(cluster.address) as engine:
        options = engine.options(OPTIONS)
        embed(bids, tmp_path / "out.h5", model, engine_options=options, engine=engine)
    assert options.precision == "fp32"
    assert_same(tmp_path / "out.h5", local)


def test_several_models_give_what_runs_of_their_own_give(
    cluster: Any, bids: Path, local: Path, model: PrimaModel, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    models = {tmp_path / "out" / "prima.h5": model, tmp_path / "out" / "intensity.h5": "intensity"}
    with RayEngine(cluster.address) as engine:
        options = engine.options(OPTIONS)
        half = RunOptions(shard=Shard(1, 2))
        embed(bids, tmp_path / "out" / "intensity.h5", "intensity", run_options=half, engine_options=OPTIONS)
        embed_several(bids, models, engine_options=options, engine=engine)
    assert_same(tmp_path / "out" / "prima.h5", local)
    embed(bids, tmp_path / "intensity.h5", "intensity", engine_options=OPTIONS)
    assert_same(tmp_path / "out" / "intensity.h5", tmp_path / "intensity.h5")


def test_a_machine_that_dies_at_work_costs_nothing(
    cluster: Any,
    bids: Path,
    local: Path,
    model: PrimaModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="prima_features")
    monkeypatch.setattr(ray_engine, "EncoderActor", slow_encoder())
    (victim,) = cluster.worker_nodes
    killed = []

    def kill_at_work(done: Any) -> None:
        assert engine._encoders is not None
        works = {node for (node, _), one in engine._encoders._encoders.items() if one.in_hand}
        if not killed and victim.node_id in works:
            cluster.remove_node(victim, allow_graceful=False)
            killed.append(done.id)

    with RayEngine(cluster.address) as engine:
        embed(bids, tmp_path / "out.h5", model, engine_options=OPTIONS, engine=engine, on_study=kill_at_work)
    cluster.add_node(num_cpus=1)
    assert killed
    assert "An encoder process was lost" in caplog.text
    assert_same(tmp_path / "out.h5", local)


def slow_encoder() -> type:
    """Works long enough to be killed at work. Made inside a function, so that Ray sends it whole."""

    class Slow(ray_workers.EncoderActor):
        def encode(self, encoder: int, *window: Any) -> Any:
            time.sleep(0.7)
            return super().encode(encoder, *window)

    return Slow


def test_a_study_whose_processes_die_fails_and_no_other(
    cluster: Any,
    bids: Path,
    local: Path,
    model: PrimaModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray_run, "read_study", deadly_reader("sub-02"))
    monkeypatch.setattr(ray_engine, "EncoderActor", deadly_encoder("sub-05"))
    output = tmp_path / "out.h5"
    with RayEngine(cluster.address) as engine:
        summary = embed(bids, output, model, engine_options=OPTIONS, engine=engine)
    reasons = {failure.study: (failure.stage, failure.error) for failure in summary.failures}
    assert reasons["sub-02"] == ("read", "the process that read it died, 3 times")
    assert reasons["sub-05"] == ("encode", "the process that encoded it died, 3 times")
    assert reasons.keys() == {"sub-02", "sub-03", "sub-05", "sub-06"}
    assert_same(output, local, without=("sub-02", "sub-05"))


def deadly_reader(name: str) -> Callable[..., Any]:
    """Dies of one study."""
    read_study = ray_workers.read_study

    def read(reader: Any, request: Any, folder: Path) -> Any:
        if request.study.id == name:
            os.kill(os.getpid(), signal.SIGKILL)
        return read_study(reader, request, folder)

    return read


def deadly_encoder(name: str) -> type:
    """Dies of one study."""

    class Deadly(ray_workers.EncoderActor):
        def encode(self, encoder: int, *window: Any) -> Any:
            if any(prepared.study.id == name for prepared in window):
                os.kill(os.getpid(), signal.SIGKILL)
            return super().encode(encoder, *window)

    return Deadly


def test_a_command_that_is_stopped_on_ray_goes_on_without_it(
    cluster: Any, bids: Path, local: Path, tmp_path: Path
) -> None:
    shutil.copytree(bids, tmp_path / "bids", copy_function=shutil.copy2)
    command = [
        sys.executable,
        "-m",
        "prima_features.cli.main",
        "embed",
        "bids",
        "out.h5",
        "--batch-size",
        "2",
    ]
    ray = ["--engine", "ray", "--ray-address", cluster.address]
    process = subprocess.Popen(
        command + ray, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 240
    while not list(tmp_path.glob("out.h5.parts/*.safetensors")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=240)[1]
    assert process.returncode == 143, said
    assert "Stopped: " in said
    assert "Traceback" not in said
    kept = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("out.h5.parts/*.safetensors")}
    assert 0 < len(kept) < 8
    assert main(["embed", str(tmp_path / "bids"), str(tmp_path / "out.h5"), "--batch-size", "2"]) == 3
    assert_same(tmp_path / "out.h5", local)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--ray-address", "auto"], "--engine ray"),
        (["--engine", "ray", "--workers", "0"], "at least one reader"),
        (["--engine", "ray", "--device", "cuda:1"], "Ray chooses the GPUs itself"),
        (["--engine", "ray", "--ray-address", "ray://head:10001"], "is not HOST:PORT or auto"),
        (["--engine", "ray", "--ray-address", "head"], "is not HOST:PORT or auto"),
        (["--engine", "ray", "--ray-address", "127.0.0.1:1"], "No Ray cluster answers at 127.0.0.1:1"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_anything_starts(
    bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert main(["embed", str(bids), str(tmp_path / "out.h5"), *arguments]) == 2
    assert says in capsys.readouterr().err.replace("\n", " ")
    assert not list(tmp_path.iterdir())


def test_a_ray_that_does_not_start_is_one_sentence(bids: Path, tmp_path: Path) -> None:
    """In a process of its own: Ray reads the variable once."""
    command = [sys.executable, "-m", "prima_features.cli.main", "embed", str(bids), str(tmp_path / "out.h5")]
    environment = os.environ | {"RAY_TMPDIR": "/proc/none"}
    ended = subprocess.run(
        [*command, "--engine", "ray"], env=environment, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("Error: Ray cannot be started here: ") and ended.stderr.count("\n") == 1


def test_without_ray_the_command_says_what_to_install(
    bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("prima_features.embedding.engine.ray")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["embed", str(bids), str(tmp_path / "out.h5"), "--engine", "ray"]) == 2
    assert "pip install 'prima-features[ray]'" in capsys.readouterr().err
