"""The index of a DICOM tree: the same result as a search, and none for a tree, options or key that differ."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from prima_features.studies.dicom import DicomOptions, find_dicom, index
from prima_features.studies.dicom import find as finder
from prima_features.studies.labels import Pseudonyms
from prima_features.studies.study import Found

WriteStack = Callable[..., list[Path]]
NAMES = Pseudonyms(bytes(range(32)))
SECRETS = ("MRN-4711", "Doe", "Jane", "1.2.826", "ward 7", "nameless")


@pytest.fixture(autouse=True)
def _remember_small_and_new_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "LEAST_FILES", 1)
    monkeypatch.setattr(index, "_UNSETTLED_NS", 0)


@pytest.fixture
def tree(tmp_path: Path, write_stack: WriteStack) -> Path:
    """Two patients; a series without a name, a localizer, a copy, and a file of another format."""
    root = tmp_path / "tree"
    write_stack(root / "ward 7" / "a")
    write_stack(root / "ward 7" / "b", SeriesDescription=None, SeriesInstanceUID="1.2.826.5", SeriesNumber=8)
    write_stack(root / "ward 7" / "c", ImageType=["ORIGINAL", "LOCALIZER"], SeriesInstanceUID="1.2.826.6")
    write_stack(
        root / "d", StudyInstanceUID="1.2.826.9", SeriesInstanceUID="1.2.826.7", PatientID="MRN-4711x"
    )
    write_stack(
        root / "e", StudyInstanceUID="1.2.826.9", SeriesInstanceUID="1.2.826.8", PatientID="MRN-4711x"
    )
    (root / "nameless.txt").write_text("a note")
    return root


class Search:
    """Searches with an index, and counts those that read all files."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch):
        self.path = path
        self.n_full = 0
        read_files = finder._read_files

        def note(listing: index.Listing) -> object:
            self.n_full += 1
            return read_files(listing)

        monkeypatch.setattr(finder, "_read_files", note)

    def __call__(
        self, root: Path, options: DicomOptions = DicomOptions(), names: Pseudonyms = NAMES
    ) -> Found:
        found = find_dicom(root, options, names, self.path)
        n_full = self.n_full
        assert found == find_dicom(root, options, names)
        self.n_full = n_full
        return found


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Search:
    return Search(tmp_path / "out.index", monkeypatch)


def test_a_second_search_gives_the_same_without_reading_the_files(tree: Path, search: Search) -> None:
    first = search(tree)
    assert (len(first.studies), search.n_full) == (2, 1)
    assert first.left_out
    assert first.warnings
    assert search(tree) == first
    assert search.n_full == 1


def test_an_index_identifies_nobody(tree: Path, search: Search) -> None:
    search(tree)
    content = search.path.read_text()
    assert not [secret for secret in SECRETS if secret in content]
    assert search.path.stat().st_mode & 0o777 == 0o600


def changed_in_place(file: Path) -> None:
    """Another modality, and the same size and modification time."""
    before = file.stat()
    file.write_bytes(file.read_bytes().replace(b"CS\2\0MR", b"CS\2\0CT"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.unlink(),
        lambda file: file.rename(file.with_name("renamed")),
        lambda file: shutil.copy(file, file.with_name("copy")),
        lambda file: file.write_bytes(file.read_bytes()[:-100]),
        lambda file: os.utime(file, (1, 1)),
        changed_in_place,
    ],
    ids=["deleted", "renamed", "added", "cut", "other time", "same size and time"],
)
def test_a_tree_that_changed_is_searched_again(
    tree: Path, search: Search, change: Callable[[Path], object]
) -> None:
    search(tree)
    change(sorted((tree / "d").iterdir())[2])
    search(tree)
    assert search.n_full == 2
    search(tree)
    assert search.n_full == 2


def test_other_options_and_rules_are_searched_again(
    tree: Path, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(tree)
    search(tree, DicomOptions(min_slices=7))
    search(tree, names=replace(NAMES, keep_patient_id=True))
    monkeypatch.setattr(index, "_rules", lambda: "of another version")
    search(tree)
    assert search.n_full == 4


@pytest.mark.parametrize("damage", ["cut", "edited", "empty", "other key"])
def test_a_damaged_or_foreign_index_is_ignored_with_a_warning_and_replaced(
    tree: Path, search: Search, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    search(tree)
    content = search.path.read_bytes()
    signature, _, body = content.partition(b"\n")
    document = json.loads(body)
    document["studies"].pop()
    edited = signature + b"\n" + json.dumps(document).encode()
    search.path.write_bytes({"cut": content[:-9], "edited": edited, "empty": b""}.get(damage, content))
    names = Pseudonyms(bytes(range(1, 33))) if damage == "other key" else NAMES
    search(tree, names=names)
    assert "out.index is damaged or belongs to another output" in caplog.text
    search(tree, names=names)
    assert search.n_full == 2


def test_files_that_have_just_changed_are_not_remembered(
    tree: Path, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_UNSETTLED_NS", 3_600_000_000_000)
    search(tree)
    assert not search.path.exists()


def test_small_trees_are_not_remembered(tree: Path, search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "LEAST_FILES", 1_000)
    search(tree)
    assert not search.path.exists()


def test_a_file_of_somebody_else_is_kept(tree: Path, search: Search) -> None:
    search.path.write_text("my notes")
    search(tree)
    assert search.path.read_text() == "my notes"


def test_an_index_that_cannot_be_written_costs_a_warning(
    tree: Path, search: Search, caplog: pytest.LogCaptureFixture
) -> None:
    search.path = search.path.parent / "missing" / "out.index"
    search(tree)
    assert "searches the whole source again" in caplog.text
