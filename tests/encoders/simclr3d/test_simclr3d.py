"""3D-Neuro-SimCLR gives the vectors and volumes of the public code."""

import json
import tarfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from golden_encoders import (
    assert_close,
    assert_summary,
    converted,
    layout,
    random_input,
    save,
    synthetic_weights,
)

from prima_features.anatomy.find import Anatomy
from prima_features.encoders.brain_volume import UNSTRIPPED, Scan
from prima_features.encoders.series_encoder import SeriesEncoder
from prima_features.encoders.simclr3d.prepare import TEMPLATE, SimclrPreparer, crop, standardise
from prima_features.errors import SeriesError, UsageError
from prima_features.volumes.resampling import resample


@pytest.fixture(scope="module")
def golden(golden_encoders: Path) -> Path:
    return golden_encoders / "simclr3d"


@pytest.fixture(scope="module")
def small(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> SeriesEncoder:
    output = tmp_path_factory.mktemp("simclr3d") / "model"
    return converted(golden / "small_checkpoint.tar", "simclr3d", output)  # type: ignore[return-value]


def test_vectors_are_those_of_the_public_code(small: SeriesEncoder, golden: Path) -> None:
    with torch.inference_mode():
        vector = small.network(random_input(13, (1, 40, 48, 48))[None])[0]
    assert_close(vector, np.load(golden / "network.npz")["small"])


def test_a_file_inside_a_tar_archive_is_found(golden: Path, tmp_path: Path) -> None:
    """The published file is named .tar; whether it is an archive or a bare checkpoint is not known."""
    with tarfile.open(tmp_path / "published.tar", "w") as tar:
        tar.add(golden / "small_checkpoint.tar", "checkpoint.tar")
    encoder = converted(tmp_path / "published.tar", "simclr3d", tmp_path / "model")
    assert encoder.info.widths.series == 24


@pytest.mark.slow
def test_the_full_size_loads_strictly_and_gives_the_same_vectors(golden: Path, tmp_path: Path) -> None:
    tensors = synthetic_weights(layout(golden, "full"))
    file = save(tmp_path / "full.tar", tensors, "module.encoder.", "model_state_dict")
    encoder = converted(file, "simclr3d", tmp_path / "model")
    expected = np.load(golden / "network.npz")
    with torch.inference_mode():
        for seed, shape in ((13, (40, 48, 48)), (14, (150, 192, 192))):
            vector = encoder.network(random_input(seed, (1, *shape))[None])[0]  # type: ignore[attr-defined]
            assert_close(vector, expected[f"full_{'x'.join(map(str, shape))}"])


def test_a_shortcut_without_bias_is_refused(golden: Path, tmp_path: Path) -> None:
    """MONAI's shortcuts have a bias before the norm, unlike torchvision's."""
    tensors = synthetic_weights(layout(golden, "small"))
    del tensors["layer2.0.downsample.0.bias"]
    file = save(tmp_path / "x.tar", tensors, "module.encoder.", "model_state_dict")
    with pytest.raises(UsageError, match=r"missing: layer2\.0\.downsample\.0\.bias"):
        converted(file, "simclr3d", tmp_path / "model")


def test_volumes_and_vectors_of_a_scan_are_those_of_the_public_code(
    small: SeriesEncoder, golden: Path, scans: Path
) -> None:
    (row,) = json.loads((golden / "scans.json").read_text())
    expected = np.load(golden / "scans.npz")
    image = nib.load(scans.parent / row["source"])
    head = resample(image.get_fdata(dtype=np.float32), image.affine, TEMPLATE)
    mask = head > head.max() / 10
    assert mask.sum() == row["voxels_in_mask"]
    assert crop(mask).sum() == row["in_mask_after_crop"]
    volume = standardise(crop(head), crop(mask))
    assert_summary(volume[None], row)
    assert_close(volume[::12, ::12, ::12], expected["input_0_every12"])
    with torch.inference_mode():
        vector = small.network(torch.from_numpy(volume)[None, None])[0]
    assert_close(vector, expected["embedding_0"])


def test_the_crop_is_transposed(golden: Path) -> None:
    corners = json.loads((golden / "layout.json").read_text())["transpose_crop"]
    index = np.stack(np.meshgrid(*map(np.arange, TEMPLATE.shape), indexing="ij"), -1)
    places = [crop(index[..., axis]) for axis in range(3)]
    first = [int(one[0, 0, 0]) for one in places]
    last = [int(one[-1, -1, -1]) for one in places]
    assert (first, last) == ([1, 19, 10], [192, 210, 159])
    assert list(places[0].shape) == [150, 192, 192]
    assert str(first) in str(corners) and str(last) in str(corners)


def test_scores_are_of_the_voxels_in_the_mask() -> None:
    rng = np.random.RandomState(0)
    volume = rng.uniform(10, 20, (12, 12, 12)).astype(np.float32)
    mask = rng.uniform(size=volume.shape) > 0.5
    found = standardise(volume, mask)
    assert (found[~mask] == 0).all()
    assert found[mask].mean() == pytest.approx(0, abs=1e-5)
    assert found[mask].std() == pytest.approx(1, abs=1e-5)


def test_scores_do_not_depend_on_the_scale_of_intensities() -> None:
    """WhiteStripe is such a change of scale, which is why it is left out."""
    volume = np.random.RandomState(0).uniform(10, 20, (12, 12, 12)).astype(np.float32)
    mask = volume > 12
    np.testing.assert_allclose(standardise(3 * volume - 7, mask), standardise(volume, mask), atol=1e-4)


def head(mask: bool, to_mni: bool, unstripped: str = "refuse") -> Scan:
    values = np.random.RandomState(0).uniform(1, 2, (60, 60, 60)).astype(np.float32)
    affine = np.diag([3.0, 3, 3, 1])
    affine[:3, 3] = -90
    inside = np.zeros(values.shape, bool)
    inside[10:50, 10:50, 10:50] = True
    anatomy = Anatomy(inside if mask else None, np.eye(4) if to_mni else None)
    return Scan(values, affine, anatomy, unstripped)  # type: ignore[arg-type]


def test_mask_and_registration_are_needed() -> None:
    prepare = SimclrPreparer(1).prepare
    with pytest.raises(SeriesError, match="brain mask is unknown"):
        prepare(head(mask=False, to_mni=True))
    with pytest.raises(SeriesError, match="position in MNI space is unknown"):
        prepare(head(mask=True, to_mni=False))
    volume, flags = prepare(head(mask=True, to_mni=True))
    assert flags == ()
    assert volume.std(where=volume != 0) == pytest.approx(1, abs=1e-3)
    assert prepare(head(mask=False, to_mni=True, unstripped="allow"))[1] == (UNSTRIPPED,)
