"""What is written beside an output, by every way that makes one."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from prima_features import embed
from prima_features.cli.main import main
from prima_features.embedding.file.read import read_embeddings
from prima_features.errors import StoppedError

Same = Callable[[Path, Path], None]


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def told(output: Path) -> dict:
    """The run file of an output."""
    return json.loads(output.with_suffix(".run.json").read_text())


def block(page: Path, name: str) -> dict:
    text = page.read_text().partition(f'<script type="application/json" id="{name}">')[2]
    return json.loads(text.partition("</script>")[0])


def pictured(output: Path) -> dict[str, int]:
    """By study, how many pictures its page shows."""
    pictures = block(output.with_suffix(".report.html"), "pictures")
    return {study: sum(one is not None for one in value["series"]) for study, value in pictures.items()}


def without_times(document: dict) -> dict:
    return {name: document[name] for name in ("model", "preprocessing", "counts", "left_out")}


def test_a_run_tells_what_happened(bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out.h5"
    (bids / "sub-01/anat/sub-01_T1w.nii.gz").write_bytes(b"")
    (bids / "sub-01/func").mkdir()
    (bids / "sub-01/func/sub-01_task-rest_bold.nii.gz").touch()
    assert run("embed", bids, output) == 3
    assert f"Report: {tmp_path / 'out.report.html'}" in capsys.readouterr().out
    document = told(output)
    counts = document["counts"]
    assert (counts["studies"], counts["series"], counts["studies_incomplete"]) == (3, 5, 1)
    assert counts["tokens"] == read_embeddings(output).series["n_tokens"].sum()
    empty, functional = document["left_out"]
    assert (empty["reason"], empty["studies"], empty["by_design"]) == ("the file is empty", 1, False)
    assert (functional["stage"], functional["by_design"]) == ("find", True)
    (record,) = document["runs"]
    assert (record["ended"], record["options"]["source_format"]) == ("finished", "bids")
    assert record["counts"]["tokens"] == counts["tokens"]
    assert record["versions"]["torch"] and record["peak_memory_bytes"] > 1e8
    assert 0 < record["stages"]["tokenizer"] < record["seconds"]
    assert document["total"]["stages"] == record["stages"]
    assert pictured(output) == {"sub-01": 1, "sub-02_ses-a": 2, "sub-02_ses-b": 2}
    kinds = {c["name"]: c for c in block(tmp_path / "out.report.html", "data")["tables"]["left-out"]}["kind"]
    assert [kinds["texts"][code] for code in kinds["codes"]] == ["failed", "by design"]


def test_a_run_that_was_stopped_is_told_of_and_its_pictures_are_kept(bids: Path, tmp_path: Path) -> None:
    from contextlib import nullcontext

    from prima_features.embedding.engine.options import EngineOptions

    output, asked = tmp_path / "out.h5", []

    def after_the_first() -> bool:
        asked.append(1)
        return len(list((tmp_path / "out.h5.parts").glob("*.safetensors"))) > 0

    options = EngineOptions(batch_size=1, workers=0)
    with pytest.raises(StoppedError):
        embed(bids, output, engine_options=options, stoppable=nullcontext(after_the_first))
    finished = len(list((tmp_path / "out.h5.parts").glob("*.safetensors")))
    shutil.move(bids, tmp_path / "elsewhere")  # pictures of what is finished need no scans
    assert run("embed", tmp_path / "elsewhere", output) == 0
    stopped, last = told(output)["runs"]
    assert (stopped["ended"], last["ended"]) == ("stopped", "finished")
    assert (stopped["counts"]["embedded"], last["counts"]["embedded"]) == (finished, 3 - finished)
    assert last["counts"]["kept"] == finished
    assert told(output)["total"]["counts"]["embedded"] == 3
    assert set(pictured(output)) == {"sub-01", "sub-02_ses-a", "sub-02_ses-b"}


def test_shards_and_their_merge_tell_what_one_run_tells(bids: Path, tmp_path: Path) -> None:
    whole, output = tmp_path / "whole.h5", tmp_path / "out.h5"
    (bids / "sub-01/anat/sub-01_T1w.nii.gz").write_bytes(b"")
    assert run("embed", bids, whole) == 3
    for shard in ("1/2", "2/2"):
        assert run("embed", bids, output, "--shard", shard) in (0, 3)
        assert not list(tmp_path.glob("out.r*"))
    assert run("merge", output) == 3
    assert without_times(told(output)) == without_times(told(whole))
    assert [record.get("shard", record["kind"]) for record in told(output)["runs"]] == ["1/2", "2/2", "merge"]
    counts, expected = (told(path)["total"]["counts"] for path in (output, whole))
    assert counts.pop("gflop") == pytest.approx(expected.pop("gflop"), abs=0.01)  # rounded in each run
    assert counts == expected
    assert pictured(output) == pictured(whole)


def test_files_that_are_merged_bring_their_runs_and_pictures(bids: Path, tmp_path: Path) -> None:
    output = tmp_path / "derivative"
    for label in ("01", "02"):
        assert run(bids, output, "participant", "--participant-label", label) == 0
    assert run(bids, output, "group") == 0
    document = told(output / "embeddings.h5")
    assert [record["kind"] for record in document["runs"]] == ["embed", "embed", "merge"]
    assert document["total"]["counts"]["embedded"] == document["counts"]["studies"] == 3
    assert len(pictured(output / "embeddings.h5")) == 3
    assert run(bids, output, "group", "--force", "--no-pictures") == 0
    assert pictured(output / "embeddings.h5") == {}


def test_a_second_run_adds_to_what_is_told_and_one_without_work_leaves_it_alone(
    bids: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.h5"
    assert run("embed", bids, output, "--participant-label", "01") == 0
    assert run("embed", bids, output) == 0
    assert [record["counts"]["embedded"] for record in told(output)["runs"]] == [1, 2]
    assert len(pictured(output)) == 3  # the first study's picture comes from the first page
    before = [output.with_suffix(f".{name}").read_bytes() for name in ("run.json", "report.html")]
    assert run("embed", bids, output) == 0
    assert [output.with_suffix(f".{name}").read_bytes() for name in ("run.json", "report.html")] == before
    assert run("embed", bids, output, "--force") == 0
    assert [record["counts"]["embedded"] for record in told(output)["runs"]] == [3]


def test_what_is_not_wanted_is_not_written(bids: Path, tmp_path: Path) -> None:
    output, page = tmp_path / "out.h5", tmp_path / "out.report.html"
    assert run("embed", bids, output, "--no-report") == 0
    assert not page.exists() and told(output)["counts"]["studies"] == 3
    assert run("report", output) == 0
    assert pictured(output) == {}
    page.unlink()
    assert run("embed", bids, output, "--force", "--no-pictures") == 0
    assert pictured(output) == {} and "image/jpeg" in page.read_text()  # the script can show some
    assert run("embed", bids, output, "--force") == 0
    assert len(pictured(output)) == 3
    assert run("report", output, "--no-pictures", "--output", tmp_path / "share.html") == 0
    assert block(tmp_path / "share.html", "pictures") == {}


def warnings_on_the_report(caplog: pytest.LogCaptureFixture) -> list[str]:
    messages = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    return [message for message in messages if "report" in message]


def test_a_report_that_fails_is_one_warning_and_no_lost_run(
    bids: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.h5"
    (tmp_path / "out.report.html").mkdir()
    assert run("embed", bids, output) == 0
    (warning,) = warnings_on_the_report(caplog)
    assert warning.startswith("The report was not written, and the embeddings are not affected: ")
    assert "out.report.html cannot be written" in warning
    assert read_embeddings(output).n_studies == 3
    assert not (tmp_path / "out.h5.parts").exists()
    caplog.clear()
    (tmp_path / "out.report.html").rmdir()

    def broken(file: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("prima_features.embedding.report.page.arrange", broken)
    assert run("embed", bids, output) == 0
    (warning,) = warnings_on_the_report(caplog)
    assert warning.endswith("unexpected ZeroDivisionError")


def test_a_report_of_what_is_no_embeddings_file_is_refused(
    bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("report", tmp_path / "none.h5") == 2
    assert "does not exist" in capsys.readouterr().err
    assert run("report", bids / "dataset_description.json") == 2
    assert "is not an embeddings file" in capsys.readouterr().err
