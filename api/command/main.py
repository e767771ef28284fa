"""The command line: `waypost` and `python -m api.command`."""

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from engine.common.errors import WaypostError
from engine.jobs.job import JOB_STATES, JobFilter, JobState
from engine.operations import logs, settings
from engine.operations.settings import SETTINGS, Settings

DATA = click.option(
    "--data", "folder", type=click.Path(path_type=Path), default=Path("waypost-data"),
    show_default=True, metavar="DIR", help="data folder: journals and, if embedded, the servers",
)  # fmt: skip
AS_JSON = click.option("--json", "as_json", is_flag=True, help="JSON, one object a line")


def settings_help() -> str:
    """The table of settings for --help; `\\b` keeps click from filling its lines."""
    lines = ["\b", "Settings, from the environment:"]
    for setting in SETTINGS:
        default = setting.default
        printed = {True: "1", False: "0"}.get(default, default) if default != "" else ""
        lines.append(f"  {setting.variable}{f' [{printed}]' if printed != '' else ''}")
        lines.append(f"      {setting.help}")
    return "\n".join(lines)


@click.group(epilog=settings_help(), context_settings={"max_content_width": 100})
@click.version_option(package_name="waypost")
def cli() -> None:
    """Waypost: an actor-based redirect and click analytics engine."""


def serving(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that `up` and `serve` share."""
    for option in reversed(
        (
            DATA,
            click.option("--visitors-port", type=click.IntRange(0, 65535), help="0: any free port"),
            click.option("--console-port", type=click.IntRange(0, 65535), help="0: any free port"),
            click.option("--edges", type=click.IntRange(1, 64), default=1, show_default=True,
                         help="processes that share the visitors' port"),
        )
    ):  # fmt: skip
        command = option(command)
    return command


@cli.command()
@serving
@click.option("--demo", is_flag=True, help="add one filled profile, `demo`")
def up(
    folder: Path, visitors_port: int | None, console_port: int | None, edges: int, demo: bool
) -> None:
    """Run everything on this machine; embedded Postgres and Valkey unless both URLs are set."""
    from api.processes.launch import ROLES

    run_roles(
        read(visitors_port=visitors_port, console_port=console_port), folder, ROLES, edges, demo
    )


@cli.command()
@serving
@click.option("--roles", default="edge,api,workers", show_default=True, metavar="LIST",
              help="what this machine runs, separated by commas")  # fmt: skip
def serve(
    folder: Path, visitors_port: int | None, console_port: int | None, edges: int, roles: str
) -> None:
    """Run some roles against real servers (DATABASE_URL, REDIS_URL)."""
    from api.processes.launch import ROLES

    chosen = tuple(dict.fromkeys(role.strip() for role in roles.split(",")))
    for role in chosen:
        if role not in ROLES:
            raise WaypostError(f"--roles: '{role}' is none of {', '.join(ROLES)}")
    found = read(visitors_port=visitors_port, console_port=console_port)
    require_servers(found, "serve")
    run_roles(found, folder, chosen, edges, False)


@cli.command()
def migrate() -> None:
    """Bring the schema of DATABASE_URL up to date."""
    from actors.operations import runtime
    from storage.migrations import migrate as apply

    found = read()
    require_servers(found, "migrate")
    applied = runtime.run(lambda stop: apply(found.database_url))
    for name in applied:
        click.echo(f"applied {name}")
    click.echo("the schema is up to date")


@cli.command(name="import")
@click.argument("file", type=click.Path(path_type=Path))
@DATA
def import_(file: Path, folder: Path) -> None:
    """Import links: CSV (handle,slug,target,title) or JSON lines; bad rows go to FILE.rejects.csv."""
    from actors.operations import runtime
    from api.command.import_links import Importer

    found = read()
    logs.configure(found.log_format, "import")
    with Importer(found, folder, file) as importer:
        tally = runtime.run(importer.run)
    click.echo(tally.line())
    if tally.rejected:
        click.echo(f"rejected rows, with reasons: {importer.rejects.path}")


@cli.command()
@click.argument("handle")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@DATA
def archive(handle: str, file: Path, folder: Path) -> None:
    """Export all that is kept of a profile, as lines of JSON, to take along."""
    from actors.operations import runtime
    from api.command.archive import archive as write

    found = read()
    size = runtime.run(lambda stop: write(found, folder, handle, file, stop))
    click.echo(f"wrote {file}: {size:,} bytes")


@cli.command()
@click.argument("handle")
@DATA
@click.option("--yes", is_flag=True, help="do not ask")
def erase(handle: str, folder: Path, yes: bool) -> None:
    """Erase a profile for good: its links, statistics, log, and all else that is kept of it."""
    from actors.operations import runtime
    from api.command.erase import erase as apply

    found = read()
    if not yes:
        click.confirm(f"Erase {handle} for good? Nothing brings it back", abort=True)
    rows = runtime.run(lambda stop: apply(found, folder, handle, stop))
    click.echo(f"erased {handle}: {rows:,} rows; what arrives late is erased by the workers")


@cli.command()
@click.option("--day", required=True, type=click.DateTime(["%Y-%m-%d"]), help="a UTC day")
@click.option("--profile", metavar="HANDLE|ID", help="only this one; all without it")
@DATA
def rebuild(day: datetime, profile: str | None, folder: Path) -> None:
    """Count a day anew out of its raw clicks, while folding goes on."""
    from actors.operations import runtime
    from api.command import recount

    found = read()
    done = runtime.run(lambda stop: recount.rebuild(found, folder, day.date(), profile, stop))
    click.echo(f"counted {done.clicks:,} clicks of {done.days:,} profiles anew")


@cli.command()
@click.option("--from", "first", type=click.DateTime(["%Y-%m-%d"]), metavar="DAY",
              help="the first UTC day; without it, 90 days before --to")  # fmt: skip
@click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), metavar="DAY",
              help="the last UTC day, included; today without it")  # fmt: skip
@click.option("--all", "everything", is_flag=True, help="also what the present rule has judged")
@DATA
def reclassify(
    first: datetime | None, last: datetime | None, everything: bool, folder: Path
) -> None:
    """Judge raw clicks by the present rule, and count the days anew where that changes something."""
    from actors.operations import runtime
    from api.command import recount

    found = read()
    to = last.date() if last else datetime.now(UTC).date()
    days = recount.days_between(first.date() if first else to - timedelta(days=90), to)
    done = runtime.run(lambda stop: recount.reclassify(found, folder, days, everything, stop))
    click.echo(f"judged {done.clicks:,} clicks anew, on {done.days:,} days of profiles")


@cli.command()
@DATA
@click.option("--audit", is_flag=True, help="verify the log of changes instead, entry by entry")
def doctor(folder: Path, audit: bool) -> None:
    """Look at everything that has to be right; exit code 1 when something is to be mended."""
    from actors.operations import runtime
    from api.command.doctor import examine, show, show_audit, verify_log

    found = read()
    if audit:
        sys.exit(show_audit(runtime.run(lambda stop: verify_log(found, folder, stop))))
    sys.exit(show(runtime.run(lambda stop: examine(found, folder, stop))))


@cli.group(invoke_without_command=True)
@DATA
@click.pass_context
def jobs(context: click.Context, folder: Path) -> None:
    """See and steer jobs, those of all tenants and the engine's own; `list` if nothing else is said."""
    context.default_map = {name: {"folder": folder} for name in jobs.commands}
    if context.invoked_subcommand is None:
        context.invoke(list_, folder=folder)


@jobs.command(name="list")
@DATA
@click.option("--state", type=click.Choice(JOB_STATES), help="only jobs in this state")
@click.option("--kind", help="only jobs of this kind")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@AS_JSON
def list_(
    folder: Path, state: JobState | None, kind: str | None, limit: int, as_json: bool
) -> None:
    """The newest jobs first."""
    from actors.operations import runtime
    from api.command.jobs import listed, show_list, with_jobs

    asked, found = JobFilter(state, kind), read()
    rows = runtime.run(
        lambda stop: with_jobs(found, folder, lambda jobs: listed(jobs, asked, limit))
    )
    show_list(rows, as_json=as_json)


@jobs.command(name="show")
@click.argument("job_id", type=click.IntRange(1))
@DATA
@AS_JSON
def show_(job_id: int, folder: Path, as_json: bool) -> None:
    """All that is known of one job, its payload too."""
    on_job("job", job_id, folder, as_json)


@jobs.command()
@click.argument("job_id", type=click.IntRange(1))
@DATA
@AS_JSON
def retry(job_id: int, folder: Path, as_json: bool) -> None:
    """Let a dead or cancelled job start afresh, or one that waits after a failure run now."""
    on_job("retry", job_id, folder, as_json)


@jobs.command()
@click.argument("job_id", type=click.IntRange(1))
@DATA
@AS_JSON
def cancel(job_id: int, folder: Path, as_json: bool) -> None:
    """Cancel a queued job at once; stop a running one within seconds."""
    on_job("cancel", job_id, folder, as_json)


def on_job(do: str, job_id: int, folder: Path, as_json: bool) -> None:
    from actors.operations import runtime
    from api.command.jobs import show, with_jobs

    found = read()
    job = runtime.run(
        lambda stop: with_jobs(found, folder, lambda jobs: getattr(jobs, do)(None, job_id))
    )
    show(job, as_json=as_json)


@cli.command()
@DATA
@click.option("--once", is_flag=True, help="once instead of again and again")
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 3600),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="time between two looks",
)
@AS_JSON
def top(folder: Path, once: bool, interval: float, as_json: bool) -> None:
    """Watch every process and actor on this machine: restarts, mailboxes, lag, last errors."""
    from actors.operations import runtime
    from api.command.top import watch

    runtime.run(lambda stop: watch(folder, stop, once=once, as_json=as_json, interval_s=interval))


@cli.group()
def webhooks() -> None:
    """For who receives webhooks."""


@webhooks.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=9000,
    show_default=True,
    help="0: any free port",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="address to listen on")
@click.option(
    "--secret",
    "secrets",
    multiple=True,
    envvar="WEBHOOK_SECRET",
    metavar="SECRET",
    help="whsec_… or whpk_…, also as WEBHOOK_SECRET; several while one is replaced",
)
@click.option(
    "--count",
    type=click.IntRange(0),
    default=0,
    help="end after so many; exit code 1 if one was wrong",
)
@click.option(
    "--status",
    type=click.IntRange(200, 599),
    default=204,
    show_default=True,
    help="what to answer when all is well",
)
def listen(port: int, host: str, secrets: tuple[str, ...], count: int, status: int) -> None:
    """Receive webhooks on this machine: verify each, print it, answer it."""
    from actors.operations import runtime
    from api.command.listen import listen as receive

    wrong = runtime.run(lambda stop: receive(stop, host, port, secrets, count, status))
    sys.exit(1 if count and wrong else 0)


@cli.command(hidden=True)
def process() -> None:
    """One process of the engine; started by `up` and `serve`, not by people."""
    from api.processes.console import console
    from api.processes.edge import edge
    from api.processes.process import main as run_process
    from api.processes.workers import workers

    sys.exit(run_process({"edge": edge, "api": console, "workers": workers}))


def read(**overrides: Any) -> Settings:
    """Settings from the environment, with what the command line says above them."""
    return settings.read(os.environ, **overrides)


def require_servers(found: Settings, command: str) -> None:
    if not found.database_url:
        raise WaypostError(f"waypost {command} needs DATABASE_URL and REDIS_URL")


def run_roles(
    found: Settings, folder: Path, roles: tuple[str, ...], edges: int, demo: bool
) -> None:
    from actors.operations import runtime
    from api.processes.launch import Launch

    logs.configure(found.log_format, "launcher")
    with Launch(found, folder, roles, edges, demo) as everything:
        runtime.run(everything.run)


def main() -> None:
    """One line and exit code 2 for what a person can mend; a traceback is a bug of ours."""
    try:
        cli(standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        fail(error.format_message())
    except WaypostError as error:
        fail(str(error))
    except BaseExceptionGroup as group:
        known = single_waypost_error(group)
        if known is None:
            raise
        fail(str(known))
    except KeyboardInterrupt:
        sys.exit(130)


def single_waypost_error(group: BaseExceptionGroup[BaseException]) -> WaypostError | None:
    """The WaypostError in a group that has nothing else in it."""
    found: list[WaypostError] = []
    for error in group.exceptions:
        inner = single_waypost_error(error) if isinstance(error, BaseExceptionGroup) else error
        if not isinstance(inner, WaypostError):
            return None
        found.append(inner)
    return found[0]


def fail(line: str) -> None:
    text = " ".join(line.split())
    sys.stderr.write(f"waypost: {text}\n")
    sys.exit(2)
