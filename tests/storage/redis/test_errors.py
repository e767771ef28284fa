"""Each error of redis-py means either that Redis is away, or that it is used wrongly."""

import inspect
import pkgutil
from collections.abc import Iterator
from importlib import import_module

import pytest
import redis
import redis.asyncio
from redis import exceptions

from storage.redis.errors import is_unavailable, unavailable

# Errors that only a fault of the engine raises. Whatever redis-py adds has to be put here or into AWAY.
WRONG_USE = {
    exceptions.RedisError,
    exceptions.ResponseError,
    exceptions.DataError,
    exceptions.PubSubError,
    exceptions.WatchError,
    exceptions.NoScriptError,
    exceptions.ExecAbortError,
    exceptions.ModuleError,
    exceptions.NoSuchFieldsetError,
    exceptions.LockError,
    exceptions.LockNotOwnedError,
    exceptions.ChildDeadlockedError,
    exceptions.ClusterCrossSlotError,
    exceptions.CrossSlotTransactionError,
    exceptions.InvalidPipelineStack,
    exceptions.IncorrectPolicyType,
}


def error_classes() -> Iterator[type[Exception]]:
    """Yield every class of errors that redis-py's exceptions and asyncio modules hold."""
    submodules = pkgutil.iter_modules(redis.asyncio.__path__)
    modules = [exceptions, *(import_module(f"redis.asyncio.{file.name}") for file in submodules)]
    classes = {
        value
        for module in modules
        for _, value in inspect.getmembers(module, inspect.isclass)
        if issubclass(value, Exception) and value.__module__.startswith("redis")
    }
    yield from sorted(classes, key=lambda value: value.__name__)


def example(error: type[Exception]) -> Exception:
    if issubclass(error, exceptions.AskError):
        return error("1 127.0.0.1:7000")
    return error("x")


def test_every_error_of_redis_is_decided() -> None:
    classes = list(error_classes())
    assert exceptions.SlotNotCoveredError in classes
    assert len(classes) > 35
    for error in classes:
        assert is_unavailable(example(error)) is (error not in WRONG_USE), error


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "refused"),
        TimeoutError(),
        exceptions.ResponseError("UNBLOCKED force unblock from blocking operation"),
        exceptions.ResponseError("MISCONF Redis is configured to save RDB snapshots"),
        exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."),
        exceptions.RedisClusterException("Redis Cluster cannot be connected."),
        exceptions.SlotNotCoveredError('Slot "7" not covered by the cluster.'),
    ],
)
def test_states_that_pass(error: Exception) -> None:
    assert is_unavailable(error)


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ResponseError("BUSYKEY Target key name already exists."),
        exceptions.ResponseError("WRONGTYPE Operation against a key"),
        exceptions.ResponseError("unknown command 'XADDD'"),
        exceptions.RedisClusterException("EVAL - all keys must map to the same key slot"),
        exceptions.RedisClusterException("No way to dispatch this command to Redis Cluster."),
        AttributeError("no attribute of ours"),
        KeyError("ours"),
        ValueError("ours"),
    ],
)
def test_faults_of_the_engine(error: Exception) -> None:
    assert not is_unavailable(error)


def test_the_wrong_kind_of_url_is_said() -> None:
    moved = exceptions.MovedError("1 127.0.0.1:7000")
    assert "redis+cluster://" in str(unavailable(moved))
    single = exceptions.RedisClusterException(
        "Redis Cluster cannot be connected. Please provide at least one reachable node: "
        "Cluster mode is not enabled on this node"
    )
    assert "must start with redis://" in str(unavailable(single))
