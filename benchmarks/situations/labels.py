"""Label tables as people have them: written by spreadsheets, merged by hand, with visits, codes and several ids.

Each situation writes an embeddings file of 24 studies and a table, and runs `prima probe fit --dry-run`. The labels
that the join gives are compared with the true ones: each must be right, or the output must say what was done.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from situations.common import Box, Outcome, Ran, Situations

SITUATIONS = Situations("labels")

SUBJECTS = [f"{50 + i:04d}" for i in range(24)]
AGES = {name: 20.5 + 2 * i for i, name in enumerate(SUBJECTS)}
DX = {name: ("control", "autism")[i % 2] for i, name in enumerate(SUBJECTS)}
Rows = list[list[object]]


def embeddings(box: Box, names: Sequence[str] = (), name: str = "e.h5") -> Path:
    """An embeddings file of these studies (`SUBJECT` or `SUBJECT_ses-X`), with random vectors."""
    from prima_features.embedding.file.records import EmbeddedStudy
    from prima_features.embedding.file.write import Provenance, write_embeddings

    rng = np.random.default_rng(0)
    studies = []
    for one in names or SUBJECTS:
        subject, _, session = one.partition("_ses-")
        vector = rng.normal(size=8).astype(np.float32)
        studies.append(EmbeddedStudy(f"sub-{one}", subject, session, "MRI", "", vector, vector[:2], ()))
    write_embeddings(box.folder / name, studies, Provenance("tiny", "1", "0" * 64, {}))
    return box.folder / name


def rows(**changed: Callable[[str], object]) -> Rows:
    """A row per subject: id, age, sex, dx; each cell as the function named like it writes it."""
    default: dict[str, Callable[[str], object]] = {
        "participant_id": lambda s: f"sub-{s}",
        "age": AGES.__getitem__,
        "sex": lambda s: "MF"[int(s) % 2],
        "dx": DX.__getitem__,
    }
    columns = default | changed
    return [list(columns), *([cell(s) for cell in columns.values()] for s in SUBJECTS)]


def write(
    box: Box, table: Rows, name: str = "t.tsv", sep: str = "\t", end: str = "\n", encoding: str = "utf-8"
) -> Path:
    """The table as text."""
    path = box.folder / name
    path.write_bytes((end.join(sep.join(map(str, row)) for row in table) + end).encode(encoding))
    return path


def labels(file: Path, *tables: Path, **request: object) -> dict[str, object]:
    """The label that a join gives each study; nothing if it is refused."""
    from prima_features import read_embeddings
    from prima_features.errors import PrimaError
    from prima_features.probes.labels import LabelRequest, join

    try:
        frame = join(read_embeddings(file), LabelRequest(tables, **request)).frame
    except PrimaError:
        return {}
    return dict(zip(frame["study"].str.removeprefix("sub-"), frame["target"], strict=True))


def verdict(
    ran: Ran, found: Mapping[str, object], true: Mapping[str, object], *words: str, all_named: bool = False
) -> Outcome:
    """Right if every study has its true label; named if the others have none, and the output has one of the words.

    `all_named` accepts wrong labels too if a word is there: what was assumed cannot be known.
    """
    if "Traceback" in ran.text or "Internal error" in ran.text:
        return Outcome("silently wrong", ran.text[-300:])
    wrong = [s for s, label in found.items() if s not in true or not _same(label, true[s])]
    said = any(word.lower() in " ".join(ran.text.lower().split()) for word in words)
    if wrong and not (all_named and said):
        return Outcome(
            "silently wrong", f"{wrong[0]} has {found[wrong[0]]!r}, not {true.get(wrong[0])!r}: {ran.text}"
        )
    counts = re.search(r"(\d+) of (\d+) studies have a label", ran.text)
    if counts and counts[1] != counts[2] and "are left out" not in " ".join(ran.text.split()):
        return Outcome("silently wrong", f"studies are left out without a word: {ran.text}")
    if not wrong and len(found) == len(true) and ran.code == 0:
        return Outcome("right")
    return (
        Outcome("named", words[0])
        if said
        else Outcome("silently wrong", f"code {ran.code}: {ran.text[-400:]}")
    )


def _same(label: object, true: object) -> bool:
    return abs(label - true) < 0.02 if isinstance(true, float) and isinstance(label, float) else label == true


def age(box: Box, *tables: Path, words: Sequence[str] = (), all_named: bool = False, file: Path | None = None,
        true: Mapping[str, object] = AGES, **request: object) -> Outcome:  # fmt: skip
    """The verdict on ages as labels."""
    return _run(box, "brain-age", tables, words, all_named, file, true, request)


def dx(box: Box, *tables: Path, words: Sequence[str] = (), all_named: bool = False, file: Path | None = None,
       true: Mapping[str, object] = DX, **request: object) -> Outcome:  # fmt: skip
    """The verdict on the column dx as labels of a custom task."""
    return _run(box, "custom", tables, words, all_named, file, true, {"target_column": "dx", **request})


def _run(
    box: Box, task: str, tables: Sequence[Path], words: Sequence[str], all_named: bool, file: Path | None,
    true: Mapping[str, object], request: Mapping[str, object],
) -> Outcome:  # fmt: skip
    file = file or embeddings(box)
    options: list[object] = []
    for name, value in request.items():
        for one in value if isinstance(value, tuple) else (value,):
            options += [f"--{name.replace('_', '-')}={one}"]
    given = [part for table in tables for part in ("--labels", table)]
    ran = box.prima(
        "probe", "fit", task, file, *given, *options, "--folds", 2, "--inner-folds", 2, "--dry-run"
    )
    return verdict(ran, labels(file, *tables, task=task, **request), true, *words, all_named=all_named)


# ---- how the table was written ----


@SITUATIONS("lines end in carriage returns alone, and a quoted note contains one")
def _(box: Box) -> Outcome:
    return age(box, write(box, rows(note=lambda s: '"one\rtwo"'), end="\r"))


@SITUATIONS("line endings of three kinds are mixed")
def _(box: Box) -> Outcome:
    lines = ["\t".join(map(str, row)) for row in rows()]
    ends = ("\r\n", "\r", "\n")
    text = "".join(line + ends[i % 3] for i, line in enumerate(lines))
    (box.folder / "t.tsv").write_bytes(text.encode())
    return age(box, box.folder / "t.tsv")


@SITUATIONS("the table is UTF-16 without byte order mark")
def _(box: Box) -> Outcome:
    return dx(box, write(box, rows(), encoding="utf-16-be"))


@SITUATIONS("the table is UTF-32")
def _(box: Box) -> Outcome:
    return dx(box, write(box, rows(), encoding="utf-32"))


@SITUATIONS("a bar separates cells, and the notes contain commas")
def _(box: Box) -> Outcome:
    return dx(box, write(box, rows(note=lambda s: "well, and, so on"), "t.csv", sep="|"))


@SITUATIONS("a TSV whose headers contain commas is named .csv")
def _(box: Box) -> Outcome:
    table = rows()
    table[0] = ["participant_id", "age, years, at scan", "sex, m or f", "dx"]
    return dx(box, write(box, table, "t.csv"))


@SITUATIONS("a spreadsheet wrote sep=; first and decimal commas")
def _(box: Box) -> Outcome:
    table = rows(age=lambda s: str(AGES[s]).replace(".", ","))
    return age(box, write(box, [["sep=;"], *table], "t.csv", sep=";", end="\r\n"))


@SITUATIONS("a quote is opened in a note and closed three rows later")
def _(box: Box) -> Outcome:
    quotes = {SUBJECTS[4]: '"he said', SUBJECTS[7]: 'and so"'}
    return age(
        box, write(box, rows(note=lambda s: quotes.get(s, "")), "t.csv", sep=","), words=["check the quotes"]
    )


@SITUATIONS("a separator is missing in one row")
def _(box: Box) -> Outcome:
    table = rows(site=lambda s: "A")
    table[5] = [table[5][0], f"{table[5][1]}{table[5][2]}", *table[5][3:]]
    return dx(box, write(box, table), words=["fewer cells than the header"], all_named=True)


@SITUATIONS("two columns have one name but for a no-break space")
def _(box: Box) -> Outcome:
    table = rows(extra=lambda s: 99 - AGES[s])
    table[0][4] = "age\u00a0"
    return age(box, write(box, table), words=["several columns named"])


@SITUATIONS("headers and ids contain no-break and zero-width spaces")
def _(box: Box) -> Outcome:
    table = rows(participant_id=lambda s: f"\u200bsub-{s}\u00a0")
    table[0][0] = "\ufeffparticipant\u00a0id"
    return age(box, write(box, table))


@SITUATIONS("the workbook has a second sheet with later values")
def _(box: Box) -> Outcome:
    import openpyxl

    book = openpyxl.Workbook()
    book.active.title = "follow-up"
    for row in rows(age=lambda s: AGES[s] + 3):
        book.active.append(row)
    first = book.create_sheet("baseline", 1)
    for row in rows():
        first.append(row)
    book.save(box.folder / "t.xlsx")
    return age(box, box.folder / "t.xlsx", words=["has several sheets"], all_named=True)


# ---- ids ----


@SITUATIONS("a spreadsheet lost the leading zeros of ids")
def _(box: Box) -> Outcome:
    return dx(box, write(box, rows(participant_id=int)))


@SITUATIONS("ids passed through floats")
def _(box: Box) -> Outcome:
    return dx(box, write(box, rows(participant_id=lambda s: f"{float(s):.2f}")))


@SITUATIONS("sub-0050 and sub-50 are two subjects and the table has 50 only")
def _(box: Box) -> Outcome:
    file = embeddings(box, [*SUBJECTS, "50"])
    table = rows(participant_id=lambda s: int(s) if s == "0050" else f"sub-{s}")
    true = {**DX, "50": "control"}
    del true["0050"]
    return dx(box, write(box, table), file=file, true=true, words=["fits several subjects", "match no"])


@SITUATIONS("ids of the table differ in punctuation only, with other labels")
def _(box: Box) -> Outcome:
    table = rows()
    table += [["1-11", 30, "F", "control"], ["11-1", 40, "F", "autism"]]
    file = embeddings(box, [*SUBJECTS, "111"])
    return dx(box, write(box, table), file=file, true={**DX, "111": None}, words=["fits several subjects"])


@SITUATIONS("accents of ids are decomposed in the table and composed in the file")
def _(box: Box) -> Outcome:
    file = embeddings(box, [f"Mü{s}" for s in SUBJECTS])
    table = rows(participant_id=lambda s: unicodedata.normalize("NFD", f"Mü{s}"))
    return dx(box, write(box, table), file=file, true={f"Mü{s}": label for s, label in DX.items()})


@SITUATIONS("Mueller with and without dots are two subjects")
def _(box: Box) -> Outcome:
    file = embeddings(box, [*SUBJECTS, "Müller", "Muller"])
    table = rows()
    table += [[unicodedata.normalize("NFD", "Müller"), 30, "F", "autism"], ["Muller", 40, "F", "control"]]
    return dx(box, write(box, table), file=file, true={**DX, "Müller": "autism", "Muller": "control"})


@SITUATIONS("a column id numbers the rows, and the subjects are in another")
def _(box: Box) -> Outcome:
    order = SUBJECTS[1:] + SUBJECTS[:1]
    table = [["id", "subject", "dx"], *([50 + i, f"P{s}", DX[s]] for i, s in enumerate(order))]
    return dx(box, write(box, table), words=["numbers the rows"])


@SITUATIONS("two id columns give a study different rows")
def _(box: Box) -> Outcome:
    rotated = SUBJECTS[1:] + SUBJECTS[:1]
    table = [["subject", "id", "dx"]]
    table += [
        [s if i < 12 else f"P{s}", t, DX[s]] for i, (s, t) in enumerate(zip(SUBJECTS, rotated, strict=True))
    ]
    return dx(box, write(box, table), words=["both contain ids of the studies"])


@SITUATIONS("a subject has two rows that contradict each other")
def _(box: Box) -> Outcome:
    table = rows()
    table.append([table[3][0], 70, "M", "control" if table[3][3] == "autism" else "autism"])
    return dx(box, write(box, table), words=["disagree"])


@SITUATIONS("twins share the id of their family")
def _(box: Box) -> Outcome:
    file = embeddings(box, [f"{s}_ses-{twin}" for s in SUBJECTS for twin in "AB"])
    table = rows()
    table += [[row[0], row[1], row[2], "control"] for row in table[1:]]
    true = {f"{s}_ses-{twin}": label for s, label in DX.items() for twin in "AB"}
    return dx(box, write(box, table), file=file, true=true, words=["disagree"])


@SITUATIONS("cells of merged ids are empty below the first visit")
def _(box: Box) -> Outcome:
    table = [row for one in rows()[1:] for row in (one, ["", float(one[1]) + 2, *one[2:]])]
    return age(box, write(box, [rows()[0], *table]), words=["the row has no id"], all_named=False)


@SITUATIONS("the column of subjects repeats next to ids of scans")
def _(box: Box) -> Outcome:
    from prima_features import read_embeddings
    from prima_features.probes.labels import LabelRequest, join

    scans = [f"OAS2{s}MR{k}" for s in SUBJECTS for k in (1, 2)]
    file = embeddings(box, scans)
    table = [["Subject ID", "MRI ID", "dx"]]
    table += [[f"OAS2_{s}", f"OAS2_{s}_MR{k}", DX[s]] for s in SUBJECTS for k in (1, 2)]
    path = write(box, table, "t.csv", sep=",")
    frame = join(read_embeddings(file), LabelRequest((path,), target_column="dx", id_column="MRI ID")).frame
    if frame["subject"].nunique() != 24 or frame["group"].nunique() != 24:
        return Outcome("silently wrong", f"{frame['subject'].nunique()} subjects of 24 persons")
    return dx(box, path, file=file, id_column="MRI ID", true={scan: DX[scan[4:8]] for scan in scans})


# ---- values ----


@SITUATIONS("missing ages are 999, -9999 and a dot")
def _(box: Box) -> Outcome:
    codes = dict(zip(SUBJECTS, ["999", "-9999", ".", "-1"], strict=False))
    true = {s: a for s, a in AGES.items() if s not in codes}
    return age(
        box, write(box, rows(age=lambda s: codes.get(s, AGES[s]))), true=true, words=["count as missing"]
    )


@SITUATIONS("ages are in months by their name")
def _(box: Box) -> Outcome:
    table = rows(age=lambda s: AGES[s] * 12)
    table[0][1] = "Age (months)"
    return age(box, write(box, table), age_column="Age (months)")


@SITUATIONS("ages are in months, and nothing says so")
def _(box: Box) -> Outcome:
    return age(box, write(box, rows(age=lambda s: AGES[s] * 12)), words=["cannot be years"])


@SITUATIONS("ages are written as DICOM writes them")
def _(box: Box) -> Outcome:
    true = {s: float(int(a)) for s, a in AGES.items()}
    return age(box, write(box, rows(age=lambda s: f"{int(AGES[s]):03d}Y")), true=true)


@SITUATIONS("the oldest are written as 60+")
def _(box: Box) -> Outcome:
    table = rows(age=lambda s: "60+" if AGES[s] > 60 else AGES[s])
    return age(box, write(box, table), words=["read as that number"], all_named=True)


@SITUATIONS("a diagnosis is written as Yes, TRUE, 1.0 and 1")
def _(box: Box) -> Outcome:
    yes, no = ["Yes", "TRUE", "1.0", "1"], ["No", "FALSE", "0.0", "0"]
    table = rows(dx=lambda s: (yes if DX[s] == "autism" else no)[int(s) % 4])
    true = {s: "Yes" if label == "autism" else "No" for s, label in DX.items()}
    same = {"yes": "Yes", "true": "Yes", "1": "Yes", "no": "No", "false": "No", "0": "No"}
    file = embeddings(box)
    read = labels(file, write(box, table), target_column="dx")
    given = {s: same[str(label).lower().removesuffix(".0")] for s, label in read.items()}
    ran = box.prima("probe", "fit", "custom", file, "--labels", box.folder / "t.tsv", "--target-column", "dx",
                    "--folds", 2, "--inner-folds", 2, "--dry-run")  # fmt: skip
    return verdict(ran, given, true, "mixes spellings")


@SITUATIONS("classes differ in case, spaces and Unicode form")
def _(box: Box) -> Outcome:
    forms = ["autism", "Autism ", "AUTISM", "\u00a0autism"]
    table = rows(dx=lambda s: forms[int(s) % 4] if DX[s] == "autism" else "control")
    file = embeddings(box)
    found = {
        s: str(label).strip().lower()
        for s, label in labels(file, write(box, table), target_column="dx").items()
    }
    ran = box.prima("probe", "fit", "custom", file, "--labels", box.folder / "t.tsv", "--target-column", "dx",
                    "--folds", 2, "--inner-folds", 2, "--dry-run")  # fmt: skip
    return verdict(ran, found, DX, "classes")


@SITUATIONS("an unknown diagnosis is coded 9 among 1 and 2")
def _(box: Box) -> Outcome:
    table = rows(dx=lambda s: 9 if int(s) % 8 == 0 else 1 + (DX[s] == "autism"))
    true = {s: "2" if label == "autism" else "1" for s, label in DX.items() if int(s) % 8}
    return dx(box, write(box, table), true=true, words=["count as missing"])


@SITUATIONS("numbers have commas that may separate thousands")
def _(box: Box) -> Outcome:
    values = {s: float(400 + 170 * i) for i, s in enumerate(SUBJECTS)}
    table = rows(dx=lambda s: f"{values[s]:,.0f}")
    return dx(box, write(box, table), kind="number", true=values, words=["can separate thousands"])


@SITUATIONS("the negative class of --positive is made of three values")
def _(box: Box) -> Outcome:
    table = rows(dx=lambda s: "autism" if DX[s] == "autism" else ("control", "not sure", "ADHD")[int(s) % 3])
    true = {s: label if label == "autism" else "other" for s, label in DX.items()}
    return dx(box, write(box, table), positive=("autism",), true=true)


@SITUATIONS("two tables disagree about the age")
def _(box: Box) -> Outcome:
    first = write(box, rows(age=lambda s: AGES[s] + (s == SUBJECTS[0])), "a.tsv")
    return age(box, first, write(box, rows(), "b.tsv"), words=["disagree about age"], all_named=True)


# ---- visits ----


def visits(box: Box, labels_of: Callable[[str], Sequence[tuple[str, object]]]) -> Path:
    """A table of each subject's visits as (date, label)."""
    table = [["participant_id", "when", "dx"]]
    table += [[s, when, label] for s in SUBJECTS for when, label in labels_of(s)]
    return write(box, table, "visits.tsv")


def dates(box: Box, day: str) -> Path:
    """A table of the scans' dates, all on one day."""
    return write(box, [["study", "date"], *([f"sub-{s}", day] for s in SUBJECTS)], "dates.tsv")


@SITUATIONS("the scan is five days from an MCI visit and 120 from a normal one")
def _(box: Box) -> Outcome:
    converts = set(SUBJECTS[:6])

    def of(s: str) -> list[tuple[str, object]]:
        later = "mci" if s in converts else DX[s]
        return [("2010-01-01", "control" if s in converts else DX[s]), ("2010-05-06", later)]

    true = {s: label for s, label in DX.items() if s not in converts}
    return dx(box, visits(box, of), date_column="when", scan_dates=dates(box, "2010-05-01"),
              classes=("control", "autism"), true=true, words=["in none of the classes"])  # fmt: skip


@SITUATIONS("the scan is midway between two visits with different labels")
def _(box: Box) -> Outcome:
    table = visits(box, lambda s: [("2010-01-01", DX[s]), ("2010-01-21", "other")])
    return dx(box, table, date_column="when", scan_dates=dates(box, "2010-01-11"),
              words=["midway between two visits"], all_named=True)  # fmt: skip


@SITUATIONS("the visit nearest the scan has no label")
def _(box: Box) -> Outcome:
    table = visits(box, lambda s: [("2010-01-01", DX[s]), ("2010-05-01", "n/a")])
    return dx(box, table, date_column="when", scan_dates=dates(box, "2010-05-02"),
              words=["another visit than the nearest"], all_named=True)  # fmt: skip


@SITUATIONS("dates of labels are in no known format")
def _(box: Box) -> Outcome:
    table = visits(box, lambda s: [("spring 2010", DX[s])])
    return dx(box, table, date_column="when", scan_dates=dates(box, "2015-05-02"), words=["--date-format"])


@SITUATIONS("some dates are in another format than the rest")
def _(box: Box) -> Outcome:
    table = visits(box, lambda s: [("2010-05-01" if int(s) % 4 else "May 2010", DX[s])])
    true = {s: label for s, label in DX.items() if int(s) % 4}
    return dx(
        box,
        table,
        date_column="when",
        scan_dates=dates(box, "2010-05-02"),
        true=true,
        words=["count as undated"],
    )


@SITUATIONS("labels have days since entry and scans have dates")
def _(box: Box) -> Outcome:
    table = visits(box, lambda s: [("0", DX[s]), ("400", "other")])
    return dx(
        box, table, date_column="when", scan_dates=dates(box, "2010-05-02"), words=["has a date", "compared"]
    )


@SITUATIONS("sessions are named otherwise than visits")
def _(box: Box) -> Outcome:
    file = embeddings(box, [f"{s}_ses-01" for s in SUBJECTS])
    table = [["participant_id", "session", "dx"], *([s, "baseline", DX[s]] for s in SUBJECTS)]
    true = {f"{s}_ses-01": label for s, label in DX.items()}
    return dx(box, write(box, table), file=file, true=true, words=["no label for the scan's session"])


@SITUATIONS("the session's own label is of no class, and another session's is")
def _(box: Box) -> Outcome:
    file = embeddings(box, [f"{s}_ses-2" for s in SUBJECTS])
    table = [["participant_id", "session_id", "dx"]]
    table += [[s, f"ses-0{k}", label] for s in SUBJECTS for k, label in ((1, DX[s]), (2, _second(s)))]
    true = {f"{s}_ses-2": DX[s] for s in SUBJECTS if _second(s) != "mci"}
    return dx(box, write(box, table), file=file, true=true, classes=("control", "autism"),
              words=["in none of the classes"])  # fmt: skip


def _second(subject: str) -> str:
    return "mci" if int(subject) % 8 == 0 else DX[subject]


# ---- cohorts and codes ----


@SITUATIONS("young adults of OASIS-1 have no CDR")
def _(box: Box) -> Outcome:
    names = [f"OAS1{s}MR1" for s in SUBJECTS]
    table = [["ID", "M/F", "Age", "CDR"]]
    cdr = {s: "" if AGES[s] < 50 else ("0", "0.5", "1")[int(s) % 3] for s in SUBJECTS}
    table += [[f"OAS1_{s}_MR1", "F", AGES[s], cdr[s]] for s in SUBJECTS]
    true = {f"OAS1{s}MR1": {"": "cn", "0": "cn", "0.5": "mci", "1": "ad"}[cdr[s]] for s in SUBJECTS}
    read = labels(
        file := embeddings(box, names), path := write(box, table, "t.csv", ","), task="dementia", cohort="oasis1",
        classes=("cn", "mci", "ad"),
    )  # fmt: skip
    ran = box.prima("probe", "fit", "brain-age", file, "--labels", path, "--cohort", "oasis1", "--dry-run")
    return verdict(ran, read, true, "Marcus et al. 2007")


@SITUATIONS("scans of OASIS-2 are named by session, and converters change class")
def _(box: Box) -> Outcome:
    names = [f"OAS2{s}_ses-MR{k}" for s in SUBJECTS for k in (1, 2)]
    table = [["Subject ID", "MRI ID", "Group", "Age", "CDR"]]
    for s in SUBJECTS:
        group = "Converted" if _later(s) else "Nondemented"
        cdr = (0, _later(s))
        table += [[f"OAS2_{s}", f"OAS2_{s}_MR{k}", group, AGES[s] + 40, cdr[k - 1]] for k in (1, 2)]
    true = {name: "ad" if name.endswith("2") and _later(name[4:8]) else "cn" for name in names}
    return _run(box, "dementia", [write(box, table, "t.csv", ",")], (), False, embeddings(box, names), true,
                {"cohort": "oasis2"})  # fmt: skip


def _later(subject: str) -> int:
    return int(int(subject) % 4 == 0)


@SITUATIONS("each session of a BIDS dataset has its own age")
def _(box: Box) -> Outcome:
    folder = box.folder / "ds"
    folder.mkdir()
    write(Box(folder), rows(), "participants.tsv")
    for s in SUBJECTS:
        (folder / f"sub-{s}").mkdir()
        cells = [["session_id", "age"], *([f"ses-{k}", AGES[s] + 2 * k] for k in (0, 1))]
        write(Box(folder / f"sub-{s}"), cells, f"sub-{s}_sessions.tsv")
    file = embeddings(box, [f"{s}_ses-1" for s in SUBJECTS])
    return age(box, folder, file=file, true={f"{s}_ses-1": a + 2 for s, a in AGES.items()})


@SITUATIONS("participants.json says that 0 is the disease")
def _(box: Box) -> Outcome:
    (box.folder / "t.json").write_text('{"dx": {"Levels": {"0": "ASD", "1": "healthy control"}}}')
    path = write(box, rows(dx=lambda s: int(DX[s] == "control")))
    return _run(box, "autism", [path], (), False, None, DX, {"target_column": "dx"})


@SITUATIONS("--classes and --control-values name values that the column does not have")
def _(box: Box) -> Outcome:
    first = dx(box, write(box, rows()), classes=("control", "autisme"), true={}, words=["no such value"])
    table = write(box, rows(group=lambda s: "HC" if int(s) % 2 else "PT"))
    second = age(box, table, control_column="group", control_values=("HCC",), words=["no such value"])
    return first if first.verdict == "silently wrong" else second


@SITUATIONS("a third diagnosis has no scans")
def _(box: Box) -> Outcome:
    return dx(box, write(box, [*rows(), *([f"X{i}", 30, "F", "other"] for i in range(9))]))


@SITUATIONS("a column is_control has 1 for controls")
def _(box: Box) -> Outcome:
    table = rows(is_control=lambda s: int(s) % 2)
    return age(box, write(box, table), control_column="is_control", words=["clearly means a control"])


@SITUATIONS("a column of healthy people is named as the label of a disease")
def _(box: Box) -> Outcome:
    table = rows(healthy=lambda s: int(DX[s] == "control"))
    return _run(box, "autism", [write(box, table)], ["its name suggests control"], False, None, DX,
                {"target_column": "healthy"})  # fmt: skip


@SITUATIONS("two patients share the PatientID ANONYMOUS")
def _(box: Box) -> Outcome:
    pseudonyms = {s: f"{int(s) * 7919:012x}" for s in SUBJECTS}
    file = embeddings(box, list(pseudonyms.values()))
    patients = {s: "ANONYMOUS" if s in SUBJECTS[:2] else s for s in SUBJECTS}
    table = [["study", "patient_id", "study_instance_uid", "folder", "key"]]
    table += [[f"sub-{pseudonyms[s]}", patients[s], "1.2", "a", "00" * 32] for s in SUBJECTS]
    write(box, table, "e.ids.tsv")
    given = rows(participant_id=patients.__getitem__)
    del given[2]
    true = {pseudonyms[s]: DX[s] for s in SUBJECTS if s not in SUBJECTS[:2]}
    return dx(box, write(box, given), file=file, true=true, words=["fits several subjects"])


@SITUATIONS("digits of a pseudonym are those of an id of ABIDE")
def _(box: Box) -> Outcome:
    file = embeddings(box, [*(f"00500{s[2:]}" for s in SUBJECTS), "a50079bcdef0"])
    table = [
        ["SUB_ID", "DX_GROUP"],
        *([f"500{s[2:]}", 1 + (DX[s] == "control")] for s in SUBJECTS),
        [50079, 1],
    ]
    true = {f"00500{s[2:]}": DX[s] for s in SUBJECTS}
    return _run(box, "autism", [write(box, table)], (), False, file, true, {"cohort": "abide1"})


@SITUATIONS("a class is written 0.5, .5 and 0,5")
def _(box: Box) -> Outcome:
    half = ["0.5", ".5", "0,5", "0.50"]
    table = rows(dx=lambda s: half[int(s) % 4] if DX[s] == "autism" else "0")
    read = labels(file := embeddings(box), path := write(box, table), target_column="dx")
    found = {s: "control" if value == "0" else "autism" for s, value in read.items()}
    ran = box.prima("probe", "fit", "custom", file, "--labels", path, "--target-column", "dx",
                    "--folds", 2, "--inner-folds", 2, "--dry-run")  # fmt: skip
    return verdict(ran, found if len(set(read.values())) == 2 else {}, DX, "classes")


@SITUATIONS("a table of ages for predict has ids of another study")
def _(box: Box) -> Outcome:
    file, table = embeddings(box), write(box, rows())
    made = box.prima("probe", "fit", "brain-age", file, "--labels", table, "--output", box.folder / "probe",
                     "--folds", 2, "--inner-folds", 2, "--bootstrap", 0, "--no-learning-curve")  # fmt: skip
    other = rows(participant_id=lambda s: f"sub-{s}" if int(s) % 2 else f"X{s}")
    ran = box.prima("probe", "predict", box.folder / "probe", file, box.folder / "p.tsv", "--labels",
                    write(box, other, "other.tsv"))  # fmt: skip
    if made.code or ran.code:
        return Outcome("silently wrong", made.text + ran.text)
    said = " ".join(ran.text.split())
    good = (
        "12 rows of the labels match no study (rows 1, 3, 5" in said
        and "12 of 24 studies have no row" in said
    )
    return Outcome("named" if good else "silently wrong", "" if good else said)
