"""How the number of messages grows with the committee: the exponent that a straight line through logarithms has.

Counted in runs, per block: the agreement by itself (what is said at the leaves of the protocol), and the whole instance. The
agreement is cubic in protocols without a leader (n broadcasts and n agreements of n^2 messages), quadratic where all vote to
all, linear where all vote to the leader. The instance is never below quadratic: all tell all their shares of the entropy and
of the signature.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log

import pytest

from node.experiments.committee_options import CommitteeOptions
from node.experiments.committee_run import run_committee
from wasp.consensus.protocols import PROTOCOLS

SIZES = (4, 7, 10, 13, 16, 22, 31)
EXPONENTS: Mapping[str, tuple[int, int]] = {
    "wasp": (3, 3),
    "hbbft": (3, 3),
    "mmr14": (3, 3),
    "pbft": (2, 2),
    "tendermint": (2, 2),
    "hotstuff": (1, 2),
    "jolteon": (1, 2),
    "sequencer": (1, 2),
}
"""Of the agreement, and of the instance."""
OTHERS = {"entropy", "signature"}
"""The leaves of an instance that are not the agreement's."""


def fitted(counts: Mapping[int, int]) -> float:
    """The slope of the line of least squares through the logarithms."""
    xs, ys = [log(n) for n in counts], [log(count) for count in counts.values()]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    covariance = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return covariance / sum((x - mean_x) ** 2 for x in xs)


def test_a_power_is_fitted_exactly():
    assert round(fitted({n: 5 * n**3 for n in SIZES}), 9) == 3


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_messages_grow_with_the_exponent_of_the_protocol(protocol: str):
    agreement, instance = {}, {}
    for n in SIZES:
        summary = run_committee(CommitteeOptions(protocol=protocol, nodes=n, blocks=1, batch=1)).summary
        agreement[n] = sum(count for leaf, count in summary["messages_by_leaf"].items() if leaf not in OTHERS)
        instance[n] = summary["messages_per_block"]
    expected = EXPONENTS[protocol]
    assert abs(fitted(agreement) - expected[0]) < 0.15
    assert abs(fitted(instance) - expected[1]) < 0.2
