"""Two machines, a Redis Cluster, two Postgres and PgBouncer: faults of each part lose nothing."""

import pytest

from bench.chaos import ChaosOptions, failures, run
from bench.servers.cluster_faults import CLUSTER_WEIGHTS
from bench.servers.clustered_engine import missing_programs

pytestmark = [
    pytest.mark.large,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        bool(missing_programs()), reason="needs redis-server and pgbouncer: apt-get install them"
    ),
]

# cluster-node-timeout is 1 s; a node that starts takes no writes for 2 s.
FAILOVER_S = 15.0


def test_each_kind_of_fault_of_a_cluster_leaves_counts_exact() -> None:
    """All of Redis is down at the start; visitors are answered, and counted once it is up."""
    kinds = tuple(CLUSTER_WEIGHTS)
    plan = ChaosOptions(len(kinds), 1, rate=800, links=60, edges=1, cluster=True, cold_redis=True)
    result = run(plan)
    assert failures(result) == [], result
    assert set(result["faults"]) == set(kinds)
    assert result["answered"] > 10_000
    assert 0 <= result["counted"] - result["answered"] <= result["unanswered"]
    assert result["clicks_unrecorded"] == result["dead_lettered"] == 0
    assert result["visitors_standstill_s"] < 2.0
    assert result["counting_standstill_s"] < FAILOVER_S
    assert result["drain_s"] < 2 * FAILOVER_S
