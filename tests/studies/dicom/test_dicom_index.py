"""The index of a DICOM tree: the same result as a search, and none for a tree, options or key that differ."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from prima_features.errors import SourceError
from prima_features.studies.dicom import DicomOptions, copies, find_dicom, index
from prima_features.studies.dicom import find as finder
from prima_features.studies.dicom.read import Unusable
from prima_features.studies.labels import Pseudonyms
from prima_features.studies.study import Found

pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

WriteStack = Callable[..., list[Path]]
NAMES = Pseudonyms(bytes(range(32)))
N_FILES, N_OF_CHANGED = 31, 12
"""Files of the tree, and of the study whose files are changed."""
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
    """Searches with an index, each compared with one without; and how many files the last one read."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch):
        self.path = path
        self.n_read = 0
        read_file = finder._read_file

        def note(file: Path) -> object:
            self.n_read += 1
            return read_file(file)

        monkeypatch.setattr(finder, "_read_file", note)

    def __call__(
        self, root: Path, options: DicomOptions = DicomOptions(), names: Pseudonyms = NAMES
    ) -> Found:
        whole = find_dicom(root, options, names)
        self.n_read = 0
        found = find_dicom(root, options, names, self.path)
        assert found == whole
        return found


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Search:
    return Search(tmp_path / "out.index", monkeypatch)


def test_a_second_search_gives_the_same_without_reading_the_files(tree: Path, search: Search) -> None:
    first = search(tree)
    assert (len(first.studies), search.n_read) == (2, N_FILES)
    assert first.left_out
    assert first.warnings
    written = search.path.stat().st_ino
    assert search(tree) == first
    assert search.n_read == 0
    assert search.path.stat().st_ino == written


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
    ("change", "n_read"),
    [
        (lambda file: file.unlink(), N_OF_CHANGED - 1),
        (lambda file: file.rename(file.with_name("renamed")), N_OF_CHANGED),
        (lambda file: shutil.copy(file, file.with_name("copy")), N_OF_CHANGED + 1),
        (lambda file: shutil.copy(file, file.parents[1] / "ward 7"), N_OF_CHANGED + 1),
        (lambda file: file.write_bytes(file.read_bytes()[:-100]), N_OF_CHANGED),
        (lambda file: file.write_text("not DICOM any more"), N_OF_CHANGED),
        (lambda file: os.utime(file, (1, 1)), N_OF_CHANGED),
        (changed_in_place, N_OF_CHANGED),
        (lambda file: (file.parent / "note.txt").write_text("a note"), 1),
        (lambda file: (file.parents[1] / "nameless.txt").unlink(), 0),
    ],
    ids=["deleted", "renamed", "added", "added elsewhere", "cut", "replaced", "other time", "same size and time",
         "other file added", "other file deleted"],
)  # fmt: skip
def test_only_studies_that_changed_are_read_again(
    tree: Path, search: Search, change: Callable[[Path], object], n_read: int
) -> None:
    search(tree)
    change(sorted((tree / "d").iterdir())[2])
    search(tree)
    assert search.n_read == n_read
    search(tree)
    assert search.n_read == 0


def test_only_new_studies_of_a_growing_tree_are_read(
    tree: Path, search: Search, write_stack: WriteStack
) -> None:
    search(tree)
    for day in range(3):
        files = write_stack(
            tree / f"before {day}", StudyInstanceUID=f"1.2.826.1{day}", SeriesInstanceUID=f"1.2.826.2{day}"
        )
        assert len(search(tree).studies) == 3 + day
        assert search.n_read == len(files)


EDITS: dict[str, Callable[[Path, Path], object]] = {
    "delete": lambda file, _: file.unlink(),
    "rename": lambda file, _: file.rename(file.with_name(f"0{file.name}")),
    "move": lambda file, other: file.rename(other.with_name(f"moved {file.name}")),
    "overwrite": lambda file, other: shutil.copy(other, file),
    "duplicate": lambda file, other: shutil.copy(file, other.with_name(f"copy {file.name}")),
    "link": lambda file, other: other.with_name(f"link {file.name}").symlink_to(file),
    "cut": lambda file, _: file.write_bytes(file.read_bytes()[:-50]),
    "empty": lambda file, _: file.write_bytes(b""),
    "other study": lambda file, _: edited(file, b"1.2.826.9", b"1.2.826.3"),
    "other patient": lambda file, _: edited(file, b"MRN-4711", b"MRN-4712"),
    "no patient": lambda file, _: edited(file, b"MRN-4711", b"        "),
    "other name": lambda file, _: edited(file, b"Doe^Jane", b"Roe^Anna"),
    "other modality": lambda file, _: edited(file, b"CS\2\0MR", b"CS\2\0CT"),
    "touch": lambda file, _: os.utime(file),
    "image": lambda file, _: file.with_name("a.nii").write_bytes(b"n"),
}


def edited(file: Path, old: bytes, new: bytes) -> None:
    file.write_bytes(file.read_bytes().replace(old, new))


@settings(
    max_examples=15, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rounds=st.lists(
        st.lists(
            st.tuples(st.sampled_from(sorted(EDITS)), st.integers(0, 100), st.integers(0, 100)), max_size=3
        ),
        max_size=4,
    )
)
def test_any_edits_of_a_tree_give_the_same_as_without_an_index(
    tree: Path, search: Search, tmp_path: Path, rounds: list[list[tuple[str, int, int]]]
) -> None:
    copy = tmp_path / "edited"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(tree, copy)
    search.path.unlink(missing_ok=True)
    search(copy)
    for edits in rounds:
        for name, one, other in edits:
            files = sorted(path for path in copy.rglob("*") if path.is_file())
            with suppress(shutil.SameFileError):
                EDITS[name](files[one % len(files)], files[other % len(files)])
        search(copy)
        if search.path.exists():
            search(copy)
            assert search.n_read == 0


def test_other_options_and_rules_are_searched_again(
    tree: Path, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(tree)
    search(tree, DicomOptions(min_slices=7))
    assert search.n_read == N_FILES
    search(tree)
    search(tree, names=replace(NAMES, keep_patient_id=True))
    assert search.n_read == N_FILES
    search(tree)
    monkeypatch.setattr(index, "_rules", lambda: "of another version")
    search(tree)
    assert search.n_read == N_FILES


@pytest.mark.parametrize("damage", ["cut", "edited", "empty", "other key"])
def test_a_damaged_or_foreign_index_is_ignored_with_a_warning_and_replaced(
    tree: Path, search: Search, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    search(tree)
    content = search.path.read_bytes()
    signature, _, body = content.partition(b"\n")
    document = json.loads(body)
    document["examinations"].pop()
    edited = signature + b"\n" + json.dumps(document).encode()
    search.path.write_bytes({"cut": content[:-9], "edited": edited, "empty": b""}.get(damage, content))
    names = Pseudonyms(bytes(range(1, 33))) if damage == "other key" else NAMES
    search(tree, names=names)
    assert "out.index is damaged or belongs to another output" in caplog.text
    assert search.n_read == N_FILES
    search(tree, names=names)
    assert search.n_read == 0


def test_files_that_have_just_changed_are_read_again(
    tree: Path, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_UNSETTLED_NS", 3_600_000_000_000)
    search(tree)
    search(tree)
    assert search.n_read == N_FILES


def test_a_file_dated_in_the_future_costs_only_its_study(tree: Path, search: Search) -> None:
    os.utime(sorted((tree / "d").iterdir())[2], (1e10, 1e10))
    search(tree)
    search(tree)
    assert search.n_read == N_OF_CHANGED


def test_files_that_cannot_be_opened_are_tried_again(
    tree: Path, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken link as well."""
    (tree / "broken").symlink_to(tree / "nothing")
    locked = sorted((tree / "d").iterdir())[2]
    read_headers = finder.read_headers
    with monkeypatch.context() as patch:
        patch.setattr(
            finder, "read_headers", lambda file: Unusable.UNREADABLE if file == locked else read_headers(file)
        )
        assert any(item.series.startswith("2 files") for item in search(tree).left_out)
        search(tree)
        assert search.n_read == 1
    search(tree)
    assert search.n_read == N_OF_CHANGED
    search(tree)
    assert search.n_read == 0


def test_small_trees_are_not_remembered(tree: Path, search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "LEAST_FILES", 1_000)
    search(tree)
    assert not search.path.exists()


@pytest.mark.parametrize("kind", ["notes", "folder", "pipe"])
def test_a_file_of_somebody_else_is_kept_with_a_warning(
    tree: Path, search: Search, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    if kind == "notes":
        search.path.write_text("my notes")
    else:
        (os.mkdir if kind == "folder" else os.mkfifo)(search.path)
    before = search.path.lstat()
    search(tree)
    assert "out.index cannot be read as an index" in caplog.text
    assert (search.path.lstat().st_ino, search.path.lstat().st_mode) == (before.st_ino, before.st_mode)


def test_an_index_behind_a_link_is_used_and_written(tree: Path, search: Search) -> None:
    target = tree.parent / "elsewhere"
    search.path.symlink_to(target)
    search(tree)
    search(tree)
    assert search.n_read == 0
    assert search.path.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o600


def test_an_index_that_cannot_be_written_costs_a_warning(
    tree: Path, search: Search, caplog: pytest.LogCaptureFixture
) -> None:
    search.path = search.path.parent / "missing" / "out.index"
    search(tree)
    assert "searches the whole source again" in caplog.text


def test_nothing_is_remembered_while_the_disk_does_not_respond(
    tree: Path, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise images whose pixels could not be compared would count as different in later runs as well."""

    def fail(*_: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    with monkeypatch.context() as patch:
        patch.setattr(copies, "_look_into", fail)
        with pytest.raises(SourceError, match="does not respond"):
            search(tree)
    assert not search.path.exists()
    assert search(tree).warnings
