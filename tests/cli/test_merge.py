"""`prima embed --shard` and `prima merge`: many jobs, one file."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from prima_features.cli.main import main
from prima_features.embedding.file.read import read_embeddings
from prima_features.embedding.record.ids import agree_on_pseudonyms

Same = Callable[[Path, Path], None]


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The sentence with which `prima merge` refuses."""
    capsys.readouterr()
    assert run("merge", *arguments) == 2
    return capsys.readouterr().err


def test_shards_and_a_merge_give_the_file_of_one_run(
    bids: Path, tmp_path: Path, assert_same: Same, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.h5"
    (bids / "sub-01/anat/sub-01_T1w.nii.gz").write_bytes(b"")
    assert run("embed", bids, tmp_path / "whole.h5") == 3
    for task in range(2):
        assert run("embed", bids, output, "--shard", f"{task}/2") in (0, 3)
        assert not output.exists()
    assert "When all 2 shards are done: prima merge " in capsys.readouterr().out
    assert run("merge", output) == 3  # for the scan that failed
    assert "3 studies with 5 series" in capsys.readouterr().out
    assert_same(output, tmp_path / "whole.h5")
    assert {entry.name for entry in tmp_path.glob("out*")} == {"out.h5", "out.report.html", "out.run.json"}
    assert run("embed", bids, output) == 3
    assert "3 of them from an earlier run" in capsys.readouterr().out


def test_jobs_with_folders_of_their_own_are_merged_too(
    bids: Path, whole: Path, tmp_path: Path, assert_same: Same
) -> None:
    for shard in (1, 2):
        assert run("embed", bids, tmp_path / f"{shard}.h5", "--shard", f"{shard}/2") == 0
    assert run("merge", tmp_path / "out.h5", tmp_path / "1.h5.parts", tmp_path / "2.h5") == 0
    assert_same(tmp_path / "out.h5", whole)
    assert (tmp_path / "1.h5.parts").is_dir()  # only the output's own parts are deleted


def test_a_shard_that_is_not_done_is_told_and_can_be_gone_without(
    bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.h5"
    assert run("embed", bids, output, "--shard", "1/3") == 0
    assert "2 of 3 studies are not finished, such as sub-0" in refused(capsys, output)
    assert not output.exists()
    assert run("merge", output, "--incomplete") == 3
    file = read_embeddings(output)
    assert (file.n_studies, file.failures["error"].tolist()) == (1, ["not embedded yet"] * 2)
    shutil.copy(output, tmp_path / "first.h5")
    for shard in ("2/3", "3/3"):
        assert run("embed", bids, output, "--shard", shard) == 0
    assert run("merge", tmp_path / "all.h5", tmp_path / "first.h5", f"{output}.parts") == 0
    assert len(read_embeddings(tmp_path / "all.h5").failures) == 0
    assert run("merge", output) == 0
    assert (read_embeddings(output).n_studies, len(read_embeddings(output).failures)) == (3, 0)


def test_shards_embed_what_is_new_and_the_merge_keeps_the_rest(
    bids: Path, tmp_path: Path, assert_same: Same, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.h5"
    assert run("embed", bids, output, "--level", "token") == 0
    (bids / "sub-00" / "anat").mkdir(parents=True)
    shutil.copy(bids / "sub-01/anat/sub-01_T1w.nii.gz", bids / "sub-00/anat/sub-00_T1w.nii.gz")
    for shard in ("1/2", "2/2"):
        assert run("embed", bids, output, "--level", "token", "--shard", shard) == 0
    assert len(list((tmp_path / "out.h5.parts").glob("*.safetensors"))) == 1
    assert run("merge", output) == 0
    assert run("embed", bids, tmp_path / "whole.h5", "--level", "token") == 0
    assert_same(output, tmp_path / "whole.h5")
    one, other = read_embeddings(output), read_embeddings(tmp_path / "whole.h5")
    for name in ("token/series", "token/coord", "input/study", "input/hash"):
        np.testing.assert_array_equal(one.array(name), other.array(name))


def test_files_of_different_subjects_are_put_one_after_the_other(bids: Path, tmp_path: Path) -> None:
    files = [tmp_path / "b.h5", tmp_path / "a.h5"]
    for file, label in zip(files, ("02", "01"), strict=True):
        assert run("embed", bids, file, "--participant-label", label) == 0
    assert run("merge", tmp_path / "out.h5", *files) == 0
    merged, (b, a) = read_embeddings(tmp_path / "out.h5"), map(read_embeddings, files)
    assert merged.studies["id"].tolist() == ["sub-02_ses-a", "sub-02_ses-b", "sub-01"]
    assert merged.series["study"].tolist() == [0, 0, 1, 1, 2, 2]
    np.testing.assert_array_equal(merged.study_embedding, np.vstack([b.study_embedding, a.study_embedding]))
    np.testing.assert_array_equal(
        merged.series_embedding, np.vstack([b.series_embedding, a.series_embedding])
    )


def test_what_does_not_belong_together_is_refused(
    bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, one, two = tmp_path / "out.h5", tmp_path / "one.h5", tmp_path / "two.h5"
    assert run("embed", bids, one, "--participant-label", "01") == 0
    assert run("embed", bids, two, "--level", "token") == 0
    assert "different models or with different options" in refused(capsys, output, one, two)
    (bids / "sub-01/anat/sub-01_T1w.nii.gz").unlink()
    assert run("embed", bids, two) == 0
    assert f"sub-01 is in {one} and in {two}, made from different scans" in refused(capsys, output, one, two)
    assert f"{two} exists; name another output" in refused(capsys, two, one)
    assert "does not exist" in refused(capsys, output, tmp_path / "none.h5")
    assert "does not exist: name the parts folders" in refused(capsys, output)
    assert "is not a parts folder" in refused(capsys, output, bids)
    assert "cannot be opened as HDF5" in refused(capsys, output, bids / "dataset_description.json")
    assert not output.exists()


def test_a_share_without_studies_has_nothing_to_do(
    bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"ID": 9, "COUNT": 10, "MIN": 0, "MAX": 9}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", str(value))
    assert run("embed", bids, tmp_path / "out.h5", "--shard", "slurm") == 0
    assert "Shard 10/10 of " in capsys.readouterr().out


def test_jobs_that_begin_together_agree_on_pseudonyms(tmp_path: Path) -> None:
    first, second = agree_on_pseudonyms([tmp_path]), agree_on_pseudonyms([tmp_path])
    assert first.subject("MRN-1") == second.subject("MRN-1")
    (key,) = tmp_path.iterdir()
    assert key.stat().st_mode & 0o777 == 0o600
