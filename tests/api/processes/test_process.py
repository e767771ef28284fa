"""What all processes of the engine share."""

import gc

import trio

from actors.operations.runtime import Stop
from actors.operations.supervisor import Supervisor
from api.processes.process import until_stopped


async def test_modules_are_nothing_that_collections_look_at() -> None:
    frozen = []
    tree = Supervisor("root", [])
    stop = Stop()

    async def drain() -> None:
        frozen.append((gc.get_freeze_count(), len(gc.get_objects())))

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(until_stopped, tree, stop, drain)
            stop.request()
    finally:
        gc.unfreeze()
    ((permanent, others),) = frozen
    assert permanent > 10 * others
