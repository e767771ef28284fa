"""The compiled core's pure functions, each against the Python that it stands for."""

from hashlib import blake2b
from random import Random

import google_crc32c
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api.visits.pages.negotiation import MAX_TAGS_BYTES, is_negotiated
from api.visits.strict_head import RefusedHead, parse_host
from engine.assets.address import PREFIX
from engine.clicks.agents.client_hints import with_hints
from engine.visits.content_coding import coding_of
from engine.visits.pseudonym import KEY_BYTES, Pseudonymiser
from engine.visits.query_parameters import campaign, names_campaign
from tests.kit import head_streams, visit_streams
from tests.kit.heads import read_heads

core = pytest.importorskip("api.visits.compiled.core")


@given(st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES), st.binary(min_size=1, max_size=600))
@example(bytes(KEY_BYTES), b"a" * 128)
@example(bytes(KEY_BYTES), b"a" * 129)
@example(bytes(KEY_BYTES), b"a" * 256)
def test_a_digest_is_that_of_blake2b(key: bytes, data: bytes) -> None:
    digest = core.keyed_digest(key, data)
    assert (
        digest
        == blake2b(data, digest_size=8, key=key).digest()
        == Pseudonymiser(key).pseudonym(data)
    )


@given(st.binary(max_size=300))
@example(b"123456789")  # 0xE3069283 by RFC 3720
def test_a_checksum_is_crc32c(data: bytes) -> None:
    assert core.checksums(data) == (google_crc32c.value(data),) * 2


@pytest.mark.parametrize(("key", "data"), [(b"short", b"a"), (bytes(KEY_BYTES), b"")])
def test_a_digest_needs_a_key_and_data(key: bytes, data: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        core.keyed_digest(key, data)


QUERIES = st.lists(st.sampled_from([
    b"utm_source=a", b"UTM_medium=", b"uTm_term=%41%", b"utm_", b"utm_id=x", b"utm_content",
    b"utm_campaign=b=c", b"&", b"&", b"a=b", b"%", b"%2", b"_", b"wp_t=page", b"xutm_source=no", b"\xff",
    b"utm_termx=1", b"utm_source=" + b"y" * 250,
]), max_size=8).map(b"".join)  # fmt: skip


@given(QUERIES, st.integers(0, 392))
@example(b"utm_source=%41%41", 15)
@example(b"utm_source=%%", 13)
def test_a_campaign_is_that_of_python(query: bytes, max_bytes: int) -> None:
    assert core.campaign(query, max_bytes) == campaign(query, max_bytes)
    assert core.names_campaign(query) == names_campaign(query)


def compare_heads(data: bytes, *, behind_proxies: bool) -> bool:
    """Compare the core's reading of bytes with Python's, if it takes them. Returns whether it does."""
    fields = core.head_fields(data, behind_proxies)
    if fields is None:
        return False
    heads = read_heads([data], behind_proxies=behind_proxies, fast=False)
    assert len(heads) == 1, data
    (head,) = heads
    if isinstance(head, RefusedHead):
        # The core looks its host up among those that are well-formed.
        assert parse_host(fields["host"]) is None, data
        return True
    assert (head.head_only, head.prefetch, head.form_bytes) == (False, False, 0), data
    for name in ("path", "query", "referrer", "language", "keep_alive", "forwarded_for"):
        assert getattr(head, name) == fields[name], (data, name)
    agent, brands, mobile, platform = (
        fields[name] for name in ("user_agent", "brands", "mobile", "platform")
    )
    assert head.user_agent == (with_hints(agent, brands, mobile, platform) if brands else agent), (
        data
    )
    if is_negotiated(head.path) and not fields["is_repeated"]:
        assert head.known_tags == fields["known_tags"][:MAX_TAGS_BYTES], data
        if head.path.startswith(PREFIX):
            assert fields["is_ranged"] or not head.byte_range, data
        else:
            assert head.coding == coding_of(fields["codings"]), data
    assert bool(head.cookie) <= fields["has_cookie"], data
    return True


def compare_streams(seed: int, count: int) -> int:
    random = Random(seed)
    taken = 0
    for number in range(count):
        make = head_streams.stream if number % 2 else visit_streams.requests
        taken += compare_heads(make(random), behind_proxies=number % 3 != 0)
    return taken


def test_10_000_heads_are_read_as_python_reads_them() -> None:
    assert compare_streams(1, 10_000) > 1_000


@pytest.mark.large
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(10))
def test_a_million_heads_are_read_as_python_reads_them(part: int) -> None:
    assert compare_streams(100 + part, 100_000) > 10_000


PLAIN = b"GET /a?b HTTP/1.1\r\nHost: a\r\nUser-Agent: m\r\nReferer: r\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n"


def test_a_plain_head_has_no_byte_too_few_or_too_many() -> None:
    assert core.head_fields(PLAIN, True)["forwarded_for"] == b"1.1.1.1"
    assert core.head_fields(PLAIN)["forwarded_for"] == b""
    for end in range(len(PLAIN)):
        assert core.head_fields(PLAIN[:end]) is None
    for byte in (b"\r", b"\n", b"a", b" ", b"\r\n", PLAIN):
        assert core.head_fields(PLAIN + byte) is None


def test_each_changed_byte_of_a_head_is_read_alike_or_left_to_python() -> None:
    for place in range(len(PLAIN)):
        for byte in b"\x00\t\n\r :?#/aZ_-\x7f\x80\xff":
            data = PLAIN[:place] + bytes((byte,)) + PLAIN[place + 1 :]
            compare_heads(data, behind_proxies=True)


@given(st.lists(st.tuples(st.binary(max_size=40), st.booleans())), st.sampled_from((1, 4)))
def test_a_table_knows_what_was_put_and_the_last_texts_of_each_set(
    steps: list[tuple[bytes, bool]], sets: int
) -> None:
    table = core.KnownTexts(sets, 32)
    values: dict[bytes, tuple[object, int]] = {}
    recent: list[bytes] = []
    for number, (text, puts) in enumerate(steps):
        known = table.get(text)
        assert (
            known == values.get(text) if text in recent[-4:] else known in (None, values.get(text))
        )
        if puts and known is None and len(text) <= 32:
            values[text] = (object(), number)
            table.put(text, *values[text])
        elif puts:
            table.put(text, object(), number)  # too long, or there
        if text in values and (puts or known):
            recent = [*(other for other in recent if other != text), text]
    table.clear()
    assert all(table.get(text) is None for text in values)


def test_a_table_has_a_power_of_two_of_sets() -> None:
    for sets in (0, 3):
        with pytest.raises(ValueError, match="power of two"):
            core.KnownTexts(sets, 32)
