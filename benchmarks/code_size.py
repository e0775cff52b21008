"""How much code there is, and how much of it three common tasks cross: a measure of what a reader has to read.

    python benchmarks/code_size.py            # the checkout that this Python has installed
    python benchmarks/code_size.py --static   # only counts lines

Code lines are lines of statements: no blanks, comments, docstrings or imports. The three trips run real work on a small
synthetic input, and count files, functions and arrows between files that `sys.setprofile` sees called:

- dicom: a DICOM study to an embeddings file (`prima embed`)
- labels: an embeddings file and a label table to metrics.json (`prima probe fit`)
- clip: one step of contrastive pretraining (`prima pretrain clip`)

Files below `cli/` are not counted on the trips, nor is code that runs when a module is imported.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import json
import os
import sys
import tempfile
import threading
import tokenize
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from types import FrameType
from typing import Any

LONG_FUNCTION = 80
FULL_FOLDER = 15


# ---- counting ----


def source_folders() -> dict[str, Path]:
    """The folders of the three top-level packages, by their names in a checkout."""
    import prima_features
    import prima_features.cli.main as cli
    import prima_features.probes as probes

    files = {"prima_features": prima_features.__file__, "cli": cli.__file__, "probes": probes.__file__}
    return {name: Path(str(file)).parent.resolve() for name, file in files.items()}


def sources() -> Iterator[tuple[str, Path]]:
    """Each Python file with its path in the checkout."""
    for name, folder in source_folders().items():
        for path in sorted(folder.rglob("*.py")):
            yield f"{name}/{path.relative_to(folder).as_posix()}", path


def code_lines(text: str) -> set[int]:
    """Numbers of the lines that have code: no blanks, comments, docstrings or imports."""
    skipped = {
        tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER,
        tokenize.ENCODING,
    }  # fmt: skip
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in skipped:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        value = node.value if isinstance(node, ast.Expr) else None
        is_text = isinstance(value, ast.Constant) and isinstance(value.value, str)
        if is_text or isinstance(node, ast.Import | ast.ImportFrom):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def functions(text: str, lines: set[int]) -> Iterator[tuple[str, int]]:
    """Name and code lines of each function, those of functions inside it included."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, len(lines & set(range(node.lineno, (node.end_lineno or node.lineno) + 1)))


def count() -> dict[str, Any]:
    """Sizes of files, functions and folders."""
    files: dict[str, int] = {}
    sizes: dict[str, int] = {}
    for name, path in sources():
        text = path.read_text(encoding="utf-8")
        lines = code_lines(text)
        files[name] = len(lines)
        for function, size in functions(text, lines):
            key = f"{name}:{function}"
            sizes[key] = max(size, sizes.get(key, 0))
    folders = Counter(name.rpartition("/")[0] for name in files if not name.endswith("__init__.py"))
    longest = sorted(sizes.items(), key=lambda item: -item[1])
    return {
        "files": len(files),
        "code_lines": sum(files.values()),
        "median_lines_per_file": median(size for size in files.values() if size),
        "median_lines_per_function": median(sizes.values()),
        "longest_functions": dict(longest[:10]),
        "long_functions_outside_cli": {
            name: size for name, size in longest if size > LONG_FUNCTION and not name.startswith("cli/")
        },
        "full_folders": {name: n for name, n in folders.most_common() if n > FULL_FOLDER},
        "code_lines_by_folder": dict(
            Counter({"/".join(n.split("/")[:2]): 0 for n in files if n.count("/") > 1})
            + sum(
                (Counter({"/".join(n.split("/")[: 1 + (n.count("/") > 1)]): s}) for n, s in files.items()),
                Counter(),
            )
        ),
    }


# ---- trips ----


class Trip:
    """Records which functions of this project are called, and from which file, in all threads."""

    def __init__(self) -> None:
        self.folders = {name: str(folder) for name, folder in source_folders().items()}
        self.names: dict[str, str] = {}
        self.functions: set[tuple[str, str]] = set()
        self.arrows: set[tuple[str, str]] = set()

    def __enter__(self) -> Trip:
        threading.setprofile(self._called)
        sys.setprofile(self._called)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]

    def _called(self, frame: FrameType, event: str, _: object) -> None:
        if event != "call":
            return
        name = self._name(frame.f_code.co_filename)
        if not name or frame.f_code.co_name == "<module>":
            return
        self.functions.add(
            (name, frame.f_code.co_qualname if sys.version_info >= (3, 11) else frame.f_code.co_name)
        )
        caller = frame.f_back
        while caller is not None and not self._name(caller.f_code.co_filename):
            caller = caller.f_back
        if caller is not None and (source := self._name(caller.f_code.co_filename)) != name:
            self.arrows.add((source, name))

    def _name(self, file: str) -> str:
        """The file's path in the checkout; empty for files of other packages and of the command."""
        if file not in self.names:
            path = os.path.realpath(file)
            found = [n + path[len(f) :] for n, f in self.folders.items() if path.startswith(f + os.sep)]
            # An installed cli and probes lie inside of prima_features.
            name = found[-1] if found else ""
            self.names[file] = "" if name.startswith("cli") else name
        return self.names[file]

    def result(self) -> dict[str, Any]:
        files = sorted({name for name, _ in self.functions})
        return {
            "files": len(files),
            "functions": len(self.functions),
            "arrows": len(self.arrows),
            "names": files,
        }


def trip(run: Callable[[], object]) -> dict[str, Any]:
    """Run it, and count what it called."""
    with Trip() as counted:
        run()
    return counted.result()


def command(*arguments: object) -> None:
    """The `prima` command in this process."""
    from prima_features.cli.main import main

    with contextlib.redirect_stdout(sys.stderr):
        code = main([str(argument) for argument in arguments])
    if code:
        raise SystemExit(f"prima {' '.join(map(str, arguments))} ended with {code}")


def dicom(folder: Path) -> dict[str, Any]:
    """A DICOM study to an embeddings file."""
    command("synth", folder / "dicom", "--subjects", 1, "--format", "dicom")
    arguments = (
        "embed",
        folder / "dicom",
        folder / "dicom.h5",
        "--workers",
        0,
        "--device",
        "cpu",
        "--no-report",
    )
    return trip(lambda: command(*arguments))


def labels(folder: Path) -> dict[str, Any]:
    """Embeddings and a label table to metrics.json."""
    import h5py
    import numpy as np

    command("synth", folder / "bids", "--subjects", 1)
    command("embed", folder / "bids", folder / "one.h5", "--workers", 0, "--device", "cpu", "--no-report")
    n, rng = 60, np.random.default_rng(0)
    names = [f"sub-{i:03d}" for i in range(n)]
    with h5py.File(folder / "one.h5", "r") as one, h5py.File(folder / "many.h5", "w") as many:
        many.attrs.update(one.attrs)
        n_series = int(one["series/study"].shape[0])
        for key in one["study"]:
            values = np.repeat(one[f"study/{key}"][()][:1], n, axis=0)
            if key in ("embedding", "clip"):
                values = rng.normal(size=values.shape).astype(values.dtype)
            if key in ("id", "subject"):
                values = np.array([name if key == "id" else name[4:] for name in names], dtype=object)
            many.create_dataset(f"study/{key}", data=values, dtype=one[f"study/{key}"].dtype)
        for key in one["series"]:
            values = np.concatenate([one[f"series/{key}"][()]] * n)
            if key == "study":
                values = np.repeat(np.arange(n), n_series).astype(values.dtype)
            many.create_dataset(f"series/{key}", data=values, dtype=one[f"series/{key}"].dtype)
        one.copy("failure", many)
    rows = [f"{name}\t{20 + i}\t{'FM'[i % 2]}" for i, name in enumerate(names)]
    (folder / "labels.tsv").write_text(
        "\n".join(["participant_id\tage\tsex", *rows]) + "\n", encoding="utf-8"
    )
    arguments = (
        "probe", "fit", "brain-age", folder / "many.h5", "--labels", folder / "labels.tsv", "--output",
        folder / "probe", "--bootstrap", 20, "--no-learning-curve",
    )  # fmt: skip
    return trip(lambda: command(*arguments))


def clip(folder: Path) -> dict[str, Any]:
    """One step of contrastive pretraining, from a filled cache of latents."""
    command("synth", folder / "cohort", "--subjects", 4)
    settings = f"""
output = "run"
model = "prima-synth"
steps = 1
batch = 2
device = "cpu"
[data]
source = "{folder / "cohort"}"
reports = "{folder / "cohort" / "reports.tsv"}"
cache = "{folder / "cache"}"
[schedule]
warmup = 0
[log]
tensorboard = false
plots = false
"""
    (folder / "clip.toml").write_text(settings, encoding="utf-8")
    (folder / "again.toml").write_text(settings.replace('"run"', '"again"'), encoding="utf-8")
    command("pretrain", "clip", folder / "clip.toml")
    return trip(lambda: command("pretrain", "clip", folder / "again.toml"))


TRIPS = {"dicom": dicom, "labels": labels, "clip": clip}


def main() -> None:
    """Print the measurements."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--static", action="store_true", help="only count lines")
    parser.add_argument("--only", choices=TRIPS, help="a single trip")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    result = count()
    for name in () if asked.static else (asked.only,) if asked.only else TRIPS:
        with tempfile.TemporaryDirectory() as folder:
            result[f"trip_{name}"] = TRIPS[name](Path(folder))
    if asked.json:
        print(json.dumps(result, indent=1))
        return
    for name, value in result.items():
        shown = {k: v for k, v in value.items() if k != "names"} if isinstance(value, dict) else value
        print(f"{name}: {shown}")


if __name__ == "__main__":
    main()
