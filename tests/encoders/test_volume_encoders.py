"""Encoders that read one volume per series: what they have in common."""

import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from brains import synthetic_head, turned
from golden_encoders import converted

from prima_features import read_embeddings
from prima_features.anatomy import cache, find
from prima_features.anatomy.quality import MNI_OVERLAP, MNI_SCALE, litres
from prima_features.anatomy.registration import REGISTERED, register
from prima_features.anatomy.stripped import STRIPPED as STRIPPED_IMAGE
from prima_features.cli.main import main
from prima_features.encoders.base import EncodedStudy, Prepared, Progress
from prima_features.encoders.brain_volume import UNSTRIPPED, VolumePreparer
from prima_features.encoders.brainiac.prepare import NOT_REGISTERED
from prima_features.encoders.registry import load_encoder
from prima_features.encoders.series_encoder import SeriesEncoder
from prima_features.errors import SeriesError, UsageError
from prima_features.studies.study import NiftiImage, Series, Study
from prima_features.volumes import ReadOptions

FILES = {
    "brainiac": "brainiac/small_BrainIAC.ckpt",
    "dinov3d-neuro": "dinov3d_neuro/small_teacher_checkpoint.pth",
    "neurojepa": "neurojepa/small_model.safetensors",
    "openmind-resencl": "openmind_resencl/small_checkpoint_final.pth",
    "simclr3d": "simclr3d/small_checkpoint.tar",
}
SHAPES = {
    "brainiac": [(96, 96, 96)] * 3,
    "dinov3d-neuro": [(32, 48, 16), (16, 16, 32), (16, 16, 32)],
    "neurojepa": [(96, 108, 96)] * 3,
    "openmind-resencl": [(64, 64, 64)] * 3,
    "simclr3d": [(24, 24, 24)] * 3,
}
STRIPPED = sorted({"brainiac", "neurojepa", "simclr3d"})
# Rounding errors differ between kernels. Dinov3D-Neuro rounds rotated queries and keys to bfloat16: an error of 1e-7
# can move one of them by a whole step, and the vector by 1e-4.
TOLERANCE = {"dinov3d-neuro": 2e-4}


@pytest.fixture(scope="module")
def models(golden_encoders: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    for name, file in FILES.items():
        published = folder / "published" / name
        published.mkdir(parents=True)
        shutil.copy(golden_encoders / file, published)
        if name == "brainiac":
            (published / "config.json").write_text('{"num_heads": 2}')
        if name == "neurojepa":
            shutil.copy(golden_encoders / "neurojepa/small_config_assumed.json", published / "config.json")
        converted(published / Path(file).name, name, folder / name)
    return {name: folder / name for name in FILES}


def encoder(models: dict[str, Path], name: str) -> SeriesEncoder:
    return load_encoder(models[name])  # type: ignore[return-value]


def series(scans: Path, name: str) -> Series:
    return Series("FLAIR", NiftiImage(scans / "nifti" / name))


def test_preparers_import_no_torch() -> None:
    modules = ", ".join(
        f"prima_features.encoders.{name}.prepare"
        for name in ("brainiac", "dinov3d_neuro", "neurojepa", "openmind_resencl", "simclr3d")
    )
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", FILES)
def test_batches_give_the_vectors_of_each_series_alone(name: str, models: dict[str, Path]) -> None:
    """Volumes of unequal size, too, which cannot be stacked."""
    model = encoder(models, name)
    items = [volume(number, shape) for number, shape in enumerate(SHAPES[name])]
    together = encode(model, items, batch=100).series
    assert together.shape == (3, model.info.widths.series)
    for row, item in zip(together, items, strict=True):
        alone = encode(model, [item], batch=1).series[0]
        np.testing.assert_allclose(row, alone, atol=TOLERANCE.get(name, 2e-6))


@pytest.mark.parametrize("name", FILES)
def test_bfloat16_is_close_to_float32(name: str, models: dict[str, Path]) -> None:
    model = encoder(models, name)
    item = volume(0, SHAPES[name][0])
    exact = encode(model, [item], 1).series
    try:
        rough = encode(model, [item], 1, torch.bfloat16).series
    except RuntimeError as error:
        if "only supported when avx512" not in str(error):
            raise
        pytest.skip("torch's bfloat16 attention fails if ATEN_CPU_CAPABILITY hides AVX-512 of the processor")
    assert 0 < np.abs(rough - exact).max() < 0.1 * np.abs(exact).max()


def volume(seed: int, shape: tuple[int, ...]) -> Prepared:
    values = np.random.RandomState(seed).standard_normal((1, 1, *shape)).astype(np.float32)
    return Prepared(values, 1, 1, "axial", (1, 1, 1), (1.0, 1.0, 1.0))


def encode(
    model: SeriesEncoder, items: list[Prepared], batch: int, dtype: torch.dtype = torch.float32
) -> EncodedStudy:
    inference = model.on(torch.device("cpu"), dtype, batch)
    one = Series("T1w", NiftiImage(Path("x.nii")))
    study = Study("sub-1", "1", "", "", ())
    return inference.encode([(study, [(one, item) for item in items])], Progress(), False)[0]


@pytest.mark.parametrize("name", FILES)
def test_models_and_preparers_can_be_sent_to_other_processes(name: str, models: dict[str, Path]) -> None:
    model = pickle.loads(pickle.dumps(encoder(models, name)))
    assert model.info == encoder(models, name).info
    assert pickle.loads(pickle.dumps(model.preparer())) == model.preparer()


@pytest.mark.parametrize("name", ["openmind-resencl", "dinov3d-neuro"])
def test_whole_heads_are_read_by_encoders_that_were_trained_on_them(
    name: str, models: dict[str, Path], scans: Path
) -> None:
    prepared = encoder(models, name).preparer()(series(scans, "T2w_axial_2mm.nii.gz"), ReadOptions(), False)
    assert prepared.arrays.dtype == np.float32
    assert np.isfinite(prepared.arrays).all()
    assert (prepared.plane, prepared.shape) == ("axial", (60, 224, 224))
    assert prepared.spacing == pytest.approx((2.0, 1.0, 1.0))
    assert not {UNSTRIPPED, NOT_REGISTERED} & set(prepared.flags)


def test_tokens_are_counted_by_the_field_of_view(models: dict[str, Path], scans: Path) -> None:
    prepared = encoder(models, "dinov3d-neuro").preparer()(
        series(scans, "T2w_axial_2mm.nii.gz"), ReadOptions(), False
    )
    assert prepared.arrays.shape == (1, 1, 224, 224, 128)
    assert prepared.n_tokens == 14 * 14 * 8
    assert prepared.weight == prepared.n_tokens // 50


@pytest.mark.parametrize(("name", "weight"), [("brainiac", 216 // 50), ("neurojepa", 576 // 50)])
def test_the_weight_of_a_volume_grows_with_its_tokens(
    name: str, weight: int, models: dict[str, Path]
) -> None:
    """Eight batches are computed before anything is written: at most so much is lost if a run is killed."""
    model = encoder(models, name)
    assert model.preparer().weight == weight  # type: ignore[attr-defined]
    assert model.info.unit == "units of 50 tokens"


@pytest.mark.parametrize("name", STRIPPED)
def test_whole_heads_are_refused_by_encoders_of_stripped_brains(
    name: str, models: dict[str, Path], scans: Path
) -> None:
    prepare = encoder(models, name).with_options({"mask_tool": "none"}).preparer()
    with pytest.raises(SeriesError, match="brain mask is unknown") as error:
        prepare(series(scans, "T2w_axial_2mm.nii.gz"), ReadOptions(), False)
    for remedy in (
        "derivatives",
        "manifest",
        "SynthStrip",
        "--retry-failed",
        "--allow-unstripped",
        "unstripped=allow",
    ):
        assert remedy in error.value.hint


@pytest.mark.parametrize("name", STRIPPED)
def test_allowing_whole_heads_is_recorded(name: str, models: dict[str, Path]) -> None:
    model = encoder(models, name)
    allowed = model.with_options({"unstripped": "allow"})
    assert model.info.settings["options"]["unstripped"] == "refuse"
    assert allowed.info.settings["options"]["unstripped"] == "allow"
    assert isinstance(allowed.preparer(), VolumePreparer)
    assert allowed.preparer().unstripped == "allow"  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="unstripped must be refuse or allow"):
        model.with_options({"unstripped": "yes"})


def test_a_stripped_image_needs_no_mask_but_its_position_is_flagged(
    models: dict[str, Path], scans: Path
) -> None:
    off = {"registration": "none"}
    brainiac, simclr = (encoder(models, name).with_options(off) for name in ("brainiac", "simclr3d"))
    prepared = brainiac.preparer()(series(scans, "FLAIR.nii.gz"), ReadOptions(), True)
    assert NOT_REGISTERED in prepared.flags
    assert UNSTRIPPED not in prepared.flags
    assert prepared.picture is not None and prepared.picture.outline.startswith("M")
    # It is in the axial slice on the left, and in the coronal slice on the right.
    across = [float(x) for x in re.findall(r"([0-9.]+) [0-9.]+", prepared.picture.outline)]
    assert min(across) < prepared.picture.width / 2 < max(across) <= prepared.picture.width
    assert prepared.brain is not None and prepared.brain.mask_from == STRIPPED_IMAGE
    assert not prepared.brain.to_mni
    with pytest.raises(SeriesError, match="position in MNI space is unknown") as error:
        simclr.preparer()(series(scans, "FLAIR.nii.gz"), ReadOptions(), False)
    for remedy in ("derivatives", "mni_affine", "space=mni"):
        assert remedy in error.value.hint


@pytest.mark.parametrize("name", STRIPPED)
def test_images_in_mni_space_need_no_registration(name: str, models: dict[str, Path], scans: Path) -> None:
    model = encoder(models, name).with_options({"space": "mni"})
    prepared = model.preparer()(series(scans, "FLAIR.nii.gz"), ReadOptions(), False)
    assert not {UNSTRIPPED, NOT_REGISTERED} & set(prepared.flags)
    assert prepared.brain is not None and prepared.brain.to_mni == tuple(np.eye(4).ravel())


def test_a_stripped_image_is_registered_once_for_all_encoders(
    models: dict[str, Path], scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRIMA_CACHE", str(tmp_path))
    calls = []

    def counted(*arguments: np.ndarray) -> np.ndarray:
        calls.append(arguments)
        return register(*arguments)

    monkeypatch.setattr(find, "register", counted)
    brains = []
    for name in STRIPPED:
        prepared = encoder(models, name).preparer()(series(scans, "FLAIR.nii.gz"), ReadOptions(), False)
        assert not {UNSTRIPPED, NOT_REGISTERED, MNI_OVERLAP, MNI_SCALE} & set(prepared.flags)
        brains.append(prepared.brain)
    assert len(calls) == 1
    assert brains[0] == brains[1] == brains[2] and brains[0] is not None
    assert brains[0].dice > 0.9 and brains[0].to_mni_from == REGISTERED


@pytest.mark.parametrize("name", STRIPPED)
def test_a_moved_head_gives_the_same_volume_after_registration(
    name: str, models: dict[str, Path], tmp_path: Path
) -> None:
    """Two positions in the scanner, one of them with other axes."""
    head = synthetic_head("T1w")
    moved = turned(20, (12.0, -25.0, 30.0), (1.0, 1.0, 1.0)) @ head.affine
    image, mask = (
        nib.Nifti1Image(values, moved)
        for values in (head.values.astype(np.int16), head.brain.astype(np.uint8))
    )
    turned_image = image.as_reoriented([[1, -1], [2, 1], [0, -1]])
    volumes, dices = [], []
    for number, (one, affine) in enumerate([(image, head.affine), (turned_image, turned_image.affine)]):
        path = tmp_path / f"{number}.nii"
        nib.save(nib.Nifti1Image(np.asarray(one.dataobj), affine), path)
        mask_path = tmp_path / f"{number}_mask.nii"
        nib.save(nib.Nifti1Image(np.asarray(mask.dataobj), moved if number else head.affine), mask_path)
        scan = Series("T1w", NiftiImage(path), mask=mask_path)
        prepared = encoder(models, name).preparer()(scan, ReadOptions(), False)
        assert not prepared.flags and prepared.brain is not None and prepared.brain.to_mni_from == REGISTERED
        volumes.append(prepared.arrays.ravel())
        dices.append(prepared.brain.dice)
    assert np.corrcoef(volumes)[0, 1] > 0.98
    assert dices[0] == pytest.approx(dices[1], abs=0.01)


@pytest.mark.parametrize("name", STRIPPED)
def test_a_known_answer_is_recorded_and_reproduced(
    name: str, models: dict[str, Path], tmp_path: Path
) -> None:
    model = shutil.copytree(models[name], tmp_path / name)
    assert main(["doctor", "--model", str(model), "--record-answer"]) == 0
    assert main(["weights", "verify", str(model)]) == 0


def test_a_file_of_embeddings_states_what_was_done(
    models: dict[str, Path], scans: Path, tmp_path: Path
) -> None:
    scan, output = scans / "nifti" / "T2w_axial_2mm.nii.gz", tmp_path / "out.h5"
    arguments = [str(scan), str(output), "--model", str(models["brainiac"]), "--workers", "0"]
    arguments += ["--encoder-option", "mask_tool=none"]
    assert main(["embed", *arguments]) == 4
    assert main(["embed", *arguments, "--encoder-option", "unstripped=allow"]) == 0
    file = read_embeddings(output)
    assert file.study_embedding.shape == (1, 24)
    assert {UNSTRIPPED, NOT_REGISTERED} <= set(file.series["flags"].iloc[0].split(","))
    assert file.preprocessing["options"]["unstripped"] == "allow"


@pytest.mark.skipif(os.name == "nt", reason="a script with a shebang")
def test_whole_heads_are_masked_by_a_program_once_for_two_models_and_two_runs(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = synthetic_head("T1w")
    anat = tmp_path / "bids" / "sub-01" / "anat"
    anat.mkdir(parents=True)
    nib.save(nib.Nifti1Image(head.values.astype(np.int16), head.affine), anat / "sub-01_T1w.nii.gz")
    nib.save(nib.Nifti1Image(head.brain.astype(np.uint8), head.affine), tmp_path / "made.nii.gz")
    programs = tmp_path / "programs"
    programs.mkdir()
    program = programs / "mri_synthstrip"
    program.write_text(
        f"#!/bin/sh\necho called >> '{tmp_path}/calls'\n"
        f"[ \"$1 $2 $3\" = '-i image.nii.gz -m' ] && cp '{tmp_path}/made.nii.gz' \"$4\"\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PRIMA_CACHE", str(tmp_path / "cache"))
    cache._recent.clear()  # another test may have registered the same head
    chosen = [f"--model={name}={models[name]}" for name in ("brainiac", "neurojepa")]
    first, second = (tmp_path / name for name in ("first.h5", "second.h5"))
    assert main(["embed", str(tmp_path / "bids"), str(first), *chosen]) == 0
    cache._recent.clear()
    monkeypatch.setattr(find, "register", None)  # it would be called without the cache
    assert main(["embed", str(tmp_path / "bids"), str(second), *chosen, "--workers", "0"]) == 0
    assert (tmp_path / "calls").read_text() == "called\n"
    for name in ("brainiac", "neurojepa"):
        file = read_embeddings(tmp_path / f"first.{name}.h5")
        row = file.series.iloc[0]
        assert (row["mask_from"], row["mni_from"]) == ("mri_synthstrip", REGISTERED)
        assert row["brain_litres"] == pytest.approx(litres(head.brain, head.affine), rel=1e-4)
        assert row["mni_dice"] > 0.9 and not row["flags"]
        np.testing.assert_array_equal(
            file.series_embedding, read_embeddings(tmp_path / f"second.{name}.h5").series_embedding
        )
