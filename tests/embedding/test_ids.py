"""The link from pseudonyms to patients: written with its output, and never less than the output needs."""

from dataclasses import replace
from pathlib import Path

import pytest

from prima_features.embedding.record.ids import (
    add_ids,
    agree_on_pseudonyms,
    ids_path,
    keep_ids,
    load_pseudonyms,
    merge_ids,
    read_ids,
)
from prima_features.errors import UsageError
from prima_features.studies.labels import Pseudonyms
from prima_features.studies.study import Identity, Study

NAMES = Pseudonyms(bytes(range(32)))


def study(patient: str, folder: str = "/scans") -> Study:
    return Study(f"sub-{NAMES.subject(patient)}", "", "", "", (), identity=Identity(patient, "1.2", folder))


def patients(output: Path) -> list[str]:
    return [row[1] for row in read_ids(ids_path(output)).values()]


def test_rows_of_other_studies_stay_until_the_output_is_complete(tmp_path: Path) -> None:
    output = tmp_path / "out.h5"
    assert add_ids(output, [study("A"), study("B")], NAMES) == {}
    before = add_ids(output, [study("B"), study("C")], NAMES)
    assert [row[1] for row in before.values()] == ["A", "B"]
    assert patients(output) == ["A", "B", "C"]
    assert ids_path(output).stat().st_mode & 0o777 == 0o600
    keep_ids(output, {study("C").id})
    assert patients(output) == ["C"]
    assert load_pseudonyms(output).key == NAMES.key


@pytest.mark.parametrize("patient", ["=1+1", "-A", "'@b", "M\udcfcller", "a\tb\nc", "x\x1b[0m", "Ä" * 64])
def test_every_patient_id_is_read_back_the_same_at_each_rewrite(tmp_path: Path, patient: str) -> None:
    output = tmp_path / "out.h5"
    add_ids(output, [study(patient, "/scans/M\udcfcller")], NAMES)
    first = ids_path(output).read_bytes()
    add_ids(output, [], NAMES)
    assert ids_path(output).read_bytes() == first
    assert len(first.decode().splitlines()) == 2
    assert "\t=" not in first.decode() and "\t-" not in first.decode()


@pytest.mark.parametrize("key", ["", "ab", "00" * 31, "00" * 32, "zz" * 32])
def test_an_empty_short_or_damaged_key_is_refused(tmp_path: Path, key: str) -> None:
    output = tmp_path / "out.h5"
    add_ids(output, [study("A")], NAMES)
    path = ids_path(output)
    path.write_text(path.read_text().replace(NAMES.key.hex(), key))
    with pytest.raises(UsageError, match="damaged key"):
        load_pseudonyms(output)
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "key").write_text(key)
    with pytest.raises(UsageError, match="damaged key"):
        agree_on_pseudonyms([tmp_path / "parts"])


def test_a_merged_output_has_the_rows_of_its_inputs_and_is_not_continued(tmp_path: Path) -> None:
    other = Pseudonyms(bytes(range(1, 33)))
    inputs = [tmp_path / "a.h5", tmp_path / "b.h5.parts", tmp_path / "bids.h5"]
    add_ids(tmp_path / "a.h5", [study("A"), study("B")], NAMES)
    add_ids(tmp_path / "b.h5", [study("C")], other)
    output = tmp_path / "out.h5"
    merge_ids(output, inputs, {study("A").id, study("C").id})
    assert patients(output) == ["A", "C"]
    with pytest.raises(UsageError, match="keys of 2 runs"):
        load_pseudonyms(output)


def test_a_table_of_another_program_is_not_touched(tmp_path: Path) -> None:
    path = ids_path(tmp_path / "out.h5")
    for content in ("", "mine\n1\n", "study\tpatient_id\n"):
        path.write_text(content)
        with pytest.raises(UsageError, match="not a table of identities"):
            add_ids(tmp_path / "out.h5", [study("A")], NAMES)
        assert path.read_text() == content
    path.unlink()


def test_a_table_from_before_studies_had_a_day_is_read_and_continued(tmp_path: Path) -> None:
    output = tmp_path / "out.h5"
    dated = replace(study("B"), identity=Identity("B", "1.2", "/scans", 730))
    add_ids(output, [study("A"), dated], NAMES)
    rows = read_ids(ids_path(output))
    assert [row[4] for row in rows.values()] == ["", "730"]
    table = ids_path(output).read_text().splitlines()
    old = ["\t".join(cell for i, cell in enumerate(line.split("\t")) if i != 4) for line in table[:2]]
    assert old[0] == "study\tpatient_id\tstudy_instance_uid\tfolder\tkey"
    ids_path(output).write_text("\n".join(old) + "\n")
    assert add_ids(output, [dated], NAMES) == {study("A").id: rows[study("A").id]}
    assert read_ids(ids_path(output)) == rows
