"""Tags of the reference: the groups of its operations, each with its description."""

from collections.abc import Mapping
from typing import Final

TAGS: Final[Mapping[str, str]] = {
    "Profiles": "Profiles, their archives and their erasure.",
    "Links": "Links of a profile, and GitHub's facts of the repositories that they lead to.",
    "Pages": "Profiles' pages: their drafts and published versions.",
    "Assets": "Pictures of a profile, for its page.",
    "Domains": "Hosts of a profile's own, at which its links answer.",
    "Experiments": "Variants of links, and what they do to visitors.",
    "Conversions": "Conversions after clicks: reported by their owners, by pages and by hooks of shops.",
    "Activity": "The log of changes, and security events.",
    "Statistics": "Clicks, views and visitors: counted, exported and live.",
    "Sessions": "Logging in and out, and the caller's own account.",
    "Keys": "The caller's API keys.",
    "Teams": "Members of a profile, and invitations to it.",
    "Jobs": "Background jobs.",
    "Webhooks": "Webhooks of a profile, and what was delivered to them.",
    "Service": "The engine itself: health, metrics and this document.",
}
