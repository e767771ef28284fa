"""The user agent with its hints, from the fields of a plain head."""

import re
from collections.abc import Mapping

from engine.clicks.agents.client_hints import with_hints


def hinted_agent(fields: Mapping[str, bytes], head: bytes) -> bytes:
    """Return the user agent of a head's fields with what its client hints say more."""
    if not fields["brands"]:
        return fields["user_agent"]
    values = dict.fromkeys((b"mobile", b"platform"), b"")
    for name, value in re.findall(rb"(?i)\r\nsec-ch-ua-(mobile|platform):([^\r]*)", head):
        values[name.lower()] = value.strip(b" \t")
    return with_hints(
        fields["user_agent"], fields["brands"], values[b"mobile"], values[b"platform"]
    )
