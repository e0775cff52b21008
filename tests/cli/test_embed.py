"""`prima embed` and `prima inspect` as a user types them."""

import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from prima_features.cli.main import main
from prima_features.embedding.file.read import read_embeddings
from prima_features.models import DEFAULT_MODEL


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_a_bids_dataset_becomes_one_file(
    bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.h5"
    assert run("embed", bids, output) == 0
    file = read_embeddings(output)
    assert file.studies["id"].tolist() == ["sub-01", "sub-02_ses-a", "sub-02_ses-b"]
    assert file.studies["subject"].tolist() == ["01", "02", "02"]
    assert file.studies["session"].tolist() == ["", "a", "b"]
    assert file.studies["source"][1] == "sub-02/ses-a"
    assert file.series["source"][0] == "sub-01/anat/sub-01_FLAIR.nii.gz"
    assert file.series["name"].tolist() == ["FLAIR", "T1w"] * 3
    assert file.attributes["command"].startswith("prima ")
    np.testing.assert_allclose(np.linalg.norm(file.clip_embedding, axis=1), 1, rtol=1e-5)
    assert not list(tmp_path.glob("*.parts")) and not list(tmp_path.glob("*.ids.tsv"))
    printed = capsys.readouterr()
    assert "3 studies with 6 series" in printed.out
    assert "trained on synthetic brains only" in " ".join(printed.err.split())


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (["--participant-label", "02"], ["sub-02_ses-a", "sub-02_ses-b"]),
        (["--participant-label", "sub-01", "02", "--session-label", "b"], ["sub-02_ses-b"]),
        (["--participant-label", "01,02"], ["sub-01", "sub-02_ses-a", "sub-02_ses-b"]),
    ],
)
def test_selections(bids: Path, tmp_path: Path, selection: list[str], expected: list[str]) -> None:
    assert run("embed", bids, tmp_path / "out.h5", *selection) == 0
    assert read_embeddings(tmp_path / "out.h5").studies["id"].tolist() == expected


def test_suffix_level_dtype_and_description(bids: Path, tmp_path: Path) -> None:
    options = ["--suffix", "T1w", "--level", "token", "--dtype", "float16", "--study-description", "HEAD"]
    assert run("embed", bids, tmp_path / "out.h5", *options) == 0
    file = read_embeddings(tmp_path / "out.h5")
    assert set(file.series["name"]) == {"T1w"}
    assert file.has_tokens
    assert len(file.array("token/series")) == file.series["n_tokens"].sum()
    assert file.study_embedding.dtype == np.float16
    assert set(file.studies["description"]) == {"HEAD"}


def test_a_dry_run_writes_nothing(bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert run("embed", bids, tmp_path / "out.h5", "--dry-run") == 0
    assert sorted(tmp_path.rglob("*")) == before
    assert "sub-02/ses-b/anat/sub-02_ses-b_T1w.nii.gz" in capsys.readouterr().out


def test_one_nifti_file_and_a_manifest(bids: Path, tmp_path: Path) -> None:
    scan = bids / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    flat = tmp_path / "scan.nii.gz"
    shutil.copyfile(scan, flat)
    assert run("embed", flat, tmp_path / "one.h5") == 0
    table = tmp_path / "table.tsv"
    table.write_text(f"path\tsubject\tsession\tseries\tdescription\n{flat}\tA7\t1\tT1w\tMRI HEAD\n")
    assert run("embed", "--manifest", table, tmp_path / "table.h5") == 0
    one, listed = read_embeddings(tmp_path / "one.h5"), read_embeddings(tmp_path / "table.h5")
    assert listed.studies["subject"].tolist() == ["A7"]
    assert listed.studies["description"].tolist() == ["MRI HEAD"]
    assert listed.series["n_tokens"].tolist() == one.series["n_tokens"].tolist()


def test_files_outside_of_studies_are_no_study_in_the_summary(
    bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bids / "extra_T1w.nii.gz").write_bytes((next(bids.rglob("*_T1w.nii.gz"))).read_bytes())
    assert run("embed", bids, tmp_path / "out.h5", "--no-report") == 3
    assert "; problems in 1 other item, in" in capsys.readouterr().out.replace("\n", " ")


def test_bad_scans_are_told_and_the_rest_is_there(
    bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bids / "sub-01" / "anat" / "sub-01_T1w.nii.gz").write_bytes(b"")
    for scan in (bids / "sub-02" / "ses-a" / "anat").glob("*.nii.gz"):
        scan.write_bytes(scan.read_bytes()[:500])
    assert run("embed", bids, tmp_path / "out.h5") == 3
    file = read_embeddings(tmp_path / "out.h5")
    assert file.studies["id"].tolist() == ["sub-01", "sub-02_ses-b"]
    assert sorted(file.failures["study"]) == ["sub-01", "sub-02_ses-a", "sub-02_ses-a"]
    printed = capsys.readouterr()
    assert "sub-01 sub-01/anat/sub-01_T1w.nii.gz: the file is empty" in printed.err
    assert "problems in 2 studies" in printed.out


def test_an_interrupted_run_goes_on_where_it_stopped(bids: Path, whole: Path, tmp_path: Path) -> None:
    code = (
        "import os\nfrom prima_features.embedding.resume.parts import PartsFolder\nsave = PartsFolder.save\n"
        "def die(self, *given):\n    save(self, *given)\n    os._exit(9)\nPartsFolder.save = die\n"
        "from prima_features.cli.main import main\nmain()"
    )
    output = tmp_path / "out.h5"
    arguments = ["embed", str(bids), str(output), "--workers", "0"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], check=False)
    assert done.returncode == 9
    assert not output.exists()
    assert len(list((tmp_path / "out.h5.parts").glob("*.safetensors"))) == 1
    assert run("embed", bids, output) == 0
    expected, resumed = read_embeddings(whole), read_embeddings(output)
    np.testing.assert_allclose(resumed.study_embedding, expected.study_embedding, rtol=1e-5, atol=1e-6)
    assert resumed.series.equals(expected.series)
    assert not (tmp_path / "out.h5.parts").exists()


def test_two_runs_give_the_same_bits(bids: Path, whole: Path, tmp_path: Path) -> None:
    assert run("embed", bids, tmp_path / "again.h5") == 0
    with h5py.File(whole) as a, h5py.File(tmp_path / "again.h5") as b:
        for table in ("study", "series"):
            for name in a[table]:
                np.testing.assert_array_equal(a[table][name][()], b[table][name][()])


def test_inspect_shows_a_source_and_a_file(
    bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bids / "sub-01" / "func").mkdir()
    (bids / "sub-01" / "func" / "sub-01_task-rest_bold.nii.gz").touch()
    assert run("inspect", bids) == 0
    shown = capsys.readouterr().out
    assert "3 studies with 6 series (bids)" in shown
    assert "sub-01/func/sub-01_task-rest_bold.nii.gz" in shown
    run("embed", bids, tmp_path / "out.h5")
    assert "trained on synthetic brains only" in " ".join(capsys.readouterr().err.split())
    assert run("inspect", tmp_path / "out.h5") == 0
    shown = capsys.readouterr().out
    assert "3 studies, 6 series" in shown
    assert DEFAULT_MODEL in shown
