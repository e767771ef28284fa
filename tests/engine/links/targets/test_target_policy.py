"""Target policy: what is refused, warned of and quarantined, by each setting."""

import msgspec
import pytest

from engine.links.imports.rows import RowReader
from engine.links.link import LinkDraft
from engine.links.options import LinkOptions
from engine.links.rules import LinkRule, RuleConditions
from engine.links.targets.blocklist import Blocklist
from engine.links.targets.target_policy import NO_POLICY, TargetPolicy, with_suspicion

SHORT, LOOKALIKE = "https://www.bit.ly/3x", "https://paypa1.example/"


@pytest.mark.parametrize(
    ("policy", "refused", "warned"),
    [
        (TargetPolicy(), set(), {SHORT, LOOKALIKE}),
        (TargetPolicy(shorteners="allow"), set(), {LOOKALIKE}),
        (TargetPolicy(shorteners="refuse"), {SHORT}, {LOOKALIKE}),
        (TargetPolicy(lookalikes="allow"), set(), {SHORT}),
        (TargetPolicy(lookalikes="quarantine"), set(), {SHORT, LOOKALIKE}),
        (TargetPolicy(lookalikes="refuse"), {LOOKALIKE}, {SHORT, LOOKALIKE}),
        (NO_POLICY, set(), set()),
    ],
)
def test_each_setting_refuses_or_warns(
    policy: TargetPolicy, refused: set[str], warned: set[str]
) -> None:
    targets = {SHORT, LOOKALIKE, "https://good.example/", "mailto:a@bit.ly", "tel:+391"}
    assert {url for url in targets if policy.reason(url)} == refused
    assert {url for url in targets if policy.warning(url)} == warned


def test_warnings_name_each_field_that_has_a_doubtful_target() -> None:
    rules = (LinkRule(when=RuleConditions(device=("phone",)), target=SHORT),)
    link = LinkOptions(fallback_target=LOOKALIKE, rules=rules)
    warnings = TargetPolicy().warnings(link, "https://good.example/")
    assert warnings.keys() == {"fallback_target", "rules[0].target"}
    assert "paypal.com" in warnings["fallback_target"]
    assert "bit.ly" in warnings["rules[0].target"]


def test_only_the_setting_quarantines_a_lookalike_and_no_draft_evades_it() -> None:
    draft = LinkDraft(target=LOOKALIKE)
    for rule in ("allow", "warn", "refuse"):
        assert with_suspicion(draft, TargetPolicy(lookalikes=rule)) is draft
    policy = TargetPolicy(lookalikes="quarantine")
    quarantined = with_suspicion(draft, policy)
    assert quarantined.quarantined
    assert "paypal.com" in quarantined.quarantine_reason
    released = msgspec.structs.replace(quarantined, quarantined=False)
    assert with_suspicion(released, policy).quarantined
    behind_rule = LinkDraft(target="https://good.example/", fallback_target=LOOKALIKE)
    assert with_suspicion(behind_rule, policy).quarantined


def test_rows_of_files_are_quarantined_as_links_of_requests_are() -> None:
    policy = TargetPolicy(lookalikes="quarantine")
    reader = RowReader("ada", private_hosts=False, policy=policy)
    assert reader.row(1, {"slug": "a", "target": LOOKALIKE}).fields["quarantined"]
    assert "quarantined" not in reader.row(2, {"slug": "b", "target": "https://b.example/"}).fields


def test_the_reason_of_a_blocklist_comes_first() -> None:
    lists = (Blocklist(), Blocklist(frozenset({"paypa1.example"})))
    policy = TargetPolicy(blocklists=lists, lookalikes="refuse")
    assert "blocklist" in (policy.reason(LOOKALIKE) or "")
    assert policy.blocked(SHORT) is None
