"""The HTML report: the content of a file and what was left out, as one HTML file that opens offline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from prima_features.embedding.file.read import Embeddings
from prima_features.embedding.record.output import report_path
from prima_features.embedding.record.run_file import by_design, grouped, read_run_file
from prima_features.embedding.report import tables
from prima_features.embedding.report.album import BLOCK, Album, choose
from prima_features.embedding.report.arrangement import (
    DUPLICATE,
    LEAST_STUDIES,
    MOST_COMPARED,
    MOST_PAIRS,
    NEIGHBOURS,
    OUTLYING,
    Arrangement,
    arrange,
)
from prima_features.embedding.report.brains import Brains, look_at_brains
from prima_features.embedding.report.course import course, settings
from prima_features.page import count, template, write_html
from prima_features.page.blocks import Section
from prima_features.page.html import Script, script_json
from prima_features.studies.study import Failure
from prima_features.wording import RESEARCH_ONLY

_ROOM = "prima_features.embedding.report"
_SCRIPTS = ("pictures.js", "map.js", "page.js")


def write_report(
    output: Path,
    parts: Iterable[Path] = (),
    earlier: Iterable[Path] = (),
    pictures: bool = True,
    path: Path | None = None,
) -> Path:
    """Write the page of an embeddings file that is complete, whole or not at all.

    Args:
        output: the embeddings file; its run file is shown too.
        parts: folders of parts that pictures are taken from.
        earlier: files whose pages pictures are taken from as well; the output's own page always is.
        pictures: show pictures.
        path: of the HTML report, by default next to the output.

    Returns:
        the page's path.

    Raises:
        UsageError: there is no such embeddings file.
        OutputError: the page cannot be written.
    """
    pages = [report_path(file) for file in (output, *earlier)]
    html = page(output, Album(parts, pages) if pictures else None)
    path = path or report_path(output)
    write_html(path, html)
    return path


def page(output: Path, album: Album | None) -> str:
    """The page as HTML."""
    file, document = Embeddings(output), read_run_file(output)
    failures = tables.read_failures(file, by_design(document))
    defects = [one for one in failures if one.defect]
    found, brains = arrange(file), look_at_brains(file)
    wanted = _wanted(file, found, defects, brains)
    chosen = choose(album, _with_hashes(file, wanted)) if album is not None else {}
    shown = np.sort(wanted)
    script = Script(_ROOM, *_SCRIPTS)
    reasons = grouped(failures)
    return template(_ROOM, "report.html.jinja").render(
        title=output.name,
        file=file,
        main_result=_main_result(file, defects),
        research_only=RESEARCH_ONLY,
        warnings=_warnings(file, defects, document),
        sections=_sections(failures, document is not None, found, chosen, brains),
        tiles=_tiles(file, defects, failures, document),
        reasons=[reason for reason in reasons if not reason.by_design],
        rules=[reason for reason in reasons if reason.by_design],
        n_left_out=len(failures),
        most_left_out=tables.MOST_LEFT_OUT,
        course=course(document) if document else None,
        settings=settings(document),
        found=found,
        brains=brains,
        duplicate=DUPLICATE,
        most_pairs=MOST_PAIRS,
        most_compared=MOST_COMPARED,
        n_shown=len(shown),
        most_series=tables.MOST_SERIES,
        neighbours=NEIGHBOURS,
        outlying=OUTLYING,
        least_studies=LEAST_STUDIES,
        n_pictured=len(chosen),
        wants_pictures=album is not None,
        data=script_json(_data(file, found, failures, defects, shown, brains)),
        pictures=script_json(chosen),
        pictures_id=BLOCK,
        script=script,
    )


def _sections(
    failures: Sequence[Failure],
    has_run: bool,
    found: Arrangement,
    chosen: dict[str, Any],
    brains: Brains | None,
) -> list[Section]:
    """Those that have something in them, in the page's order."""
    sections = {
        "counts": ("Counts", True),
        "left-out": ("Left out", bool(failures)),
        "time": ("Time", has_run),
        "brains": ("Brain masks and registration", brains is not None),
        "pictures-shown": ("Pictures", bool(chosen)),
        "map": ("Map", len(found.points) > 2),
        "duplicates": ("Near-duplicates", len(found.points) > 1),
        "outliers": ("Outliers", len(found.points) >= LEAST_STUDIES),
        "studies": ("Studies", True),
        "series": ("Series", True),
        "how": ("How it was made", True),
    }
    return [Section(name, heading) for name, (heading, is_there) in sections.items() if is_there]


def _main_result(file: Embeddings, defects: Sequence[Failure]) -> str:
    embedded = set(file.study_columns["id"])
    failed = {one.study for one in defects if one.study} - embedded
    incomplete = {one.study for one in defects} & embedded
    verb = "is" if file.n_studies == 1 else "are"
    text = f"{count(file.n_studies, 'study', 'studies')} with {file.n_series:,} series {verb} in the file."
    if failed:
        text += f" {count(len(failed), 'study', 'studies')} could not be embedded."
    if incomplete:
        text += f" {count(len(incomplete), 'study', 'studies')} {'lacks' if len(incomplete) == 1 else 'lack'} a series."
    return text if failed or incomplete else text + " Nothing failed."


def _warnings(file: Embeddings, defects: Sequence[Failure], document: dict[str, Any] | None) -> list[str]:
    warnings = []
    if file.caveat:
        warnings.append(file.caveat)
    if unfinished := len({one.study for one in defects if one.stage == "merge"}):
        warnings.append(
            f"{count(unfinished, 'study', 'studies')} had not been embedded when the file was merged: "
            "run the shards that are left, and prima merge again."
        )
    warnings += (document or {}).get("warnings", ())
    return warnings


def _tiles(
    file: Embeddings, defects: Sequence[Failure], failures: Sequence[Failure], document: dict[str, Any] | None
) -> list[tuple[str, str, str]]:
    """(number, what of, a remark) of each."""
    embedded = set(file.study_columns["id"])
    subjects = {subject for subject in file.study_columns["subject"] if subject}
    failed = {one.study for one in defects if one.study} - embedded
    width = file.width("study/embedding")
    tiles = [
        (f"{file.n_studies:,}", "studies", f"of {count(len(subjects), 'subject')}" if subjects else ""),
        (f"{file.n_series:,}", "series", f"{file.n_series / max(file.n_studies, 1):.1f} per study"),
        (f"{int(file.series_columns['n_tokens'].sum()):,}", "tokens", f"study vectors of {width:,} numbers"),
        (f"{len(failed):,}", "studies failed", ""),
        (
            f"{sum(1 for one in defects if one.study in embedded):,}",
            "series failed",
            "in studies in the file",
        ),
        (f"{len(failures) - len(defects):,}", "left out by design", ""),
        *((f"{n:,}", flag.replace("-", " "), "series; see Series") for flag, n in file.flags.items()),
    ]
    if document and (memory := document["total"]["peak_memory_bytes"]):
        tiles.append((f"{memory / 1e9:.1f} GB", "peak memory", "all processes of a run together"))
    return tiles


def _wanted(
    file: Embeddings, found: Arrangement, defects: Sequence[Failure], brains: Brains | None
) -> np.ndarray:
    """Rows of the studies to show, those that one would look at first at the beginning."""
    incomplete = {one.study for one in defects}
    order = chain(
        [] if brains is None else brains.studies.tolist(),
        found.outliers.tolist(),
        (row for i, j, _ in found.pairs for row in (i, j)),
        (row for row, study in enumerate(file.study_columns["id"]) if study in incomplete),
        range(file.n_studies),
    )
    return np.array(list(islice(dict.fromkeys(order), tables.MOST_STUDIES)), np.int64)


def _with_hashes(file: Embeddings, rows: np.ndarray) -> list[tuple[str, str]]:
    """Ids and input hashes of studies; a file of a release that kept no input hashes gives empty ones."""
    ids = file.study_columns["id"][rows].tolist()
    hashes: dict[str, str] = {}
    if file.has("input/study"):
        pairs = zip(file.array("input/study"), file.array("input/hash"), strict=True)
        wanted = set(ids)
        hashes = {name: one.decode() for study, one in pairs if (name := study.decode()) in wanted}
    return [(one, hashes.get(one, "")) for one in ids]


def _data(
    file: Embeddings,
    found: Arrangement,
    failures: Sequence[Failure],
    defects: Sequence[Failure],
    shown: np.ndarray,
    brains: Brains | None,
) -> dict[str, Any]:
    columns = {
        "studies": tables.studies(file, found, defects, shown, brains),
        "series": tables.series(file, shown),
        "left-out": tables.left_out(failures),
        "duplicates": tables.pairs(file, found),
        "outliers": tables.outliers(file, found),
    }
    extent = np.abs(found.points).max(initial=0) or 1.0
    return {
        "tables": {name: [column.as_json() for column in table] for name, table in columns.items()},
        "points": np.round(found.points[shown] / extent, 4).tolist(),
        "complete": len(shown) == file.n_studies,
        "share": found.share,
        "brains": brains is not None,
    }
