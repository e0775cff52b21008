"""Packages that only some probes need."""

from __future__ import annotations

import importlib
from types import ModuleType

from prima_features.errors import UsageError


def require(module: str, purpose: str) -> ModuleType:
    """Import a package that is not needed by all probes.

    Args:
        module: e.g. `xgboost`.
        purpose: what needs it, the sentence's subject.

    Raises:
        UsageError: it is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        raise UsageError(f"{purpose} needs {package}: run pip install {package}") from error
