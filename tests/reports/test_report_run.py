"""The run: order, resume, failures, labels; nothing half-written."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prima_features.errors import UsageError
from prima_features.reports import DIAGNOSES, Options, Report, summarize
from prima_features.reports.endpoint import Endpoint, EndpointConfig

Rows = Callable[[Path], list[dict[str, str]]]
REPORTS = [Report(f"s{n}", f"FINDINGS: Cyst of {n} mm.") for n in (3, 1, 4, 2)]


def model(server: Any, name: str = "tiny", **options: Any) -> Endpoint:
    return Endpoint(EndpointConfig(server.url, name, **{"retries": 0, **options}), sleep=lambda _: None)


def cyst(prompt: str) -> str:
    """A list with the cyst that the prompt's report is about."""
    return f"1. {prompt[prompt.index('Cyst of') :].splitlines()[0]}"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.tsv"


def parts(output: Path) -> Path:
    return output.with_name("out.tsv.parts.jsonl")


def test_rows_stand_in_the_order_of_the_reports_however_many_ask(
    server: Any, output: Path, rows: Rows
) -> None:
    server.answer = cyst
    summarize(REPORTS, output, model=model(server, workers=3))
    assert rows(output) == [
        {"study_id": one.study, "summary": f"1. Cyst of {one.study[1]} mm.", "method": "endpoint:tiny"}
        for one in REPORTS
    ]


def test_the_rules_write_the_same_table_and_no_parts(output: Path, rows: Rows) -> None:
    assert summarize(REPORTS, output).n_studies == 4
    assert rows(output)[0] == {"study_id": "s3", "summary": "1. Cyst of 3 mm.", "method": "rules"}
    assert list(output.parent.iterdir()) == [output]


def test_nothing_is_asked_twice(server: Any, output: Path) -> None:
    summarize(REPORTS[:2], output, model=model(server))
    again = summarize(REPORTS, output, model=model(server))
    assert again.n_kept == 2
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    "change",
    [
        lambda run: run([Report("s3", "FINDINGS: Cyst of 9 mm.")], Options(), "tiny"),
        lambda run: run(REPORTS[:1], Options(max_items=3), "tiny"),
        lambda run: run(REPORTS[:1], Options(), "other"),
    ],
    ids=["report", "prompt", "model"],
)
def test_another_report_prompt_or_model_is_asked_anew(server: Any, output: Path, change: Any) -> None:
    def run(reports: list[Report], options: Options, name: str) -> None:
        summarize(reports, output, options, model(server, name))

    run(REPORTS[:1], Options(), "tiny")
    change(run)
    assert len(server.requests) == 2


def test_a_torn_last_line_is_asked_again_and_the_next_lines_are_whole(server: Any, output: Path) -> None:
    summarize(REPORTS, output, model=model(server, workers=1))
    whole = parts(output).read_bytes()
    parts(output).write_bytes(whole[:-20])
    assert summarize(REPORTS, output, model=model(server)).n_kept == 3
    assert summarize(REPORTS, output, model=model(server)).n_kept == 4
    assert len(server.requests) == 5


def test_a_kept_answer_that_is_no_summary_is_asked_for_again(server: Any, output: Path) -> None:
    server.answer = cyst
    summarize(REPORTS, output, model=model(server))
    parts(output).write_text(parts(output).read_text().replace("1. Cyst of 4 mm.", "no idea"))
    assert summarize(REPORTS, output, model=model(server)).n_studies == 4
    assert len(server.requests) == 5


@pytest.mark.parametrize("rubbish", [b"\xff\xfe\n", b"[]\n", b"null\n", b'{"key": 1}\n', b"{}\n", b"\n"])
def test_lines_that_are_no_answers_are_passed_over(server: Any, output: Path, rubbish: bytes) -> None:
    parts(output).write_bytes(rubbish)
    assert summarize(REPORTS, output, model=model(server)).n_studies == 4


def test_a_kept_answer_holds_neither_report_nor_key(server: Any, output: Path) -> None:
    server.answer = "1. Something else."
    summarize(REPORTS, output, model=model(server, api_key="sk-secret"))
    for line in parts(output).read_text().splitlines():
        record = json.loads(line)
        assert record.keys() == {"key", "study", "answer"}
        assert "Cyst" not in line
        assert "sk-secret" not in line


def test_a_report_that_fails_is_listed_and_the_rest_is_there(server: Any, output: Path, rows: Rows) -> None:
    server.answer = lambda prompt: "no idea" if "4 mm" in prompt else cyst(prompt)
    reports = [*REPORTS, Report("s5", "")]
    summary = summarize(reports, output, model=model(server))
    assert [row["study_id"] for row in rows(output)] == ["s3", "s1", "s2"]
    assert [(failed.study, failed.reason) for failed in summary.failures] == [
        ("s4", "the model's answer contains no numbered list"),
        ("s5", "the report is empty"),
    ]


def test_only_failed_reports_are_asked_again(server: Any, output: Path) -> None:
    server.script = ["answer", 500]
    assert len(summarize(REPORTS, output, model=model(server)).failures) == 1
    assert not summarize(REPORTS, output, model=model(server)).failures
    assert len(server.requests) == 5


def test_where_every_report_fails_no_table_is_written_and_an_old_one_stays(server: Any, output: Path) -> None:
    summarize(REPORTS, output)
    before = output.read_bytes()
    server.script = [500] * 4
    assert summarize(REPORTS, output, model=model(server)).n_studies == 0
    assert output.read_bytes() == before


def test_labels_of_a_model_are_read_from_its_json(server: Any, output: Path, rows: Rows) -> None:
    def answer(prompt: str) -> str:
        if "JSON" not in prompt:
            return "1. Cyst."
        names = {
            "present": ["cyst_colloid_cyst"],
            "absent": ["structural_edema"],
            "undecided": ["spine_syrinx"],
        }
        return f"```json\n{json.dumps(names)}\n```"

    server.answer = answer
    summarize(REPORTS[:1], output, Options(labels="model", unmentioned="empty"), model(server))
    (row,) = rows(output)
    assert list(row)[3:] == ["abnormal", *DIAGNOSES]
    assert row["abnormal"] == "1"
    assert {name: row[name] for name in DIAGNOSES if row[name]} == {
        "cyst_colloid_cyst": "1",
        "structural_edema": "0",
    }
    summarize(REPORTS[:1], output, Options(labels="model"), model(server))
    (row,) = rows(output)
    assert [name for name in DIAGNOSES if row[name] == ""] == ["spine_syrinx"]
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("none", "not the JSON object"),
        ("{present: []}", "not JSON"),
        ('{"present": ["gout"]}', "not among the diagnoses"),
        ('{"present": [["x"]]}', "not among the diagnoses"),
        ('{"present": "spine_syrinx"}', "not lists"),
        ('{"present": ["spine_syrinx"], "absent": ["spine_syrinx"]}', "twice"),
        ('{"present": [], "maybe": []}', "not the JSON object"),
        ("{}", "not the JSON object"),
    ],
)
def test_labels_that_are_not_what_was_asked_for_are_refused(
    server: Any, output: Path, answer: str, reason: str
) -> None:
    server.answer = lambda prompt: answer if "JSON" in prompt else "1. Cyst."
    (failed,) = summarize(REPORTS[:1], output, Options(labels="model"), model(server)).failures
    assert reason in failed.reason


def test_labels_by_rules_go_with_any_summary(server: Any, output: Path, rows: Rows) -> None:
    reports = [Report("a", "HISTORY: Meningioma.\nFINDINGS: Colloid cyst. No edema. Possible syrinx.")]
    summarize(reports, output, Options(labels="rules"), model(server))
    (row,) = rows(output)
    assert row["method"] == "endpoint:tiny"
    assert [name for name in DIAGNOSES if row[name] == "1"] == ["cyst_colloid_cyst"]
    assert [name for name in DIAGNOSES if row[name] == ""] == ["spine_syrinx"]
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("text", "abnormal"),
    [
        ("Colloid cyst. No edema.", "1"),
        ("Craniotomy. No residual tumor.", "1"),
        ("Normal brain.", "0"),
        ("No edema, no midline shift.", "0"),
        ("Possible meningioma.", "0"),
        ("Mucosal thickening.", "0"),
    ],
    ids=["present", "surgery", "normal", "denied", "undecided", "beyond the 52"],
)
@pytest.mark.parametrize("unmentioned", ["0", "empty"])
def test_a_study_is_abnormal_where_any_diagnosis_is_present(
    text: str, abnormal: str, unmentioned: Any, output: Path, rows: Rows
) -> None:
    summarize([Report("a", text)], output, Options(labels="rules", unmentioned=unmentioned))
    (row,) = rows(output)
    assert row["abnormal"] == abnormal
    assert ("1" in {row[name] for name in DIAGNOSES}) == (abnormal == "1")


def test_without_labels_nothing_is_said_to_be_normal(output: Path, rows: Rows) -> None:
    summarize(REPORTS, output)
    assert "abnormal" not in rows(output)[0]


def test_a_table_of_an_earlier_version_is_replaced_and_its_answers_are_kept(
    server: Any, output: Path, rows: Rows
) -> None:
    server.answer = lambda prompt: '{"present": ["cyst_colloid_cyst"]}' if "JSON" in prompt else "1. Cyst."
    options = Options(labels="model")
    summarize(REPORTS, output, options, model(server))
    asked = len(server.requests)
    lines = [line.split("\t") for line in output.read_text().splitlines()[:3]]  # of 5: it is half of one too
    output.write_text("\n".join("\t".join(cells[:3] + cells[4:]) for cells in lines) + "\n")
    assert "abnormal" not in rows(output)[0]
    summarize(REPORTS, output, options, model(server))
    assert [row["abnormal"] for row in rows(output)] == ["1"] * 4
    assert len(server.requests) == asked


def test_a_model_is_shown_nothing_of_header_history_and_signature(
    server: Any, output: Path, full_report: str, identifying: tuple[str, ...]
) -> None:
    summarize([Report("ROE-STUDY-7", full_report)], output, model=model(server))
    (prompt,) = server.prompts
    assert "meningioma measuring 2.3 x 1.8 cm" in prompt
    hidden = (*identifying, "lymphoma", "Gadavist", "ROE-STUDY-7")
    assert [word for word in hidden if word in prompt] == []


def test_a_server_that_refuses_the_key_stops_the_others_too(server: Any, output: Path) -> None:
    server.script = [401] * 100
    reports = [Report(f"s{n}", f"FINDINGS: Cyst of {n} mm.") for n in range(100)]
    with pytest.raises(UsageError, match="HTTP 401"):
        summarize(reports, output, model=model(server, workers=2))
    assert len(server.requests) < 20
    assert not output.exists()


def test_equal_reports_are_asked_about_once(server: Any, output: Path, rows: Rows) -> None:
    summarize([Report("a", "Cyst."), Report("b", "Cyst.")], output, model=model(server))
    assert [row["study_id"] for row in rows(output)] == ["a", "b"]
    assert len(server.requests) == 1


def test_another_file_is_never_replaced(tmp_path: Path) -> None:
    output = tmp_path / "reports.tsv"
    output.write_text("study_id\treport\n")
    with pytest.raises(UsageError, match="is not a table of summaries"):
        summarize(REPORTS, output)
    with pytest.raises(UsageError, match="is a folder"):
        summarize(REPORTS, tmp_path)
    with pytest.raises(UsageError, match="does not exist; create it"):
        summarize(REPORTS, tmp_path / "no" / "out.tsv")


def test_reports_stand_alone_and_load_nothing_heavy() -> None:
    code = "import sys, prima_features.reports\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    loaded = set(done.stdout.split())
    assert not loaded & {"torch", "pandas", "transformers", "h5py", "sklearn"}
    ours = {name.split(".")[1] for name in loaded if name.startswith("prima_features.")}
    assert ours <= {"reports", "errors", "files", "import_path", "_version", "wording"}
