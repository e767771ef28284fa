"""Screening: what the rules quarantine and release, and what they leave alone."""

import pytest

from engine.links.abuse.screening import LinkKey, ScreenedLink, Verdict, verdict_of
from engine.links.targets.blocklist import Blocklist
from engine.links.targets.target_policy import TargetPolicy

KEY = LinkKey(1, 2)
BAD, LOOKALIKE, GOOD = "https://x.bad.example/", "https://paypa1.example/", "https://good.example/"
POLICY = TargetPolicy(blocklists=(Blocklist(frozenset({"bad.example"})),), lookalikes="quarantine")
BLOCKED = "must not lead to bad.example, which is on this engine's blocklist"


def link(
    *targets: str, rule: str | None = None, reason: str = "", reviewed: bool = False
) -> ScreenedLink:
    return ScreenedLink(KEY, 7, targets, rule, reason, reviewed)  # type: ignore[arg-type]


def test_one_bad_target_of_several_quarantines() -> None:
    verdict = verdict_of(link(GOOD, BAD), POLICY, releases=True)
    assert verdict == Verdict(KEY, 7, "blocklist", BLOCKED)
    lookalike = verdict_of(link(GOOD, LOOKALIKE), POLICY, releases=True)
    assert lookalike is not None
    assert lookalike.rule == "lookalike"
    both = verdict_of(link(LOOKALIKE, BAD), POLICY, releases=True)
    assert both is not None
    assert both.rule == "blocklist"
    assert verdict_of(link(LOOKALIKE), TargetPolicy(), releases=True) is None


@pytest.mark.parametrize("rule", ["blocklist", "lookalike"])
def test_a_rule_releases_what_it_quarantined(rule: str) -> None:
    assert verdict_of(link(GOOD, rule=rule), POLICY, releases=True) == Verdict(KEY, 7, None, None)
    assert verdict_of(link(GOOD, rule=rule), POLICY, releases=False) is None
    other = verdict_of(link(BAD, rule=rule, reason="another"), POLICY, releases=False)
    assert other == Verdict(KEY, 7, "blocklist", BLOCKED)


def test_what_stands_stays() -> None:
    assert verdict_of(link(GOOD), POLICY, releases=True) is None
    assert verdict_of(link(BAD, rule="blocklist", reason=BLOCKED), POLICY, releases=True) is None


@pytest.mark.parametrize("target", [BAD, GOOD])
def test_what_the_operator_decided_is_left_alone(target: str) -> None:
    for rule in ("operator", "reports"):
        assert verdict_of(link(target, rule=rule), POLICY, releases=True) is None
    assert verdict_of(link(target, reviewed=True), POLICY, releases=True) is None
