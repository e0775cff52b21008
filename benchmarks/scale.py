"""What a million studies cost outside of the network: python benchmarks/scale.py [--json] [--quick].

Each part of a large run that grows with the number of studies is measured at a few sizes, in a process of its own
(forked, so Linux only):

    keep      everything that the writing process does for one study: claim, check of the inputs, part file, record
    resume    the check of the finished parts when the same command runs again
    plan      the plan of the run, with two left-out series per study: written, read, compared
    merge     parts to the embeddings file, without the HTML report
    inspect   `prima inspect FILE.h5`, which reads all vectors once
    report    the HTML report, with 1,000 studies in its tables and each study compared with 1,000 others
    ids       the table of identities of a DICOM run: written, read, rows dropped
    compare   comparing each study vector with 5,000 others, a tenth of what the HTML report does at a million studies
    bids      finding studies in a BIDS dataset, two images with sidecars per study
    dicom     finding studies in a DICOM tree, 5 series of 40 slices per study
    sync      `keep` with the disk waited for (fsync), in seconds of the clock

Of each, CPU seconds (which other load on the machine lengthens least) and the growth of the peak resident set (`VmHWM`
of `/proc/self/status`). The cost at a million studies is a straight line through the two largest sizes; `exponent` is
the growth between them, log(ratio of costs) / log(ratio of sizes), and should be near 1 or below (a part that does not
depend on the size lowers it). Vectors are synthetic: `small` has 64 numbers per study and 16 per series, `published`
10,240 and 1,024. `--quick` uses tiny sizes, whose numbers are not meaningful.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from io import StringIO
from math import log
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import index
import merge as parts_benchmark
import numpy as np
from resources import processor

import prima_features.cli.inspect
import prima_features.embedding.merge
import prima_features.embedding.report
import prima_features.embedding.work  # noqa: F401  imported once, for all parts

SIZES = {"small": (1_000, 4_000, 16_000), "published": (500, 2_000)}
QUICK = {"small": (20, 40), "published": (10, 20)}
WIDTHS = {"small": (64, 16, 16), "published": (10_240, 128, 1_024)}
"""Numbers of a study's vector, of that which is comparable with text, and of one of a series."""
MILLION = 1_000_000

SECONDS_PER_1000_TOKENS = 24.0
"""Of the published tokenizer in float32 on two cores of the Xeon (docs/requirements.md): measured by embed.py."""
TOKENS = 1_300
"""Of a study of five series."""
LAPTOP = (1.15, 2.3)
"""How many times as fast as these two cores eight cores with AVX2 are: extrapolated, at half and at full efficiency."""
GPU_TOKENS_PER_SECOND = 200e12 / 16.5e9
"""Assumed: 200 TFLOP/s in bfloat16, and 16.5 GFLOP per token. No GPU was measured."""
READ_CORE_SECONDS = 2.0
"""Of one core, to read and prepare five series: at most 0.4 s each (read.py)."""
STUDY_MB = 50.0
"""Assumed size of five compressed series."""
SERIES = 5
STUDY_PARTS = ("keep", "resume", "merge", "inspect", "report")
"""In the order in which they need each other's files."""


def main() -> None:
    """Measure, and print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, which are not extrapolated")
    parser.add_argument(
        "--only",
        nargs="+",
        default=list(PARTS),
        help="parts to measure (default: all)",
    )
    parser.add_argument("--folder", type=Path, help="where to work (default: the system's temporary folder)")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.only if name not in PARTS]
    if unknown:
        parser.error(f"no part is called {unknown[0]}")
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        result = measure(Path(folder), QUICK if chosen.quick else SIZES, chosen.only)
    if chosen.json:
        print(json.dumps(result))
        return
    print(result["processor"], "load", result["load"])
    for name, values in result["machines"].items():
        print(f"{name:20}", json.dumps(values))
    for name, values in result["parts"].items():
        print(f"{name:20}", json.dumps(values))


def measure(folder: Path, sizes: dict[str, tuple[int, ...]], only: Sequence[str]) -> dict[str, Any]:
    """The parts, at all sizes."""
    runs: dict[str, list[dict[str, float]]] = {}

    def note(name: str, width: str, n: int) -> None:
        if name in only:
            values = in_a_process(folder, name, width, n)
            runs.setdefault(f"{name} {width}".strip(), []).append({"n": n} | values)
            print(name, width, n, values, file=sys.stderr)

    if {*only} & {*STUDY_PARTS}:
        only = (*only, "keep", "merge")  # which make the files of the others
        for width, counts in sizes.items():
            for n in counts:
                for name in STUDY_PARTS:
                    note(name, width, n)
                for path in folder.glob("out.*"):
                    path.unlink()
    small = sizes["small"]
    for name, counts in {
        "plan": small,
        "ids": small,
        "compare": [2 * n for n in small[1:]],
        "bids": small[:2],
        "dicom": [max(1, n // 130) for n in small[:2]],
    }.items():
        for n in counts:
            note(name, "", n)
    note("sync", "published", min(sizes["published"][0], 300))
    return {
        "processor": processor(),
        "load": round(os.getloadavg()[0], 1),
        "machines": machines(),
        "parts": {
            name: {"measured": one} if sizes is QUICK else at_a_million(one) for name, one in runs.items()
        },
    }


def machines() -> dict[str, dict[str, float]]:
    """What network and reading cost on machines of four kinds, for studies of `TOKENS`: arithmetic, not measured."""
    on_two_cores = SECONDS_PER_1000_TOKENS * TOKENS / 1000
    seconds = {f"laptop, {factor} times two cores": on_two_cores / factor for factor in LAPTOP}
    seconds |= {f"{n} GPU": TOKENS / GPU_TOKENS_PER_SECOND / n for n in (1, 8, 64)}
    return {
        name: {
            "network_s_per_study": round(one, 4),
            "million_days": round(one * MILLION / 86_400, 2),
            "cores_that_read": round(READ_CORE_SECONDS / one, 1),
            "disk_mb_per_s": round(STUDY_MB / one),
        }
        for name, one in seconds.items()
    }


def at_a_million(runs: list[dict[str, float]]) -> dict[str, Any]:
    """The measurements of one part, and what they come to for a million studies."""
    values: dict[str, Any] = {"measured": runs}
    for name in ("cpu_s", "peak_mb", "wall_s", "size_mb"):
        last = runs[-1].get(name)
        if last is None:
            continue
        slope = last / runs[-1]["n"]
        if len({run["n"] for run in runs}) > 1:
            before = runs[-2]
            ratio = runs[-1]["n"] / before["n"]
            slope = (last - before[name]) / (runs[-1]["n"] - before["n"])
            if min(last, before[name]) > 0:
                values[f"{name}_exponent"] = round(log(last / before[name]) / log(ratio), 2)
        values[f"{name}_at_a_million"] = round(last + slope * (MILLION - runs[-1]["n"]))
    return values


def in_a_process(folder: Path, name: str, width: str, n: int) -> dict[str, float]:
    """One part at one size, in a fork, so that the memory of another part is not counted."""
    receiver, sender = get_context("fork").Pipe(duplex=False)
    process = get_context("fork").Process(
        target=lambda: sender.send(PARTS[name](folder, width, n)), daemon=False
    )
    process.start()
    sender.close()
    try:
        values: dict[str, float] = receiver.recv()
    except EOFError as error:
        raise RuntimeError(f"{name} failed at {n} studies") from error
    process.join()
    return values


def cost(work: Callable[[], object]) -> dict[str, float]:
    """CPU and clock seconds of some work, and by how much it raised the peak memory."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak becomes what is held now
    before, began, cpu = memory("VmRSS"), time.monotonic(), time.process_time()
    work()
    return {
        "cpu_s": round(time.process_time() - cpu, 3),
        "wall_s": round(time.monotonic() - began, 2),
        "peak_mb": round((memory("VmHWM") - before) / 1e6, 1),
    }


def memory(name: str) -> int:
    """Bytes of one of the numbers that Linux states of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(f"{name}:")))


def keep(folder: Path, width: str, n: int, waits: bool = False) -> dict[str, float]:
    """Studies to parts, by the code of `prima embed`, with vectors from a random generator."""
    from prima_features.embedding.engine.options import EngineOptions
    from prima_features.embedding.work import embed_outputs

    if not waits:  # which the disk decides, and not the processor
        os.fsync = lambda descriptor: None  # type: ignore[assignment]
    parts_benchmark.STUDY, parts_benchmark.CLIP, parts_benchmark.SERIES = WIDTHS[width]
    making = 0.0

    def engine(requests: Iterable[Any], *_: Any) -> Iterator[Any]:
        nonlocal making
        for request in requests:
            began = time.process_time()
            result = parts_benchmark.study(int(request.study.subject))
            making += time.process_time() - began
            yield 0, result

    with the_work(folder, n) as work:
        values = cost(lambda: embed_outputs([work], engine, [], EngineOptions(), lambda: False))
    return {"cpu_s": round(values["cpu_s"] - making, 3), "peak_mb": values["peak_mb"]} | (
        {"wall_s": round(values["wall_s"] - making, 2)} if waits else {}
    )


def sync(folder: Path, width: str, n: int) -> dict[str, float]:
    """As `keep`, and each part is flushed to the disk."""
    return keep(folder / "sync", width, n, waits=True)


def resume(folder: Path, width: str, n: int) -> dict[str, float]:
    """The same command again, when all parts are there."""
    from prima_features.embedding.engine.options import EngineOptions
    from prima_features.embedding.work import embed_outputs

    def nothing(*_: Any) -> Iterator[Any]:
        raise AssertionError("a part was not valid")

    with the_work(folder, n) as work:
        return chosen(cost(lambda: embed_outputs([work], nothing, [], EngineOptions(), lambda: False)))


class the_work:  # noqa: N801  a context manager
    """One of two shards that embeds all studies: it leaves the output to `prima merge`."""

    def __init__(self, folder: Path, n: int):
        from prima_features.embedding.file.write import Provenance
        from prima_features.embedding.record.journal import Journal
        from prima_features.embedding.resume.claims import Claims
        from prima_features.embedding.resume.options import RunOptions, Shard
        from prima_features.embedding.resume.plan import OutputPlan
        from prima_features.embedding.work import Job

        folder.mkdir(exist_ok=True)
        studies = {study.id: study for study in map(the_study(folder / "scans"), range(n))}
        plan = OutputPlan(
            Provenance("synthetic", "local", "0" * 64, {}),
            parts_benchmark.SETTINGS,
            "float32",
            tuple(studies),
            (),
        )
        options = RunOptions(shard=Shard(1, 2))
        self._job = Job(folder, folder / "out.h5", studies, tuple(studies), plan, options)
        self._claims = Claims(self._job.parts.folder)
        self._journal = Journal(self._job.parts.folder, parts_benchmark.SETTINGS, {})

    def __enter__(self) -> Any:
        from prima_features.embedding.work import Work

        self._claims.__enter__()
        self._job.plan.write(self._job.parts.folder)
        return Work(self._job, self._claims, self._journal, lambda: False, lambda done: None)

    def __exit__(self, *raised: Any) -> None:
        self._claims.__exit__(*raised)


def the_study(scans: Path) -> Callable[[int], Any]:
    """Studies of five scans. All share the same five files, because only their names and times are read."""
    from prima_features.studies.study import NiftiImage, Series, Study

    scans.mkdir(exist_ok=True)
    files = [scans / f"T{i}w.nii.gz" for i in range(SERIES)]
    for file in files:
        if not file.exists():
            file.touch()

    def study(number: int) -> Study:
        series = tuple(Series(f"AX_T{i}_SERIES", NiftiImage(file)) for i, file in enumerate(files))
        return Study(parts_benchmark.study_id(number), f"{number:06}", "", "MRI BRAIN", series)

    return study


def merge(folder: Path, width: str, n: int) -> dict[str, float]:
    """All parts to the embeddings file."""
    from prima_features.embedding.merge import merge as merge_parts

    output = folder / "out.h5"
    values = cost(lambda: merge_parts(output, report=False))
    return chosen(values) | {"size_mb": round(output.stat().st_size / 1e6, 2)}


def inspect(folder: Path, width: str, n: int) -> dict[str, float]:
    """What `prima inspect` does with an embeddings file."""
    from prima_features.cli.inspect import show_file
    from prima_features.embedding.file.read import read_embeddings

    def work() -> None:
        with redirect_stdout(StringIO()):
            show_file(read_embeddings(folder / "out.h5"))

    return chosen(cost(work))


def report(folder: Path, width: str, n: int) -> dict[str, float]:
    """The HTML report, without pictures, with bounds that are reached at these sizes as well (see `compare`)."""
    from prima_features.embedding.report import arrangement, tables, write_report

    arrangement.MOST_COMPARED = tables.MOST_STUDIES = SIZES["small"][0]
    arrangement._BLOCK = 1 << 20  # the blocks are not what grows
    output = folder / "out.h5"
    pages: list[Path] = []
    values = cost(lambda: pages.append(write_report(output)))
    return chosen(values) | {"size_mb": round(pages[0].stat().st_size / 1e6, 2)}


def plan(folder: Path, width: str, n: int) -> dict[str, float]:
    """The plan, with two series of each study left out."""
    from prima_features.embedding.file.write import Provenance
    from prima_features.embedding.resume.plan import OutputPlan, read_plan
    from prima_features.studies.study import Failure

    why = "it has 3 slices, and 5 are needed", "use --min-slices to include it"
    ids = tuple(f"sub-{number:016x}_ses-{number:016x}" for number in range(n))
    left_out = tuple(
        Failure(one, f"LOCALIZER {i}", "find", *why, defect=False) for one in ids for i in range(2)
    )
    made = OutputPlan(
        Provenance("synthetic", "local", "0" * 64, {}), parts_benchmark.SETTINGS, "float32", ids, left_out
    )

    def work() -> None:
        made.write(folder)
        again = read_plan(folder)
        assert again is not None and again.identity == made.identity

    values = cost(work)
    return chosen(values) | {"size_mb": round((folder / "plan.json").stat().st_size / 1e6, 2)}


def ids(folder: Path, width: str, n: int) -> dict[str, float]:
    """The table of identities."""
    from prima_features.embedding.record.ids import add_ids, ids_path, keep_ids, load_pseudonyms
    from prima_features.studies import Pseudonyms
    from prima_features.studies.study import Identity, Study

    output, names = folder / "ids.h5", Pseudonyms()
    ids_path(output).unlink(missing_ok=True)
    studies = [
        Study(
            f"sub-{number:016x}_ses-{number:016x}",
            f"{number:016x}",
            f"{number:016x}",
            "MRI BRAIN",
            (),
            identity=Identity(f"P{number:07}", f"{index.UID}.{number}", f"archive/{number:07}/study"),
        )
        for number in range(n)
    ]

    def work() -> None:
        add_ids(output, studies, names)
        load_pseudonyms(output)
        keep_ids(output, {study.id for study in studies[:-1]})

    values = cost(work)
    return chosen(values) | {"size_mb": round(ids_path(output).stat().st_size / 1e6, 2)}


def compare(folder: Path, width: str, n: int) -> dict[str, float]:
    """The comparison of study vectors, as projected for the HTML report, with a tenth of the usual number of others."""
    from prima_features.embedding.report import arrangement

    arrangement.MOST_COMPARED //= 10
    vectors = np.random.default_rng(0).standard_normal((n, 256), np.float32)
    return chosen(cost(lambda: arrangement._compare(vectors)))


def bids(folder: Path, width: str, n: int) -> dict[str, float]:
    """Finding BIDS studies; the sidecars are read as well."""
    return found(folder / "bids", index.make_session, n)


def dicom(folder: Path, width: str, n: int) -> dict[str, float]:
    """Finding DICOM studies."""
    return found(folder / "dicom", index.make_series, n * SERIES)


def found(root: Path, make: Callable[[Path, int], None], n: int) -> dict[str, float]:
    """Finding what is in a tree, which is first made larger."""
    from prima_features.studies import find

    made = root.with_name(f"{root.name}.made")
    for number in range(int(made.read_text()) if made.exists() else 0, n):
        make(root, number)
    made.write_text(str(n))
    return chosen(cost(lambda: find(root)))


def chosen(values: dict[str, float]) -> dict[str, float]:
    """Without the seconds of the clock, which mean little on a busy machine."""
    return {name: value for name, value in values.items() if name != "wall_s"}


PARTS: dict[str, Callable[[Path, str, int], dict[str, float]]] = {
    function.__name__: function
    for function in (keep, sync, resume, merge, inspect, report, plan, ids, compare, bids, dicom)
}

if __name__ == "__main__":
    main()
