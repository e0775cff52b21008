"""What a join returns: tables of matched and unmatched studies, sentences about both, and why a join is refused."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from prima_features.errors import UsageError
from prima_features.probes.labels.cells import MISSING
from prima_features.probes.labels.cohorts import Cohort
from prima_features.probes.labels.matching import DISAGREE, NO_TIME, TOO_FAR, Choice, person
from prima_features.probes.labels.records import LabelRequest
from prima_features.probes.labels.rows import LabelRow
from prima_features.probes.labels.scans import Scan, is_private
from prima_features.probes.labels.tables import find
from prima_features.probes.labels.times import DAYS_PER_YEAR
from prima_features.probes.labels.values import GENERIC_RULES, bare_session, normalise, pattern
from prima_features.probes.labels.visit_times import per_year, visit_years
from prima_features.wording import count, verb

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "row", "study", "subject", "session", "target", "group", "site", "sex", "age", "scanner",
    "field_strength", "split", "control", "icv", "grade", "visit_years", "visit_years_from",
)  # fmt: skip
NO_ID = "no label has the study's id"
AMBIGUOUS = "the study's id fits several subjects"
NO_STUDY = "no study has the label's id"
NO_ROW_ID = "the row has no id"
OTHER_ROW = "no scan is nearest to this visit"
_EXAMPLES = 8
_EXAMPLE_IDS = 3


def persons(scans: Sequence[Scan], rows: Sequence[LabelRow], cohort: Cohort) -> list[str]:
    """The person of each matched study: studies that share a subject or a person are of one, also through others.

    A person has the name of the first study's subject, so that nobody is named who is not named in the file.
    """
    return _connected(scans, [_person(scan, row, cohort) for scan, row in zip(scans, rows, strict=True)])


def groups(scans: Sequence[Scan], rows: Sequence[LabelRow], cohort: Cohort) -> list[str]:
    """The group of each matched study: as `persons`, and families are one group as well."""
    shared = [
        [*_person(scan, row, cohort), ("family", row.person.family)]
        for scan, row in zip(scans, rows, strict=True)
    ]
    return _connected(scans, shared)


def _person(scan: Scan, row: LabelRow, cohort: Cohort) -> list[tuple[str, str]]:
    return [
        ("subject", scan.subject),
        ("person", person(row, cohort) if any(row.ids) else ""),
        ("column", row.subject),
    ]


def _connected(scans: Sequence[Scan], shared: Iterable[list[tuple[str, str]]]) -> list[str]:
    """The name of each scan's connected component, given what each shares with others."""
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(node: tuple[str, str]) -> tuple[str, str]:
        while parent.setdefault(node, node) != node:
            node = parent[node]
        return node

    for scan, nodes in zip(scans, shared, strict=True):
        for kind, name in nodes:
            if name:
                parent[root((kind, name))] = root(("study", scan.id))
    names: dict[tuple[str, str], str] = {}
    return [names.setdefault(root(("study", scan.id)), scan.subject or scan.id) for scan in scans]


def matched_frame(
    scans: Sequence[Scan], choices: Sequence[Choice], request: LabelRequest, cohort: Cohort
) -> pd.DataFrame:
    """A row for each study with a label; columns as in `records.Joined`."""
    import pandas as pd

    matched = [(scan, choice, choice.row) for scan, choice in zip(scans, choices, strict=True) if choice.row]
    found, rows = [scan for scan, _, _ in matched], [row for _, _, row in matched]
    names = zip(persons(found, rows, cohort), groups(found, rows, cohort), strict=True)
    records = [
        _record(scan, row, choice.days, request, cohort) | {"subject": subject, "group": group}
        for (scan, choice, row), (subject, group) in zip(matched, names, strict=True)
    ]
    units = per_year(request)
    years, years_from = visit_years(
        [one["subject"] for one in records],
        [scan.time.filled(row.time) for scan, row in zip(found, rows, strict=True)],
        [one["age"] for one in records],
        [row.person.visit_time / units for row in rows],
    )
    table = pd.DataFrame(records, columns=list(COLUMNS))
    return table.assign(visit_years=years, visit_years_from=years_from)


def _record(scan: Scan, row: LabelRow, days: float, request: LabelRequest, cohort: Cohort) -> dict[str, Any]:
    person = row.person
    # The age in the table was true on the day of the label; the scan's is what the picture shows.
    age = person.age + days / DAYS_PER_YEAR
    return {
        "row": scan.row,
        "study": scan.id,
        "session": scan.session,
        "target": age if request.task == "brain-age" else row.label.value,
        "site": person.site or _site_in_names(scan, cohort),
        "sex": person.sex,
        "age": age,
        "scanner": person.scanner,
        "field_strength": person.field_strength,
        "split": person.split,
        "control": person.control,
        "icv": person.icv,
        "grade": person.grade,
    }


def _site_in_names(scan: Scan, cohort: Cohort) -> str:
    if not cohort.site_pattern:
        return ""
    regex = pattern(cohort.site_pattern)
    return next((found[1] for name in (*scan.names, *scan.folders) if (found := regex.search(name))), "")


def unmatched_studies(scans: Sequence[Scan], choices: Sequence[Choice]) -> pd.DataFrame:
    """Studies without a label: study, reason, detail."""
    import pandas as pd

    lost = [(s.id, c.reason, c.detail) for s, c in zip(scans, choices, strict=True) if c.row is None]
    return pd.DataFrame(lost, columns=["study", "reason", "detail"])


def with_missing(lost: pd.DataFrame, studies: Sequence[str]) -> pd.DataFrame:
    """Studies without a label, and further ones whose known labels are all left out."""
    import pandas as pd

    if not studies:
        return lost
    more = pd.DataFrame(
        {"study": list(studies), "reason": MISSING, "detail": "its known labels are too rare"}
    )
    return pd.concat([lost, more], ignore_index=True)


def unmatched_labels(
    rows: Sequence[LabelRow], choices: Sequence[Choice], near: Collection[int], *, private: bool = False
) -> pd.DataFrame:
    """Label rows that no study took: id, row (from 1), reason, detail.

    Args:
        rows: all label rows.
        choices: of the studies.
        near: the rows whose id a study has.
        private: name rows by their number, since ids can be PatientIDs.
    """
    import pandas as pd

    used = {row.number for choice in choices if choice.row is not None for row in choice.used}
    lost = [
        (row_name(row, private), row.number + 1, *_why(row, near)) for row in rows if row.number not in used
    ]
    return pd.DataFrame(lost, columns=["id", "row", "reason", "detail"])


def row_name(row: LabelRow, private: bool) -> str:
    """A label row's id, or its number below the header if ids are private."""
    return f"row {row.number + 1}" if private else next(filter(None, row.ids), "")


def _why(row: LabelRow, near: Collection[int]) -> tuple[str, str]:
    if row.number not in near:
        return (NO_STUDY if any(row.ids) else NO_ROW_ID), ""
    if row.label.value is None:
        return row.label.reason, row.label.detail
    return OTHER_ROW, f"session {row.session}" if row.session else ""


def remarks(
    frame: pd.DataFrame,
    scans: Sequence[Scan],
    choices: Sequence[Choice],
    lost: pd.DataFrame,
    classes: Sequence[str],
    cohort: Cohort,
    request: LabelRequest,
) -> tuple[str, ...]:
    """Warnings about a join, a sentence each; `lost` are the label rows that no study took."""
    return (
        *about_choices(choices),
        *about_sessions(scans, choices),
        *about_studies(choices, "is left out", "are left out"),
        *about_rows(lost, numbered=is_one_file(request)),
        *_about_classes(frame, classes, cohort),
        *(f"the preset {cohort.name} is unverified in {part}" for part in cohort.unverified),
    )


def is_one_file(request: LabelRequest) -> bool:
    """Whether the labels are a single table, whose rows have numbers."""
    return len(request.labels) == 1 and request.labels[0].is_file()


def about_choices(choices: Sequence[Choice]) -> Iterator[str]:
    """Sentences on scans that got a row, but not without doubt."""
    doubts = (
        ("tie", "scans are midway between two visits with different labels: the earlier one's was taken"),
        ("passed", "scans take the label of another visit than the nearest, which has none"),
        (
            "undated",
            "scans are of subjects with further label rows without a date, which were not considered",
        ),
        ("far", "scans take the label of their session, whose date is further away than --max-days"),
    )
    for name, sentence in doubts:
        if n := sum(getattr(choice, name) for choice in choices):
            yield f"{n} {sentence}"
    for name, n in Counter(name for choice in choices for name in choice.contradictions).items():
        have = f"{count(n, 'study')} {verb(n, 'has', 'have')}"
        yield f"{have} label rows that disagree about {name.replace('_', ' ')}, which is left empty there"


def about_sessions(scans: Sequence[Scan], choices: Sequence[Choice]) -> Iterator[str]:
    """A sentence if one label row without session or date is taken for scans of several sessions."""
    sessions: dict[int, list[str]] = defaultdict(list)
    for scan, choice in zip(scans, choices, strict=True):
        row = choice.row
        if row is not None and row.number >= 0 and not row.session and not row.time.is_known:
            sessions[row.number].append(bare_session(scan.session))
    shared = [own for own in sessions.values() if len(set(own)) > 1]
    if shared:
        yield (
            f"{sum(map(len, shared))} scans of {count(len(shared), 'subject')} are of several sessions and share "
            "a label row: its label and age may be those of another visit "
            "(--session-column, or --date-column with --scan-dates)"
        )


def about_studies(choices: Sequence[Choice], one: str, several: str) -> Iterator[str]:
    """A sentence for each reason why studies have no row, with a verb for one study and for several."""
    reasons = Counter(choice.reason for choice in choices if choice.row is None)
    for reason, n in reasons.most_common():
        hint = {TOO_FAR: " (--max-days)", NO_TIME: " (--scan-dates)"}.get(reason, "")
        yield f"{n:,} of {count(len(choices), 'study')} {verb(n, one, several)}: {reason}{hint}"


def about_rows(lost: pd.DataFrame, *, numbered: bool) -> Iterator[str]:
    """A sentence on the label rows that fit no study; with their numbers if those are of one file's rows.

    They are not named: an id can be that of a patient.
    """
    for reason in (NO_STUDY, NO_ROW_ID):
        own = lost[lost["reason"] == reason]
        if len(own):
            lines = ", ".join(map(str, own["row"].head(_EXAMPLES))) + (
                ", ..." if len(own) > _EXAMPLES else ""
            )
            which = f" ({verb(len(own), 'row', 'rows')} {lines} below the header)" if numbered else ""
            matches = verb(len(own), "matches", "match")
            yield f"{count(len(own), 'row')} of the labels {matches} no study{which}: {reason}"


def about_visits(cohort: Cohort, table: pd.DataFrame) -> Iterator[str]:
    """A warning if a cohort has visits but its table has no column for them."""
    times = [name for name in (cohort.day, cohort.date, *cohort.visit) if name]
    if times and not any(find(table.columns, name) for name in times):
        yield (
            f"labels of {cohort.name or 'these studies'} belong to visits, but the table has none of the columns "
            f"{', '.join(times)}: each label is used for all scans of its subject"
        )


def _about_classes(frame: pd.DataFrame, classes: Sequence[str], cohort: Cohort) -> Iterator[str]:
    present = list(frame["target"].unique()) if classes else []
    if len(present) == 1:
        of = f" of cohort {cohort.name}" if cohort.name else ""
        yield (
            f"every matched study{of} has the label {present[0]}: a probe needs cases of "
            f"{' and '.join(name for name in classes if name != present[0])} too, and from the same sites, "
            "or it learns the cohort"
        )


def refuse_disagreement(scans: Sequence[Scan], choices: Sequence[Choice]) -> None:
    """Refuse studies that several label rows fit, with labels that differ.

    Raises:
        UsageError: there are such studies; it names the first of them.
    """
    torn = [(scan, choice) for scan, choice in zip(scans, choices, strict=True) if choice.reason == DISAGREE]
    if torn:
        examples = "; ".join(
            f"study {scan.id} has the label rows {_row_ids(choice.used, is_private(scans))} with {choice.detail}"
            for scan, choice in torn[:_EXAMPLE_IDS]
        )
        raise UsageError(
            f"{count(len(torn), 'study')} {verb(len(torn), 'matches', 'match')} several label rows that "
            f"disagree ({examples}): name the column "
            "that shows which row belongs to which scan (--session-column, --date-column), or leave one row each"
        )


def refuse_empty(
    scans: Sequence[Scan],
    rows: Sequence[LabelRow],
    choices: Sequence[Choice],
    cohort: Cohort,
    table: pd.DataFrame,
) -> None:
    """Refuse a join without a single labelled study.

    Raises:
        UsageError: there is none; it says why, with examples.
    """
    if any(choice.row is not None for choice in choices):
        return
    # Where studies have rows, their ids are right, and what is wrong with these rows is what there is to mend.
    reasons = Counter(choice.reason for choice in choices)
    found = [one for one in reasons.most_common() if one[0] not in (NO_ID, AMBIGUOUS)]
    why = []
    for reason, times in found or reasons.most_common(1):
        detail = next(choice.detail for choice in choices if choice.reason == reason)
        why.append(f"for {times:,} of {len(scans):,}, {reason}{f' ({detail})' if detail else ''}")
    if found and (without := reasons[NO_ID]):
        why.append(f"for {without:,}, {NO_ID}")
    if found:
        raise UsageError(f"no study has a label: {'; '.join(why)}")
    studies = ", ".join(scan.id for scan in scans[:_EXAMPLE_IDS])
    named = f"labels {_row_ids(rows, False) or 'no ids'}"
    labels = "labels are not shown, since they can be PatientIDs" if is_private(scans) else named
    raise UsageError(
        f"no study has a label: {why[0]}; studies are named {studies}; {labels}; {_advice(scans, cohort, table)}"
    )


def _advice(scans: Sequence[Scan], cohort: Cohort, table: pd.DataFrame) -> str:
    names = {normalise(name, GENERIC_RULES[1]) for scan in scans for name in scan.ids}
    used = {item.column for item in cohort.ids}
    shared = {
        column: len(names & {normalise(cell, GENERIC_RULES[1]) for cell in table[column] if cell})
        for column in table.columns
        if column not in used and 2 * table[column].nunique() > len(table)
    }
    best = max(shared, key=lambda column: shared[column], default="")
    if best and shared[best] > len(scans) // 2:
        return f"the column {best} contains the ids of {shared[best]} of them: try --id-column {best}"
    cells = {cell for item in cohort.ids for cell in table.get(find(table.columns, item.column), ()) if cell}
    for scan in () if is_private(scans) else scans[:_EXAMPLE_IDS]:
        name = normalise(scan.subject, GENERIC_RULES[0])
        longer = next((cell for cell in cells if name and name in normalise(cell, GENERIC_RULES[0])), "")
        if longer:
            return (
                f"{longer} contains {scan.subject}: write the ids of the table like those of the studies, or describe "
                "them in a TOML file given as --cohort"
            )
    if not any(scan.is_traceable for scan in scans):
        return "for studies from DICOM, keep the .ids.tsv file next to the embeddings: it links their ids"
    return "check --cohort, --id-column and the other column options"


def _row_ids(rows: Sequence[LabelRow], private: bool) -> str:
    return ", ".join(dict.fromkeys(row_name(row, private) or "(no id)" for row in rows[:_EXAMPLE_IDS]))
