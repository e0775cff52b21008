"""Several models in one run: each file is that of a run of its own, and each scan is read once."""

from __future__ import annotations

import ctypes
import json
import os
import struct
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
import pytest

from prima_features import embed, read_embeddings
from prima_features.embedding.engine.options import EngineOptions
from prima_features.embedding.record.ids import ids_path
from prima_features.embedding.resume.options import RunOptions, Shard
from prima_features.embedding.resume.parts import PartsFolder
from prima_features.embedding.run import EmbedSummary, embed_several
from prima_features.errors import FailedFastError, NothingUsableError, StoppedError, UsageError

HERE = EngineOptions(workers=0, batch_size=1)
"""A window is full after one or a few studies."""
N_STUDIES = 6


@pytest.fixture(autouse=True)
def encoders(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Makes an encoder. Reader processes find its module."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import several_encoders

    return several_encoders.MomentsEncoder


@pytest.fixture
def bids(tmp_path: Path) -> Path:
    """Six subjects with a T1w and a FLAIR. One file is empty, and another has many slices."""
    root = tmp_path / "bids"
    for number in range(1, N_STUDIES + 1):
        anat = root / f"sub-{number:02}" / "anat"
        anat.mkdir(parents=True)
        for seed, suffix in enumerate(("T1w", "FLAIR")):
            depth = 30 if (number, suffix) == (3, "T1w") else 8
            values = np.random.default_rng([number, seed]).integers(0, 900, (16, 16, depth)).astype(np.int16)
            nib.save(
                nib.Nifti1Image(values, np.diag([2.0, 2.0, 5.0, 1.0])),
                anat / f"sub-{number:02}_{suffix}.nii.gz",
            )
    (root / "sub-02/anat/sub-02_FLAIR.nii.gz").write_bytes(b"")
    (root / "dataset_description.json").write_text(json.dumps({"Name": "x", "BIDSVersion": "1.9.0"}))
    return root


def outputs(folder: Path, models: list[Any]) -> dict[Path, Any]:
    folder.mkdir(exist_ok=True)
    return {folder / f"out.{model.n}.h5": model for model in models}


def content(path: Path) -> dict[str, Any]:
    """Everything in an embeddings file, except when and by which command it was made."""
    found: dict[str, Any] = {}

    def add(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            values = item[()]
            found[name] = (
                (values.dtype.str, values.shape, values.tobytes())
                if values.dtype != object
                else values.tolist()
            )

    with h5py.File(path) as file:
        file.visititems(add)
        found["attributes"] = {
            name: value for name, value in file.attrs.items() if name not in ("created", "command")
        }
    return found


def alone(folder: Path, bids: Path, models: list[Any], **options: Any) -> list[EmbedSummary]:
    """Each model in a run of its own."""
    return [
        embed(bids, output, model, engine_options=HERE, **options)
        for output, model in outputs(folder, models).items()
    ]


def assert_same(one: Path, other: Path, models: list[Any]) -> None:
    for path in outputs(one, models):
        assert content(path) == content(other / path.name), path
        for suffix in (".run.json", ".report.html"):
            assert path.with_suffix(suffix).exists()
        assert not PartsFolder.of(path).folder.exists()


@contextmanager
def stopping_after(n: int) -> Iterator[Callable[[], bool]]:
    calls = iter(range(10_000))
    yield lambda: next(calls) >= n


def test_the_files_are_those_of_separate_runs(
    bids: Path, tmp_path: Path, encoders: Callable[..., Any]
) -> None:
    models = [
        encoders(1, refuses=("sub-01_T1w",)),
        encoders(2, crashes=("sub-04",), spoils=True),
        encoders(3, fails=("sub-05",)),
    ]
    summaries = embed_several(bids, outputs(tmp_path / "together", models), engine_options=HERE)
    expected = alone(tmp_path / "alone", bids, models)
    assert_same(tmp_path / "together", tmp_path / "alone", models)
    for found, wanted in zip(summaries, expected, strict=True):
        assert (found.n_studies, found.n_series, found.failures) == (
            wanted.n_studies,
            wanted.n_series,
            wanted.failures,
        )
    reasons = [Counter(failure.error for failure in one.failures) for one in summaries]
    assert reasons[0] == {"encoder 1 refuses it": 1, "the file is empty": 1, MANY: 1}
    assert reasons[1] == {"unexpected RuntimeError": 2, "the file is empty": 1}
    assert reasons[2] == {"unexpected RuntimeError": 1, "the file is empty": 1}


MANY = "it has 30 slices, more than encoder 1 takes"


def test_the_records_state_each_models_share_of_the_work(
    bids: Path, tmp_path: Path, encoders: Callable[..., Any]
) -> None:
    models = [encoders(2), encoders(3), encoders(4)]
    embed_several(bids, outputs(tmp_path / "out", models), engine_options=HERE)
    records = []
    for output in outputs(tmp_path / "out", models):
        (record,) = json.loads(output.with_suffix(".run.json").read_text())["runs"]
        assert record["options"]["models"] == 3 and record["counts"]["embedded"] == N_STUDIES
        records.append(record)
    assert all(0 < record["share"] < 1 for record in records)
    embed(bids, tmp_path / "alone.h5", models[0], engine_options=HERE)
    (record,) = json.loads((tmp_path / "alone.run.json").read_text())["runs"]
    assert "share" not in record and "models" not in record["options"]


def test_each_model_has_windows_of_its_own(bids: Path, tmp_path: Path, encoders: Callable[..., Any]) -> None:
    options = EngineOptions(workers=0, batch_size=2)  # a window is full at a weight of 16
    small, large = encoders(1), encoders(7)
    embed_several(bids, outputs(tmp_path / "together", [small, large]), engine_options=options)
    again = [encoders(1), encoders(7)]
    for output, model in outputs(tmp_path / "alone", again).items():
        embed(bids, output, model, engine_options=options)
    assert small.windows == again[0].windows and large.windows == again[1].windows
    assert len(small.windows) < len(large.windows)


@pytest.mark.parametrize("workers", [0, 2])
def test_reader_processes_change_nothing(
    bids: Path, tmp_path: Path, encoders: Callable[..., Any], workers: int
) -> None:
    models = [encoders(1), encoders(2, refuses=("sub-01",)), encoders(3, spoils=True)]
    options = EngineOptions(workers=workers, batch_size=1)
    embed_several(bids, outputs(tmp_path / "together", models), engine_options=options)
    alone(tmp_path / "alone", bids, models)
    assert_same(tmp_path / "together", tmp_path / "alone", models)


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
@pytest.mark.parametrize("workers", [0, 2])
def test_each_scan_is_opened_as_often_as_for_one_model(
    bids: Path, tmp_path: Path, encoders: Callable[..., Any], workers: int
) -> None:
    options = EngineOptions(workers=workers, batch_size=1)
    with opened(bids) as for_one:
        embed(bids, tmp_path / "one.h5", encoders(4), engine_options=options)
    models = [encoders(2), encoders(3, crashes=("sub-04",)), encoders(5), encoders(4)]
    with opened(bids) as together:
        embed_several(bids, outputs(tmp_path / "out", models), engine_options=options)
    scans = {name for name in for_one if name.endswith(".nii.gz")}
    assert len(scans) == 2 * N_STUDIES - 1  # an empty file is not opened
    assert {name: together[name] for name in scans} == {name: for_one[name] for name in scans}


@contextmanager
def opened(root: Path) -> Iterator[Counter[str]]:
    """Counts how often files below a folder are opened, by any process."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_NONBLOCK)
    assert descriptor >= 0
    in_open, in_close, counted = (
        0x20,
        0x18,
        Counter[str](),
    )  # equal events one after another would be one event
    for folder in [root, *filter(Path.is_dir, root.rglob("*"))]:
        assert libc.inotify_add_watch(descriptor, os.fsencode(folder), in_open | in_close) >= 0
    try:
        yield counted
        with suppress(BlockingIOError):
            while events := os.read(descriptor, 1 << 20):
                while events:
                    _, mask, _, length = struct.unpack_from("iIII", events)
                    counted[events[16 : 16 + length].rstrip(b"\0").decode()] += bool(mask & in_open)
                    events = events[16 + length :]
    finally:
        os.close(descriptor)


def test_a_preparer_that_ends_its_process_fails_for_its_model_alone(
    bids: Path, tmp_path: Path, encoders: Callable[..., Any]
) -> None:
    models = [encoders(1), encoders(2, dies=("sub-05_T1w",)), encoders(3)]
    options = EngineOptions(workers=1, batch_size=1)
    summaries = embed_several(bids, outputs(tmp_path / "out", models), engine_options=options)
    assert [summary.n_studies for summary in summaries] == [N_STUDIES, N_STUDIES - 1, N_STUDIES]
    (died,) = (failure for failure in summaries[1].failures if failure.study == "sub-05")
    assert died.error == "the process that read it died (signal 9), 2 times"
    assert not any(failure.study == "sub-05" for failure in summaries[0].failures + summaries[2].failures)


def test_runs_together_and_alone_continue_each_other(
    bids: Path, tmp_path: Path, encoders: Callable[..., Any]
) -> None:
    """Any models, together or alone, any number of studies at a time, with failures: the files stay the same."""
    every = [
        encoders(1, refuses=("sub-01_T1w",)),
        encoders(2, crashes=("sub-04",)),
        encoders(3, fails=("sub-05",)),
        encoders(4, refuses=("sub-02", "sub-03", "sub-06_FLAIR")),
        encoders(5, spoils=True),
    ]
    alone(tmp_path / "alone", bids, every, run_options=RunOptions(report=False))
    for seed in range(12):
        rng = np.random.default_rng(seed)
        models = [every[i] for i in rng.permutation(5)[: rng.integers(2, 6)]]
        folder = tmp_path / f"together-{seed}"
        for _ in range(rng.integers(0, 4)):  # runs that are stopped
            some = [models[i] for i in rng.permutation(len(models))[: rng.integers(1, len(models) + 1)]]
            with suppress(StoppedError):
                embed_several(
                    bids,
                    outputs(folder, some),
                    engine_options=HERE,
                    run_options=RunOptions(report=False),
                    stoppable=stopping_after(int(rng.integers(0, 24))),
                )
        if rng.random() < 0.5:  # a part is damaged on disk
            for part in list(folder.glob("*.parts/*.safetensors"))[:1]:
                content = bytearray(part.read_bytes())
                content[-1] ^= 1
                part.write_bytes(content)
        embed_several(
            bids, outputs(folder, models), engine_options=HERE, run_options=RunOptions(report=False)
        )
        assert_files_equal(folder, tmp_path / "alone", models)


def assert_files_equal(one: Path, other: Path, models: list[Any]) -> None:
    for path in outputs(one, models):
        assert content(path) == content(other / path.name), path
    assert not list(one.glob("*.parts"))


def test_only_models_that_still_need_a_study_prepare_it(
    bids: Path, tmp_path: Path, encoders: Callable[..., Any]
) -> None:
    first, second = encoders(1), encoders(2)
    embed(bids, tmp_path / "out.1.h5", first, engine_options=HERE)
    first.windows.clear()
    one, other = embed_several(bids, outputs(tmp_path, [first, second]), engine_options=HERE)
    assert not first.windows and len(second.windows) > 0
    assert one.n_kept == N_STUDIES and other.n_kept == 0


def test_a_process_that_works_on_one_of_the_outputs_shares_the_work(
    bids: Path, tmp_path: Path, encoders: Callable[..., Any]
) -> None:
    models = [encoders(1), encoders(2), encoders(3)]
    other = encoders(2)
    errors: list[BaseException] = []

    def run_alone() -> None:
        try:
            embed(bids, tmp_path / "together" / "out.2.h5", other, engine_options=HERE)
        except BaseException as error:
            errors.append(error)

    (tmp_path / "together").mkdir()
    thread = threading.Thread(target=run_alone)
    thread.start()
    embed_several(bids, outputs(tmp_path / "together", models), engine_options=HERE)
    thread.join()
    assert not errors
    alone(tmp_path / "alone", bids, models)
    assert_same(tmp_path / "together", tmp_path / "alone", models)


def test_shards_of_several_models_are_merged_one_by_one(
    bids: Path, tmp_path: Path, encoders: Callable[..., Any]
) -> None:
    from prima_features.embedding.merge import merge

    models = [encoders(1), encoders(2)]
    for number in (1, 2):
        embed_several(
            bids,
            outputs(tmp_path / "together", models),
            engine_options=HERE,
            run_options=RunOptions(shard=Shard(number, 2)),
        )
    for output in outputs(tmp_path / "together", models):
        merge(output)
    alone(tmp_path / "alone", bids, models)
    assert_files_equal(tmp_path / "together", tmp_path / "alone", models)


def test_a_model_that_can_embed_nothing_leaves_the_others_alone(
    bids: Path, tmp_path: Path, encoders: Callable[..., Any]
) -> None:
    models = [encoders(1), encoders(2, refuses=("sub",))]
    one, other = embed_several(bids, outputs(tmp_path / "out", models), engine_options=HERE)
    assert one.n_studies == N_STUDIES and not one.is_empty
    assert other.is_empty and not other.output.exists() and "encoder 2 refuses it" in other.because
    assert not list((tmp_path / "out").glob("out.2.*"))
    with pytest.raises(NothingUsableError, match="encoder 2 refuses it"):
        embed_several(bids, outputs(tmp_path / "none", models[1:]), engine_options=HERE)


def test_fail_fast_names_the_model(bids: Path, tmp_path: Path, encoders: Callable[..., Any]) -> None:
    (bids / "sub-02/anat/sub-02_FLAIR.nii.gz").unlink()
    models = [encoders(3), encoders(2, refuses=("sub-04_T1w",))]
    with pytest.raises(FailedFastError, match="sub-04 T1w with moments-2: encoder 2 refuses it"):
        embed_several(
            bids,
            outputs(tmp_path / "out", models),
            engine_options=HERE,
            run_options=RunOptions(fail_fast=True),
        )
    assert len(list((tmp_path / "out" / "out.3.h5.parts").glob("*.safetensors"))) >= 3


def test_failed_studies_are_tried_again_by_the_models_that_failed(
    bids: Path, tmp_path: Path, encoders: Callable[..., Any]
) -> None:
    (bids / "sub-02/anat/sub-02_FLAIR.nii.gz").unlink()
    embed_several(
        bids, outputs(tmp_path, [encoders(2), encoders(3, refuses=("sub-04_T1w",))]), engine_options=HERE
    )
    models = [encoders(2), encoders(3)]
    for options, tried in ((RunOptions(), []), (RunOptions(retry_failed=True), [["sub-04"]])):
        embed_several(bids, outputs(tmp_path, models), engine_options=HERE, run_options=options)
        assert models[0].windows == [] and models[1].windows == tried
    assert read_embeddings(tmp_path / "out.3.h5").n_series == 2 * N_STUDIES - 1


def test_force_embeds_everything_again(bids: Path, tmp_path: Path, encoders: Callable[..., Any]) -> None:
    models = [encoders(2), encoders(3)]
    embed_several(bids, outputs(tmp_path, models), engine_options=HERE)
    embed_several(bids, outputs(tmp_path, models), engine_options=HERE, run_options=RunOptions(force=True))
    for model in models:
        assert len([study for window in model.windows for study in window]) == 2 * N_STUDIES


def test_one_output_that_another_run_writes_differently_starts_nothing(
    bids: Path, tmp_path: Path, encoders: Callable[..., Any]
) -> None:
    from prima_features.embedding.resume.claims import Claims

    models = [encoders(1), encoders(2)]
    folder = PartsFolder.of(tmp_path / "out.2.h5").folder
    with Claims(folder) as claims:
        claims.announce("another plan", "1/1")
        with pytest.raises(UsageError, match="is writing the same output"):
            embed_several(bids, outputs(tmp_path, models), engine_options=HERE)
    assert not any(model.windows for model in models)


def test_a_stopped_run_says_how_far_each_output_is(
    bids: Path, tmp_path: Path, encoders: Callable[..., Any]
) -> None:
    models = [encoders(1), encoders(7)]
    with pytest.raises(StoppedError) as stopped:
        embed_several(bids, outputs(tmp_path, models), engine_options=HERE, stoppable=stopping_after(10))
    for model in models:
        assert f"{tmp_path / f'out.{model.n}.h5.parts'}" in str(stopped.value)


# ---- DICOM ----


def test_the_files_of_a_dicom_source_have_the_same_pseudonyms(
    study_a: Path, tmp_path: Path, encoders: Callable[..., Any]
) -> None:
    models = [encoders(7), encoders(8)]
    embed(study_a, tmp_path / "out.8.h5", models[1], engine_options=HERE)
    before = read_embeddings(tmp_path / "out.8.h5").studies["id"].tolist()
    embed_several(study_a, outputs(tmp_path, models), engine_options=HERE)
    for output in outputs(tmp_path, models):
        assert read_embeddings(output).studies["id"].tolist() == before
        assert ids_path(output).stat().st_mode & 0o777 == 0o600
    embed_several(study_a, outputs(tmp_path / "new", models), engine_options=HERE)
    new = [read_embeddings(output).studies["id"].tolist() for output in outputs(tmp_path / "new", models)]
    assert new[0] == new[1] != before


def test_outputs_with_different_keys_are_refused(
    study_a: Path, tmp_path: Path, encoders: Callable[..., Any]
) -> None:
    models = [encoders(7), encoders(8)]
    for output, model in outputs(tmp_path, models).items():
        embed(study_a, output, model, engine_options=HERE)
    with pytest.raises(UsageError, match=r"out\.7\.ids\.tsv and .*out\.8\.ids\.tsv contain different keys"):
        embed_several(study_a, outputs(tmp_path, models), engine_options=HERE)


def test_a_key_that_an_unfinished_run_left_is_used(
    study_a: Path, tmp_path: Path, encoders: Callable[..., Any]
) -> None:
    from prima_features.embedding.record.ids import agree_on_pseudonyms, read_ids

    models = [encoders(7), encoders(8)]
    key = agree_on_pseudonyms([PartsFolder.of(tmp_path / "out.8.h5").folder]).key.hex()
    embed_several(study_a, outputs(tmp_path, models), engine_options=HERE)
    for output in outputs(tmp_path, models):
        assert {row[-1] for row in read_ids(ids_path(output)).values()} == {key}


def test_a_dicom_run_that_fails_leaves_no_key(
    study_a: Path, tmp_path: Path, encoders: Callable[..., Any]
) -> None:
    models = [encoders(7, refuses=("",)), encoders(8, refuses=("",))]
    with pytest.raises(NothingUsableError):
        embed_several(study_a, outputs(tmp_path, models), engine_options=HERE)
    assert not list(tmp_path.glob("out.*"))
