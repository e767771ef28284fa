"""Publish a profile's page of links in a running engine."""

from bench.load.client import Client

BLOCKS = 12


def publish(console: Client, profile_id: str) -> None:
    """Publish a page of the profile's first links, twelve at most. Raises BenchError."""
    path = f"/v1/profiles/{profile_id}"
    stored = console.get(f"{path}/links?limit={BLOCKS}")["items"]
    blocks = [{"kind": "link", "link_id": link["id"], "line": "A line"} for link in stored]
    page = {"name": "Ada Lovelace", "bio": "Notes on engines", "blocks": blocks}
    console.put(f"{path}/page/draft", page)
    console.post(f"{path}/page/publish", {})
