"""Regular expressions end: those that would take for ever are refused while they match."""

from __future__ import annotations

import re
import signal
import time

import pytest

from prima_features.errors import UsageError
from prima_features.files.safe_pattern import SafePattern
from prima_features.probes.labels.values import rule


@pytest.mark.parametrize("regex", ["(a+)+$", "(a|aa)+$", "(a*)*b", r"^(\w+\s?)*$", "(a|a)*$", r"(x+x+)+y"])
def test_a_search_without_end_is_ended(regex: str) -> None:
    before = signal.getsignal(signal.SIGVTALRM)
    text = ("x" if "x" in regex else "a") * 60 + "!"
    started = time.process_time()
    with pytest.raises(UsageError, match="takes too long"):
        SafePattern(regex, seconds=0.2).search(text)
    assert time.process_time() - started < 2
    assert signal.getsignal(signal.SIGVTALRM) is before
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)


def test_many_short_searches_share_the_bound_and_others_are_as_ever() -> None:
    slow = SafePattern("(a+)+$", seconds=0.2)
    with pytest.raises(UsageError, match="takes too long"):
        for _ in range(10_000):
            slow.search("a" * 18 + "!")
    found = SafePattern("T1(w)", re.IGNORECASE).search("sub-01_t1W.nii")
    assert found is not None and found[1] == "W"


@pytest.mark.parametrize("regex", ["(", "a" * 3000, "(" * 5000, "a{99999999999}", "(" * 900 + ")" * 900])
def test_what_is_no_expression_is_said_in_one_sentence(regex: str) -> None:
    try:
        SafePattern(regex)
    except UsageError as error:
        assert "\n" not in str(error)


def test_rules_for_ids_make_no_text_without_bound() -> None:
    with pytest.raises(UsageError, match="is not a rule"):
        rule("number:%0999999999d")
    assert rule("number:IXI%03d")("ixi7") == "IXI007"
    assert len(rule("number:%03d")("9" * 100_000)) < 200
