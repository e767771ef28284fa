"""File descriptors of a process: enough for its connections, and for all else that it opens."""

import logging
import resource
from typing import Final

# For the journal's files, database and Redis connections, and libraries. A journal that cannot open its next
# file records no clicks, so connections never take these.
RESERVED: Final = 256

logger = logging.getLogger("waypost")


def connections_within_limit(wanted: int) -> int:
    """Raise this process's limit of open files as far as the system allows. Returns how many of the `wanted`
    connections it then has room for, at least 1, and warns when these are fewer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    needed = wanted + RESERVED
    if soft != unlimited and soft < needed:
        soft = needed if hard == unlimited else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == unlimited or soft >= needed:
        return wanted
    connections = max(1, soft - RESERVED)
    logger.warning(
        "the system allows %d open files, so %d connections are served instead of %d; raise `ulimit -n`",
        soft,
        connections,
        wanted,
        extra={"event": "few_descriptors"},
    )
    return connections
