"""Who a study belongs to is known to `Study.identity`, and to nothing that is printed or logged."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from prima_features.studies.dicom import find_dicom
from prima_features.studies.pseudonyms import Pseudonyms
from prima_features.studies.study import DEFAULT_DESCRIPTION

WriteStack = Callable[..., list[Path]]

SECRETS = ("Doe", "Jane", "MRN-4711", "1.2.826", "19700102")


def test_nothing_that_is_shown_names_the_patient(
    tmp_path: Path, write_stack: WriteStack, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    personal = {"PatientBirthDate": "19700102"}
    write_stack(tmp_path, 6, **personal)
    write_stack(tmp_path, 6, **personal)
    folder = tmp_path / "Doe^Jane"
    write_stack(folder / "few", 2, **personal, SeriesInstanceUID="1.2.826.5", SeriesDescription=None)
    write_stack(folder / "CT", 6, **personal, SeriesInstanceUID="1.2.826.6", Modality="CT")
    (folder / "Doe^Jane.pdf").write_text("letter")
    found = find_dicom(tmp_path)
    assert len(found.left_out) == 4
    (study,) = found.studies
    shown = repr(found.left_out) + repr(study) + caplog.text
    assert not [secret for secret in SECRETS if secret in shown]
    assert not study.source
    assert not study.series[0].source


def test_the_identity_holds_what_the_pseudonyms_stand_for(tmp_path: Path, write_stack: WriteStack) -> None:
    write_stack(tmp_path / "a", 3)
    write_stack(tmp_path / "b", 3, first=4)
    for i, file in enumerate(sorted(tmp_path.glob("b/*"))):
        _shift(file, 9 + 3 * i)
    (study,) = find_dicom(tmp_path).studies
    assert study.identity is not None
    assert study.identity.patient_id == "MRN-4711"
    assert study.identity.study_uid == "1.2.826.0.1.3680043.8.498.1"
    assert Path(study.identity.folder) == tmp_path


def test_the_same_key_gives_the_same_pseudonyms(tmp_path: Path, write_stack: WriteStack) -> None:
    write_stack(tmp_path, 5)
    pseudonyms = Pseudonyms(key=b"0" * 32)
    first, again = (find_dicom(tmp_path, pseudonyms=pseudonyms).studies[0] for _ in range(2))
    other = find_dicom(tmp_path).studies[0]
    assert first.id == again.id == f"sub-{first.subject}_ses-{first.session}"
    assert first.subject == pseudonyms.subject("MRN-4711")
    assert not {first.subject, first.session} & {other.subject, other.session}


def test_studies_of_one_patient_share_the_subject(tmp_path: Path, write_stack: WriteStack) -> None:
    write_stack(tmp_path, 5, StudyDate="20200101")
    write_stack(tmp_path, 5, StudyDate="20190101", StudyInstanceUID="1.2.9", SeriesInstanceUID="1.2.9.1")
    earlier, later = find_dicom(tmp_path).studies
    assert earlier.identity is not None
    assert earlier.identity.study_uid == "1.2.9"
    assert earlier.subject == later.subject
    assert earlier.session != later.session


def test_patients_without_an_id_are_told_apart_by_their_studies(
    tmp_path: Path, write_stack: WriteStack
) -> None:
    write_stack(tmp_path, 5, PatientID=None)
    write_stack(tmp_path, 5, PatientID=None, StudyInstanceUID="1.2.9", SeriesInstanceUID="1.2.9.1")
    one, other = find_dicom(tmp_path).studies
    assert one.subject != other.subject


def test_a_series_without_a_name_is_stored_without_its_uid(tmp_path: Path, write_stack: WriteStack) -> None:
    write_stack(tmp_path, 5, SeriesDescription=None)
    (series,) = find_dicom(tmp_path).studies[0].series
    assert series.name == "UNK-1.2.826.0.1.3680043.8.498.2"
    assert series.stored_name == "UNK"


def test_the_study_description_is_used_as_it_is(tmp_path: Path, write_stack: WriteStack) -> None:
    write_stack(tmp_path, 5, StudyDescription=" MRI Brain (w/o)+ ")
    assert find_dicom(tmp_path).studies[0].description == " MRI Brain (w/o)+"
    write_stack(tmp_path / "other", 5, StudyInstanceUID="1.2.9", SeriesInstanceUID="1.2.9.1")
    assert find_dicom(tmp_path / "other").studies[0].description == DEFAULT_DESCRIPTION


def _shift(file: Path, to: float) -> None:
    import pydicom

    data = pydicom.dcmread(file)
    data.ImagePositionPatient[2] = to
    data.save_as(file)
