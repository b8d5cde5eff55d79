"""Every threshold of the consensus, one too low and one too high: a property of the suite must notice.

The table names a threshold, by how much it is moved, the check that fails then, and which promise it finds broken. The same
check, run by the same seeds, passes on the code as it is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ledger.kernel import key_dealer, signing_key
from ledger.kernel.nonce_key import ModelNonceKey, RealNonceKey
from ledger.kernel.signing_key import ModelSigningKey, RealSigningKey
from tests.harness import consensus_checks as checks
from tests.harness import dealt_keys, key_ceremony, leader_scripts, nonce_checks, phase_scripts, signature_checks
from tests.harness import honey_badger_checks as honey
from tests.harness import leader_checks as leaders
from tests.harness.consensus_instances import (
    check_aggregation,
    check_joining,
    check_joining_deciders,
)
from tests.harness.conspiracy_checks import check_conspiracy
from wasp.consensus import batch_proposal
from wasp.consensus.avid_broadcast import AvidBroadcast
from wasp.consensus.binary_agreement import BinaryAgreement
from wasp.consensus.common_coin import CommonCoin
from wasp.consensus.common_subset import CommonSubset
from wasp.consensus.consensus import Consensus
from wasp.consensus.distributed_key import DistributedKey
from wasp.consensus.hbbft import HoneyBadger
from wasp.consensus.late_coin_agreement import LateCoinAgreement
from wasp.consensus.leaders.certified_phases import CertifiedPhases, ViewProposal, later
from wasp.consensus.leaders.hotstuff import HotStuff
from wasp.consensus.leaders.jolteon import Jolteon
from wasp.consensus.leaders.leadership import LeaderProtocol
from wasp.consensus.leaders.pbft import Pbft
from wasp.consensus.leaders.proposal_list import Gathering
from wasp.consensus.leaders.tendermint import Tendermint
from wasp.consensus.leaders.view_change import ViewChanges
from wasp.consensus.leaders.vote import Certificate
from wasp.consensus.reliable_broadcast import ReliableBroadcast
from wasp.consensus.signing.nonce_sharing import NonceSharing
from wasp.consensus.signing.nonce_signature import NonceSignature
from wasp.consensus.signing.signing_session import Progress, SigningTurns

SEEDS = 400
"""Runs in which a mutant must be noticed; most are in the first ten."""


@contextmanager
def moved(owner: Any, name: str, by: int) -> Iterator[None]:
    """An attribute that the constructor of a class sets, or a function of a module, off by so much."""
    if isinstance(owner, type):
        original, target = owner.__init__, "__init__"  # type: ignore[misc] # of the class, on purpose

        @functools.wraps(original)
        def constructor(self: Any, *arguments: Any, **named: Any) -> None:
            original(self, *arguments, **named)
            if type(getattr(self, name)) is not int:
                raise TypeError(f"{owner.__name__} has no threshold {name}")
            setattr(self, name, getattr(self, name) + by)

        mutant: Any = constructor
    else:
        original, target = getattr(owner, name), name

        def mutant(*arguments: Any) -> int:
            return int(original(*arguments)) + by

    setattr(owner, target, mutant)
    try:
        yield
    finally:
        setattr(owner, target, original)


def swarm(check: Callable[..., None], *arguments: Any, seeds: int = SEEDS) -> Callable[[], None]:
    """The check under many seeds."""

    def run() -> None:
        for seed in range(seeds):
            check(*arguments, seed)

    run.__name__ = f"{check.__name__}{arguments}"
    return run


def once(check: Callable[..., None], *arguments: Any) -> Callable[[], None]:
    """The check of something."""

    def run() -> None:
        check(*arguments)

    run.__name__ = f"{check.__name__}{arguments}"
    return run


FORCED = "gossiping"
"""Liars who tempt: they echo, ready and vote for whatever there is."""

WRONG_DEALINGS = swarm(nonce_checks.check_sharing, 4, "wrong dealings")
SILENT_DEALERS = swarm(nonce_checks.check_sharing, 4, "silent")
SILENT_SIGNERS = swarm(nonce_checks.check_nonce_signature, 4, "silent", seeds=20)
FROST_SIGNERS = swarm(signature_checks.check_signature, 4, "silent", seeds=50)

MUTANTS: list[tuple[Any, str, int, Callable[[], None], str]] = [
    (ReliableBroadcast, "_echo_quorum", -1, swarm(checks.check_broadcast, 4, FORCED), "agreement|totality"),
    (ReliableBroadcast, "_echo_quorum", -1, swarm(checks.check_broadcast, 6, FORCED), "agreement|totality"),
    (ReliableBroadcast, "_echo_quorum", +1, swarm(checks.check_broadcast, 4, "silent"), "validity"),
    (ReliableBroadcast, "_amplification_quorum", -1, swarm(checks.check_broadcast, 4, FORCED), "totality|validity"),
    (ReliableBroadcast, "_amplification_quorum", +1, swarm(checks.check_broadcast, 4, FORCED), "totality"),
    (ReliableBroadcast, "_delivery_quorum", -1, swarm(checks.check_broadcast, 4, FORCED), "totality"),
    (ReliableBroadcast, "_delivery_quorum", +1, swarm(checks.check_broadcast, 4, "silent"), "validity"),
    (AvidBroadcast, "_echo_quorum", -1, swarm(honey.check_avid, 4, FORCED), "totality"),
    (AvidBroadcast, "_echo_quorum", -1, swarm(honey.check_avid, 6, FORCED), "totality"),  # an intersecting quorum
    (AvidBroadcast, "_echo_quorum", +1, swarm(honey.check_avid, 4, "silent"), "validity"),
    (AvidBroadcast, "_decode_quorum", -1, honey.check_late_shards, "too early"),
    (AvidBroadcast, "_decode_quorum", +1, swarm(honey.check_avid, 4, FORCED), "totality"),
    (AvidBroadcast, "_amplification_quorum", -1, swarm(honey.check_avid, 4, FORCED), "totality"),
    (AvidBroadcast, "_amplification_quorum", +1, swarm(honey.check_avid, 4, FORCED), "totality"),
    (AvidBroadcast, "_delivery_quorum", -1, swarm(honey.check_avid, 4, FORCED), "totality"),
    (AvidBroadcast, "_delivery_quorum", +1, swarm(honey.check_avid, 4, "silent"), "validity"),
    (LateCoinAgreement, "_relay_quorum", -1, swarm(honey.check_late_coin, 4, "hbbft", FORCED), "agreement|validity"),
    (LateCoinAgreement, "_relay_quorum", +1, swarm(honey.check_late_coin, 4, "hbbft", "silent"), "termination"),
    (
        LateCoinAgreement,
        "_accept_quorum",
        -1,
        swarm(honey.check_late_coin, 4, "hbbft", FORCED),
        "termination|agreement",
    ),
    (LateCoinAgreement, "_accept_quorum", +1, swarm(honey.check_late_coin, 4, "hbbft", "silent"), "termination"),
    (LateCoinAgreement, "_wait_quorum", -1, swarm(honey.check_late_coin, 4, "hbbft", FORCED), "agreement|termination"),
    (LateCoinAgreement, "_wait_quorum", +1, swarm(honey.check_late_coin, 4, "hbbft", "silent"), "termination"),
    (LateCoinAgreement, "_confirmation_quorum", -1, honey.check_confirmations, "too early"),
    (LateCoinAgreement, "_confirmation_quorum", +1, honey.check_confirmations, "too late"),
    (LateCoinAgreement, "_term_quorum", -1, honey.check_ends, "too early"),
    (LateCoinAgreement, "_term_quorum", +1, honey.check_ends, "too late"),
    (HoneyBadger, "_threshold", -1, honey.check_opening, "too few shares|too early"),
    (HoneyBadger, "_threshold", +1, honey.check_opening, "too late"),
    (BinaryAgreement, "_relay_quorum", -1, swarm(checks.check_agreement, 4, FORCED), "validity"),
    (BinaryAgreement, "_relay_quorum", +1, swarm(checks.check_agreement, 4, "silent"), "termination"),
    (BinaryAgreement, "_accept_quorum", -1, swarm(checks.check_agreement, 4, FORCED), "termination|agreement"),
    (BinaryAgreement, "_accept_quorum", +1, swarm(checks.check_agreement, 4, "silent"), "termination"),
    (BinaryAgreement, "_wait_quorum", -1, swarm(checks.check_agreement, 4, FORCED), "agreement|termination"),
    (BinaryAgreement, "_wait_quorum", +1, swarm(checks.check_agreement, 4, "silent"), "termination"),
    (BinaryAgreement, "_done_quorum", -1, swarm(checks.check_agreement, 4, FORCED), "termination"),
    (BinaryAgreement, "_done_quorum", +1, checks.check_latecomer_terminates, "termination"),
    (CommonCoin, "_threshold", -1, checks.check_coin, "secrecy|too few shares"),
    (CommonCoin, "_threshold", +1, checks.check_coin, "liveness"),
    (CommonSubset, "_subset_quorum", -1, swarm(checks.check_subset, 4, FORCED), "size"),
    (CommonSubset, "_subset_quorum", +1, swarm(checks.check_subset, 4, "silent"), "termination"),
    (NonceSharing, "_ok_quorum", -1, WRONG_DEALINGS, "totality"),
    (NonceSharing, "_ok_quorum", +1, SILENT_DEALERS, "validity"),
    (NonceSharing, "_amplification_quorum", -1, WRONG_DEALINGS, "totality"),
    (NonceSharing, "_amplification_quorum", +1, WRONG_DEALINGS, "totality"),
    (NonceSharing, "_output_quorum", -1, WRONG_DEALINGS, "totality"),
    (NonceSharing, "_output_quorum", +1, SILENT_DEALERS, "validity"),
    (NonceSharing, "_recovery_quorum", -1, WRONG_DEALINGS, "too few shares"),
    (NonceSharing, "_recovery_quorum", +1, WRONG_DEALINGS, "totality"),
    (NonceSignature, "_preparation_quorum", -1, SILENT_SIGNERS, "preparation: n - f dealers"),
    (NonceSignature, "_preparation_quorum", +1, SILENT_SIGNERS, "preparation"),
    (NonceSignature, "_signature_quorum", -1, SILENT_SIGNERS, "too few partial signatures"),
    (NonceSignature, "_signature_quorum", +1, SILENT_SIGNERS, "termination"),
    (RealNonceKey, "threshold", -1, nonce_checks.check_nonce_key, "enough"),
    (RealNonceKey, "threshold", +1, nonce_checks.check_nonce_key, "enough"),
    (RealNonceKey, "_recovery_quorum", -1, nonce_checks.check_nonce_key, "enough"),
    (RealNonceKey, "_recovery_quorum", +1, nonce_checks.check_nonce_key, "enough"),
    (ModelNonceKey, "threshold", -1, nonce_checks.check_nonce_key, "too few"),
    (ModelNonceKey, "threshold", +1, nonce_checks.check_nonce_key, "enough"),
    (ModelNonceKey, "_recovery_quorum", -1, nonce_checks.check_nonce_key, "too few"),
    (ModelNonceKey, "_recovery_quorum", +1, nonce_checks.check_nonce_key, "enough"),
    (NonceSignature, "_dealer_quorum", -1, nonce_checks.check_dealers, "a dealer that f members name"),
    (NonceSignature, "_dealer_quorum", +1, nonce_checks.check_dealers, "a dealer that f . 1 members name"),
    (signing_key, "waiting", -1, signature_checks.check_signing_key, "too few"),
    (signing_key, "waiting", +1, signature_checks.check_signing_key, "enough"),
    (RealSigningKey, "threshold", -1, signature_checks.check_signing_key, "enough"),
    (RealSigningKey, "threshold", +1, signature_checks.check_signing_key, "enough"),
    (ModelSigningKey, "threshold", -1, signature_checks.check_signing_key, "too few"),
    (ModelSigningKey, "threshold", +1, signature_checks.check_signing_key, "enough"),
    (SigningTurns, "signer_quorum", -1, FROST_SIGNERS, "signers: n - f"),
    (SigningTurns, "signer_quorum", +1, FROST_SIGNERS, "signers|totality"),
    (SigningTurns, "sessions_max", -1, signature_checks.check_sessions_of_a_coordinator, "robust"),
    (SigningTurns, "sessions_max", +1, signature_checks.check_sessions_of_a_coordinator, "too many sessions"),
    (Progress, "_join_quorum", -1, signature_checks.check_attempts_joined, "too early"),
    (Progress, "_join_quorum", +1, signature_checks.check_attempts_joined, "too late"),
    (Progress, "_company_quorum", -1, signature_checks.check_attempts_wait_for_company, "too early"),
    (Progress, "_company_quorum", +1, signature_checks.check_attempts_wait_for_company, "too late"),
    (CommonSubset, "_join_quorum", -1, check_joining, "too early"),
    (CommonSubset, "_join_quorum", +1, check_joining, "too late"),
    (Consensus, "_join_quorum", -1, check_joining_deciders, "too early"),
    (Consensus, "_join_quorum", +1, check_joining_deciders, "too late"),
    (batch_proposal, "base_quorum", -1, check_aggregation, "a base that only liars know"),
    (batch_proposal, "base_quorum", +1, check_aggregation, "a base that a correct member knows"),
    (batch_proposal, "request_quorum", -1, check_aggregation, "a request that only liars name"),
    (batch_proposal, "request_quorum", +1, check_aggregation, "a request that a correct member names"),
    (batch_proposal, "empty_max", -1, check_aggregation, "as many empty ones as liars"),
    (batch_proposal, "empty_max", +1, check_aggregation, "more empty ones than liars"),
    (batch_proposal, "time_place", -1, check_aggregation, "time"),
    (batch_proposal, "time_place", +1, check_aggregation, "time"),
    (key_dealer, "some_correct", -1, dealt_keys.check_dealt_thresholds, "secrecy"),
    (key_dealer, "some_correct", +1, dealt_keys.check_dealt_thresholds, "liveness"),
    (DistributedKey, "_complaints_max", -1, key_ceremony.check_complaints_max, "liveness"),
    (DistributedKey, "_complaints_max", +1, key_ceremony.check_complaints_max, "secrecy"),
    (DistributedKey, "_good_quorum", -1, key_ceremony.check_good_quorum, "termination"),
    (DistributedKey, "_good_quorum", +1, key_ceremony.check_good_quorum, "validity"),
    (DistributedKey, "_qualified_min", -1, key_ceremony.check_qualified_min, "secrecy"),
    (DistributedKey, "_qualified_min", +1, key_ceremony.check_qualified_min, "liveness"),
    (Gathering, "_list_quorum", -1, swarm(leaders.check_leader, Pbft, 4, "silent"), "size"),
    (Gathering, "_list_quorum", +1, swarm(leaders.check_leader, Pbft, 4, "silent"), "no end"),
    (Gathering, "_mark_quorum", -1, leader_scripts.check_asking, "marks"),
    (Gathering, "_mark_quorum", +1, leader_scripts.check_asking, "marks"),
    (LeaderProtocol, "_want_quorum", -1, leader_scripts.check_asking, "asking"),
    (LeaderProtocol, "_want_quorum", +1, leader_scripts.check_asking, "asking"),
    (LeaderProtocol, "_join_quorum", -1, leader_scripts.check_voters_are_joined, "joining"),
    (LeaderProtocol, "_join_quorum", +1, leader_scripts.check_voters_are_joined, "joining"),
    (LeaderProtocol, "_decision_quorum", -1, leader_scripts.check_phases, "deciding"),
    (LeaderProtocol, "_decision_quorum", +1, leader_scripts.check_phases, "deciding"),
    (Pbft, "_decision_quorum", +1, swarm(leaders.check_leader, Pbft, 4, "silent"), "no end"),
    (Pbft, "_prepare_quorum", -1, leader_scripts.check_phases, "phases"),
    (Pbft, "_prepare_quorum", +1, swarm(leaders.check_leader, Pbft, 4, "silent"), "no end"),
    (ViewChanges, "_certificate_quorum", -1, leader_scripts.check_certificates, "certificates"),
    (ViewChanges, "_certificate_quorum", +1, leader_scripts.check_certificates, "certificates"),
    (ViewChanges, "_change_quorum", -1, leader_scripts.check_view_changes, "leading"),
    (ViewChanges, "_change_quorum", +1, swarm(leaders.check_leader, Pbft, 4, "silent"), "termination"),
    (ViewChanges, "_follow_quorum", -1, leader_scripts.check_view_changes, "following"),
    (ViewChanges, "_follow_quorum", +1, leader_scripts.check_view_changes, "following"),
    (Tendermint, "_polka_quorum", -1, leader_scripts.check_phases, "phases"),
    (Tendermint, "_polka_quorum", +1, swarm(leaders.check_leader, Tendermint, 4, "silent"), "no end"),
    (Tendermint, "_decision_quorum", -1, leader_scripts.check_phases, "deciding"),
    (Tendermint, "_decision_quorum", +1, swarm(leaders.check_leader, Tendermint, 4, "silent"), "no end"),
    (Tendermint, "_any_quorum", -1, leader_scripts.check_rounds, "timing"),
    (Tendermint, "_any_quorum", +1, leader_scripts.check_rounds, "timing"),
    (Tendermint, "_skip_quorum", -1, leader_scripts.check_rounds, "following"),
    (Tendermint, "_skip_quorum", +1, leader_scripts.check_rounds, "following"),
    (Tendermint, "_company_quorum", -1, leader_scripts.check_rounds, "company"),
    (Tendermint, "_company_quorum", +1, leader_scripts.check_rounds, "company"),
    (HotStuff, "_certificate_quorum", -1, swarm(check_conspiracy, HotStuff, 6), "agreement|accuses"),
    (HotStuff, "_certificate_quorum", -1, once(phase_scripts.check_phase_certificates, HotStuff), "certificates"),
    (HotStuff, "_certificate_quorum", +1, swarm(leaders.check_leader, HotStuff, 4, "silent"), "no end"),
    (HotStuff, "_decision_quorum", -1, swarm(check_conspiracy, HotStuff, 7), "agreement"),
    (HotStuff, "_decision_quorum", -1, once(phase_scripts.check_phase_votes, HotStuff), "votes"),
    (HotStuff, "_decision_quorum", +1, swarm(leaders.check_leader, HotStuff, 4, "silent"), "no end"),
    (Jolteon, "_certificate_quorum", -1, swarm(check_conspiracy, Jolteon, 6), "agreement|accuses"),
    (Jolteon, "_certificate_quorum", -1, once(phase_scripts.check_phase_certificates, Jolteon), "certificates"),
    (Jolteon, "_certificate_quorum", +1, swarm(leaders.check_leader, Jolteon, 4, "silent"), "no end"),
    (Jolteon, "_decision_quorum", -1, swarm(check_conspiracy, Jolteon, 7), "agreement"),
    (Jolteon, "_decision_quorum", -1, once(phase_scripts.check_phase_votes, Jolteon), "votes"),
    (Jolteon, "_decision_quorum", +1, swarm(leaders.check_leader, Jolteon, 4, "silent"), "no end"),
    (ViewChanges, "_change_quorum", -1, phase_scripts.check_new_views, "leading"),
    (ViewChanges, "_change_quorum", +1, phase_scripts.check_new_views, "leading"),
]


@pytest.mark.parametrize(
    ("owner", "name", "by", "check", "promise"), MUTANTS, ids=lambda item: getattr(item, "__name__", str(item))
)
def test_a_threshold_that_is_off_by_one_breaks_a_promise(
    owner: Any, name: str, by: int, check: Callable[[], None], promise: str
):
    with moved(owner, name, by), pytest.raises(AssertionError, match=promise):
        check()


def without_locks(self: HotStuff, message: ViewProposal) -> bool:
    """Accepts whatever is good."""
    return True


def without_unlocking(self: HotStuff, message: ViewProposal) -> bool:
    """Stays with the list that it is locked on."""
    return self._locked is None or self._locked.digest == message.proposals.digest


def locking_early(self: HotStuff, place: int, certificate: Certificate) -> None:
    """Locks on what is prepared."""
    self._prepared = self._locked = later(self._prepared, certificate)


def never_preparing(self: CertifiedPhases, place: int, certificate: Certificate) -> None:
    """Forgets certificates."""


why_bad = ViewChanges.why_bad


def without_the_latest_claim(self: ViewChanges, *arguments: Any) -> str:
    """Takes any certificate for the one that the marks demand, as Fast-HotStuff did."""
    why = why_bad(self, *arguments)
    return "" if why == "not the certificate of the highest claim" else why


RULES: list[tuple[Any, str, Callable[..., Any], Callable[[], None], str]] = [
    (HotStuff, "_may_accept", without_locks, swarm(check_conspiracy, HotStuff, 7), "agreement"),
    (HotStuff, "_may_accept", without_locks, phase_scripts.check_locks, "lock: nothing"),
    (HotStuff, "_may_accept", without_unlocking, phase_scripts.check_locks, "lock: later"),
    (HotStuff, "_remember", locking_early, phase_scripts.check_when_locks_begin, "lock"),
    (HotStuff, "_remember", never_preparing, swarm(check_conspiracy, HotStuff, 7), "agreement"),
    (Jolteon, "_remember", never_preparing, swarm(check_conspiracy, Jolteon, 7), "agreement"),
    (ViewChanges, "why_bad", without_the_latest_claim, swarm(check_conspiracy, Jolteon, 7), "agreement"),
    (ViewChanges, "why_bad", without_the_latest_claim, phase_scripts.check_latest_claim, "claims"),
]
"""What is no number: a rule, and what is done instead."""


@pytest.mark.parametrize(
    ("owner", "name", "instead", "check", "promise"), RULES, ids=lambda item: getattr(item, "__name__", str(item))
)
def test_a_rule_that_is_left_out_breaks_a_promise(
    owner: Any, name: str, instead: Callable[..., Any], check: Callable[[], None], promise: str, monkeypatch: Any
):
    monkeypatch.setattr(owner, name, instead)
    with pytest.raises(AssertionError, match=promise):
        check()


CHECKS = {check.__name__: check for *_, check, _ in [*MUTANTS, *RULES]}


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_the_same_checks_pass_on_the_code_as_it_is(check: Callable[[], None]):
    check()
