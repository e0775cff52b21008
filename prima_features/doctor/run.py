"""All checks, in the order that later ones rest on earlier ones."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from prima_features._version import __version__
from prima_features.doctor import codecs, disk, hardware, known_answer, software
from prima_features.doctor.check import Check, Setup, Status, failed
from prima_features.errors import PrimaError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Examination:
    """A few checks of one kind."""

    name: str
    examine: Callable[[Setup], Iterator[Check]]
    remedy: str
    """What to do if the check itself fails."""


def _reinstall(package: str) -> str:
    return f"run pip install --force-reinstall {package}"


EXAMINATIONS = (
    Examination("python", software.python, _reinstall("prima-features")),
    Examination("packages", software.packages, _reinstall("prima-features")),
    Examination("torch", software.torch, _reinstall("torch")),
    Examination("device", hardware.device, "use --device cpu, and see what nvidia-smi shows"),
    Examination("memory", hardware.memory, "report it: this system's memory cannot be read"),
    Examination("codecs", codecs.codecs, _reinstall("SimpleITK pydicom")),
    Examination("dcm2niix", codecs.dcm2niix, _reinstall("dcm2niix")),
    Examination("mask tools", software.mask_tools, "set --encoder-option mask_tool=none"),
    Examination("disk", disk.disk, "choose another folder for the output"),
    Examination("temporary files", disk.temporary_disk, "set TMPDIR to a folder that can be written to"),
    Examination("HDF5 locking", disk.hdf5_locking, "choose another folder for the output"),
    Examination("weights", software.weights, "see prima weights list, or give a model directory"),
    Examination(
        "known answer", known_answer.known_answer, "see what failed above, and run again with --debug"
    ),
)


def examine(setup: Setup) -> Iterator[Check]:
    """Every check, as soon as it is done.

    This catches broadly, as the batch loop does: a check that breaks is a finding, and the rest goes on.
    """
    for examination in EXAMINATIONS:
        try:
            yield from examination.examine(setup)
        except PrimaError as error:
            yield failed(examination.name, str(error), examination.remedy)
        except Exception as error:
            logger.debug("%s could not be examined", examination.name, exc_info=error)
            first, *_ = str(error).splitlines() or [""]
            yield failed(examination.name, f"unexpected {type(error).__name__}: {first}", examination.remedy)


def worst(checks: Iterable[Check]) -> Status:
    """FAIL if there is one, else WARN, else PASS."""
    return max((check.status for check in checks), key=list(Status).index, default=Status.PASS)


def to_json(checks: Iterable[Check]) -> dict[str, Any]:
    """What `--json` prints."""
    listed = list(checks)
    return {
        "prima_features_version": __version__,
        "status": worst(listed),
        "checks": [asdict(check) for check in listed],
    }
