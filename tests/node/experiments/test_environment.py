"""The faults of a configuration become the schedule of the simulation."""

from typing import get_args

import pytest

from ledger.kernel.automaton import NodeId
from ledger.kernel.instant import SECOND
from node.configuration import Configuration, FaultSection
from node.configuration_checks import field_problems
from node.experiments.environment import scheduled_faults
from node.experiments.summary import fault_text
from node.simulated.faults import ClockSkew, Crash, Heal, LinkChange, Partition, Pause, Restart, SlowCpu

AT = 3 * SECOND
A, B, TANGLE1 = NodeId("a"), NodeId("b"), NodeId("tangle1")
FAULTS = [
    ({"kind": "crash", "nodes": ["a", "b"]}, (Crash(AT, A, "unsynced"), Crash(AT, B, "unsynced"))),
    ({"kind": "crash", "nodes": ["a"], "disk_loss": "last"}, (Crash(AT, A, "last"),)),
    ({"kind": "restart", "nodes": ["a"]}, (Restart(AT, A),)),
    ({"kind": "pause", "nodes": ["a"], "duration": "2s"}, (Pause(AT, A, 2 * SECOND),)),
    ({"kind": "slow", "nodes": ["a"], "per_cent": 400}, (SlowCpu(AT, A, 400),)),
    (
        {"kind": "skew", "nodes": ["a", "b"], "offset": "-1s500ms"},
        (ClockSkew(AT, A, -1_500_000), ClockSkew(AT, B, -1_500_000)),
    ),
    ({"kind": "skew", "nodes": ["a"], "offset": "0s"}, (ClockSkew(AT, A, 0),)),
    ({"kind": "link"}, (LinkChange(AT),)),
    (
        {
            "kind": "link",
            "senders": ["a"],
            "recipients": ["b", "tangle1"],
            "loss": 0.25,
            "duplication": 0.5,
            "extra_delay": "1s",
        },
        (LinkChange(AT, (A,), (B, TANGLE1), 0.25, 0.5, SECOND),),
    ),
    ({"kind": "partition", "groups": [["a"], ["b", "tangle1"]]}, (Partition(AT, ((A,), (B, TANGLE1))),)),
    ({"kind": "partition", "groups": [["a"], ["b"]], "one_way": True}, (Partition(AT, ((A,), (B,)), True),)),
    ({"kind": "heal"}, (Heal(AT),)),
]


def configured(fault):
    return Configuration.model_validate(
        {
            "scenario": {"name": "x"},
            "data": {"file": "x.csv"},
            "market": {"grid_charges": 2, "grid_pays": 1},
            "chains": [{"name": "mg", "homes": ["a", "b"]}],
            "faults": [{"at": "3s", **fault}],
        }
    )


@pytest.mark.parametrize(("fault", "scheduled"), FAULTS)
def test_every_kind_of_fault_can_be_scheduled(fault, scheduled):
    configuration = configured(fault)
    assert field_problems(configuration) == []
    assert scheduled_faults(configuration) == scheduled
    assert Configuration.model_validate(configuration.model_dump(mode="json")) == configuration


def test_every_kind_is_here():
    assert {fault["kind"] for fault, _ in FAULTS} == set(get_args(FaultSection.model_fields["kind"].annotation))


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (FAULTS[4][0], "CPU of a at 400 % of its usual time"),
        (FAULTS[5][0], "clock of a, b off by -1s500ms"),
        (FAULTS[7][0], "links from all to all: loss 0, duplication 0, 0s more"),
        (FAULTS[8][0], "links from a to b, tangle1: loss 0.25, duplication 0.5, 1s more"),
        (FAULTS[10][0], "partition: a | b (one way)"),
    ],
)
def test_a_fault_is_told_in_words(fault, text):
    assert fault_text(configured(fault).faults[0]) == text
