"""The batch loop: bad series and studies are recorded, and the rest goes on."""

import threading
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from prima_features.embedding.engine.local import EngineOptions, embed_studies
from prima_features.embedding.file.records import EmbeddedStudy, FailedStudy
from prima_features.encoders.prima import PrimaModel
from prima_features.studies.study import NiftiImage, Series, Study


@pytest.fixture(scope="module")
def model() -> PrimaModel:
    return PrimaModel.from_pretrained("prima-untrained")


def scan(path: Path, shape: tuple[int, ...] = (32, 32, 8), seed: int = 0) -> NiftiImage:
    values = np.random.default_rng(seed).integers(0, 500, shape).astype(np.int16)
    nib.save(nib.Nifti1Image(values, np.diag([2.0, 2.0, 5.0, 1.0])), path)
    return NiftiImage(path)


def study(name: str, *images: NiftiImage) -> Study:
    series = tuple(Series(f"T{i}w", image) for i, image in enumerate(images, 1))
    return Study(f"sub-{name}", name, "", "MRI BRAIN", series)


def test_a_bad_series_is_recorded_and_the_others_are_embedded(tmp_path: Path, model: PrimaModel) -> None:
    good, bad = scan(tmp_path / "good.nii"), tmp_path / "bad.nii"
    bad.write_bytes(b"")
    (result,) = embed_studies([study("01", NiftiImage(bad), good)], model)
    assert isinstance(result, EmbeddedStudy)
    assert [series.name for series in result.series] == ["T2w"]
    (failure,) = result.failures
    assert (failure.study, failure.series, failure.stage, failure.error) == (
        "sub-01",
        "T1w",
        "read",
        "the file is empty",
    )
    assert failure.defect


def test_a_study_without_a_usable_series_fails_and_the_next_goes_on(
    tmp_path: Path, model: PrimaModel
) -> None:
    missing = NiftiImage(tmp_path / "missing.nii")
    results = list(embed_studies([study("01", missing), study("02", scan(tmp_path / "a.nii"))], model))
    assert isinstance(results[0], FailedStudy)
    assert results[0].failures[0].error == "the file cannot be read: No such file or directory"
    assert isinstance(results[1], EmbeddedStudy)


def test_a_study_that_breaks_the_encoder_does_not_take_its_window_with_it(
    tmp_path: Path, model: PrimaModel
) -> None:
    studies = [study(f"{i:02}", scan(tmp_path / f"{i}.nii", seed=i)) for i in range(4)]
    broken = PrimaModel.from_pretrained("prima-untrained")

    def refuse_second(texts: list[str]) -> None:
        if "second" in texts:
            raise RuntimeError("does not fit in memory")

    broken.names["study"].register_forward_pre_hook(lambda module, inputs: refuse_second(inputs[0]))
    studies[1] = Study("sub-01", "01", "", "second", studies[1].series)
    results = list(embed_studies(studies, broken))
    assert [type(result) for result in results] == [EmbeddedStudy, FailedStudy, EmbeddedStudy, EmbeddedStudy]
    (failure,) = results[1].failures
    assert (failure.stage, failure.error) == ("encode", "unexpected RuntimeError")
    for found, expected in zip(results[::2], list(embed_studies(studies[::2], model)), strict=True):
        np.testing.assert_allclose(found.embedding, expected.embedding, rtol=1e-4, atol=1e-5)


def test_a_series_whose_vector_is_not_finite_fails_and_the_others_are_embedded(
    tmp_path: Path, model: PrimaModel
) -> None:
    broken = PrimaModel.from_pretrained("prima-untrained")
    broken.names["sequence"].register_forward_hook(
        lambda module, inputs, output: torch.where(
            torch.tensor([[text == "T2w"] for text in inputs[0]]), torch.nan, output
        )
    )
    good = scan(tmp_path / "good.nii")
    t1w, t2w, flair = (Series(name, good) for name in ("T1w", "T2w", "FLAIR"))
    studies = [
        Study(f"sub-{i}", str(i), "", "MRI BRAIN", series)
        for i, series in enumerate([(t1w,), (t1w, t2w, flair), (t2w,), (flair,)])
    ]
    results = list(embed_studies(studies, broken, EngineOptions(workers=0)))
    assert [type(one) for one in results] == [EmbeddedStudy, EmbeddedStudy, FailedStudy, EmbeddedStudy]
    assert [series.name for series in results[1].series] == ["T1w", "FLAIR"]
    for result, name in ((results[1], "T2w"), (results[2], "")):
        (failure,) = result.failures
        assert (failure.series, failure.stage, failure.defect) == (name, "encode", True)
        assert "NaN or infinity" in failure.error
    (expected,) = embed_studies([replace(studies[1], series=(t1w, flair))], model, EngineOptions(workers=0))
    np.testing.assert_allclose(results[1].embedding, expected.embedding, rtol=1e-4, atol=1e-5)


def test_planes_are_mixed_in_one_window(tmp_path: Path, model: PrimaModel) -> None:
    axial = scan(tmp_path / "axial.nii")
    sagittal = NiftiImage(axial.path, orientation=(0, 1, 0, 0, 0, -1))
    coronal = NiftiImage(axial.path, orientation=(1, 0, 0, 0, 0, -1))
    (together,) = embed_studies([study("01", axial, sagittal, coronal)], model)
    assert [series.plane for series in together.series] == ["axial", "sagittal", "coronal"]
    for i, image in enumerate((axial, sagittal, coronal)):
        (alone,) = embed_studies([study("01", image)], model, EngineOptions(batch_size=3))
        series = together.series[i]
        assert series.n_tokens == alone.series[0].n_tokens
    np.testing.assert_allclose(together.series[0].embedding, embed_first(axial, model), rtol=1e-4, atol=1e-5)


def embed_first(image: NiftiImage, model: PrimaModel) -> np.ndarray:
    (result,) = embed_studies([study("01", image)], model)
    assert isinstance(result, EmbeddedStudy)
    return result.series[0].embedding


def test_several_devices_share_the_studies_and_change_nothing(tmp_path: Path, model: PrimaModel) -> None:
    studies = [study(f"{i:02}", scan(tmp_path / f"{i}.nii", seed=i)) for i in range(6)]
    alone = list(embed_studies(studies, model, EngineOptions(workers=0, batch_size=1)))
    at_work = threading.Barrier(2, timeout=60)
    threads: set[str] = set()

    def meet(module: torch.nn.Module, inputs: tuple[list[str]]) -> None:
        if len(threads) < 2:  # the first two windows wait for each other: neither device may do both
            threads.add(threading.current_thread().name)
            at_work.wait()

    hook = model.names["study"].register_forward_pre_hook(meet)
    try:
        shared = EngineOptions(workers=0, batch_size=1, devices=("cpu", "cpu"))
        together = list(embed_studies(studies, model, shared))
    finally:
        hook.remove()
    assert len(threads) == 2
    assert [result.id for result in together] == [one.id for one in studies]
    for found, expected in zip(together, alone, strict=True):
        np.testing.assert_allclose(found.embedding, expected.embedding, rtol=1e-5, atol=1e-6)


def test_bfloat16_on_a_processor_without_it_is_told_once_and_computed(
    tmp_path: Path, model: PrimaModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    studies = [study(f"{i:02}", scan(tmp_path / f"{i}.nii", seed=i)) for i in range(2)]
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    results = list(embed_studies(studies, model, EngineOptions(workers=0, precision="bf16")))
    assert all(isinstance(result, EmbeddedStudy) for result in results)
    assert caplog.text.count("has no hardware support for bfloat16") == 1
    caplog.clear()
    list(embed_studies(studies, model, EngineOptions(workers=0, precision="fp32")))
    assert "bfloat16" not in caplog.text


def test_token_level_keeps_each_tokens_latent(tmp_path: Path, model: PrimaModel) -> None:
    (result,) = embed_studies([study("01", scan(tmp_path / "a.nii"))], model, EngineOptions(keep_tokens=True))
    series = result.series[0]
    assert series.tokens.embedding.shape == (series.n_tokens, 256)
    assert series.tokens.embedding.dtype == np.float16
    assert series.tokens.coord.shape == (series.n_tokens, 3)
