"""Audit of scores against labels: accuracy, calibration, groups, sites, periods, waiting times."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from prima_features.clinical.audit.inputs import Cohort as Cohort
    from prima_features.clinical.audit.options import AuditOptions as AuditOptions
    from prima_features.clinical.audit.result import Audit as Audit
    from prima_features.clinical.audit.run import audit as audit

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={"inputs": ["Cohort"], "options": ["AuditOptions"], "result": ["Audit"], "run": ["audit"]},
)
