"""Who a study belongs to is known to `Study.identity`, and to nothing that is printed or logged."""

import datetime
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from prima_features.studies.dicom import find_dicom
from prima_features.studies.labels import Pseudonyms
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


def write_two(
    tmp_path: Path, write_stack: WriteStack, one: dict[str, object], other: dict[str, object]
) -> None:
    """Two patients whose files share all UIDs."""
    for i, person in enumerate((one, other)):
        for k in range(5):
            own = {
                "SOPInstanceUID": f"1.2.3.{k}",
                "value": 100 * (i + 1),
                "ImagePositionPatient": [0, 0, 3 * k],
            }
            write_stack(tmp_path / f"patient {i}", 1, **own, **person)


DIFFERENT: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "PatientID": ({"PatientID": "A1"}, {"PatientID": "A2"}),
    "PatientID and name": ({"PatientName": "Doe^Jane"}, {"PatientID": "B", "PatientName": "Roe^Mary"}),
    "name": ({"PatientName": "Doe^Jane"}, {"PatientName": "Roe^Mary"}),
    "birth date": ({"PatientBirthDate": "19700102"}, {"PatientBirthDate": "19700103"}),
    "sex": ({"PatientSex": "M"}, {"PatientSex": "F"}),
    "one without PatientID": ({"PatientID": None, "PatientName": "Roe^Mary"}, {}),
}
ALIKE: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "case and separators": ({"PatientName": "DOE^JANE^^"}, {"PatientName": "Doe, Jane"}),
    "order": ({"PatientName": "Jane Doe"}, {}),
    "accents": (
        {"PatientName": "Müller^Zoë", "SpecificCharacterSet": "ISO_IR 100"},
        {"PatientName": "MULLER^ZOE"},
    ),
    "padding": ({"PatientID": "MRN-4711 "}, {}),
    "missing": ({"PatientName": None, "PatientID": None}, {"PatientBirthDate": "19700102"}),
    "year of birth": ({"PatientBirthDate": "1970"}, {"PatientBirthDate": "19700102"}),
    "unknown sex": ({"PatientSex": "O"}, {"PatientSex": "F"}),
}


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("case", DIFFERENT)
def test_patients_that_share_all_uids_are_studies_of_their_own(
    tmp_path: Path, write_stack: WriteStack, case: str, keep: bool
) -> None:
    write_two(tmp_path, write_stack, *DIFFERENT[case])
    found = find_dicom(tmp_path, pseudonyms=Pseudonyms(keep_patient_id=keep))
    one, other = found.studies
    assert one.id != other.id
    assert one.subject != other.subject
    for study in found.studies:
        (series,) = study.series
        assert len({file.parent for file in series.files}) == 1
        assert len(series.files) == 5
    assert not found.left_out
    assert "shared by several patients" in found.warnings[0]
    assert not [secret for secret in (*SECRETS, "Roe") if secret in repr(found.warnings)]


@pytest.mark.parametrize("keep", [False, True])
def test_composed_and_decomposed_spellings_of_a_patient_id_are_one_patient(
    tmp_path: Path, write_stack: WriteStack, keep: bool
) -> None:
    for number, name in enumerate(("M\u00fc", "Mu\u0308")):
        write_stack(
            tmp_path,
            5,
            SpecificCharacterSet="ISO_IR 192",
            PatientID=name,
            SeriesInstanceUID=f"1.2.9.{number}",
        )
    (study,) = find_dicom(tmp_path, pseudonyms=Pseudonyms(keep_patient_id=keep)).studies
    assert len(study.series) == 2


@pytest.mark.filterwarnings("ignore:Invalid value for VR DA")
@pytest.mark.parametrize("case", ALIKE)
def test_spellings_of_one_patient_are_one_study(tmp_path: Path, write_stack: WriteStack, case: str) -> None:
    one, other = ALIKE[case]
    write_stack(tmp_path, 5, **one)
    write_stack(tmp_path, 5, SeriesInstanceUID="1.2.9.1", SeriesNumber=8, **other)
    (study,) = find_dicom(tmp_path).studies
    assert len(study.series) == 2
    assert study.identity is not None
    assert study.identity.patient_id == "MRN-4711"


@pytest.mark.parametrize("slices", [range(5), range(0, 10, 2)], ids=["a half", "every other"])
def test_a_volume_whose_slices_name_two_patients_is_a_defect(
    tmp_path: Path, write_stack: WriteStack, slices: range
) -> None:
    for i in range(10):
        patient = "A" if i in slices else "B"
        write_stack(tmp_path, 1, PatientID=patient, ImagePositionPatient=[0, 0, 3 * i])
    found = find_dicom(tmp_path)
    assert not found.studies
    assert [item.error for item in found.left_out] == [
        "its slices form one volume but name different patients"
    ] * 2
    assert all(item.defect for item in found.left_out)


def test_files_of_nobody_among_two_patients_are_a_defect_unless_their_series_is_one_s(
    tmp_path: Path, write_stack: WriteStack
) -> None:
    write_stack(tmp_path, 4, PatientID="A")
    place(write_stack(tmp_path, 1, PatientID=None, PatientName=None), [12])
    write_stack(tmp_path, 5, PatientID="B", SeriesInstanceUID="1.2.9.1")
    write_stack(tmp_path, 6, PatientID=None, PatientName=None, SeriesInstanceUID="1.2.9.2")
    found = find_dicom(tmp_path)
    assert [len(study.series[0].files) for study in found.studies] == [5, 5]
    (left_out,) = found.left_out
    assert left_out.series == "6 DICOM files of unknown patients"
    assert left_out.defect


def test_visits_that_share_a_study_uid_are_studies_by_date(tmp_path: Path, write_stack: WriteStack) -> None:
    write_stack(tmp_path, 5, StudyDate="20200101")
    write_stack(tmp_path, 5, StudyDate="20200102", SeriesInstanceUID="1.2.9.1")  # past midnight
    assert len(find_dicom(tmp_path).studies) == 1
    write_stack(tmp_path, 5, StudyDate="20210101", SeriesInstanceUID="1.2.9.2")
    found = find_dicom(tmp_path)
    assert len({study.id for study in found.studies}) == 3
    assert len({study.subject for study in found.studies}) == 1
    assert "several dates" in found.warnings[0]


@pytest.mark.parametrize(
    ("people", "warned"),
    [
        ([{"PatientBirthDate": "1970010" + day} for day in "12"], True),
        ([{"PatientSex": sex} for sex in "MF"], True),
        ([{"PatientName": name} for name in ("Doe", "Roe", "Poe")], True),
        ([{"PatientName": name} for name in ("Doe^Jane", "Roe^Jane")], False),
        ([{"PatientBirthDate": "19700102"}, {"PatientBirthDate": None}], False),
    ],
)
def test_one_patient_id_for_several_people_is_warned_of(
    tmp_path: Path, write_stack: WriteStack, people: list[dict[str, object]], warned: bool
) -> None:
    for i, person in enumerate(people):
        uids = {"StudyInstanceUID": f"1.2.{i}", "SeriesInstanceUID": f"1.2.{i}.1"}
        write_stack(tmp_path, 5, PatientID="ANONYMOUS", **uids, **person)
    found = find_dicom(tmp_path)
    assert len(found.studies) == len(people)
    assert bool(found.warnings) == warned
    assert "ANONYMOUS" not in repr(found.warnings)


def test_patient_ids_that_are_kept_never_become_one() -> None:
    ids = ["A1", "A-1", "A 1", "a1", "Müller", "Möller", "李雷", "韩梅", "--", "\udce9"]
    pseudonyms = Pseudonyms(keep_patient_id=True)
    subjects = [pseudonyms.subject(patient_id) for patient_id in ids]
    assert subjects[0] == "A1"
    assert len(set(subjects)) == len(ids)
    assert all(subject.isascii() and subject.isalnum() for subject in subjects)
    assert subjects == [Pseudonyms(keep_patient_id=True).subject(patient_id) for patient_id in ids]


def place(files: list[Path], places: list[float]) -> None:
    for file, to in zip(files, places, strict=True):
        _shift(file, to)


def test_days_between_studies_of_a_patient_are_kept_and_dates_are_not(
    tmp_path: Path, write_stack: WriteStack
) -> None:
    dates = {"1.2.9": "20190101", "1.2.10": "20200102", "1.2.11": "", "1.2.12": "20190231"}
    for uid, date in dates.items():
        write_stack(tmp_path, 5, StudyDate=date, StudyInstanceUID=uid, SeriesInstanceUID=f"{uid}.1")
    other = {"PatientID": "B", "StudyInstanceUID": "1.2.13", "SeriesInstanceUID": "1.2.13.1"}
    write_stack(tmp_path, 5, StudyDate="20190101", **other)
    zeros = set()
    for key in (bytes(range(32)), bytes(range(1, 33))):
        pseudonyms = Pseudonyms(key)
        found = find_dicom(tmp_path, pseudonyms=pseudonyms).studies
        days = {study.identity.study_uid: study.identity.day for study in found if study.identity}
        assert days["1.2.10"] - days["1.2.9"] == 366
        assert days["1.2.11"] is days["1.2.12"] is None
        assert days["1.2.13"] != days["1.2.9"]
        subject = pseudonyms.subject("MRN-4711")
        assert pseudonyms.ordinal(subject, days["1.2.9"]) == datetime.date(2019, 1, 1).toordinal()
        zeros.add(days["1.2.9"])
    assert len(zeros) == 2
