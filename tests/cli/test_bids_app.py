"""`prima BIDS_DIR OUT_DIR participant`, as BIDS Apps are called."""

import json
from pathlib import Path

import numpy as np
import pytest

from prima_features.cli.bids_app import as_embed
from prima_features.cli.main import main
from prima_features.embedding.file.read import read_embeddings

COMMANDS = {"embed", "inspect", "probe"}


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.mark.parametrize(
    "given",
    [
        "BIDS OUT participant --participant-label 01 02",
        "--participant-label 01 02 --device cpu BIDS OUT participant",
        "embed BIDS OUT participant --participant-label 01 02",
        "embed --participant-label 01 02 BIDS OUT participant",
    ],
)
def test_the_level_is_found_wherever_it_stands(given: str) -> None:
    arguments = as_embed(given.split(), COMMANDS)
    assert arguments[0] == "embed"
    assert arguments[-2:] == ["--analysis-level", "participant"]
    assert arguments.count("participant") == 1


def test_options_may_have_underscores_and_values_keep_theirs() -> None:
    given = "B_1 OUT participant --participant_label 01 --bids_filter_file=my_filter.json"
    assert as_embed(given.split(), COMMANDS)[3:5] == ["--participant-label", "01"]
    assert as_embed(given.split(), COMMANDS)[5] == "--bids-filter-file=my_filter.json"
    assert as_embed(given.split(), COMMANDS)[1] == "B_1"


@pytest.mark.parametrize(
    "given",
    [
        "embed group out.h5",
        "embed BIDS out.h5 --participant-label group",
        "embed --participant-label 01 02 group out.h5",
        "inspect BIDS OUT participant",
        "--version",
        "",
    ],
)
def test_other_commands_are_left_alone(given: str) -> None:
    assert as_embed(given.split(), COMMANDS) == given.split()


def test_a_whole_dataset_becomes_a_derivative(
    bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    description = {"Name": "Ten brains", "BIDSVersion": "1.9.0", "DatasetDOI": "doi:10.0/x"}
    (bids / "dataset_description.json").write_text(json.dumps(description))
    output = tmp_path / "derivatives" / "prima"
    assert run(bids, output, "participant") == 0
    assert read_embeddings(output / "embeddings.h5").n_studies == 3
    written = json.loads((output / "dataset_description.json").read_text())
    assert written["Name"] == "Embeddings of Ten brains"
    assert written["DatasetType"] == "derivative"
    assert written["GeneratedBy"][0]["Name"] == "prima-features"
    assert written["SourceDatasets"] == [{"URL": bids.as_uri(), "DOI": "doi:10.0/x"}]
    beside = {path.name for path in output.iterdir() if not path.name.startswith("embeddings.")}
    assert beside == {".bidsignore", "dataset_description.json"}
    capsys.readouterr()
    assert run(bids, output, "group") == 0
    assert "contains all results" in capsys.readouterr().out


def test_jobs_of_single_participants_share_a_folder_and_the_group_level_joins_them(
    bids: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    assert run(bids, output, "participant", "--participant_label", "01") == 0
    assert (
        run("embed", "--participant-label", "sub-02", "--session-label", "a", bids, output, "participant")
        == 0
    )
    assert {path.name for path in output.glob("*.h5")} == {
        "sub-01_embeddings.h5",
        "sub-02_ses-a_embeddings.h5",
    }
    assert run(bids, output, "group") == 0
    joined = read_embeddings(output / "embeddings.h5")
    assert joined.studies["id"].tolist() == ["sub-01", "sub-02_ses-a"]
    alone = read_embeddings(output / "sub-01_embeddings.h5")
    np.testing.assert_array_equal(joined.study_embedding[:1], alone.study_embedding)


def test_the_group_level_waits_for_every_job_and_takes_shards_too(
    bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    job = [bids, output, "participant", "--participant-label", "02"]
    assert run(*job, "--shard", "1/2") == 0
    assert run(bids, output, "participant", "--participant-label", "01") == 0
    capsys.readouterr()
    assert run(bids, output, "group") == 2
    assert "1 of 3 studies are not finished" in capsys.readouterr().err
    assert not (output / "embeddings.h5").exists()
    assert run(*job, "--shard", "2/2") == 0
    assert run(bids, output, "group") == 0
    assert read_embeddings(output / "embeddings.h5").n_studies == 3


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["{bids}", "{bids}", "participant"], "is the dataset itself; name another folder"),
        (["{bids}", "{bids}/sub-01/out", "participant"], "in sub-01, a participant of the dataset"),
        (["{bids}", "{tmp}/out.h5", "participant"], "is a file name; a BIDS App writes to a folder"),
        (["{bids}", "{tmp}/file", "participant"], "is a file; a BIDS App writes to a folder"),
        (["{bids}", "{tmp}/other", "participant"], "contains a dataset that prima embed did not write"),
        (["{bids}", "{tmp}/other", "group"], "contains a dataset that prima embed did not write"),
        (["{bids}", "{tmp}/synthetic", "participant"], "contains a dataset that prima embed did not write"),
        (["{bids}", "{tmp}/empty", "group"], "contains no embeddings; run the participant level first"),
        (["{tmp}/nowhere", "{tmp}/out", "participant"], "is not a folder; a BIDS App takes a BIDS dataset"),
        (["{bids}", "{tmp}/out", "participant", "--format", "dicom"], "takes a BIDS dataset, not dicom"),
        (["--manifest", "t.tsv", "{tmp}/out", "participant"], "takes a BIDS dataset"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_writes_nothing(
    bids: Path, tmp_path: Path, arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    for name, kind, tool in (
        ("other", "derivative", "fmriprep"),
        ("synthetic", "raw", "prima-features"),
    ):
        (tmp_path / name).mkdir()
        description = {"DatasetType": kind, "GeneratedBy": [{"Name": tool}]}
        (tmp_path / name / "dataset_description.json").write_text(json.dumps(description))
    before = sorted(tmp_path.rglob("*"))
    assert run(*(text.format(bids=bids, tmp=tmp_path) for text in arguments)) == 2
    error = capsys.readouterr().err
    assert error.startswith("Error: ") and error.count("\n") == 1
    assert reason in error
    assert sorted(tmp_path.rglob("*")) == before


def test_a_long_selection_has_a_name_that_a_disk_takes(tmp_path: Path) -> None:
    from prima_features.embedding.export.derivative import participant_output
    from prima_features.studies import Selection

    labels = tuple(f"{i:04}" for i in range(400))
    names = {
        participant_output(tmp_path / "out", tmp_path, Selection(chosen)).name
        for chosen in (labels, labels[:399], labels[1:])
    }
    assert len(names) == 3
    assert max(map(len, names)) < 60
