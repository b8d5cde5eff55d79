"""Times and message counts of the committee's signature by FROST and ROAST, as equalities of integers.

Every link takes the same delay d, a member's copy to itself takes none, handling takes none; all know the digest at 0. T is
the time of attempt 0, attempt k has 2^k T.

- RFC 9591 with nonces prepared ahead: one round of shares: 1d; n (n - 1) messages.
- Shares in attempt 0 that are bad: known at 1d, when everybody begins attempt 1, whose coordinator opens a session; asked 2d,
  answered 3d. With f of them the session has the n - f others for signers, and n (n - 1) shares, n (n - 1) announcements,
  n - 1 requests and (n - f)(n - 1) shares are sent.
- Too few well-formed commitments: attempt 1 begins at 0, but the offers for it come at 1d: 3d.
- A signer that spoils a session costs 2d more, whether its share is bad or missing.
- Silent signers in attempt 0: T, asked T + 1d, answered T + 2d. A coordinator that is silent too: attempt 1 has its 2T from
  T + 1d on, when all are there; then everybody announces attempt 2, announced 3T + 2d, asked 3T + 3d, answered 3T + 4d.
"""

from __future__ import annotations

import pytest

from ledger.kernel.automaton import NodeId
from tests.harness.signature_checks import FROST_CODEC, SigningCommittee, unresponsive
from tests.harness.virtual_network import TimedNetwork
from wasp.consensus.byzantine.lying import silent
from wasp.consensus.protocol_times import ATTEMPT_TIMEOUT
from wasp.consensus.signing.anchor_signature import MessageSigned

D = 25_000
T = ATTEMPT_TIMEOUT
SIZES = (4, 7, 10, 16, 31)
LOG_INDEX = 1


class Run:
    """A committee on a network with constant delay.

    Members are named by their turn in attempt 0: the first n - f sign there, and number k coordinates attempt k.
    """

    def __init__(self, n: int) -> None:
        self.committee = SigningCommittee(n, LOG_INDEX)
        self.faulty: tuple[NodeId, ...] = ()
        self.f = self.committee.dealt.committee.f

    def members(self, *turns: int) -> tuple[NodeId, ...]:
        return tuple(self.committee.members[(LOG_INDEX + turn) % len(self.committee.members)] for turn in turns)

    def signed_at(self, spoilt: tuple[NodeId, ...] = ()) -> set[int]:
        """When the correct members have the signature."""
        self.network = TimedNetwork(self.committee.nodes, FROST_CODEC, D, self.faulty)
        self.committee.prepare(self.network, spoilt)
        for me in self.committee.members:
            self.network.give(me, self.committee.decided())
        self.network.run()
        self.committee.check_signed(self.network)
        outputs = self.network.outputs
        return {at for me in self.network.correct for at, output in outputs[me] if isinstance(output, MessageSigned)}


@pytest.mark.parametrize("n", SIZES)
def test_a_signature_takes_1d(n: int):
    run = Run(n)
    assert run.signed_at() == {D}
    assert run.network.sent == {"SignatureShare": n * (n - 1)}


@pytest.mark.parametrize("n", SIZES)
def test_f_bad_shares_cost_blame_and_one_session(n: int):
    run = Run(n)
    run.faulty = run.members(0, *range(2, run.f + 1))
    run.committee.lie(run.faulty, spoilt=True)
    assert run.signed_at() == {3 * D}
    assert run.network.sent == {
        "SignatureShare": n * (n - 1),
        "NextAttempt": n * (n - 1),
        "SigningSession": n - 1,
        "SessionShare": (n - run.f) * (n - 1),
    }
    blamed = {(accuser, fault.accused, fault.kind) for accuser, fault in run.network.faults}
    assert blamed == {(me, liar, "bad_share") for me in run.committee.members for liar in run.faulty}


@pytest.mark.parametrize("n", SIZES)
def test_one_bad_share_takes_3d_as_well(n: int):
    run = Run(n)
    run.faulty = run.members(0)
    run.committee.lie(run.faulty, spoilt=True)
    assert run.signed_at() == {3 * D}


@pytest.mark.parametrize("n", SIZES[1:])
def test_a_signer_that_spoils_a_session_too_costs_2d_more(n: int):
    run = Run(n)
    run.faulty = run.members(0, 2)
    run.committee.lie(run.members(0), spoilt=True)
    run.committee.lie(run.members(2), unresponsive)
    assert run.signed_at() == {5 * D}


@pytest.mark.parametrize("n", SIZES)
def test_too_few_commitments_cost_2d(n: int):
    run = Run(n)
    assert run.signed_at(spoilt=run.members(*range(run.f + 1))) == {3 * D}
    assert run.network.faults == []


@pytest.mark.parametrize("n", SIZES)
def test_silent_signers_cost_a_timeout_and_one_session(n: int):
    run = Run(n)
    run.faulty = run.members(0, *range(2, run.f + 1))
    run.committee.lie(run.faulty, silent)
    assert run.signed_at() == {T + 2 * D}


@pytest.mark.parametrize("n", SIZES)
def test_a_silent_coordinator_costs_the_time_of_its_attempt(n: int):
    run = Run(n)
    run.faulty = run.members(1)
    run.committee.lie(run.faulty, silent)
    assert run.signed_at() == {3 * T + 4 * D}
