"""What no command overwrites or deletes, and the link from pseudonyms to patients."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from safetensors.numpy import save_file

from prima_features.cli.main import main
from prima_features.embedding.export.derivative import participant_output
from prima_features.embedding.file.read import read_embeddings
from prima_features.embedding.file.records import EmbeddedSeries, EmbeddedStudy
from prima_features.embedding.file.write import Provenance, write_embeddings
from prima_features.embedding.merge import merge
from prima_features.embedding.record.ids import (
    add_ids,
    check_key,
    ids_path,
    keep_ids,
    load_pseudonyms,
    read_ids,
    write_ids,
)
from prima_features.embedding.record.output import check_output, report_path
from prima_features.embedding.record.run_file import run_path
from prima_features.embedding.resume.parts import PartsFolder
from prima_features.embedding.resume.plan import OutputPlan
from prima_features.errors import UsageError
from prima_features.files.targets import Maker, as_inputs, check_file, check_folder
from prima_features.studies import Pseudonyms
from prima_features.studies.labels import study_id
from prima_features.studies.study import Failure, Identity, Study

KEY = bytes(range(32)).hex()


def make(path: Path, *studies: str, n_series: int = 1, source: str = "a.nii", failed: bool = False) -> Path:
    """An embeddings file of small vectors, all made with the same settings of the same scans."""
    vector = np.arange(1, 5, dtype=np.float32)
    series = EmbeddedSeries("t1", "axial", source, 1, (9, 9, 9), (1.0, 1.0, 1.0), vector)
    rows = [
        EmbeddedStudy(one, one[4:], "", "", "", vector, vector, (series,) * n_series, input_hash="a:b")
        for one in studies
    ]
    failure = Failure(studies[0], "t2", "read", "the file is empty", "fetch it again")
    rows = [replace(row, failures=(failure,)) for row in rows] if failed else rows
    write_embeddings(path, rows, Provenance("tiny", "local", "ab12", {}))
    return path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["embed", "", "out.h5"], "The argument after embed is empty"),
        (["inspect", " "], "The argument after inspect is empty"),
        (["embed", "scans", "out.h5", "--model", ""], "--model has an empty value"),
        (["embed", "scans", "out.h5", "--study-description="], "--study-description has an empty value"),
        (["merge", "out.h5", "a.h5", ""], "The argument after a.h5 is empty"),
        (["merge", "out.h5", "."], "not a folder of parts"),
        (["report", "."], "not a file"),
        (["inspect", "/dev/null"], "a pipe or a device"),
    ],
)
def test_empty_and_nameless_paths_are_usage_errors(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_the_files_next_to_an_embeddings_file_are_not_outputs(tmp_path: Path) -> None:
    file = make(tmp_path / "e.h5", "sub-1")
    for path in (run_path(file), report_path(file), ids_path(file)):
        path.write_text("precious")
        assert main(["export", str(file), str(path), "--format", "csv", "--force"]) == 2
        assert path.read_text() == "precious"


def test_no_command_replaces_a_table_of_identities(tmp_path: Path) -> None:
    file, other = make(tmp_path / "e.h5", "sub-1"), tmp_path / "other.h5"
    write_ids(other, {"sub-2": ("sub-2", "P2", "1.2", "/x", "", KEY)})
    before = ids_path(other).read_bytes()
    assert main(["export", str(file), str(ids_path(other)), "--format", "csv", "--force"]) == 2
    assert main(["report", str(file), "--output", str(ids_path(other)), "--force"]) == 2
    assert ids_path(other).read_bytes() == before


def test_a_folder_of_models_is_not_taken_for_parts(tmp_path: Path) -> None:
    model = tmp_path / "out.h5.parts" / "model.safetensors"
    model.parent.mkdir()
    save_file({"weight": np.ones(3)}, model)
    with pytest.raises(UsageError, match=r"model\.safetensors, which is not a part of a run"):
        check_output(tmp_path / "out.h5")


def test_a_key_that_does_not_give_the_pseudonyms_is_refused(tmp_path: Path) -> None:
    pseudonyms, output = Pseudonyms(bytes.fromhex(KEY)), tmp_path / "e.h5"
    study = f"sub-{pseudonyms.subject('P1')}_ses-{pseudonyms.session('1.2')}"
    write_ids(output, {study: (study, "P1", "1.2", "/x", "", KEY)})
    assert load_pseudonyms(output) == pseudonyms
    for key in (KEY.replace("1f", "1e"), "00" * 32):
        write_ids(output, {study: (study, "P1", "1.2", "/x", "", key)})
        with pytest.raises(UsageError, match="damaged key"):
            check_key(output, load_pseudonyms(output), [])


@pytest.mark.parametrize(
    ("patient", "uid"),
    [("A\nB", "1.2\n3"), ("A" * 5000, "1." + "2" * 5000), ("M\udcfcller", "\udcfc"), ("ANONYMOUS", "1.2")],
)
@pytest.mark.parametrize("keep", [False, True])
def test_the_key_is_known_by_the_studies_if_the_table_cannot_tell(
    tmp_path: Path, patient: str, uid: str, keep: bool
) -> None:
    output, pseudonyms = tmp_path / "e.h5", Pseudonyms(bytes.fromhex(KEY), keep)
    studies = [
        Study(
            study_id(pseudonyms.subject(patient, person), pseudonyms.session(uid, date)),
            *("", "", "", ()),
            identity=Identity(patient, uid, "/x"),
        )
        for person, date in (("A", "20200101"), ("B", "20210101"))
    ]
    add_ids(output, studies, pseudonyms)
    loaded = load_pseudonyms(output, keep)
    check_key(output, loaded, studies)
    check_key(output, loaded, [])
    keep_ids(output, {studies[0].id})
    check_key(output, loaded, studies[:1])


def test_two_patients_under_one_pseudonym_are_refused(tmp_path: Path) -> None:
    output = tmp_path / "e.h5"
    write_ids(
        output, {"sub-1": ("sub-1", "P1", "1.2", "/x", "", KEY), "2": ("sub-1", "P2", "1.2", "/x", "", KEY)}
    )
    with pytest.raises(UsageError, match="not a table of identities"):
        read_ids(ids_path(output))


def test_a_merge_of_dicom_warns_if_the_link_to_patients_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = make(tmp_path / "e.h5", "sub-1", source="")
    merge(tmp_path / "out.h5", [file], report=False)
    assert "no link to their patients" in caplog.text
    caplog.clear()
    write_ids(file, {"sub-1": ("sub-1", "P1", "1.2", "/x", "", KEY)})
    folder = tmp_path / "linked"
    folder.mkdir()
    (folder / "e.h5").symlink_to(file)
    merge(folder / "out.h5", [folder / "e.h5"], report=False)
    assert "sub-1" in read_ids(ids_path(folder / "out.h5")) and "no link" not in caplog.text


@pytest.mark.parametrize("order", [1, -1])
def test_a_merge_keeps_the_try_with_more_series(tmp_path: Path, order: int) -> None:
    files = [make(tmp_path / "a.h5", "sub-1", failed=True), make(tmp_path / "b.h5", "sub-1", n_series=2)]
    merge(tmp_path / "out.h5", files[::order], report=False)
    file = read_embeddings(tmp_path / "out.h5")
    assert (file.n_studies, file.n_series, len(file.failures)) == (1, 2, 0)


def test_a_part_that_the_plan_does_not_name_is_listed_and_kept(tmp_path: Path) -> None:
    parts = PartsFolder.of(tmp_path / "out.h5")
    parts.create()
    vector = np.arange(1, 5, dtype=np.float32)
    series = EmbeddedSeries("t1", "axial", "a.nii", 1, (9, 9, 9), (1.0, 1.0, 1.0), vector)
    for one in ("sub-1", "sub-2"):
        parts.save(EmbeddedStudy(one, "", "", "", "", vector, vector, (series,), input_hash="a:b"))
    OutputPlan(Provenance("tiny", "local", "ab12", {}), "a", "float32", ("sub-1",), ()).write(parts.folder)
    merged = merge(tmp_path / "out.h5", report=False)
    assert [failure.study for failure in merged.failures] == ["sub-2"] and not merged.complete
    assert parts.outside(["sub-1"]) == ["sub-2"]


def test_a_merge_refuses_tables_that_disagree(tmp_path: Path) -> None:
    for name, study in (("twice", b"sub-1"), ("foreign", b"sub-3")):
        file = make(tmp_path / f"{name}.h5", "sub-1", "sub-2")
        with h5py.File(file, "r+") as content:
            content["input/study"][1] = study
        with pytest.raises(
            UsageError, match="a study's id occurs twice, or is missing from one of its tables"
        ):
            merge(tmp_path / "out.h5", [file])
    assert not (tmp_path / "out.h5").exists()


def test_shards_with_different_keys_are_named(tmp_path: Path) -> None:
    vector = np.arange(1, 5, dtype=np.float32)
    series = EmbeddedSeries("t1", "axial", "", 1, (9, 9, 9), (1.0, 1.0, 1.0), vector)
    folders = []
    for name, key in (("a", KEY), ("b", KEY[::-1])):
        pseudonyms = Pseudonyms(bytes.fromhex(key))
        ids = [study_id(pseudonyms.subject(one), pseudonyms.session("1.2")) for one in ("P1", "P2")]
        output = tmp_path / f"{name}.h5"
        parts = PartsFolder.of(output)
        parts.create()
        parts.save(
            EmbeddedStudy(ids[name == "b"], "", "", "", "", vector, vector, (series,), input_hash="a:b")
        )
        OutputPlan(Provenance("tiny", "local", "ab12", {}), "a", "float32", tuple(ids), ()).write(
            parts.folder
        )
        write_ids(
            output,
            {
                one: (one, patient, "1.2", "/x", "", key)
                for one, patient in zip(ids, ("P1", "P2"), strict=True)
            },
        )
        folders.append(parts.folder)
    with pytest.raises(UsageError, match="pseudonyms with different keys"):
        merge(tmp_path / "out.h5", folders, report=False)
    assert merge(tmp_path / "out.h5", folders, report=False, incomplete=True).n_studies == 2


def test_a_workbook_that_is_named_with_its_sheet_is_an_input(tmp_path: Path) -> None:
    book = tmp_path / "t.xlsx"
    book.write_bytes(b"PK\3\4")
    inputs = as_inputs(f"{book}#Sheet 1", [Path(f"{book}#x#2")], tmp_path / "no#file", None)
    with pytest.raises(UsageError, match="is an input"):
        check_file(book, Maker("prima probe predict", inputs[:1]), force=True)
    with pytest.raises(UsageError, match="contains"):
        check_folder(tmp_path, Maker("prima probe fit", inputs), force=True)
    assert inputs == (book,)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\t", ";").encode(),
        lambda text: text.replace("\t", '","').encode(),
        lambda text: text.encode("utf-16"),
    ],
)
def test_a_table_of_identities_is_recognised_as_other_programs_save_it(
    tmp_path: Path, change: Callable[[str], bytes]
) -> None:
    table = tmp_path / "any name"
    table.write_bytes(
        change(f"study\tpatient_id\tstudy_instance_uid\tfolder\tday\tkey\nsub-1\tP\t1.2\t/x\t1\t{KEY}\n")
    )
    with pytest.raises(UsageError, match="the link from pseudonyms to patients"):
        check_file(table, Maker("prima export"), force=True)


def test_the_table_of_identities_stays_where_a_link_leads(tmp_path: Path) -> None:
    (tmp_path / "safe").mkdir()
    output = tmp_path / "e.h5"
    ids_path(output).symlink_to(tmp_path / "safe" / "ids.tsv")
    for one in ("sub-1", "sub-2"):
        write_ids(output, {one: (one, "P1", "1.2", "/x", "", KEY)}, scratch=tmp_path)
        assert ids_path(output).is_symlink() and list(read_ids(ids_path(output))) == [one]
    assert (tmp_path / "safe" / "ids.tsv").stat().st_mode & 0o777 == 0o600


def test_a_table_of_identities_that_is_a_pipe_or_a_circle_of_links_ends_no_run_in_waiting(
    tmp_path: Path,
) -> None:
    os.mkfifo(tmp_path / "a.ids.tsv")
    with pytest.raises(UsageError, match="not a table of identities"):
        load_pseudonyms(tmp_path / "a.h5")
    circle = tmp_path / "b.ids.tsv"
    circle.symlink_to(circle)
    write_ids(tmp_path / "b.h5", {"sub-1": ("sub-1", "P1", "1.2", "/x", "", KEY)})
    assert list(read_ids(circle)) == ["sub-1"]
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(UsageError):
        participant_output(loop, tmp_path)


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_a_merge_never_replaces_an_input_by_whatever_name(
    tmp_path: Path, link: Callable[[Path, Path], None]
) -> None:
    file = make(tmp_path / "a.h5", "sub-1")
    link(tmp_path / "b.h5", file)
    before = file.read_bytes()
    for output in (tmp_path / "b.h5", file):
        with pytest.raises(UsageError, match="is one of the inputs, which are never replaced"):
            merge(output, [file], report=False, force=True)
    assert file.read_bytes() == before
