"""How many delays a committee takes for a block, derived by hand: what figures are held against.

Every link takes the same delay, a member's copy to itself takes none, machines take none, no leader is dead. Of a member
that is not the leader, which is nearly all of them; ``docs/consensus.md`` derives each. For ``mmr14``, whose coins are drawn
in every round, the expectation.
"""

from __future__ import annotations

from collections.abc import Mapping

from ledger.kernel.encoding import Frozen
from ledger.kernel.quorum import max_faulty

ROUNDS_SUMMED = 64
"""An agreement that takes more rounds has a chance below 10^-19."""


class ClosedForm(Frozen):
    """In delays: without faults, and with f silent members."""

    agreed: int
    """From the first proposal, or the leader's, to the decision."""
    agreed_without_f: int
    before: int
    """From the beginning to the first proposal: nonces, or proposals on their way to the leader."""


CLOSED_FORMS: Mapping[str, ClosedForm] = {
    "wasp": ClosedForm(5, 11, 5),
    "hbbft": ClosedForm(6, 10, 0),
    "pbft": ClosedForm(3, 3, 1),
    "tendermint": ClosedForm(3, 3, 1),
    "hotstuff": ClosedForm(7, 7, 1),
    "jolteon": ClosedForm(5, 5, 1),
    "sequencer": ClosedForm(1, 1, 1),
}
SIGNED = 2
"""Entropy and the shares of the signature, after the decision."""


def delays_of(protocol: str, nodes: int, f_silent: bool, whole: bool) -> float | None:
    """Delays until a block is decided, or, ``whole``, from its beginning until its anchor is signed; none: not known."""
    form = CLOSED_FORMS.get(protocol)
    if form is not None:
        agreed: float = form.agreed_without_f if f_silent else form.agreed
        before = form.before
    elif protocol == "mmr14":
        f = max_faulty(nodes) if f_silent else 0
        agreed, before = 3 + 3 * (longest(nodes - f) + longest(f)), 0
    else:
        return None
    return agreed + (before + SIGNED if whole else 0)


def longest(agreements: int) -> float:
    """The expected number of rounds of the longest of so many agreements, each of which ends with a chance of 1/2 a round."""
    return sum(1 - (1 - 0.5**rounds) ** agreements for rounds in range(ROUNDS_SUMMED)) if agreements else 0.0
