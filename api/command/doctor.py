"""`waypost doctor`: checks of folder, servers, schema, geo file, daily keys, compiled code and mail server."""

import os
import shutil
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import click
import trio
from rich.console import Console
from rich.progress import Progress

from api.processes.fold_selection import select_fold
from api.visits.compiled.selection import select_server
from engine.common.errors import SettingsError, UnavailableError, WaypostError
from engine.links.imports.link_import import IMPORT_CONNECTIONS
from engine.mail.server import mail_server, sender
from engine.operations.server_conditions import (
    MIN_POSTGRES,
    Condition,
    postgres_conditions,
    redis_conditions,
)
from engine.operations.settings import Settings
from storage.audit.verification import AuditResult, verify
from storage.clicks.recovery import orphans
from storage.embedded import EmbeddedServers, FolderInUseError, lock_folder
from storage.mail.smtp import SmtpMailer
from storage.operations.inspection import migrations_pending, postgres_facts, redis_facts
from storage.operations.rights import ROLES_OF_PROCESS, find_flaws
from storage.visits.daily_keys import memory_folder, swap_files
from storage.visits.geo import GeoError, load

FindingState = Literal["ok", "warn", "fail"]
MIN_FREE_BYTES: Final = 2 * 1024**3
LIMIT_S: Final = 5.0
MAX_FLAWS: Final = 10
OLD_GEO_DAYS: Final = 45  # vendors publish at least monthly


@dataclass(frozen=True, slots=True)
class Finding:
    """Finding of one check: its state, its subject, and a text that says what to do."""

    state: FindingState
    subject: str
    text: str


class Doctor:
    """Checks of one data folder and its servers, with their findings so far."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self.findings: list[Finding] = []

    def add(self, state: FindingState, subject: str, text: str) -> None:
        self.findings.append(Finding(state, subject, text))

    def check_folder(self) -> bool:
        """Check the data folder. Returns whether servers must answer, named by settings or embedded."""
        if not self.folder.is_dir():
            self.add("warn", "folder", f"{self.folder} does not exist yet; `waypost up` creates it")
        elif not os.access(self.folder, os.W_OK):
            self.add("fail", "folder", f"{self.folder} cannot be written by this user")
        else:
            self._check_disk()
        if self.settings.database_url:
            self.add("ok", "servers", "DATABASE_URL and REDIS_URL are set")
            return True
        if not self.folder.is_dir():
            return False
        try:
            lock_folder(self.folder).close()
        except FolderInUseError as error:
            servers = EmbeddedServers(self.folder)
            self.settings = replace(
                self.settings, database_url=servers.database_url, redis_url=servers.redis_url
            )
            self.add("ok", "servers", f"embedded; {error}")
            return True
        except WaypostError as error:
            self.add("fail", "folder", str(error))
            return False
        self.add("ok", "servers", "embedded, and not running: start `waypost up` to check them")
        return False

    def _check_disk(self) -> None:
        free_bytes = shutil.disk_usage(self.folder).free
        self.add(
            "ok" if free_bytes >= MIN_FREE_BYTES else "warn",
            "disk",
            f"{free_bytes / 1024**3:.1f} GiB free where {self.folder} is",
        )
        journals = orphans(self.folder / "journals")
        size = sum(f.stat().st_size for j in journals for f in j.glob("*.segment"))
        self.add("ok", "journals", f"{len(journals)} with {size / 1024**2:.0f} MiB of segments")

    async def check_geo_file(self) -> None:
        """Check the geo file by reading all of it, as an edge does."""
        if not self.settings.geo_file:
            self.add("ok", "places", "countries only; WAYPOST_GEO_FILE adds regions and cities")
            return
        try:
            file, _ = await trio.to_thread.run_sync(load, Path(self.settings.geo_file))
            report = await file.check()
        except GeoError as error:
            self.add("fail", "places", f"{self.settings.geo_file} {error}")
            return
        days = int(time.time() - file.built_at) // 86_400
        self.add(
            "ok" if days <= OLD_GEO_DAYS else "warn",
            "places",
            f"{file.kind}, {report.networks:,} networks, {days} days old",
        )

    def check_daily_keys(self) -> None:
        """Check that daily keys are kept in memory and cannot be swapped to a disk."""
        memory = memory_folder()
        if memory is None:
            self.add(
                "warn",
                "keys",
                "daily keys cannot be kept in a tmpfs (/dev/shm, XDG_RUNTIME_DIR): edges keep them in their "
                "own memory, so a restart makes a new key, and edges agree through Redis only",
            )
        else:
            self.add("ok", "keys", f"daily keys are kept in memory, shared in {memory}")
        if swap := swap_files():
            self.add(
                "warn",
                "swap",
                f"daily keys may be swapped out to {', '.join(swap)}: encrypt swap or turn it off",
            )

    def check_core(self) -> None:
        """Say what answers plain visits, and why it is not the compiled core."""
        try:
            selected = select_server(self.settings.visitor_core)
        except SettingsError as error:
            self.add("fail", "core", str(error))
            return
        why = f": {selected.reason}" if selected.reason else ""
        self.add("ok", "core", f"plain visits are answered by {selected.core} code{why}")

    def check_fold(self) -> None:
        """Say what folds clicks, and why it is not compiled code."""
        try:
            selected = select_fold(self.settings.fold_core)
        except SettingsError as error:
            self.add("fail", "fold", str(error))
            return
        why = f": {selected.reason}" if selected.reason else ""
        self.add("ok", "fold", f"clicks are folded by {selected.core} code{why}")

    async def check_mail(self) -> None:
        """Check that the mail server takes a connection and the login."""
        if not self.settings.smtp_url:
            self.add("ok", "mail", "none is sent; WAYPOST_SMTP_URL turns it on")
            return
        server = mail_server(self.settings.smtp_url)

        async def check() -> None:
            await SmtpMailer(server, sender(self.settings.mail_from)).check()
            self.add("ok", "mail", f"{server.host}:{server.port} takes mail of this engine")

        await self._try("mail", check)

    async def check_servers(self) -> None:
        await self._try("postgres", self._check_postgres)
        await self._try("redis", self._check_redis)

    async def _try(self, subject: str, check: Callable[[], Awaitable[None]]) -> None:
        try:
            with trio.fail_after(LIMIT_S):
                await check()
        except WaypostError as error:
            self.add("fail", subject, str(error))
        except trio.TooSlowError:
            self.add("fail", subject, f"does not answer within {LIMIT_S:g} s")

    async def _check_postgres(self) -> None:
        url = self.settings.database_url
        facts = await postgres_facts(url)
        needed = len(ROLES_OF_PROCESS) * self.settings.database_pool + IMPORT_CONNECTIONS
        self._add_conditions(
            f"version {facts.major}", postgres_conditions(facts, needed), "postgres"
        )
        if facts.major < MIN_POSTGRES:
            return
        pending = await migrations_pending(url)
        if pending:
            self.add("fail", "schema", f"{', '.join(pending)} not applied: run `waypost migrate`")
            return
        self.add("ok", "schema", "up to date")
        flaws = await find_flaws(url)
        for flaw in flaws[:MAX_FLAWS]:
            self.add("fail", "rights", str(flaw))
        if not flaws:
            self.add("ok", "rights", "each role has what it needs")
        elif len(flaws) > MAX_FLAWS:
            self.add("fail", "rights", f"and {len(flaws) - MAX_FLAWS} more")

    async def _check_redis(self) -> None:
        facts = await redis_facts(self.settings.redis_url)
        self._add_conditions(f"{facts.name} {facts.version}", redis_conditions(facts), "redis")

    def _add_conditions(self, title: str, conditions: list[Condition], subject: str) -> None:
        if not any(condition.fails for condition in conditions):
            self.add("ok", subject, title)
        for condition in conditions:
            self.add("fail" if condition.fails else "warn", subject, condition.text)


async def examine(settings: Settings, folder: Path) -> list[Finding]:
    """Run all checks. Returns their findings: folder, geo file, daily keys, core, fold, mail, then servers."""
    doctor = Doctor(settings, folder)
    running = doctor.check_folder()
    await doctor.check_geo_file()
    doctor.check_daily_keys()
    doctor.check_core()
    doctor.check_fold()
    await doctor.check_mail()
    if running:
        await doctor.check_servers()
    return doctor.findings


def show(findings: list[Finding]) -> int:
    """Print the findings. Returns the exit code: 1 if a check fails."""
    colours = {"ok": "green", "warn": "yellow", "fail": "red"}
    for finding in findings:
        mark = click.style(f"{finding.state:<5}", fg=colours[finding.state])
        click.echo(f"{mark} {finding.subject:<9} {finding.text}")
    return 1 if any(finding.state == "fail" for finding in findings) else 0


async def verify_log(settings: Settings, folder: Path) -> AuditResult:
    """Verify the log of changes, with a progress bar on a terminal.

    Raises UnavailableError when no server runs.
    """
    doctor = Doctor(settings, folder)
    if not doctor.check_folder():
        raise UnavailableError(doctor.findings[-1].text)
    with Progress(
        console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
    ) as bar:
        task = bar.add_task("verifying", total=None)
        return await verify(
            doctor.settings.database_url,
            lambda done, of: bar.update(task, completed=done, total=max(of, done)),
        )


def show_audit(audit: AuditResult) -> int:
    """Print the result as one line. Returns the exit code: 1 if the log was changed."""
    counts = f"{audit.entries:,} entries in {audit.chains:,} chains"
    if audit.broken:
        click.echo(
            f"{click.style('fail ', fg='red')} audit     {audit.broken} ({counts} before it)"
        )
        return 1
    click.echo(f"{click.style('ok   ', fg='green')} audit     {counts}, each as it was written")
    return 0
