"""A running engine as the operator sees it: jobs, metrics, actors, crashes and recounts."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import asyncpg
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from engine.links.imports.link_file import LinkFile
from engine.links.imports.rows import RowReader
from storage.embedded import EmbeddedServers
from tests.architecture.metrics import declarations
from tests.kit.answers import documents, misfits, one_of_each, readable_paths
from tests.kit.engines import Engine, eventually, waypost
from tests.kit.midnight import wait_past_midnight
from tests.kit.unconnected import unconnected_workers

pytestmark = [pytest.mark.slow, pytest.mark.thorough]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    started = Engine(tmp_path_factory.mktemp("operator") / "data", "--demo=links")
    yield started
    started.kill()


def sql(engine: Engine, statement: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(EmbeddedServers(engine.folder).database_url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())


def command(engine: Engine, *arguments: str) -> list[str]:
    process = waypost(*arguments, "--data", str(engine.folder))
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines()


def test_periodic_jobs_run_at_the_first_start_and_jobs_can_be_retried(engine: Engine) -> None:
    kinds = {job.kind for job in unconnected_workers().periodic_jobs}

    def done() -> bool:
        rows = [json.loads(line) for line in command(engine, "jobs", "list", "--json")]
        return {row["kind"] for row in rows if row["state"] == "succeeded"} >= kinds

    eventually(done)
    sql(
        engine,
        "INSERT INTO waypost.jobs (kind, queue, state, finished_at, failures, last_error) "
        r"VALUES ('jobs.purge', 'periodic', 'dead', now(), 10, E'broken\x1b[2J')",
    )
    (line,) = command(engine, "jobs", "list", "--state", "dead")
    job_id, tenant, kind, state, *_, error = line.split("\t")
    assert (tenant, kind, state, error) == ("–", "jobs.purge", "dead", "broken [2J")
    # The API shows the engine's own jobs to no caller, not even by id.
    with engine.api() as client:
        assert client.get("/v1/jobs").json()["items"] == []
        assert client.get(f"/v1/jobs/{job_id}").status_code == 404
        assert client.post(f"/v1/jobs/{job_id}/retry").status_code == 404
    retried = json.loads(command(engine, "jobs", "retry", job_id, "--json")[0])
    assert (retried["state"], retried["failures"]) == ("queued", 0)
    eventually(lambda: "succeeded" in " ".join(command(engine, "jobs", "show", job_id)))
    refused = waypost("jobs", "cancel", job_id, "--data", str(engine.folder))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        "waypost: state: a job that is succeeded has ended and cannot be cancelled\n"
    )


def test_a_running_engine_reports_every_metric_with_its_help(engine: Engine) -> None:
    assert httpx.get(f"{engine.visitors}/demo/spring").status_code == 302
    engine.wait_committed()
    families = {
        family.name + "_total" * (family.type == "counter"): family
        for family in text_string_to_metric_families(httpx.get(f"{engine.console}/metrics").text)
    }
    declared = {metric.name: metric for metric in declarations()}
    # A metric with labels appears only once one of its labels has a value.
    unlabelled = {name for name, metric in declared.items() if not metric.labels}
    assert unlabelled <= families.keys() <= declared.keys()
    for name, family in families.items():
        assert family.documentation == declared[name].help
        assert {len(sample.labels) for sample in family.samples} == {len(declared[name].labels)}


def test_top_and_the_api_show_every_actor(engine: Engine) -> None:
    with engine.api() as client:
        response = client.get("/v1/system")
    assert response.status_code == 200
    processes = {process["name"]: process for process in response.json()["processes"]}
    assert processes.keys() == {"edge-0", "api-0", "workers-0"}
    assert processes["edge-0"]["pid"] in engine.pids("edge")
    lines = command(engine, "top", "--once")
    paths = [line.split("\t")[0] for line in lines]
    assert {"edge-0/shipper", "api-0/server", "workers-0/jobs/worker"} <= set(paths)
    assert all(line.split("\t")[1] in ("up", "done") for line in lines), lines
    (document,) = command(engine, "top", "--once", "--json")
    assert json.loads(document).keys() == {"ready", "processes"}


def test_ids_are_texts_and_times_end_in_z_in_every_answer_and_file(engine: Engine) -> None:
    with engine.api() as client:
        ids = one_of_each(client)
        assert httpx.get(f"{engine.visitors}/demo/code").status_code == 302
        engine.wait_committed()
        seen = 0
        for path in readable_paths(client.get("/openapi.json").json(), ids):
            for query in ("?format=csv", "?format=ndjson") if path.endswith("/export") else ("",):
                response = client.get(path + query)
                seen += response.is_success
                assert list(misfits(documents(response), path)) == []
    assert seen > 40
    archive = engine.folder / "demo.ndjson"
    command(engine, "archive", "demo", str(archive))
    lines = archive.read_text().splitlines()
    rows = [json.loads(line) for line in (*lines, *command(engine, "jobs", "list", "--json"))]
    assert list(misfits(rows)) == []
    tables = [row.get("table") for row in rows]
    assert {"activity", "clicks", "events", "experiments", "invitations", "jobs"} <= set(tables)
    # An import reads the links back as they are.
    reader = RowReader("", private_hosts=False)
    with archive.open("rb") as file:
        records = list(LinkFile(file).records())
    kinds = Counter(reader.row(record.line, record.values).kind for record in records)
    assert kinds == Counter(r["row"]["kind"] for r in rows if r.get("table") == "links")
    assert kinds.keys() == {"url", "mailto", "github"}


def test_an_actor_in_a_crash_loop_is_named_and_visitors_notice_nothing(engine: Engine) -> None:
    sql(engine, "ALTER TABLE waypost.periodic_jobs RENAME TO lost")
    try:
        with httpx.Client(base_url=engine.visitors) as visitor:

            def reported() -> bool:
                assert visitor.get("/demo/spring").status_code == 302
                response = httpx.get(f"{engine.console}/readyz")
                reason = response.json()["components"].get(
                    "workers-0/jobs/scheduler", {"reason": ""}
                )
                return response.status_code == 503 and "UndefinedTableError" in reason["reason"]

            eventually(reported)

            def state() -> str:
                top = command(engine, "top", "--once")
                (line,) = [row for row in top if row.startswith("workers-0/jobs/scheduler")]
                return line.split("\t")[1]

            # Not at every moment: when its supervisor gives up, its crashes are counted from 0 again.
            eventually(lambda: state() == "CRASHING")
            # Clicks are still counted, because the aggregator is under another supervisor.
            engine.wait_committed()
    finally:
        sql(engine, "ALTER TABLE waypost.lost RENAME TO periodic_jobs")


def test_a_day_is_recounted_and_reclassified_while_the_engine_runs(engine: Engine) -> None:
    wait_past_midnight()
    today = datetime.now(UTC).date()
    with engine.api() as client:
        profile = client.post("/v1/profiles", json={"handle": "anew", "title": "Anew"}).json()
        link = {"slug": "x", "target": "https://example.org/"}
        assert client.post(f"/v1/profiles/{profile['id']}/links", json=link).status_code == 201
    stats_path = f"/v1/profiles/{profile['id']}/stats?group=browser"
    for _ in range(3):
        assert httpx.get(f"{engine.visitors}/anew/x").status_code == 302
    engine.wait_committed()
    sql(engine, "DELETE FROM waypost.click_deltas")
    with engine.api() as client:
        assert client.get(stats_path).json()["totals"]["clicks"] == 0
    (line,) = command(engine, "rebuild", "--day", f"{today}")
    assert line.startswith("counted ")
    with engine.api() as client:
        assert client.get(stats_path).json()["totals"]["clicks"] == 3
    (line,) = command(engine, "reclassify", "--from", f"{today}", "--all")
    assert line.startswith("classified ")
    (line,) = command(engine, "reclassify")
    assert line.startswith("classified 0 clicks")
    for arguments, message in (
        (("rebuild", "--day", f"{today}", "--profile", "nobody"), "no profile nobody"),
        (("reclassify", "--from", f"{today}", "--to", f"{today - timedelta(days=1)}"), "--from"),
    ):
        process = waypost(*arguments, "--data", str(engine.folder))
        assert process.returncode == 2
        assert process.stderr.splitlines()[-1].count(message) == 1


def test_without_an_engine_each_command_fails_with_one_line(tmp_path: object) -> None:
    for arguments in (("top",), ("top", "--once", "--json"), ("jobs",), ("jobs", "show", "1"),
                      ("rebuild", "--day", "2026-01-01"), ("reclassify",)):  # fmt: skip
        process = waypost(*arguments, "--data", f"{tmp_path}/none")
        assert (process.returncode, process.stdout) == (2, "")
        assert process.stderr.count("\n") == 1
        assert "nothing runs on" in process.stderr
