"""JSON sidecars and gradient tables, as people have them."""

import json
from pathlib import Path

import pytest

from prima_features.studies import sidecar
from prima_features.studies.sidecar import (
    SidecarError,
    b0_volumes,
    name_of,
    orientation_of,
    other_kind,
    read_b_values,
    read_json,
)

FIELDS = {"SeriesDescription": "t1 süß", "ImageType": ["ORIGINAL", "P", "PHASE"], "EchoTime": 0.003}
TEXT = json.dumps(FIELDS, ensure_ascii=False)


def read(tmp_path: Path, content: bytes) -> dict[str, object]:
    (tmp_path / "x.json").write_bytes(content)
    return read_json(tmp_path / "x.json")


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16", "utf-16-le", "utf-16-be", "utf-32"],
)
def test_every_usual_encoding_gives_the_same_fields(tmp_path: Path, encoding: str) -> None:
    assert read(tmp_path, TEXT.encode(encoding)) == FIELDS


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ('{"A": "one\ntwo\tthree", "B": 1}', {"A": "one\ntwo\tthree", "B": 1}),
        ('{"A": [1, 2,], "B": {"C": 1,},\n}', {"A": [1, 2], "B": {"C": 1}}),
        ('{"A": "a,]", "B": "\\",}",}', {"A": "a,]", "B": '",}'}),
        ('{"A": Infinity, "B": -Infinity}', {"A": float("inf"), "B": float("-inf")}),
        ('{"A": ' + "9" * 6000 + "}", {"A": float("inf")}),
        ('\r\n {"A": 1}\r\n\r\n', {"A": 1}),
    ],
)
def test_small_faults_that_leave_the_meaning_clear_are_accepted(
    tmp_path: Path, text: str, fields: dict[str, object]
) -> None:
    assert read(tmp_path, text.encode()) == fields


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b'{"SeriesDescription": "T1', r"is not valid JSON \(line 1\)"),
        (b'[{"A": 1}]', "does not contain a JSON object"),
        (b'{"A": ' + b"[" * 200_000, "nested too deeply|is not valid JSON"),
        (b"/annex/objects/MD5E-s1--d4", "is not valid JSON"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "is not valid JSON"),
        (b'{"A": 1', "is not valid JSON"),
    ],
)
def test_what_cannot_be_read_is_an_error_and_never_no_sidecar(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    with pytest.raises(SidecarError, match=reason):
        read(tmp_path, content)


def test_an_error_does_not_quote_the_file(tmp_path: Path) -> None:
    with pytest.raises(SidecarError) as caught:
        read(tmp_path, b'{"PatientName": Doe^John}')
    assert "Doe" not in str(caught.value)


def test_a_file_of_unreasonable_size_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sidecar, "MAX_BYTES", 1 << 20)
    with pytest.raises(SidecarError, match="has more than 1 MiB"):
        read(tmp_path, b" " * ((1 << 20) + 1))


def test_a_folder_or_link_to_nothing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.json").symlink_to("gone.json")
    with pytest.raises(SidecarError, match="is a broken link"):
        read_json(tmp_path / "x.json")
    (tmp_path / "y.json").mkdir()
    with pytest.raises(SidecarError):
        read_json(tmp_path / "y.json")


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}, "a phase image"),
        ({"ImageType": "ORIGINAL\\PRIMARY\\PHASE"}, "a phase image"),
        ({"ImageType": ["original", "primary", "phase map"]}, "a phase image"),
        ({"ComplexImageComponent": "PHASE"}, "a phase image"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "SW_P"]}, "a phase image"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "IMAGINARY"]}, "the imaginary part of a complex image"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "FIELD_MAP"]}, "a field map"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"]}, ""),
        ({"ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "TENSOR", "B0"]}, ""),
        ({"Units": "rad"}, "a phase image"),
        ({"Units": "Hz"}, "a field map"),
        ({"Units": "arbitrary"}, ""),
        ({"Modality": "CT"}, "a CT image"),
        ({"Modality": "PT"}, "a PET image"),
        ({"Modality": "MR"}, ""),
        ({"ImageType": 3}, ""),
        ({}, ""),
    ],
)
def test_images_that_are_not_magnitude_images_are_recognised(fields: dict[str, object], part: str) -> None:
    assert other_kind(fields) == part


@pytest.mark.parametrize(
    "values",
    [[0, 1, 0], [1, 0, 0, 1, 0, 0], "axial", [10**400, 0, 0, 0, 1, 0], [float("nan")] * 6, 7],
)
def test_an_orientation_that_is_none_is_an_error(values: object) -> None:
    with pytest.raises(SidecarError, match="not two perpendicular directions"):
        orientation_of({"ImageOrientationPatientDICOM": values})


def test_orientations_are_read_also_as_text() -> None:
    assert orientation_of({"ImageOrientationPatientDICOM": ["1", "0", "0", "0", "1", "0"]}) == (
        1,
        0,
        0,
        0,
        1,
        0,
    )
    assert orientation_of({}) == ()
    assert orientation_of({"ImageOrientationPatientDICOM": [0] * 6}) == ()


def test_lone_surrogates_in_a_name_are_replaced(tmp_path: Path) -> None:
    assert name_of(read(tmp_path, b'{"SeriesDescription": "T1\\udc80\\u0000x"}')) == "T1__x"


@pytest.mark.parametrize(
    ("content", "values"),
    [
        (b"0 1000\n", (0, 1000)),
        ("0 1000".encode("utf-16"), (0, 1000)),
        (b"\xef\xbb\xbf0\t5,1000;", (0, 5, 1000)),
    ],
)
def test_gradient_tables_are_read(tmp_path: Path, content: bytes, values: tuple[float, ...]) -> None:
    (tmp_path / "x.bval").write_bytes(content)
    assert read_b_values(tmp_path / "x.bval") == values


def test_b0_volumes_are_all_near_zero_or_the_lowest() -> None:
    assert b0_volumes((1000, 0, 5)) == (1, 2)
    assert b0_volumes((2000, 700, 1000)) == (1,)
