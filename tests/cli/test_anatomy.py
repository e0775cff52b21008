"""Brain masks and transforms on the command line."""

import json
import shutil
from pathlib import Path

import pytest

from prima_features.cli.main import main


def run(*arguments: object) -> int:
    return main(list(map(str, arguments)))


def put_mask(folder: Path, scan: Path) -> None:
    """A brain mask of the subject 01 and its transform, as fMRIPrep writes them. (Not read by what is tested here.)"""
    anat = folder / "sub-01/anat"
    anat.mkdir(parents=True)
    shutil.copy(scan, anat / "sub-01_desc-brain_mask.nii.gz")
    (anat / "sub-01_from-T1w_to-MNI152NLin6Asym_mode-image_xfm.h5").write_bytes(b"1")
    (folder / "dataset_description.json").write_text(json.dumps({"GeneratedBy": [{"Name": "fMRIPrep"}]}))


def test_inspect_shows_which_scans_have_a_mask_and_a_transform(
    bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("inspect", bids) == 0
    assert "brain mask" not in capsys.readouterr().out
    put_mask(tmp_path / "derived", bids / "sub-01/anat/sub-01_T1w.nii.gz")
    assert run("inspect", bids, "--derivatives", tmp_path / "derived") == 0
    shown = capsys.readouterr().out
    assert "1 series with a brain mask, 1 with a transform to MNI152." in shown
    assert shown.count("fMRIPrep") == 2
    assert run("embed", bids, tmp_path / "out.h5", "--dry-run", "--derivatives", tmp_path / "derived") == 0
    assert "1 series with a brain mask" in capsys.readouterr().out


def test_inspect_warns_of_masks_whose_scan_is_unclear(bids: Path, caplog: pytest.LogCaptureFixture) -> None:
    put_mask(bids / "derivatives/fmriprep", bids / "sub-01/anat/sub-01_T1w.nii.gz")
    shutil.copy(bids / "sub-01/anat/sub-01_T1w.nii.gz", bids / "sub-01/anat/sub-01_acq-2_T1w.nii.gz")
    assert run("inspect", bids) == 0
    assert "2 images match" in caplog.text


@pytest.mark.parametrize("command", [("inspect",), ("embed", "out.h5")])
def test_a_missing_folder_of_derivatives_is_a_usage_error(
    command: tuple[str, ...], bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = [tmp_path / name for name in command[1:]]
    assert run(command[0], bids, *output, "--derivatives", tmp_path / "absent") == 2
    assert "does not exist or is a file: check --derivatives" in " ".join(capsys.readouterr().err.split())


def test_allow_unstripped_needs_an_encoder_that_refuses_whole_heads(
    bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("embed", bids, tmp_path / "out.h5", "--allow-unstripped", "--model", "intensity") == 2
    assert "has no option unstripped" in " ".join(capsys.readouterr().err.split())
    contradiction = ("--allow-unstripped", "--encoder-option", "unstripped=refuse")
    assert run("embed", bids, tmp_path / "out.h5", *contradiction) == 2
    assert "it contradicts --encoder-option unstripped=refuse" in " ".join(capsys.readouterr().err.split())
