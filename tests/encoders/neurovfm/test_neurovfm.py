"""NeuroVFM: networks, slice axes, voxels, tokens and embeddings as the public code gives them."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from dcm2niix import bin as dcm2niix
from golden_encoders import assert_close, random_input, synthetic_weights

from prima_features.encoders.base import EncodedStudy, Prepared, Progress
from prima_features.encoders.convert import convert
from prima_features.encoders.neurovfm.network import place_values
from prima_features.encoders.neurovfm.prepare import (
    NeuroVFMPreparer,
    as_published,
    choose_axis,
    crop,
    cut,
    lps_corner,
    resample,
    resampled_size,
)
from prima_features.encoders.registry import load_encoder, with_options
from prima_features.encoders.series_encoder import SeriesEncoder
from prima_features.errors import SeriesError, UsageError
from prima_features.studies import FindOptions, find
from prima_features.studies.study import NiftiImage, Series, Study
from prima_features.volumes import ReadOptions, read_series

CPU = torch.device("cpu")
N_SCANS = 13
SAME_SITK = sitk.Version.VersionString().startswith("2.5")
"""Other versions may round one voxel in 10,000 differently."""


@pytest.fixture(scope="module")
def golden(golden_encoders: Path) -> Path:
    return golden_encoders / "neurovfm"


@pytest.fixture(scope="module")
def model(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> SeriesEncoder[Any]:
    """The small model, converted from a file with the published layout."""
    output = tmp_path_factory.mktemp("neurovfm") / "small"
    convert(golden / "small" / "pytorch_model.bin", "neurovfm", output)
    encoder = load_encoder(output)
    assert isinstance(encoder, SeriesEncoder)
    return encoder


@pytest.fixture(scope="module")
def expected(golden: Path) -> list[dict[str, Any]]:
    return json.loads((golden / "scans.json").read_text())


@pytest.fixture(scope="module")
def arrays(golden: Path) -> dict[str, np.ndarray]:
    with np.load(golden / "scans.npz") as file:
        return dict(file)


def series_of(path: Path) -> Series:
    """The only series of a file or DICOM folder."""
    if path.is_file():
        return Series("T1w", NiftiImage(path))
    (study,) = find(path, FindOptions()).studies
    (series,) = study.series
    return series


def tokens(encoder: SeriesEncoder[Any], prepared: Prepared) -> EncodedStudy:
    study = Study("sub-1", "1", "", "", ())
    one = (study, [(Series("T1w", NiftiImage(Path("x.nii"))), prepared)])
    (encoded,) = encoder.on(CPU, torch.float32, 32).encode([one], Progress(), True)
    return encoded


def run_network(encoder: SeriesEncoder[Any], golden_file: Any) -> np.ndarray:
    """The network on the random tokens of a golden file."""
    values = (random_input(7, (37, 1024)) - 0.3141) / 0.2623
    lengths = golden_file["lengths"]
    starts = torch.tensor([0, *np.cumsum(lengths)], dtype=torch.int32)
    place = torch.from_numpy(golden_file["coords"].astype(np.float32))
    with torch.inference_mode():
        return encoder.network(values, place, starts, int(lengths.max())).numpy()


def test_the_small_network_gives_the_golden_vectors(golden: Path, model: SeriesEncoder[Any]) -> None:
    with np.load(golden / "network_small.npz") as file:
        assert_close(run_network(model, file), file["out"])
        place = torch.from_numpy(file["position_coords"].astype(np.float32))
        assert_close(place_values(place, 30).numpy(), file["position_rows"])


def test_the_full_layout_loads_strictly_and_gives_the_golden_vectors(
    golden: Path, scans: Path, tmp_path: Path
) -> None:
    facts = json.loads((golden / "layout_full.json").read_text())
    stored = facts["full"]
    assert len(stored) == 136
    layout = {name: (tuple(shape), dtype) for name, (shape, dtype) in stored.items()}
    torch.save({"state_dict": synthetic_weights(layout)}, tmp_path / "pytorch_model.bin")
    params = {"embed_dim": 768, "depth": 12, "num_heads": 12, "pos_emb_cf": {"params": {"d": 30}}}
    (tmp_path / "config.json").write_text(json.dumps({"which": "vit_base", "params": params}))
    convert(tmp_path / "pytorch_model.bin", "neurovfm", tmp_path / "full")
    encoder = load_encoder(tmp_path / "full")
    assert isinstance(encoder, SeriesEncoder)
    assert encoder.info.widths.series == encoder.info.widths.token == 768
    assert encoder.info.licence == "CC BY-NC-SA 4.0"
    with np.load(golden / "network_full.npz") as file:
        out = run_network(encoder, file)
        means = [part.mean(0) for part in np.split(out, np.cumsum(file["lengths"])[:-1])]
        assert_close(np.stack(means), file["series_mean"])
        assert_close(out[0], file["token0"])
        with torch.autocast("cpu", torch.bfloat16):
            rough = run_network(encoder, file)
        assert np.abs(rough - out).max() / np.abs(out).max() == pytest.approx(
            facts["bf16_autocast_relative_difference"], rel=0.5
        )
        cosines = (rough * out).sum(1) / np.linalg.norm(rough, axis=1) / np.linalg.norm(out, axis=1)
        assert cosines.min() > 0.9999
        prepared = encoder.preparer()(
            series_of(scans / "nifti" / "T2w_axial_2mm.nii.gz"), ReadOptions(), False
        )
        assert_close(tokens(encoder, prepared).series[0], file["scan_T2w_axial_2mm_mean"])


@pytest.mark.parametrize("number", range(N_SCANS))
def test_a_scan_gives_the_golden_axis_voxels_tokens_and_embedding(
    number: int,
    expected: list[dict[str, Any]],
    arrays: dict[str, np.ndarray],
    model: SeriesEncoder[Any],
    golden: Path,
) -> None:
    record = expected[number]
    series = series_of(golden.parent.parent / record["source"])
    image = sitk.DICOMOrient(as_published(read_series(series), series), "RPI")
    assert image.GetSize() == tuple(record["size_rpi"])
    assert image.GetSpacing() == tuple(record["spacing_rpi"])
    axis = choose_axis(image.GetSize(), image.GetSpacing(), "public")
    assert axis == record["slice_axis_rpi"]
    cropped = crop(resample(image, axis), axis)
    assert cropped.GetSize() == tuple(record["size"])
    assert cropped.GetSpacing() == tuple(record["spacing"])
    assert cropped.GetOrigin() == pytest.approx(record["origin_lps"], abs=1e-9)
    assert cropped.GetDirection() == pytest.approx(record["direction_lps"], abs=1e-9)
    voxels = sitk.GetArrayFromImage(cropped)
    assert voxels.dtype == record["voxels_dtype"]
    if SAME_SITK:
        assert hashlib.sha256(np.ascontiguousarray(voxels)).hexdigest() == record["voxels_sha256"]
    assert voxels.sum(dtype=np.float64) == pytest.approx(record["voxels_sum"], rel=1e-6)
    for name, percent in (("p0_5", 0.5), ("p10", 10), ("p99_5", 99.5)):
        assert np.percentile(voxels, percent) == pytest.approx(record[name], rel=1e-3, abs=1e-4)

    prepared = NeuroVFMPreparer("public")(series, ReadOptions(), False)
    assert prepared.n_tokens == record["n_kept"]
    assert prepared.plane == ("sagittal", "coronal", "axial")[axis]
    assert f"cut-{prepared.plane}" in prepared.flags  # counted in the report
    np.testing.assert_array_equal(prepared.arrays.place, arrays[f"coords_{number}"])
    assert_close(prepared.arrays.values.mean(1), arrays[f"token_mean_{number}"])
    assert_close(prepared.arrays.values[:2], arrays[f"tokens_first2_{number}"])
    encoded = tokens(model, prepared)
    assert_close(encoded.tokens[0].embedding[:4], arrays[f"token_embeddings_first4_{number}"], 2e-5)
    assert_close(encoded.series[0], arrays[f"embedding_{number}"], 2e-5)


def test_all_scans_are_compared(expected: list[dict[str, Any]]) -> None:
    assert len(expected) == N_SCANS


def test_the_axis_table_holds_for_both_rules(golden: Path) -> None:
    for row in json.loads((golden / "slice_axis_table.json").read_text()):
        size, spacing = row["size_rpi"], [float(value) for value in row["spacing_rpi"]]
        assert choose_axis(size, spacing, "repaired") == row["recommended_axis"], row
        if row["upstream_axis"] is None:
            with pytest.raises(SeriesError, match="public rule finds no slice axis"):
                choose_axis(size, spacing, "public")
        else:
            assert choose_axis(size, spacing, "public") == row["upstream_axis"], row
            axis = row["upstream_axis"]
            resampled = sitk.Image(resampled_size(size, spacing, axis), sitk.sitkUInt8)
            assert list(crop(resampled, axis).GetSize()) == row["upstream_size"], row


def test_a_spacing_that_differs_by_rounding_is_repaired() -> None:
    size, spacing = (112, 160, 128), (1.6000032, 1.6, 1.6)
    assert choose_axis(size, spacing, "repaired") == 2
    assert choose_axis(size, spacing, "public") == 0
    assert choose_axis((256, 256, 256), (0.5, 1.0, 1.0), "repaired") == 2  # the last of the tied axes


def test_three_orientations_of_one_brain_agree(scans: Path, model: SeriesEncoder[Any]) -> None:
    folder = scans / "nifti" / "orientations"
    vectors = [
        tokens(model, model.preparer()(series_of(folder / f"{name}.nii.gz"), ReadOptions(), False)).series[0]
        for name in ("RAS", "LPI", "SLA")
    ]
    assert_close(vectors[1], vectors[0])
    assert_close(vectors[2], vectors[0])


@pytest.mark.parametrize("name", ["golden/study_a/001_t1_sag", "scans/dicom/04_canon_dti_b0"])
def test_dicom_and_its_nifti_give_the_same_tokens_and_nearly_the_same_vector(
    name: str, golden: Path, model: SeriesEncoder[Any], tmp_path: Path
) -> None:
    """NIfTI stores spacings in single precision, so a few voxels are truncated to the next integer."""
    source = golden.parent.parent / name
    arguments = ["-b", "n", "-z", "n", "-f", "image", "-o", tmp_path, source]
    subprocess.run([dcm2niix, *arguments], check=True, capture_output=True)
    dicom, nifti = (
        model.preparer()(series_of(path), ReadOptions(), False) for path in (source, tmp_path / "image.nii")
    )
    np.testing.assert_array_equal(dicom.arrays.place, nifti.arrays.place)
    assert_close(tokens(model, nifti).series[0], tokens(model, dicom).series[0], 2e-4)


@pytest.mark.parametrize("number", range(N_SCANS))
def test_casting_before_resampling_changes_tokens_and_embedding_as_in_the_public_code(
    number: int,
    expected: list[dict[str, Any]],
    arrays: dict[str, np.ndarray],
    model: SeriesEncoder[Any],
    golden: Path,
) -> None:
    """Why the preparation starts from voxels in the stored type."""
    record, after_cast = expected[number], expected[number]["if_resampled_as_float32"]
    series = series_of(golden.parent.parent / record["source"])
    image = sitk.DICOMOrient(as_published(read_series(series), series), "RPI")
    axis = record["slice_axis_rpi"]
    order = {2: (0, 1, 2), 1: (1, 0, 2), 0: (2, 1, 0)}[axis]
    resampled = crop(resample(sitk.Cast(image, sitk.sitkFloat32), axis), axis)
    kept = cut(sitk.GetArrayFromImage(resampled).transpose(order))
    assert len(kept.values) == after_cast["n_kept"]
    assert np.array_equal(kept.place, arrays[f"coords_{number}"]) == after_cast["same_tokens"]
    starts = torch.tensor([0, len(kept.values)], dtype=torch.int32)
    place = torch.from_numpy(kept.place.astype(np.float32))
    with torch.inference_mode():
        rows = model.network(torch.from_numpy(kept.values), place, starts, len(kept.values))
    vector = arrays[f"embedding_{number}"]
    moved = np.abs(rows.mean(0).numpy() - vector).max() / np.abs(vector).max()
    assert moved == pytest.approx(after_cast["embedding_rel_diff"], rel=1e-2, abs=1e-6)


@pytest.mark.parametrize(("axis", "shape"), [(0, (32, 48, 8)), (1, (32, 8, 48)), (2, (8, 32, 48))])
def test_coordinates_of_tokens_point_to_their_voxels(axis: int, shape: tuple[int, int, int]) -> None:
    """The voxel at a token's coordinate, turned to LPS, is the patch's voxel with the smallest LPS indices."""
    volume = np.arange(np.prod(shape), dtype=np.float64).reshape(shape) + 1e6
    order = {2: (0, 1, 2), 1: (1, 0, 2), 0: (2, 1, 0)}[axis]
    grid = np.array(shape)[list(order)] // (4, 16, 16)
    place = np.argwhere(np.ones(grid, bool))
    lps = volume[::-1, :, ::-1]
    size = np.empty(3, int)
    size[list(order)] = (4, 16, 16)
    for (d, h, w), corner in zip(place, lps_corner(place, axis, shape), strict=True):
        block = volume.transpose(order)[4 * d : 4 * d + 4, 16 * h : 16 * h + 16, 16 * w : 16 * w + 16]
        z, y, x = corner
        found = lps[z : z + size[0], y : y + size[1], x : x + size[2]]
        assert set(found.ravel()) == set(block.ravel())


def image_of(values: np.ndarray, path: Path, spacing: float = 4.0) -> Series:
    import nibabel as nib

    nib.save(nib.Nifti1Image(values, np.diag([spacing, spacing, spacing, 1.0])), path)
    return Series("T1w", NiftiImage(path))


def test_a_scan_without_a_patch_of_foreground_is_refused(tmp_path: Path) -> None:
    values = np.zeros((24, 24, 24), np.int16)
    values[::2] = 100
    with pytest.raises(SeriesError, match="each of its patches contains background"):
        NeuroVFMPreparer()(image_of(values, tmp_path / "x.nii"), ReadOptions(), False)


def test_a_scan_smaller_than_a_patch_is_refused(tmp_path: Path) -> None:
    values = np.random.RandomState(0).randint(0, 99, (10, 10, 10)).astype(np.int16)
    with pytest.raises(SeriesError, match="10 x 10 x 2 voxels, fewer than one of"):
        NeuroVFMPreparer()(image_of(values, tmp_path / "x.nii", 1.0), ReadOptions(), False)


def test_the_public_rule_is_an_option_that_the_file_records(model: SeriesEncoder[Any]) -> None:
    assert model.info.settings["options"] == {"slice_axis": "repaired"}
    public = with_options(model, {"slice_axis": "public"})
    assert public.info.settings["options"] == {"slice_axis": "public"}
    assert public.preparer() == NeuroVFMPreparer("public")
    with pytest.raises(UsageError, match="slice_axis must be repaired or public, not z"):
        with_options(model, {"slice_axis": "z"})
    with pytest.raises(UsageError, match="no option axis: its options are slice_axis"):
        with_options(model, {"axis": "z"})


def test_a_missing_config_is_asked_for(golden: Path, tmp_path: Path) -> None:
    shutil.copy(golden / "small" / "pytorch_model.bin", tmp_path)
    with pytest.raises(UsageError, match=r"put the published config\.json next to it"):
        convert(tmp_path / "pytorch_model.bin", "neurovfm", tmp_path / "output")


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape", "config"])
def test_a_file_that_does_not_fit_is_refused(change: str, golden: Path, tmp_path: Path) -> None:
    """The public loader ignores missing and unexpected names."""
    tensors = torch.load(golden / "small" / "pytorch_model.bin", weights_only=True)
    tensors = dict(tensors.get("state_dict", tensors))
    config = json.loads((golden / "small" / "config.json").read_text())
    if change == "missing":
        del tensors["blocks.1.mixer.qkv.bias"]
    elif change == "unexpected":
        tensors["head.weight"] = torch.zeros(2)
    elif change == "shape":
        tensors["blocks.1.mixer.qkv.bias"] = torch.zeros(3)
    else:
        config["params"]["depth"] = 4
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match=r"does not (contain the tensors|have the sizes) of NeuroVFM"):
        convert(tmp_path / "pytorch_model.bin", "neurovfm", tmp_path / "output")
    assert not (tmp_path / "output").exists()
