"""Paths that cannot be looked up, or are not UTF-8: one sentence, one row, or read all the same."""

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from safetensors.numpy import save_file

from prima_features.cli.main import main
from prima_features.embedding.export.run import export
from prima_features.embedding.file.records import EmbeddedSeries, EmbeddedStudy
from prima_features.embedding.file.write import Provenance, write_embeddings
from prima_features.embedding.record.output import check_output
from prima_features.errors import NothingUsableError, UsageError
from prima_features.files.paths import expanded, is_folder, utf8_name
from prima_features.models.loading import check_tensors, read_tensors
from prima_features.models.resolve import resolve
from prima_features.studies import Found, Study, find
from prima_features.studies.find import _with_distinct_ids
from prima_features.studies.study import OtherImage
from prima_features.studies.voxels import open_other

LONG = "x" * 300


@pytest.fixture
def latin(tmp_path: Path) -> Path:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/M\xfcller \x1b"))
    folder.mkdir()
    return folder


def scan(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(0).integers(0, 500, (24, 24, 12), np.int16)
    nib.save(nib.Nifti1Image(values, np.diag([-8.0, -8.0, 12.0, 1.0])), path)
    return path


@pytest.mark.parametrize("path", [LONG, f"{LONG}/x", "x" * 5000, "~nobody-of-this-name/x", "a\0b"])
def test_a_path_that_cannot_be_looked_up_is_a_usage_error(tmp_path: Path, path: str) -> None:
    for act in (
        lambda: find(tmp_path / expanded(Path(path))),
        lambda: resolve(path),
        lambda: check_output(tmp_path / path),
    ):
        with pytest.raises(UsageError):
            act()


@pytest.mark.parametrize("name", ["n" * 247 + ".h5", "ü" * 124 + ".h5", LONG])
def test_no_file_next_to_an_output_has_a_name_that_the_disk_cannot_store(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="the file system allows at most 255; choose a shorter one"):
        check_output(tmp_path / name)
    check_output(tmp_path / ("n" * 240 + ".h5"))


@pytest.mark.parametrize("command", ["inspect", "report", "embed", "export", "merge", "probe predict"])
def test_every_command_names_the_path_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    more = {
        "embed": ["out.h5"],
        "export": ["out.csv"],
        "merge": ["out.h5"],
        "probe predict": ["x.h5", "o.tsv"],
    }
    assert main([*command.split(), str(tmp_path / LONG), *more.get(command, [])]) == 2
    said = capsys.readouterr().err
    assert said.startswith("Error: ") and "Internal" not in said and len(said.splitlines()) == 1


def test_a_row_of_a_manifest_with_an_impossible_path_costs_no_other(tmp_path: Path) -> None:
    scan(tmp_path / "t1.nii")
    rows = [
        "path\tsubject",
        *(f"{one}\ts{i}" for i, one in enumerate(["t1.nii", LONG, "~nobody-x/t1.nii", f"{LONG}.nii"])),
    ]
    (tmp_path / "t.tsv").write_text("\n".join(rows) + "\n")
    found = find(tmp_path / "t.tsv")
    assert [study.id for study in found.studies] == ["sub-s0"]
    assert [item.study for item in found.left_out] == ["sub-s1", "sub-s2", "sub-s3"]
    assert all(item.defect for item in found.left_out) and "File name too long" in found.left_out[0].error


def test_formats_that_libraries_read_are_read_in_a_folder_whose_name_is_not_utf8(
    tmp_path: Path, latin: Path
) -> None:
    values = np.random.default_rng(0).integers(0, 500, (6, 7, 8), np.int16)
    for name in ("t.nhdr", "t.nrrd"):
        sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / name))
    save_file({"a": values}, tmp_path / "w.safetensors")
    for path in [path for path in tmp_path.iterdir() if path.is_file()]:
        path.rename(latin / path.name)
    (latin / "t.nrrd").rename(odd := Path(os.fsdecode(os.fsencode(latin) + b"/\xfc.nrrd")))
    for path in (latin / "t.nhdr", odd):
        assert np.array_equal(open_other(OtherImage(path)).first_volume(), values.T)
    check_tensors(latin / "w.safetensors")
    assert np.array_equal(read_tensors(latin / "w.safetensors")["a"].numpy(), values)
    with utf8_name(latin / "new") as name:
        Path(name).write_text("x")
    assert (latin / "new").read_text() == "x" and is_folder(latin)


@pytest.mark.parametrize("ending", ["csv", "parquet", "npz"])
def test_vectors_are_exported_to_a_folder_whose_name_is_not_utf8(latin: Path, ending: str) -> None:
    vector = np.ones(4, np.float32)
    series = EmbeddedSeries("t1", "axial", "a.nii", 1, (9, 9, 9), (1.0, 1.0, 1.0), vector)
    rows = [EmbeddedStudy("sub-1", "1", "", "", "", vector, vector, (series,), input_hash="a:b")]
    write_embeddings(latin / "e.h5", rows, Provenance("tiny", "local", "ab12", {}))
    export(latin / "e.h5", latin / f"e.{ending}")
    assert (latin / f"e.{ending}").stat().st_size > 50


def test_the_exit_code_of_inspect_is_that_of_embed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan(tmp_path / "a" / "t1.nii")
    (tmp_path / "a" / "t1_mask.nii").write_bytes((tmp_path / "a" / "t1.nii").read_bytes())
    assert main(["inspect", str(tmp_path)]) == 0
    (tmp_path / "a" / "t2.nii").touch()
    assert main(["inspect", str(tmp_path)]) == 3
    assert main(["embed", str(tmp_path), str(tmp_path / "o.h5"), "--dry-run"]) == 3
    assert "the file is empty" in capsys.readouterr().out


def test_the_second_study_of_an_id_is_a_row_of_its_own() -> None:
    studies = tuple(Study("sub-1", "1", "", "", (), source) for source in ("a", "b", "c"))
    found = _with_distinct_ids(Found("nifti", studies))
    assert [study.source for study in found.studies] == ["a"]
    assert [(item.study, item.series, item.defect) for item in found.left_out] == [
        ("sub-1", "b", True),
        ("sub-1", "c", True),
    ]


@pytest.mark.parametrize("label", ["Mü", "a b", "x_y", "a-b", "", "\udcfc\x1b"])
def test_a_dataset_without_a_single_bids_label_names_one(tmp_path: Path, label: str) -> None:
    scan(tmp_path / f"sub-{label}" / "anat" / f"sub-{label}_T1w.nii")
    with pytest.raises(NothingUsableError, match=r"sub-.*only letters and digits may follow sub-") as raised:
        find(tmp_path)
    assert str(raised.value).replace(str(tmp_path), "").isprintable()
