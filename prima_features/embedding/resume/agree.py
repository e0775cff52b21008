"""The beginning of a run: agreeing with processes at work, and with what an earlier run left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import get_args

from prima_features.embedding.resume.claims import Claims
from prima_features.embedding.resume.options import RunOptions
from prima_features.embedding.resume.parts import Parts
from prima_features.embedding.resume.plan import Plan, Rows, read_plan
from prima_features.errors import UsageError

_BY_STRICTNESS: tuple[Rows, ...] = get_args(Rows)


def agree(plan: Plan, share: Iterable[str], options: RunOptions, parts: Parts, claims: Claims) -> Plan:
    """Announce a plan, or join the processes that follow it.

    A run that was interrupted under --force or --retry-failed stays such a run when it goes on without the option. With
    the option, it begins anew: the share's parts that must not be kept are deleted, unless a live process
    works on that share, which has done so already.

    Args:
        share: ids of this process's studies.

    Returns:
        The plan as it is followed, with `rows` and `earlier` of the run that goes on.

    Raises:
        UsageError: processes at work on the output follow another plan.
        OutputError: the parts folder cannot be written to.
    """
    with claims.waiting_for("start"):
        others = [other for other in claims.others() if other.plan]
        anew = options.rows != "all" and not others
        if old := read_plan(parts.folder):
            plan = _continued(plan, old, anew)
        for other in others:
            if other.plan != plan.identity:
                raise UsageError(
                    f"{other} is at work on the same output with other studies, scans or options; wait for it to end, "
                    "or name another output"
                )
        if not any(other.shard == str(options.shard) for other in others):
            _discard_unwanted(share, options, parts)
        plan.write(parts.folder)
        claims.announce(plan.identity, str(options.shard))
    return plan


def _continued(plan: Plan, old: Plan, anew: bool) -> Plan:
    if replace(old, rows=plan.rows).identity != plan.identity:
        return plan
    rows = max(plan.rows, old.rows, key=_BY_STRICTNESS.index)
    return replace(plan, rows=rows, earlier=plan.earlier if anew else old.earlier)


def _discard_unwanted(share: Iterable[str], options: RunOptions, parts: Parts) -> None:
    if options.rows == "all":
        return
    for study_id in share:
        head = parts.head(study_id)
        if head is not None and (options.force or not head.sound):
            parts.discard(study_id)
