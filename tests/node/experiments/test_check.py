"""A checked configuration is told as a plan: chains, timetable, hosts."""

import pytest

from node.experiments import check
from node.experiments.check import check_file, plan_text
from tests.harness.small_run import write_small
from wasp.consensus.protocol_times import ProtocolTimes

PLAN = """\
small: 2 delivery intervals of 30m, 8 homes on 3 chains, 4 layer-1 nodes

chain   level  parent  members  faulty at most  homes
north       0  town          4               1  a1, a2, a3, a4
south       0  town          4               1  b1, b2, b3, b4 (offline)
town        1  -             8               2  -

timetable of the first interval, since the start
       0:10  opening, 20m before delivery
    0:17:30  round 1 ends, 12m30s before delivery
       0:18  round 2 ends, 12m before delivery
       0:18  gate of north, south, 12m before delivery
       0:21  gate of town, 9m before delivery
       0:30  delivery begins
       1:00  delivery ends, readings are accepted
       1:15  metering
each next interval is 30m later; the last is metered at 1:45

hosts, as faults name them
  tangle1, tangle2, tangle3, tangle4
  a1, a2, a3, a4, b1, b2, b3, b4"""


def test_the_plan_tells_chains_timetable_and_hosts(tmp_path):
    overrides = ["market.interval=30m", "scenario.intervals=2", "market.round_length=30s", "chains.1.offline=true"]
    assert plan_text(check_file(write_small(tmp_path), overrides, None)) == PLAN


@pytest.mark.parametrize(
    ("instant", "text"), [(0, "0:00"), (3_599_999_999, "0:59:59.999999"), (90_000_500_000, "25:00:00.5")]
)
def test_an_instant_is_told_in_hours_and_minutes(instant, text):
    assert check._clock(instant) == text


def test_many_homes_go_on_in_the_next_line(tmp_path):
    assert max(map(len, check._hanging("mg  ", ", ".join(f"home{i}" for i in range(40))))) <= check.WIDTH
    assert check._hanging("mg  ", ", ".join(["x" * 30] * 4))[1].startswith("    x")


def test_timers_reach_the_chains_and_hasty_ones_are_worth_a_warning(tmp_path):
    def checked(*overrides):
        return check_file(write_small(tmp_path), ["consensus.protocol=jolteon", *overrides], None)

    off = checked("consensus.view_timeout=off", "consensus.attempt_timeout=3s")
    assert off.warnings == checked().warnings
    assert off._chain_parameters().times == ProtocolTimes(view_timeout=None, attempt_timeout=3_000_000)
    matrix = ["network.model=matrix", "network.matrix=lan", "network.delay=25ms", "network.jitter=0s"]
    hasty = set(checked(*matrix, "consensus.view_timeout=2999us").warnings) - set(off.warnings)
    assert [warning.partition(":")[0] for warning in hasty] == ["consensus.view_timeout is 2ms999us"]
    assert checked(*matrix, "consensus.view_timeout=3ms").warnings == off.warnings
