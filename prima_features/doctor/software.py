"""Python, the required packages, and the files of the model."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from prima_features.doctor.check import Check, Setup, failed, passed, warned
from prima_features.wording import count

_DISTRIBUTION = "prima-features"


def python(setup: Setup) -> Iterator[Check]:
    """The interpreter's version, against what the package declares."""
    wanted = SpecifierSet(metadata(_DISTRIBUTION)["Requires-Python"])
    found = f"{platform.python_version()} ({platform.python_implementation()}, {sys.executable})"
    if platform.python_version() in wanted:
        yield passed("python", found)
    else:
        yield failed("python", found, f"install Python {wanted} and the package in it")


def packages(setup: Setup) -> Iterator[Check]:
    """Every package that is declared, by its version; those of extras are only listed."""
    needed, extras = _requirements()
    problems = {str(need): problem for need in needed if (problem := _problem(need))}
    complete = [name for name, needs in extras.items() if not any(map(_problem, needs))]
    if problems:
        install = " ".join(f"'{need}'" for need in problems)
        yield failed("packages", "; ".join(problems.values()), f"run pip install {install}")
    else:
        there = f"; extras there: {', '.join(complete)}" if complete else ""
        yield passed(
            "packages",
            f"{_DISTRIBUTION} {version(_DISTRIBUTION)} with all {len(needed)} required packages{there}",
        )


def torch(setup: Setup) -> Iterator[Check]:
    """PyTorch's version and what it was built for."""
    import torch

    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "the CPU only"
    yield passed(
        "torch", f"{torch.__version__}, built for {built}; {count(torch.get_num_threads(), 'thread')}"
    )


def mask_tools(setup: Setup) -> Iterator[Check]:
    """Programs that make brain masks; only some encoders use one."""
    from prima_features.anatomy.tools import installed

    names = ", ".join(program.name for program in installed())
    yield passed("mask tools", names or "none; encoders of skull-stripped brains then need masks from files")


def _requirements() -> tuple[list[Requirement], dict[str, list[Requirement]]]:
    """What is always needed, and what each extra needs."""
    declared = metadata(_DISTRIBUTION)
    requirements = [Requirement(text) for text in declared.get_all("Requires-Dist", [])]
    needed = [need for need in requirements if need.marker is None or need.marker.evaluate({"extra": ""})]
    extras = {
        extra: [need for need in requirements if need not in needed and _belongs(need, extra)]
        for extra in declared.get_all("Provides-Extra", [])
        if extra != "dev"
    }
    for need in needed:
        need.marker = None
    return needed, extras


def _belongs(need: Requirement, extra: str) -> bool:
    return need.marker is not None and need.marker.evaluate({"extra": extra})


def _problem(need: Requirement) -> str:
    """What is wrong with an installed package; empty if nothing is."""
    try:
        installed = version(need.name)
    except PackageNotFoundError:
        return f"{need.name} is not installed"
    if need.specifier.contains(installed, prereleases=True):
        return ""
    return f"{need.name} {installed} does not satisfy {need.specifier}"


def weights(setup: Setup) -> Iterator[Check]:
    """SHA-256 of every file of the model that has one recorded."""
    from prima_features.models.directory import CHECKSUMS, check_files
    from prima_features.models.resolve import resolve

    source = resolve(setup.model)
    files = check_files(source.directory)
    bad = [file.name for file in files if not file.ok]
    unrecorded = [file.name for file in files if file.recorded is None]
    if bad:
        found = f"{source.name}: the content of {', '.join(bad)} does not match {CHECKSUMS}"
        yield failed(
            "weights", found, "download or convert the model again; reinstall the package if it is bundled"
        )
    elif unrecorded:
        found = f"{source.name}: no checksum is recorded for {', '.join(unrecorded)}"
        yield warned(
            "weights", found, "compare them with those of the source (prima weights verify shows them)"
        )
    else:
        yield passed(
            "weights", f"{source.name} {source.revision}: {len(files)} files match their recorded checksums"
        )
