"""The benchmark of experiments at many looks: its simulation, and its failures."""

import numpy as np
import pytest

from bench import peeking
from bench.kit import naive_verdicts, synthetic_visits
from bench.kit.errors import BenchError


def test_visitors_come_1_to_20_times_and_convert_once() -> None:
    looks = synthetic_visits.returning(np.random.default_rng(1), 3, 4000, 50, 0.3)
    visitors, conversions = looks.visitors[:, :, -1], looks.conversions[:, :, -1]
    assert (visitors.sum(axis=1) == 4000).all()
    # A tenth of the conversions would come after the last look.
    assert np.allclose(conversions / visitors, 0.27, atol=0.04)
    assert (looks.conversions <= looks.visitors).all()
    assert (looks.clicks <= looks.visits).all()
    assert (np.diff(looks.conversions, axis=2) >= 0).all()
    assert 7 < looks.visits[:, :, -1].sum() / 12_000 < 10.5


def test_the_second_variant_gets_its_share() -> None:
    looks = synthetic_visits.returning(np.random.default_rng(1), 1, 10_000, 10, 0.1, share=0.1)
    assert looks.visitors[0, 1, -1] == pytest.approx(1000, abs=120)


def test_the_vectorised_formulas_agree_with_the_engine() -> None:
    rng = np.random.default_rng(2)
    looks = synthetic_visits.returning(rng, 20, 2000, 40, 0.05, share=0.1)
    log_e = naive_verdicts.sequence_log_e(looks.visitors, looks.conversions, 0.05, 5000)
    naive_verdicts.check_agreement(looks.visitors, looks.conversions, log_e, 0.05, 5000)
    with pytest.raises(BenchError, match="the engine says"):
        naive_verdicts.check_agreement(looks.visitors, looks.conversions, log_e + 1, 0.05, 5000)
    counts = synthetic_visits.allocations(rng, 20, 20, 40, [0.2, 0.8])
    allocation_log_e = naive_verdicts.allocation_log_e(counts, [0.2, 0.8])
    naive_verdicts.check_allocation_agreement(counts, allocation_log_e, [0.2, 0.8])
    with pytest.raises(BenchError, match="the engine says"):
        naive_verdicts.check_allocation_agreement(counts, allocation_log_e + 1, [0.2, 0.8])


@pytest.mark.slow
def test_a_small_run_measures_everything_and_finds_no_failure() -> None:
    result = peeking.run(
        peeking.PeekingOptions(tests=20, allocations=40, visitors=2000, looks=100, seed=1)
    )
    assert len(result["verdicts"]) == 8
    assert all(row["naive_clicks"] > 0.5 for row in result["verdicts"] if row["rate"] > 0.01)
    assert all(row["power_at_end"] >= 0.75 for row in result["power"])
    assert not peeking.failures(result)
    assert len(peeking.tables(result)) == 3
    result["verdicts"][0]["false_alarms"] = 0.06
    result["srm"][0]["false_alarms"] = 0.1
    assert len(peeking.failures(result)) == 2
