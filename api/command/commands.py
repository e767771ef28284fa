"""The commands of `waypost`, with their options; api/command/main.py runs them."""

import os
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

from api.command.help import CONTEXT_SETTINGS, CommandGroup
from api.command.paths import FolderPath, InputFile, OutputFile
from api.command.remote.links import links
from api.command.remote.mcp import mcp
from engine.common.errors import WaypostError
from engine.common.text_rules import printable
from engine.jobs.job import JOB_STATES, JobFilter, JobState
from engine.operations import logs, settings
from engine.operations.settings import Settings

T = TypeVar("T")

DATA = click.option(
    "--data", "folder", type=FolderPath(), default=Path("waypost-data"),
    show_default=True, metavar="DIR", help="data folder: journals and embedded servers",
)  # fmt: skip
AS_JSON = click.option("--json", "as_json", is_flag=True, help="print JSON, one object per line")


@click.group(cls=CommandGroup, context_settings=CONTEXT_SETTINGS)
@click.version_option(package_name="waypost")
def cli() -> None:
    """Waypost: an actor-based redirect and click analytics engine."""


def serving(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that `up` and `serve` share."""
    for option in reversed(
        (
            DATA,
            click.option("--visitors-port", type=click.IntRange(0, 65535), metavar="PORT",
                         help="port for visitors; default: WAYPOST_VISITORS_PORT; 0: any free port"),
            click.option("--console-port", type=click.IntRange(0, 65535), metavar="PORT",
                         help="port of the console; default: WAYPOST_CONSOLE_PORT; 0: any free port"),
            click.option("--edges", type=click.IntRange(1, 64), default=1, show_default=True,
                         help="number of edge processes that share the visitors' port"),
        )
    ):  # fmt: skip
        command = option(command)
    return command


@cli.command()
@serving
@click.option("--demo", is_flag=False, flag_value="full", type=click.Choice(("links", "full")),
              help="create a profile `demo`: links only, or with a page, experiments, visits; "
              "default: no demo; --demo alone: full")  # fmt: skip
def up(
    folder: Path, visitors_port: int | None, console_port: int | None, edges: int, demo: str | None
) -> None:
    """Run everything on this machine.

    Starts embedded Postgres and Valkey servers unless DATABASE_URL and REDIS_URL are set.
    """
    from api.processes.launch import ROLES

    run_roles(
        read(visitors_port=visitors_port, console_port=console_port), folder, ROLES, edges, demo
    )


@cli.command()
@serving
@click.option("--roles", default="edge,api,workers", show_default=True, metavar="LIST",
              help="roles that this machine runs, separated by commas: edge, api, workers")  # fmt: skip
def serve(
    folder: Path, visitors_port: int | None, console_port: int | None, edges: int, roles: str
) -> None:
    """Run roles against real servers (DATABASE_URL, REDIS_URL)."""
    from api.processes.launch import ROLES

    chosen = tuple(dict.fromkeys(role.strip() for role in roles.split(",")))
    for role in chosen:
        if role not in ROLES:
            raise WaypostError(f"--roles must name {', '.join(ROLES)}, not '{role}'")
    config = read(visitors_port=visitors_port, console_port=console_port)
    if not config.database_url:
        raise WaypostError("waypost serve needs DATABASE_URL and REDIS_URL; set both")
    run_roles(config, folder, chosen, edges, None)


@cli.command()
@click.option("--data", "folder", type=FolderPath(), metavar="DIR",
              help="folder for the credentials of the first account, owner.json; default: the account is "
              "created by the first `serve` with the console")  # fmt: skip
def migrate(folder: Path | None) -> None:
    """Bring the schema of DATABASE_URL up to date, and check the roles' rights."""
    from api.command.migrate import migrate as apply

    config = read(database_only=True)
    if not config.database_url:
        raise WaypostError(
            "waypost migrate needs DATABASE_URL; `waypost up` migrates the embedded database itself"
        )
    run(lambda: apply(config, folder), "stopped: run it again for the rest")


cli.add_command(links)
cli.add_command(mcp)


@cli.command(name="import")
@click.argument("file", type=InputFile())
@click.option("--profile", "handle", metavar="HANDLE", default="",
              help="profile of rows without a handle, and of the links of an archive; default: the handle "
              "in each row or archive")  # fmt: skip
@click.option("--column", "columns", metavar="OURS=THEIRS", multiple=True,
              help="the file's name for one of our columns: `target=Long URL`; default: guessed")  # fmt: skip
@click.option("--if-exists", type=click.Choice(["update", "reject"]), default="update", show_default=True,
              help="treatment of a row that differs from the existing link")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="say what would be done, and change nothing")
@DATA
def import_(
    file: Path, handle: str, columns: tuple[str, ...], if_exists: Any, dry_run: bool, folder: Path
) -> None:
    """Import links from another service's file, CSV, JSON, bookmarks or an archive.

    Columns are known by their names: slug and target, and those of other services (docs/importing.md). Missing
    profiles are created. Rejected rows go to FILE.rejects.csv, with reasons; the exit code is then 1.
    """
    from actors.operations import runtime
    from api.command.import_links import Importer, ImportOptions, valid_columns, valid_handle

    config = read()
    logs.configure(config.log_format, "import")
    options = ImportOptions(
        handle=valid_handle(handle) if handle else "",
        columns=valid_columns(columns),
        if_exists=if_exists,
        dry_run=dry_run,
    )
    with Importer(config, folder, file, options) as importer:
        progress = runtime.run(importer.run)
    if importer.unread:
        click.echo(f"columns that were not read: {', '.join(map(printable, importer.unread))}")
    if progress.counts.rejected:
        click.echo(f"rejected rows, with reasons: {importer.rejects.path}")
    if dry_run:
        click.echo("nothing was changed: this is what would be done")
    click.echo(progress.text())
    sys.exit(1 if progress.counts.rejected else 0)


@cli.command()
@click.argument("handle")
@click.argument("file", type=OutputFile())
@DATA
def archive(handle: str, file: Path, folder: Path) -> None:
    """Export all data of a profile as JSON lines."""
    from api.command.archive import archive as write

    config = read()
    size = run(
        lambda: write(config, folder, handle, file), "stopped before the end: no file was written"
    )
    click.echo(f"wrote {file}: {size:,} bytes")


@cli.command()
@click.argument("file", type=OutputFile())
@DATA
@click.option("--force", is_flag=True, help="replace FILE if it exists")
def backup(file: Path, folder: Path, force: bool) -> None:
    """Back up all data into one file, while the engine runs.

    Postgres as of one moment, the journals of this folder, and the owner's credentials. FILE may be - for
    standard output. It holds secrets: keep it as safe as the engine.
    """
    from actors.operations import runtime
    from api.command.backup import Backup, BackupFile

    config = read()
    os.nice(10)  # visitors go first
    with Backup(config, folder, BackupFile(file, force=force)) as backup:
        line = runtime.run(backup.run)
    click.echo(line, err=str(file) == "-")


@cli.command()
@click.argument("file", type=InputFile())
@DATA
def restore(file: Path, folder: Path) -> None:
    """Restore a backup into an empty folder, or into empty servers.

    Every byte of FILE is checked first. Restore only files that you have made: they run SQL.
    """
    from actors.operations import runtime
    from api.command.restore import Restore, show

    config = read()
    with Restore(config, folder, file) as restore:
        result = runtime.run(restore.run)
    show(result, folder, datetime.now(UTC))


@cli.command(name="reset-password")
@click.argument("email")
@DATA
def reset_password(email: str, folder: Path) -> None:
    """Print a page that sets the password of an account.

    The page works once, for an hour. The account's sessions end when the password is set, not before.
    """
    from api.command.reset_password import reset_page

    config = read()
    click.echo(run(lambda: reset_page(config, folder, email), "stopped: no page was made"))


@cli.command()
@click.argument("handle")
@DATA
@click.option("--yes", is_flag=True, help="erase without asking for confirmation")
def erase(handle: str, folder: Path, yes: bool) -> None:
    """Erase a profile for good: its links, counts, clicks and log of changes."""
    from api.command.erase import erase as apply

    config = read()
    if not yes and not click.confirm(f"Erase {handle} for good? This cannot be undone"):
        raise WaypostError(f"{handle} was not erased")
    rows = run(
        lambda: apply(config, folder, handle),
        f"stopped: if {handle} is deleted already, the workers erase the rest",
    )
    click.echo(f"erased {handle}: {rows:,} rows; the workers erase clicks that arrive later")


@cli.command()
@click.option("--day", required=True, type=click.DateTime(["%Y-%m-%d"]), metavar="DAY",
              help="UTC day to count again, as YYYY-MM-DD")  # fmt: skip
@click.option("--profile", metavar="HANDLE|ID", help="one profile; default: all profiles")
@DATA
def rebuild(day: datetime, profile: str | None, folder: Path) -> None:
    """Count a day again from its raw clicks, while the engine runs."""
    from actors.operations import runtime
    from api.command import recount

    config = read()
    result = runtime.run(lambda stop: recount.rebuild(config, folder, day.date(), profile, stop))
    click.echo(f"counted {result.clicks:,} clicks of {result.days:,} profiles again")


@cli.command()
@click.option("--from", "first", type=click.DateTime(["%Y-%m-%d"]), metavar="DAY",
              help="first UTC day, as YYYY-MM-DD; default: 90 days before --to")  # fmt: skip
@click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), metavar="DAY",
              help="last UTC day, included; default: today")  # fmt: skip
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="all clicks, even those that the present rules have classified",
)
@DATA
def reclassify(
    first: datetime | None, last: datetime | None, everything: bool, folder: Path
) -> None:
    """Classify raw clicks by the present rules.

    Counts the days again where that changes a classification.
    """
    from actors.operations import runtime
    from api.command import recount

    config = read()
    to = last.date() if last else datetime.now(UTC).date()
    days = recount.days_between(first.date() if first else to - timedelta(days=90), to)
    result = runtime.run(lambda stop: recount.reclassify(config, folder, days, everything, stop))
    click.echo(f"classified {result.clicks:,} clicks again, on {result.days:,} days of profiles")


@cli.command()
@DATA
@click.option("--audit", is_flag=True, help="verify every entry of the log of changes instead")
def doctor(folder: Path, audit: bool) -> None:
    """Check disk, servers, schema and settings. Exit code 1 if a check fails."""
    from api.command.doctor import examine, show, show_audit, verify_log

    config = read()
    stopped = "stopped before the end of the checks"
    if audit:
        sys.exit(show_audit(run(lambda: verify_log(config, folder), stopped)))
    sys.exit(show(run(lambda: examine(config, folder), stopped)))


@cli.group(invoke_without_command=True)
@DATA
@click.pass_context
def jobs(context: click.Context, folder: Path) -> None:
    """List, show, retry and cancel jobs. Without a subcommand: list.

    Jobs of all tenants and of the engine.
    """
    context.default_map = {name: {"folder": folder} for name in jobs.commands}
    if context.invoked_subcommand is None:
        context.invoke(list_, folder=folder)


@jobs.command(name="list")
@DATA
@click.option(
    "--state", type=click.Choice(JOB_STATES), help="jobs in one state; default: all states"
)
@click.option("--kind", help="jobs of one kind; default: all kinds")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True,
              help="largest number of jobs")  # fmt: skip
@AS_JSON
def list_(
    folder: Path, state: JobState | None, kind: str | None, limit: int, as_json: bool
) -> None:
    """List jobs, the newest first."""
    from api.command.jobs import list_jobs, show_list, with_jobs

    job_filter, config = JobFilter(state, kind), read()
    rows = run(
        lambda: with_jobs(config, folder, lambda jobs: list_jobs(jobs, job_filter, limit)),
        "stopped",
    )
    show_list(rows, as_json=as_json)


@jobs.command(name="show")
@click.argument("job_id", type=click.IntRange(1))
@DATA
@AS_JSON
def show_(job_id: int, folder: Path, as_json: bool) -> None:
    """Show one job with its payload."""
    on_job("job", job_id, folder, as_json)


@jobs.command()
@click.argument("job_id", type=click.IntRange(1))
@DATA
@AS_JSON
def retry(job_id: int, folder: Path, as_json: bool) -> None:
    """Start a dead or cancelled job again.

    A job that waits after a failure runs at once.
    """
    on_job("retry", job_id, folder, as_json)


@jobs.command()
@click.argument("job_id", type=click.IntRange(1))
@DATA
@AS_JSON
def cancel(job_id: int, folder: Path, as_json: bool) -> None:
    """Cancel a job: a queued one at once, a running one within seconds."""
    on_job("cancel", job_id, folder, as_json)


def on_job(method: str, job_id: int, folder: Path, as_json: bool) -> None:
    from api.command.jobs import show, with_jobs

    config = read()
    job = run(
        lambda: with_jobs(config, folder, lambda jobs: getattr(jobs, method)(None, job_id)),
        "stopped",
    )
    show(job, as_json=as_json)


@cli.command()
@DATA
@click.option("--once", is_flag=True, help="print once and exit")
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 3600),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="seconds between two updates",
)
@AS_JSON
def top(folder: Path, once: bool, interval: float, as_json: bool) -> None:
    """Watch all processes and actors of this machine.

    Shows restarts, mailboxes, lag and last errors. On a terminal, arrows scroll and q quits.
    """
    from actors.operations import runtime
    from api.command.display.top import print_states

    runtime.run(
        lambda stop: print_states(folder, stop, once=once, as_json=as_json, interval_s=interval)
    )


@cli.group()
def webhooks() -> None:
    """Tools for receivers of webhooks."""


@webhooks.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=9000,
    show_default=True,
    help="port to listen on; 0: any free port",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="address to listen on")
@click.option(
    "--secret",
    "secrets",
    multiple=True,
    envvar="WEBHOOK_SECRET",
    metavar="SECRET",
    help="secret (whsec_…) or public key (whpk_…) to verify with; give both the old and the new one "
    "during a rotation; default: WEBHOOK_SECRET",
)
@click.option(
    "--count",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="requests to receive before exiting, with exit code 1 if one was refused; 0: no limit",
)
@click.option(
    "--status",
    type=click.IntRange(200, 599),
    default=204,
    show_default=True,
    help="status of responses to verified requests",
)
def listen(port: int, host: str, secrets: tuple[str, ...], count: int, status: int) -> None:
    """Receive webhooks on this machine, verify and print them."""
    from actors.operations import runtime
    from api.command.listen import listen as receive

    refused = runtime.run(lambda stop: receive(stop, host, port, secrets, count, status))
    sys.exit(1 if refused else 0)


@cli.command(hidden=True)
def process() -> None:
    """Run one process of the engine; `up` and `serve` start it."""
    from api.processes.console import console
    from api.processes.edge import edge
    from api.processes.process import main as run_process
    from api.processes.workers import workers

    sys.exit(run_process({"edge": edge, "api": console, "workers": workers}))


def read(*, database_only: bool = False, **overrides: Any) -> Settings:
    """Read the settings from the environment. `overrides` are those of the command line, and win."""
    from storage.certificates import require_certificates

    config = settings.read(os.environ, database_only=database_only, **overrides)
    require_certificates(config)
    return config


def run(work: Callable[[], Awaitable[T]], if_stopped: str) -> T:
    """Run `work` and return its result. Raises StoppedError with this line if Ctrl-C comes before its end."""
    from actors.operations import runtime
    from api.command.servers import finish

    return runtime.run(lambda stop: finish(work, stop, if_stopped))


def run_roles(
    config: Settings, folder: Path, roles: tuple[str, ...], edges: int, demo: str | None
) -> None:
    from actors.operations import runtime
    from api.processes.launch import Launch

    logs.configure(config.log_format, "launcher")
    with Launch(config, folder, roles, edges, demo) as launch:
        runtime.run(launch.run)
