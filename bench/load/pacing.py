"""An engine whose courier lets its waits pass faster, for `python -m bench webhooks`.

The engine itself has no setting for this. `python -m bench.load.pacing PACE SECONDS up …` runs the engine's command
line with the courier's waits divided by PACE and its time limit of an exchange set to SECONDS, and starts
its processes in the same way:

    python -m bench.load.pacing PACE SECONDS process …
"""

import importlib
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from actors.operations import launcher
from actors.webhooks.courier import CourierLimits
from engine.operations.settings import Settings


def pace_courier(pace: float, exchange_s: float) -> None:
    module = importlib.import_module("api.processes.workers")
    original: Callable[[Settings], CourierLimits] = module.courier_limits

    def paced(settings: Settings) -> CourierLimits:
        return original(settings)._replace(time_scale=pace, exchange_s=exchange_s)

    setattr(module, "courier_limits", paced)  # noqa: B010


def pass_on(*arguments: str) -> None:
    """Let the processes that the parent starts be paced in the same way."""
    original: Callable[..., Awaitable[int]] = launcher.Launcher._run_once

    async def run_once(self: launcher.Launcher, process: launcher.ChildProcess) -> int:
        command: list[Any] = list(process.command.arguments)
        if "api.command" in command:
            at = command.index("api.command")
            command[at : at + 1] = ["bench.load.pacing", *arguments]
            process.command = replace(process.command, arguments=command)
        return await original(self, process)

    setattr(launcher.Launcher, "_run_once", run_once)  # noqa: B010


def main(pace: str, exchange_s: str) -> None:
    pace_courier(float(pace), float(exchange_s))
    pass_on(pace, exchange_s)
    importlib.import_module("api.command.main").main()


if __name__ == "__main__":
    main(sys.argv.pop(1), sys.argv.pop(1))
