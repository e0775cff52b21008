"""Versions of what computed the numbers."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from prima_features._version import __version__
from prima_features.probes.report.content import ReportContent
from prima_features.probes.report.methods.references import Citations


def versions(content: ReportContent) -> dict[str, str]:
    """By package, of those that took part."""
    recipe = content.evaluation.recipe
    names = ["scikit-learn", "numpy"]
    names += ["xgboost"] if recipe.estimator == "xgboost" else []
    found = {"prima-features": __version__} | {name: _version(name) for name in names}
    return found | {"Python": platform.python_version()}


def software(content: ReportContent, cite: Citations) -> str:
    """A sentence."""
    citations = {"scikit-learn": " " + cite("scikit-learn"), "numpy": " " + cite("numpy")}
    named = [f"{name} {found}{citations.get(name, '')}" for name, found in versions(content).items()]
    return f"Computed with {', '.join(named[:-1])} and {named[-1]}."


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed here"
