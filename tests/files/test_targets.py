"""No command replaces what it did not make, and an input is never an output."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from prima_features.errors import UsageError
from prima_features.files.targets import Maker, as_inputs, check_file, check_folder, is_page, starts_with

OURS = Maker("prima export", is_own=starts_with(b"ours"), kind="a table of ours")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.h5"
    path.write_text("input")
    return path


def test_a_new_file_an_earlier_output_and_a_dangling_link_are_fine(tmp_path: Path) -> None:
    check_file(tmp_path / "new", OURS)
    (tmp_path / "old").write_text("ours, of last week")
    check_file(tmp_path / "old", OURS)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    check_file(tmp_path / "link", OURS)


def test_another_file_needs_force(tmp_path: Path) -> None:
    path = tmp_path / "table.tsv"
    path.write_text("theirs")
    with pytest.raises(
        UsageError, match="exists and is not a table of ours; name another output, or give --force"
    ):
        check_file(path, OURS)
    check_file(path, OURS, force=True)
    with pytest.raises(UsageError, match=r"another output$"):
        check_file(path, replace(OURS, option=""))


@pytest.mark.parametrize("way", ["itself", "link", "hard link", "folder link", "dots"])
@pytest.mark.parametrize("content", ["input", "ours"])
def test_an_input_is_never_an_output_by_whatever_name(source: Path, way: str, content: str) -> None:
    source.write_text(content)
    output = {
        "itself": source,
        "link": source.parent / "link",
        "hard link": source.parent / "hard",
        "folder link": source.parent / "folder" / source.name,
        "dots": source.parent / "x" / ".." / source.name,
    }[way]
    if way == "link":
        output.symlink_to(source)
    elif way == "hard link":
        os.link(source, output)
    elif way == "folder link":
        output.parent.symlink_to(source.parent)
    elif way == "dots":
        (source.parent / "x").mkdir()
    with pytest.raises(UsageError, match="is an input of prima export"):
        check_file(output, replace(OURS, inputs=(source,)), force=True)


def test_a_file_in_an_input_folder_is_replaced_only_if_it_is_ours(tmp_path: Path) -> None:
    inputs = tmp_path / "cohort"
    inputs.mkdir()
    (inputs / "participants.tsv").write_text("theirs")
    maker = replace(OURS, inputs=(inputs,))
    with pytest.raises(UsageError, match="which is an input"):
        check_file(inputs / "participants.tsv", maker, force=True)
    (inputs / "old.tsv").write_text("ours")
    check_file(inputs / "old.tsv", maker)
    check_file(inputs / "new.tsv", maker)


def test_folders_and_devices_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        check_file(tmp_path, OURS, force=True)
    with pytest.raises(UsageError, match="does not exist; create it"):
        check_file(tmp_path / "no" / "table", OURS)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="device or pipe"):
        check_file(tmp_path / "pipe", OURS, force=True)


def test_a_folder_that_holds_something_needs_force(tmp_path: Path) -> None:
    output = tmp_path / "probe"
    check_folder(output, OURS)
    output.mkdir()
    check_folder(output, OURS)
    (output / "mine.txt").write_text("kept")
    with pytest.raises(UsageError, match="is not an empty folder"):
        check_folder(output, OURS)
    check_folder(output, OURS, force=True)
    with pytest.raises(UsageError, match="is a file"):
        check_folder(output / "mine.txt", OURS, force=True)


def test_a_folder_is_not_replaced_with_an_input_or_the_current_folder_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "all"
    (output / "sub").mkdir(parents=True)
    (output / "sub" / "in.h5").write_text("input")
    link = tmp_path / "in.h5"
    link.symlink_to(output / "sub" / "in.h5")
    for source in (output / "sub" / "in.h5", link, output):
        with pytest.raises(UsageError, match="an input"):
            check_folder(output, replace(OURS, inputs=(source,)), force=True)
    monkeypatch.chdir(output / "sub")
    with pytest.raises(UsageError, match="must not be replaced"):
        check_folder(output, OURS, force=True)


def test_pages_are_recognised_by_kind(tmp_path: Path) -> None:
    head = '<meta name="generator" content="prima-features">\n<title>a: embedding report</title>'
    (tmp_path / "page.html").write_text(head)
    assert is_page("embedding report")(tmp_path / "page.html")
    assert not is_page("probe report")(tmp_path / "page.html")


def test_names_that_are_no_paths_are_no_inputs(source: Path) -> None:
    assert as_inputs(source, "owner/name", None, [source.parent, Path("gone")]) == (source, source.parent)
