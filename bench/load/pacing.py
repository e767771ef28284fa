"""Engine with shortened waits of the courier, for `python -m bench webhooks`.

The engine has no setting for this. `python -m bench.load.pacing PACE SECONDS up …` runs the engine's command
line with the courier's waits divided by PACE and the time limit of an attempt set to SECONDS. It starts the
engine's processes with:

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


def pace_children(*arguments: str) -> None:
    """Start the launcher's processes through this module with the same arguments."""
    original: Callable[..., Awaitable[int | None]] = launcher.Launcher._run_once

    async def run_once(self: launcher.Launcher, process: launcher.ChildProcess) -> int | None:
        command: list[Any] = list(process.command.arguments)
        if "api.command" in command:
            at = command.index("api.command")
            command[at : at + 1] = ["bench.load.pacing", *arguments]
            process.command = replace(process.command, arguments=command)
        return await original(self, process)

    setattr(launcher.Launcher, "_run_once", run_once)  # noqa: B010


def main(pace: str, exchange_s: str) -> None:
    pace_courier(float(pace), float(exchange_s))
    pace_children(pace, exchange_s)
    importlib.import_module("api.command.main").main()


if __name__ == "__main__":
    main(sys.argv.pop(1), sys.argv.pop(1))
