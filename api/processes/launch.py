"""Launch of all processes on one machine: servers, schema, owner, children, and their ordered end."""

import os
import socket
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import trio

from actors.operations.launcher import Launcher, ProcessCommand
from actors.operations.runtime import Stop
from api.processes import owner
from api.processes.demo import history as demo_history
from api.processes.demo import profile as demo
from api.processes.demo import show as demo_show
from api.processes.launcher_status import LauncherStatus
from api.processes.process import ProcessSpec, environment, notice, settings_for_child
from api.processes.server_watch import ServerWatch, inspections
from api.processes.sockets import listen, url_of
from engine.common.errors import WaypostError
from engine.links.imports.link_import import IMPORT_CONNECTIONS
from engine.operations.settings import Settings
from storage.accounts.recovery import issue_setup_code
from storage.assets.stores import asset_files
from storage.embedded import EmbeddedServers, lock_folder
from storage.embedded.folder import layout, make_run_folder
from storage.migrations import migrate
from storage.operations import status
from storage.operations.rights import ROLES_OF_PROCESS, require_rights
from storage.postgres.database import Database

ROLES: Final = ("edge", "api", "workers")
READY_LIMIT_S: Final = 60.0
_ROOT: Final = Path(__file__).resolve().parents[2]
WATCH_INTERVAL_S: Final = 0.5


class Launch:
    """Launch of `roles` on this machine, as a context manager.

    Entering acquires all that can be refused: the folder's lock, the ports and the embedded servers.
    """

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        roles: tuple[str, ...],
        edges: int,
        demo_size: str | None,
    ) -> None:
        self.settings = settings
        self.folder = folder
        self.roles = roles
        self.edges = edges if "edge" in roles else 0
        self.demo_size = demo_size
        self.visitors: list[socket.socket] = []
        self.console: list[socket.socket] = []
        self.operations: list[socket.socket] = []
        self.servers: EmbeddedServers | None = None
        self._stack = ExitStack()
        self._failure: WaypostError | None = None
        self._setup_code = ""
        self._new_demo: demo.DemoProfile | None = None

    def __enter__(self) -> "Launch":
        """Lock the folder, bind the ports, start the embedded servers. Raises WaypostError."""
        asset_files(
            self.settings.storage_url, self.folder
        )  # refuses a store that no process could open
        self._require_core()
        try:
            self._stack.enter_context(lock_folder(self.folder))
            make_run_folder(layout(self.folder).run)
            status.forget_failures(layout(self.folder).run)
            self._bind()
            if not self.settings.database_url:
                self._start_servers()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _require_core(self) -> None:
        """Refuse compiled code that no process could use. Raises SettingsError."""
        if self.edges and self.settings.visitor_core == "compiled":
            # Here, as it takes 17 MB of memory, and few installations ask for it.
            from api.visits.compiled.selection import select_server

            select_server("compiled")
        if "workers" in self.roles and self.settings.fold_core == "compiled":
            from api.processes.fold_selection import select_fold

            select_fold("compiled")

    def _bind(self) -> None:
        settings = self.settings
        if "edge" in self.roles:
            self.visitors = listen(
                settings.visitors_host,
                settings.visitors_port,
                self.edges,
                "visitors' port",
                deferred=True,
            )
        if "api" in self.roles:
            self.console = listen(settings.console_host, settings.console_port, 1, "console's port")
        if settings.operations_port:
            host, port = settings.operations_host, settings.operations_port
            self.operations = listen(host, port, 1, "operations port")
        for listener in (*self.visitors, *self.console, *self.operations):
            self._stack.enter_context(listener)
        fallback = f"http://{settings.visitors_host}:{settings.visitors_port}"
        self.settings = replace(
            settings,
            visitors_url=settings.visitors_url
            or (url_of(self.visitors[0]) if self.visitors else fallback),
            console_url=settings.console_url or (url_of(self.console[0]) if self.console else ""),
        )

    def _start_servers(self) -> None:
        started = time.monotonic()
        servers = self.servers = EmbeddedServers(self.folder)
        self._stack.enter_context(servers)
        self.settings = replace(
            self.settings, database_url=servers.database_url, redis_url=servers.redis_url
        )
        notice(f"embedded Postgres and Valkey run ({time.monotonic() - started:.1f} s)")

    async def run(self, stop: Stop) -> None:
        """Run until `stop` is requested. Raises WaypostError when the launcher gives up on a process."""
        for name in await migrate(self.settings.sessions_url):
            notice(f"migration {name} applied")
        roles = sorted({name for role in self.roles for name in ROLES_OF_PROCESS[role]})
        await require_rights(self.settings.database_url, roles)
        await self._fill()

        def give_up(error: WaypostError) -> None:
            self._failure = error
            stop.request()

        commands = self._commands()
        launcher = Launcher(commands, give_up)
        needed = len(commands) * self.settings.database_pool + IMPORT_CONNECTIONS
        watch = ServerWatch(inspections(self.settings, roles, needed))
        own = LauncherStatus(launcher, watch, layout(self.folder).run)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(launcher.run)
            nursery.start_soon(self._announce_ready, launcher, stop)
            nursery.start_soon(own.run, self.operations)
            if self.servers is not None:
                nursery.start_soon(self._watch_servers, self.servers, own)
            await stop.wait()
            notice("stopping: waits for answers and clicks in flight; Ctrl-C again ends it at once")
            await self._drain(launcher)
            nursery.cancel_scope.cancel()
        if self._failure is not None:
            raise self._failure

    async def _fill(self) -> None:
        database = await Database.open(
            self.settings.database_url,
            role="waypost_app",
            size=1,
            query_timeout_ms=self.settings.query_timeout_ms,
        )
        try:
            # Not on a machine of edges or workers: its folder is no place to look for a password.
            if "api" in self.roles:
                await owner.create(database, self.settings, self.folder)
                code = await issue_setup_code(database)
                self._setup_code = code.token if code else ""
            owner.refresh_urls(self.settings, self.folder)
            if self.demo_size is not None:
                created = await demo.ensure(database)
                self._new_demo = created if self.demo_size == "full" else None
        finally:
            with trio.CancelScope(shield=True):
                await database.close()
        if self._new_demo is not None:
            await self._fill_history(self._new_demo)

    async def _fill_history(self, profile: demo.DemoProfile) -> None:
        database = await Database.open(
            self.settings.database_url, role="waypost_aggregator", size=1, query_timeout_ms=60_000
        )
        try:
            visits = await demo_history.write(database, *profile, datetime.now(UTC))
        finally:
            with trio.CancelScope(shield=True):
                await database.close()
        notice(f"two months of the demo are counted: {visits:,} visits")

    async def _drain(self, launcher: Launcher) -> None:
        """Stop the edges first, while the workers still commit what the edges ship."""
        limit_s = self.settings.drain_timeout_ms / 1000 + 10
        for role in ("edge", "api", "workers"):
            await launcher.stop(role, limit_s)

    def _commands(self) -> list[ProcessCommand]:
        names = [f"edge-{i}" for i in range(self.edges)]
        names += [f"{role}-0" for role in ("api", "workers") if role in self.roles]
        return [self._command(name, tuple(names)) for name in names]

    def _command(self, name: str, names: tuple[str, ...]) -> ProcessCommand:
        role, _, index = name.rpartition("-")
        sockets = {"edge": self.visitors, "api": self.console}.get(role, [])
        descriptors = (sockets[int(index)].fileno(),) if sockets else ()
        spec = ProcessSpec(
            role=role,
            index=int(index),
            data=str(self.folder.resolve()),
            parent=os.getpid(),
            settings=settings_for_child(self.settings),
            sockets=descriptors,
            processes=names,
        )
        return ProcessCommand(
            name=name,
            # -P and PYTHONPATH, so that Python does not import a folder `engine` in the working directory.
            arguments=[sys.executable, "-P", "-m", "api.command", "process"],
            environment=environment(spec) | {"PYTHONPATH": str(_ROOT)},
            pass_fds=descriptors,
            hands_over=role == "edge",
        )

    async def _announce_ready(self, launcher: Launcher, stop: Stop) -> None:
        expected = {process.command.name for process in launcher.processes}
        run_folder = layout(self.folder).run
        with trio.move_on_after(READY_LIMIT_S) as limit:
            while not expected <= await self._ready(run_folder):  # noqa: ASYNC110  # other processes
                await trio.sleep(0.02)
        if limit.cancelled_caught:
            self._failure = WaypostError(
                f"not ready after {READY_LIMIT_S:g} s; the log above says why"
            )
            stop.request()
            return
        self._say_ready()
        credentials = owner.read(self.folder)
        if (
            self._new_demo is not None
            and credentials is not None
            and self.visitors
            and self.console
        ):
            console, visitors = url_of(self.console[0]), url_of(self.visitors[0])
            await demo_show.fill(self.settings, console, visitors, credentials.api_key)

    async def _ready(self, run_folder: Path) -> set[str]:
        return {
            process_status.name
            for process_status in await status.fetch_statuses(run_folder)
            if all(component.ready for component in process_status.components)
        }

    def _say_ready(self) -> None:
        urls = {
            "visitors": self.settings.visitors_url if self.visitors else "",
            "console": self.settings.console_url if self.console else "",
        }
        notice("ready " + " ".join(f"{name}={url}" for name, url in urls.items() if url))
        if self.operations:
            notice(f"metrics of this machine are at {url_of(self.operations[0])}/metrics")
        credentials = self.folder / owner.FILE
        if credentials.exists():
            notice(f"the owner's password and API key are in {credentials}")
        if self._setup_code:
            page = f"{self.settings.console_url.rstrip('/')}/setup#{self._setup_code}"
            notice(f"set up your own account within an hour: {page}")
        if self.demo_size is not None and self.visitors:
            for line in demo.hints(self.settings, credentials):
                notice(line)

    async def _watch_servers(self, servers: EmbeddedServers, own: LauncherStatus) -> None:
        """Restart embedded servers that died. Blocks this thread (see EmbeddedServers.restart)."""
        while True:
            await trio.sleep(WATCH_INTERVAL_S)
            for name in servers.poll():
                notice(f"{name} has died and is being restarted")
                own.server_restarts[name] += 1
                try:
                    servers.restart(name)
                except WaypostError as error:
                    notice(f"{name} could not be restarted: {error}")
