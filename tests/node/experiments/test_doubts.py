"""What is legal in a scenario and probably not meant is told before the run."""

import pytest

from ledger.kernel.instant import HOUR
from ledger.profile import PROFILES, adapted
from node.configuration import Configuration
from node.experiments.doubts import doubts

PROFILE = PROFILES["goshimmer-0.8"]


def doubts_of(*faults, pow_kind="sampled", difficulty=21, consensus=None, delay=25_000):
    """Warnings of a scenario that ends after two hours; each fault: when, kind, hosts."""
    configuration = Configuration.model_validate(
        {
            "scenario": {"name": "x"},
            "data": {"file": "x.csv"},
            "market": {"grid_charges": 2, "grid_pays": 1},
            "chains": [{"name": "mg", "homes": ["a", "b"]}],
            "ledger": {"pow": pow_kind},
            "consensus": consensus or {},
            "faults": [{"at": at, "kind": kind, **({"nodes": nodes} if nodes else {})} for at, kind, nodes in faults],
        }
    )
    return doubts(configuration, adapted(PROFILE, pow_difficulty=difficulty), 2 * HOUR, delay)


def test_a_fault_after_the_end_is_worth_a_warning():
    assert doubts_of(("2h", "crash", ["a"])) == ()
    assert doubts_of(("2h1us", "crash", ["a"]), ("3h", "heal", [])) == (
        "faults[0]: crash at 2h1us is after the end of the run: expected before 2h",
        "faults[1]: heal at 3h is after the end of the run: expected before 2h",
    )


def test_a_restart_of_a_host_that_runs_is_worth_a_warning():
    assert doubts_of(("1h", "restart", ["a"]), ("30m", "crash", ["a"])) == ()
    assert doubts_of(("1h", "restart", ["a", "b"]), ("30m", "crash", ["a"]), ("90m", "restart", ["a"])) == (
        "faults[0]: restart of b at 1h does nothing: it has not crashed before",
        "faults[2]: restart of a at 1h30m does nothing: it has not crashed before",
    )


@pytest.mark.parametrize(("kind", "difficulty", "warned"), [("ground", 24, 1), ("ground", 23, 0), ("sampled", 24, 0)])
def test_grinding_that_takes_too_long_is_worth_a_warning(kind, difficulty, warned):
    told = (
        'ledger.pow = "ground" at difficulty 24: 16,777,216 hashes are expected for each block, 16 seconds of a core; '
        'lower ledger.pow_difficulty, or take pow = "sampled"'
    )
    assert doubts_of(pow_kind=kind, difficulty=difficulty) == (told,) * warned


@pytest.mark.parametrize(
    ("protocol", "timeout", "warned"),
    [
        ("pbft", "100ms", 0),
        ("pbft", "99999us", 1),
        ("jolteon", "149999us", 1),
        ("hotstuff", "199999us", 1),
        ("hotstuff", "200ms", 0),
        ("pbft", "off", 0),
        ("wasp", "1ms", 0),
    ],
)  # fmt: skip
def test_a_leader_who_has_less_time_than_messages_take_is_worth_a_warning(protocol, timeout, warned):
    assert len(doubts_of(consensus={"protocol": protocol, "view_timeout": timeout})) == warned


def test_the_warning_of_a_hasty_timer_has_the_numbers():
    (told,) = doubts_of(consensus={"protocol": "pbft", "view_timeout": "1s"}, delay=300_000)
    assert told == (
        "consensus.view_timeout is 1s: a view of pbft takes 4 delays of up to 300ms, 1s200ms before any work; "
        "leaders will be replaced for no reason"
    )
