"""A typed Python client of Waypost's API.

with WaypostClient("https://console.example", "wp_…") as waypost:
    link = waypost.create_link("https://example.com/spring", tags=["campaign"])
    print(link.short_url or link.url)
"""

from waypost_client.client import WaypostClient
from waypost_client.errors import ApiError, FieldProblem, UnreachableError, WaypostClientError
from waypost_client.objects import Link, LinkFields, Page, Profile, Stats

__all__ = [
    "ApiError",
    "FieldProblem",
    "Link",
    "LinkFields",
    "Page",
    "Profile",
    "Stats",
    "UnreachableError",
    "WaypostClient",
    "WaypostClientError",
]
