"""The anchor transaction of a chain, and the committee's signature on it.

The anchor belongs to the committee's key, an ordinary Ed25519 key of which every member holds a share: n - f members together
make an ordinary signature with it, so layer 1 knows nothing of committees.
"""

from __future__ import annotations

from ledger.kernel.identity import Signature, Verifier
from ledger.output import KeyAddress, OutputId
from ledger.transaction import ChainUnlock, Essence, SignatureUnlock, Transaction, Unlock
from wasp.committee import Committee


def committee_address(committee: Committee) -> KeyAddress:
    """Who moves the chain's anchor."""
    return KeyAddress(committee.group_key)


def anchor_transaction(essence: Essence, signature: Signature) -> Transaction:
    """The transaction that moves a chain's anchor, its first input; every other input is unlocked by moving it."""
    unlocks: list[Unlock] = [SignatureUnlock(signature)]
    unlocks.extend(ChainUnlock(0) for _ in essence.inputs[1:])
    return Transaction(essence, tuple(unlocks))


def is_signed_anchor(transaction: Transaction, base: OutputId, committee: Committee, verifier: Verifier) -> bool:
    """Whether the committee signed the transaction, it moves this anchor, and has the unlocks that it must. Total."""
    essence, unlock = transaction.essence, transaction.unlocks[0]
    return (
        essence.inputs[0] == base
        and isinstance(unlock, SignatureUnlock)
        and transaction == anchor_transaction(essence, unlock.signature)
        and verifier.verify(committee.group_key, essence.id, unlock.signature)
    )
