"""Nothing that identifies a patient leaves a DICOM run but through OUTPUT.ids.tsv."""

import csv
import hashlib
import json
import shutil
import socket
from pathlib import Path

import pydicom
import pytest

from prima_features.cli.main import main
from prima_features.embedding import run
from prima_features.embedding.file.read import read_embeddings
from prima_features.errors import UsageError
from prima_features.studies.dicom import index

NAME, PATIENT_ID, BIRTH = "Doe^Jane", "MRN-4711-8", "19600607"


@pytest.fixture
def cohort(study_a: Path, tmp_path: Path) -> tuple[Path, set[str]]:
    """A DICOM study with a name in its folder too and a damaged series; and all that must not be seen."""
    folder = tmp_path / "incoming" / "Doe_Jane_MRN-4711-8"
    secrets = {NAME, "Doe", "Jane", PATIENT_ID, BIRTH}
    for file in sorted(study_a.rglob("*.dcm")):
        data = pydicom.dcmread(file)
        data.PatientName, data.PatientID = NAME, PATIENT_ID
        secrets |= {data.StudyInstanceUID, data.SeriesInstanceUID, data.SOPInstanceUID}
        target = folder / data.SeriesInstanceUID / f"{data.SOPInstanceUID}.dcm"
        target.parent.mkdir(parents=True, exist_ok=True)
        if "004_dwi" in str(file):
            del data.SeriesDescription
            del data.ProtocolName
        data.save_as(target)
        if "002_t2" in str(file):  # headers are whole, pixels are cut off
            target.write_bytes(target.read_bytes()[:-20000])
    return folder, secrets


@pytest.fixture
def in_output_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def embed_here(*arguments: object) -> None:
    """One series is damaged."""
    assert main(["embed", *map(str, arguments)]) == 3


def seen(secrets: set[str], content: bytes) -> set[str]:
    return {secret for secret in secrets if secret.encode() in content}


@pytest.mark.usefixtures("in_output_folder")
def test_files_and_console_hold_no_identity(
    cohort: tuple[Path, set[str]], tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    folder, secrets = cohort
    embed_here(folder.parent, "out.h5")
    assert main(["inspect", str(folder.parent)]) == 0
    printed = capfdbinary.readouterr()
    assert b"1 study" in printed.out and b"Warning" in printed.err
    assert not seen(secrets, printed.out + printed.err)
    assert not seen(secrets, (tmp_path / "out.h5").read_bytes())
    file = read_embeddings(tmp_path / "out.h5")
    assert file.attributes["command"] == ""
    assert set(file.studies["source"]) == {""} and set(file.series["source"]) == {""}
    assert "UNK" in set(file.series["name"])
    there = {entry.name for entry in tmp_path.iterdir()}
    assert there == {"incoming", "out.h5", "out.ids.tsv", "out.report.html", "out.run.json"}


@pytest.mark.usefixtures("in_output_folder")
def test_the_page_and_the_run_file_hold_no_identity(cohort: tuple[Path, set[str]], tmp_path: Path) -> None:
    folder, secrets = cohort
    # A PatientID may be asked for on the command line, and the output may be in a patient's folder.
    embed_here(folder.parent, "out.h5", "--participant-label", PATIENT_ID)
    told = tmp_path / "out.run.json"
    for path in (tmp_path / "out.report.html", told):
        assert not seen(secrets, path.read_bytes())
    document = json.loads(told.read_text())
    (record,) = document["runs"]
    assert record["command"] == "" and record["options"]["participants_asked_for"] == 1
    assert not seen({socket.gethostname(), str(tmp_path)}, told.read_bytes())
    page = (tmp_path / "out.report.html").read_text()
    assert read_embeddings(tmp_path / "out.h5").studies["id"][0] in page
    assert "incoming" not in page


@pytest.mark.usefixtures("in_output_folder")
def test_the_link_to_patients_is_in_a_file_for_its_owner_only(
    cohort: tuple[Path, set[str]], tmp_path: Path
) -> None:
    embed_here(cohort[0], "out.h5")
    path = tmp_path / "out.ids.tsv"
    assert path.stat().st_mode & 0o777 == 0o600
    (row,) = csv.DictReader(path.open(), delimiter="\t")
    (study,) = read_embeddings(tmp_path / "out.h5").studies["id"]
    assert (row["study"], row["patient_id"]) == (study, PATIENT_ID)


@pytest.mark.usefixtures("in_output_folder")
def test_pseudonyms_stay_the_same_for_one_output_and_differ_between_two(
    cohort: tuple[Path, set[str]], tmp_path: Path
) -> None:
    ids = []
    for output in ("a.h5", "a.h5", "b.h5"):
        embed_here(cohort[0], output)
        ids.append(read_embeddings(tmp_path / output).studies["id"][0])
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.usefixtures("in_output_folder")
def test_patient_ids_are_kept_when_asked_for(cohort: tuple[Path, set[str]], tmp_path: Path) -> None:
    embed_here(cohort[0], "out.h5", "--keep-patient-id")
    file = read_embeddings(tmp_path / "out.h5")
    assert file.studies["subject"].tolist() == [
        "MRN47118" + hashlib.sha256(PATIENT_ID.encode()).hexdigest()[:8]
    ]
    for name in ("out.h5", "out.report.html", "out.run.json"):
        assert not seen(cohort[1] - {PATIENT_ID}, (tmp_path / name).read_bytes())


@pytest.mark.usefixtures("in_output_folder")
def test_a_run_that_fails_leaves_no_identity_behind(
    cohort: tuple[Path, set[str]], tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    folder, secrets = cohort
    for file in folder.rglob("*.dcm"):
        file.write_bytes(file.read_bytes()[:-3000])
    assert main(["embed", str(folder.parent), "out.h5"]) == 4
    printed = capfdbinary.readouterr()
    assert b"Error: " in printed.err
    assert not seen(secrets, printed.out + printed.err)
    assert [entry.name for entry in tmp_path.iterdir()] == ["incoming"]
    shutil.rmtree(folder)


@pytest.mark.usefixtures("in_output_folder")
def test_the_index_of_a_run_that_fails_identifies_nobody_and_is_used_by_the_next(
    cohort: tuple[Path, set[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder, secrets = cohort
    monkeypatch.setattr(index, "LEAST_FILES", 1)
    monkeypatch.setattr(index, "_UNSETTLED_NS", 0)

    def refuse(_: object) -> None:
        raise UsageError("There is no such model")

    with monkeypatch.context() as patch:
        patch.setattr(run, "checked_info", refuse)
        assert main(["embed", str(folder.parent), "out.h5"]) == 2
    content = (tmp_path / "out.index").read_bytes()
    assert not seen(secrets, content)
    embed_here(folder.parent, "out.h5")
    assert "out.index" not in caplog.text
    assert (tmp_path / "out.index").read_bytes() == content
    assert not (tmp_path / "out.h5.parts").exists()
