"""Addresses of assets: which paths name a file, and hashes of uploads."""

from hypothesis import given
from hypothesis import strategies as st

from engine.assets.address import AssetFile, asset_file, main_path, rendition_path
from engine.assets.asset import FORMATS, HASH_CHARS, asset_hash

HASH = "0123456789abcdef" * 2


def test_a_path_names_a_rendition_a_main_picture_or_a_shared_one() -> None:
    for format_ in FORMATS:
        path = rendition_path(HASH, 640, format_)
        assert asset_file(path.encode()) == AssetFile(HASH, f"640.{format_}")
    assert asset_file(main_path(HASH).encode()) == AssetFile(HASH, "main.jpg")
    assert asset_file(b"/a/%b.png" % HASH.encode()) == AssetFile(HASH, "card.png")
    assert AssetFile(HASH, "640.jpg").content_type == "image/jpeg"


@given(
    st.one_of(
        st.binary(max_size=60).map(lambda tail: b"/a/" + tail),
        st.sampled_from(
            [
                b"/a/" + HASH[:-1].encode(), b"/a/" + HASH.upper().encode(), b"/b/" + HASH.encode(),
                b"/a/%b-0640.avif" % HASH.encode(), b"/a/%b-640.svg" % HASH.encode(),
                b"/a/%b-640.avif/" % HASH.encode(), b"/a/%b\n" % HASH.encode(),
                b"/a/../%b" % HASH.encode(), b"/a/%b-640..avif" % HASH.encode(),
            ]
        ),
    )
)  # fmt: skip
def test_no_other_path_names_a_file(path: bytes) -> None:
    assert asset_file(path) is None


def test_a_hash_is_of_one_tenant_and_one_upload() -> None:
    hashes = {asset_hash(tenant, digest) for tenant in (1, 2, 12) for digest in (b"1", b"2", b"12")}
    assert len(hashes) == 9
    assert asset_hash(1, b"1") == asset_hash(1, b"1")
    assert {len(hash_) for hash_ in hashes} == {HASH_CHARS}
