"""An engine that starts while all of Redis is away: it answers, and counts once Redis is up."""

from pathlib import Path

import httpx
import pytest

from bench.servers.redis_cluster import RedisCluster
from tests.kit.engines import Engine, eventually, total_clicks

VISITS = 50
RESTARTS = "waypost_restarts_total"


@pytest.mark.slow
def test_an_engine_starts_without_its_redis_cluster(database_url: str, tmp_path: Path) -> None:
    cluster = RedisCluster(1, replicas=False)
    servers = {
        "DATABASE_URL": database_url,
        "REDIS_URL": f"redis+cluster://127.0.0.1:1,127.0.0.1:{cluster.nodes[0].port}",
    }
    engine = Engine(tmp_path / "data", command="serve", **servers)
    try:
        pids = {role: engine.pids(role) for role in ("edge", "workers", "api")}
        with engine.api() as api:
            profile = api.post("/v1/profiles", json={"handle": "ada", "title": "Ada"}).json()
            link = {"slug": "spring", "target": "https://example.com/"}
            assert api.post(f"/v1/profiles/{profile['id']}/links", json=link).status_code == 201
        with httpx.Client(base_url=engine.visitors) as visitor:
            for _ in range(VISITS):
                assert visitor.get("/ada/spring").status_code == 302
        ready = httpx.get(f"{engine.console}/readyz")
        assert ready.status_code == 503
        assert "redis" in ready.text
        with cluster, engine.api() as api:
            engine.wait_committed()
            assert total_clicks(api, profile["id"]) == VISITS
            eventually(lambda: httpx.get(f"{engine.console}/readyz").status_code == 200)
            assert {role: engine.pids(role) for role in pids} == pids
            restarts = [v for k, v in engine.metrics().items() if k.startswith(RESTARTS)]
            assert sum(restarts) == 0
        assert "Traceback" not in engine.output()
    finally:
        engine.kill()
        cluster.close()
