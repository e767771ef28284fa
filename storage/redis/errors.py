"""Meaning of redis-py's errors: Redis is away for a while, or the engine uses it wrongly.

This is the one place that decides it. redis-py's errors have no common base: those of a cluster's topology
are no `RedisError`, and a node that leaves its cluster during a command may end it with an AttributeError.
"""

from typing import Final

from redis import exceptions

from engine.common.errors import UnavailableError

# A command may succeed later: the network, a server that starts, stops or fails over, a time limit, a limit of
# memory or connections, and rights, which an operator may revoke and grant again.
AWAY: Final = (
    OSError,
    TimeoutError,
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.InvalidResponse,
    exceptions.ReadOnlyError,
    exceptions.OutOfMemoryError,
    exceptions.NoPermissionError,
    exceptions.AuthenticationWrongNumberOfArgsError,
    exceptions.ClusterError,
    exceptions.TryAgainError,
    exceptions.AskError,
)
# Subclasses of the above that a wrong use raises.
MISUSED: Final = (exceptions.CrossSlotTransactionError, exceptions.InvalidPipelineStack)
# Error codes of states of a server that pass, for which redis-py has no class.
_STATES: Final = (
    "LOADING ", "MISCONF ", "NOREPLICAS ", "READONLY ", "OOM ", "MASTERDOWN ", "CLUSTERDOWN ", "BUSY ",
    "UNKILLABLE ", "UNBLOCKED ", "DENIED ", "NOGOODSLAVE ",
)  # fmt: skip
# RedisClusterException is also raised for commands that name keys of several slots, or none.
_MISUSES: Final = ("all keys must map to the same key slot", "No way to dispatch", "Invalid args")
_NOT_OF_A_CLUSTER: Final = "Cluster mode is not enabled"
_CLUSTER_MODULE: Final = "redis.asyncio.cluster"


def is_unavailable(error: BaseException) -> bool:
    """Return whether the command may succeed later. False means a wrong use of Redis, or no error of Redis."""
    if isinstance(error, MISUSED):
        return False
    if isinstance(error, exceptions.RedisClusterException):
        return not any(text in str(error) for text in _MISUSES)
    if isinstance(error, AWAY):
        return True
    if isinstance(error, exceptions.RedisError):
        return str(error).startswith(_STATES)
    return isinstance(error, AttributeError | LookupError) and _raised_in(error, _CLUSTER_MODULE)


def unavailable(error: Exception) -> UnavailableError:
    """Return the error to raise in place of one that is_unavailable(); its text is for the operator."""
    if isinstance(error, exceptions.AskError):
        return UnavailableError(
            "Redis is a node of a cluster: REDIS_URL must start with redis+cluster:// or rediss+cluster://"
        )
    reason = str(error) or type(error).__name__
    if _NOT_OF_A_CLUSTER in reason:
        return UnavailableError(
            "Redis is not a cluster: REDIS_URL must start with redis:// or rediss://"
        )
    return UnavailableError(f"Redis does not answer: {reason}")


def _raised_in(error: BaseException, module: str) -> bool:
    """Return whether a module raised the error itself: the last frame of the traceback is one of its own."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback is not None and traceback.tb_frame.f_globals.get("__name__") == module
