"""The addresses that an argument of `waypost links` may mean."""

from typing import Any

import pytest

from api.command.remote.link_search import link_of
from engine.common.errors import WaypostError
from waypost_client import ApiError


class Profile:
    handle = "ada"


class FakeClient:
    """A client with one profile that knows links at these addresses."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.tried: list[str] = []

    def look_up_link(self, address: str) -> str:
        self.tried.append(address)
        if address not in self.addresses:
            raise ApiError(404, "there is no such link")
        return address

    def profiles(self) -> Any:
        return iter([Profile()])


@pytest.mark.parametrize(
    ("text", "handle", "tried"),
    [
        ("spring", None, ["/spring", "/ada/spring", "/~ada/spring"]),
        ("spring", "@bob", ["/bob/spring", "/~bob/spring"]),
        ("docs/v1.2", None, ["/docs/v1.2", "/~ada/docs/v1.2"]),
        ("docs/v1.2", "bob", ["/docs/v1.2", "/~bob/docs/v1.2"]),
        ("https://links.example.com/docs", None, ["https://links.example.com/docs"]),
    ],
)
def test_addresses_are_tried_from_the_likeliest_on(
    text: str, handle: str | None, tried: list[str]
) -> None:
    client: Any = FakeClient(tried[-1])
    address: Any = link_of(client, text, handle)
    assert address == tried[-1]
    assert client.tried == tried
    client = FakeClient()
    with pytest.raises(WaypostError, match="there is no link"):
        link_of(client, text, handle)
    assert client.tried == tried
