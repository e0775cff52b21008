"""Training on DICOM: studies are matched by their UIDs, and nothing that identifies a patient is left about."""

import stat
from pathlib import Path

import pydicom
import pytest
from small_training import clip_settings

from prima_features.cli.main import main
from prima_features.encoders.prima import PrimaModel

SERIES = ("001_t1_sag", "004_dwi_ax")


@pytest.fixture(scope="module")
def dicom(study_a: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three patients with two series each, in folders of their names."""
    root = tmp_path_factory.mktemp("dicom")
    for number in range(3):
        for series in SERIES:
            folder = root / f"Doequincy_{number}_Johnathan" / series
            folder.mkdir(parents=True)
            for file in sorted((study_a / series).iterdir()):
                scan = pydicom.dcmread(file)
                scan.PatientID, scan.PatientName = f"MRN{number}4711987", f"Doequincy^Johnathan{number}"
                scan.StudyInstanceUID = f"1.2.826.0.1.{number}.7"
                scan.SeriesInstanceUID = f"{scan.SeriesInstanceUID}.{number}"
                scan.SOPInstanceUID = scan.file_meta.MediaStorageSOPInstanceUID = (
                    f"{scan.SOPInstanceUID}.{number}"
                )
                scan.save_as(folder / file.name)
    return root


def test_reports_are_matched_by_uid_and_no_patient_is_named(
    dicom: Path, tokenizer_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reports = tmp_path / "reports.tsv"
    rows = [f"1.2.826.0.1.{number}.7\t1. finding {number} 2. another" for number in range(3)]
    reports.write_text(
        "\n".join(["StudyInstanceUID\treport", *rows, "1.2.3\tof a study that is not here"]) + "\n"
    )
    tables = "[log]\nplots = false\n[checkpoint]\nevery = 1\n"
    text = clip_settings(dicom, reports, tokenizer_model, steps=2, tables=tables).replace(
        "batch = 4", "batch = 2"
    )
    path = tmp_path / "clip.toml"
    path.write_text(
        text.replace("[data]", '[data]\nparticipants = ["MRN04711987", "MRN14711987", "MRN24711987"]')
    )
    assert main(["pretrain", "clip", str(path)]) == 0
    PrimaModel.from_pretrained(tmp_path / "run")
    identities = tmp_path / "run" / "training" / "studies.ids.tsv"
    assert "MRN14711987" in identities.read_text()
    assert stat.S_IMODE(identities.stat().st_mode) == 0o600
    printed = capsys.readouterr()
    written = [file for file in (tmp_path / "run").rglob("*") if file.is_file() and file != identities]
    assert len(written) > 8
    for secret in ("4711987", "Doequincy", "Johnathan", "1.2.826.0.1."):
        assert secret not in printed.out + printed.err
        for file in written:
            assert secret.encode() not in file.read_bytes(), file
            assert secret not in str(file.relative_to(tmp_path))
    # The pseudonyms stay the same, so that the run goes on.
    assert main(["pretrain", "clip", str(path)]) == 0
    assert "resumed from step 2" in capsys.readouterr().out


@pytest.mark.parametrize("options", [["--dry-run"], []])
def test_series_without_a_name_are_no_names_to_learn(
    options: list[str], dicom: Path, tokenizer_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in (path for path in dicom.rglob("*") if path.is_file()):
        scan = pydicom.dcmread(file)
        scan.SeriesDescription = scan.ProtocolName = ""
        (tmp_path / "nameless" / file.parent.relative_to(dicom)).mkdir(parents=True, exist_ok=True)
        scan.save_as(tmp_path / "nameless" / file.relative_to(dicom))
    path = tmp_path / "names.toml"
    path.write_text(
        f'output = "run"\nmodel = "{tokenizer_model}"\nsteps = 2\nbatch = 2\ndevice = "cpu"\n'
        f'[data]\nsource = "{tmp_path / "nameless"}"\n[schedule]\nwarmup = 0\n[log]\ntensorboard = false\n'
    )
    assert main(["pretrain", "names", str(path), *options]) == 2
    assert "batch is 2, but there are only 0 different names of series" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.safetensors"))
