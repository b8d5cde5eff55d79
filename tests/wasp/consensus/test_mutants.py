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
from tests.harness import dealt_keys, key_ceremony, nonce_checks, signature_checks
from tests.harness import honey_badger_checks as honey
from tests.harness.consensus_instances import (
    check_aggregation,
    check_joining,
)
from wasp.consensus import batch_proposal
from wasp.consensus.avid_broadcast import AvidBroadcast
from wasp.consensus.binary_agreement import BinaryAgreement
from wasp.consensus.common_coin import CommonCoin
from wasp.consensus.common_subset import CommonSubset
from wasp.consensus.distributed_key import DistributedKey
from wasp.consensus.frost_signature import FrostSignature
from wasp.consensus.hbbft import HoneyBadger
from wasp.consensus.late_coin_agreement import LateCoinAgreement
from wasp.consensus.nonce_sharing import NonceSharing
from wasp.consensus.nonce_signature import NonceSignature
from wasp.consensus.reliable_broadcast import ReliableBroadcast
from wasp.consensus.signing_session import SigningTurns

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
    (FrostSignature, "_join_quorum", -1, signature_checks.check_attempts_joined, "too early"),
    (FrostSignature, "_join_quorum", +1, signature_checks.check_attempts_joined, "too late"),
    (CommonSubset, "_join_quorum", -1, check_joining, "too early"),
    (CommonSubset, "_join_quorum", +1, check_joining, "too late"),
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
]


@pytest.mark.parametrize(
    ("owner", "name", "by", "check", "promise"), MUTANTS, ids=lambda item: getattr(item, "__name__", str(item))
)
def test_a_threshold_that_is_off_by_one_breaks_a_promise(
    owner: Any, name: str, by: int, check: Callable[[], None], promise: str
):
    with moved(owner, name, by), pytest.raises(AssertionError, match=promise):
        check()


CHECKS = {check.__name__: check for *_, check, _ in MUTANTS}


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_the_same_checks_pass_on_the_code_as_it_is(check: Callable[[], None]):
    check()
