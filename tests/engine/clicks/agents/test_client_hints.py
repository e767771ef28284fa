"""Client hints: what gets behind a user agent, and what is read from there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clicks.agents import client_hints
from engine.clicks.agents.client_hints import HintedAgents, Hints, take_hints, with_hints
from engine.clicks.click import MAX_USER_AGENT_BYTES

LINUX = b"Mozilla/5.0 (X11; Linux x86_64) Chrome/131.0.0.0 Safari/537.36"
WINDOWS = b"Mozilla/5.0 (Windows NT 10.0) Chrome/131.0.0.0 Safari/537.36"


def brands(name: str) -> bytes:
    return f'"Not A;Brand";v="99", "Chromium";v="131", "{name}";v="131"'.encode()


def test_a_brand_that_the_user_agent_lacks_is_kept() -> None:
    hinted = with_hints(WINDOWS, brands("Brave"), b"?0", b'"Windows"')
    assert hinted == WINDOWS + b" Sec-CH-UA (Brave)"
    assert take_hints(hinted.decode()) == (WINDOWS.decode(), Hints("Brave"))
    for known, agent in (
        ("Microsoft Edge", b" Edg/131"),
        ("Opera", b" OPR/117"),
        ("Google Chrome", b""),
    ):
        assert with_hints(WINDOWS + agent, brands(known), b"?0", b'"Windows"') == WINDOWS + agent
    assert take_hints(with_hints(WINDOWS, brands("Opera"), b"", b"").decode())[1].brand == "Opera"


def test_an_android_that_requests_desktop_sites_is_one() -> None:
    for mobile, says_mobile in ((b"?1", True), (b"?0", False), (b"", False)):
        hinted = with_hints(LINUX, brands("Google Chrome"), mobile, b'"Android"')
        assert take_hints(hinted.decode()) == (LINUX.decode(), Hints("", "Android", says_mobile))
    assert with_hints(LINUX, brands("Google Chrome"), b"?0", b'"Linux"') == LINUX
    assert with_hints(WINDOWS, brands("Google Chrome"), b"?1", b'"Android"') == WINDOWS


@given(
    st.sampled_from([LINUX, WINDOWS, b"", b"x" * 255]) | st.binary(max_size=255),
    *[st.binary(max_size=300) | st.sampled_from([brands("Brave"), b"?1", b'"Android"'])] * 3,
)
def test_nothing_that_somebody_sent_gets_behind_a_user_agent(
    agent: bytes, names: bytes, mobile: bytes, platform: bytes
) -> None:
    hinted = with_hints(agent, names, mobile, platform)
    assert len(hinted) <= MAX_USER_AGENT_BYTES
    if hinted != agent:
        start, _, appended = hinted.rpartition(b" Sec-CH-UA (")
        assert agent.startswith(start)
        assert set(appended[:-1].split(b"; ")) <= {b"Brave", b"Android", b"Mobile"}
    assert HintedAgents()[agent, names, mobile, platform] == hinted


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_hints, "MAX_KNOWN", 3)
    agents = HintedAgents()
    for number in range(10):
        agent = b"agent %d" % number
        assert agents[agent, brands("Brave")] == agent + b" Sec-CH-UA (Brave)"
        assert len(agents) <= 3
    assert agents[LINUX, brands("Brave")] == b""  # its platform may say more
