"""Untidy input of many kinds: python benchmarks/untidy.py [KIND ...] [--name TEXT] [--json] [--list].

Each situation makes its input in a temporary folder, runs `prima` on it in a process of its own, and gives a verdict:

    right           the result equals that of the clean input
    named           a reason was stated, with an exit code or a warning that says so
    silently wrong  neither: the last count must be 0

The exit code is 1 if any situation is silently wrong.
"""

from __future__ import annotations

import os

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # before BLAS counts the cores; forked processes need one thread

import argparse
import json
import pkgutil
import sys
import tempfile
import time
from collections import Counter
from importlib import import_module
from pathlib import Path

import situations
from situations.common import Box, Outcome, Situations


def main() -> int:
    """Run the situations and print one line each, then the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="only these kinds")
    parser.add_argument("--name", default="", help="only situations whose name contains this text")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--list", action="store_true", help="list the situations and run none")
    arguments = parser.parse_args()
    _load_libraries()
    collections = [one for one in _collections() if not arguments.kinds or one.kind in arguments.kinds]
    results = []
    for collection in collections:
        for name, function in collection.functions.items():
            if arguments.name not in name:
                continue
            if arguments.list:
                print(f"{collection.kind}: {name}")
                continue
            started = time.monotonic()
            outcome = _outcome(function)
            results.append({"kind": collection.kind, "name": name, **vars(outcome)})
            if not arguments.json:
                seconds = time.monotonic() - started
                print(
                    f"{outcome.verdict:<15} {seconds:5.1f} s  {collection.kind}: {name}  {outcome.detail}",
                    flush=True,
                )
    counts = Counter(result["verdict"] for result in results)
    totals = {verdict: counts[verdict] for verdict in ("right", "named", "silently wrong")}
    if arguments.json:
        print(json.dumps({"situations": len(results), "counts": totals, "results": results}, indent=1))
    elif not arguments.list:
        print(f"{len(results)} situations: " + ", ".join(f"{n} {verdict}" for verdict, n in totals.items()))
    return int(totals["silently wrong"] > 0)


def _load_libraries() -> None:
    """Load what the commands load, and MKL at its first product: memory limits count what comes on top."""
    import torch

    import prima_features.embedding.run  # noqa: F401

    torch.ones(2, 2) @ torch.ones(2, 2)


def _collections() -> list[Situations]:
    modules = [module.name for module in pkgutil.iter_modules(situations.__path__) if module.name != "common"]
    return [import_module(f"situations.{name}").SITUATIONS for name in sorted(modules)]


def _outcome(function) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="untidy-") as folder:
        try:
            return function(Box(Path(folder)))
        except Exception as error:  # a situation that cannot be run has no verdict to be proud of
            return Outcome("silently wrong", f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    sys.exit(main())
