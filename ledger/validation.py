"""When a transaction is valid: pure rules over the transaction and the outputs that it consumes.

After TIP-18 and TIP-20 (Stardust), for the two kinds of output that there are. Whether another transaction consumes the
same outputs does not matter here: rivals are valid side by side, and weight decides between them.

1.  It is of this network; inputs are distinct; there is one unlock per input; it is not larger than a block can carry.
2.  The amounts consumed and created are equal.
3.  Every input is unlocked by the address that owns it at the timestamp of the essence: not before its timelock, by its
    return address from its expiration on, by its address until then.
4.  A key's address wants a signature of the transaction's id, a chain's wants the anchor of that chain among the inputs
    (which is itself unlocked in another way). A committee's key is a key like any other.
5.  An anchor has exactly one successor: same chain, state index one higher. No anchor comes from nothing, none
    vanishes.
6.  The state controller changes only in a *rotation*: a transaction that moves the anchor and does nothing else, so
    that a change of committee never hides among payments.
7.  A sender feature is allowed only where the anchor of that chain is among the inputs.
"""

from __future__ import annotations

from collections.abc import Sequence

from ledger.kernel.encoding import encode
from ledger.kernel.identity import PublicKey, Signature, Verifier
from ledger.kernel.instant import Instant
from ledger.kernel.rejection import Rejected, require
from ledger.output import (
    Address,
    AnchorOutput,
    BasicOutput,
    ChainAddress,
    ChainId,
    KeyAddress,
    Output,
)
from ledger.transaction import ChainUnlock, SignatureUnlock, Transaction, Unlock

TRANSACTION_SIZE_MAX = 60 * 1024
"""Bytes of the largest transaction: a block of 64 KiB carries it with its parents, its issuer and its signature."""


def check_form(transaction: Transaction, network: str) -> None:
    """Rule 1: what can be judged without the ledger.

    Errors: ``Rejected`` with "wrong_network", "duplicate_input", "unlock_count", "too_large", "two_anchors".
    """
    essence = transaction.essence
    require(essence.network == network, "wrong_network", f"network {essence.network!r}, expected {network!r}")
    require(len(set(essence.inputs)) == len(essence.inputs), "duplicate_input", "inputs: an output is named twice")
    require(
        len(transaction.unlocks) == len(essence.inputs),
        "unlock_count",
        f"unlocks: {len(transaction.unlocks)} for {len(essence.inputs)} inputs",
    )
    size = len(encode(transaction))
    require(size <= TRANSACTION_SIZE_MAX, "too_large", f"{size} bytes, at most {TRANSACTION_SIZE_MAX} expected")
    chains = [output.chain for output in essence.outputs if isinstance(output, AnchorOutput)]
    require(len(set(chains)) == len(chains), "two_anchors", "outputs: two anchors of one chain")


def validate(transaction: Transaction, consumed: Sequence[Output], verifier: Verifier) -> None:
    """Rules 2 to 7, given the consumed outputs in the order of the inputs and a transaction of good form.

    Errors: ``Rejected`` with "amount_mismatch", "timelocked", "wrong_unlock", "bad_signature",
    "chain_not_unlocked", "anchor_lost", "anchor_from_nothing", "bad_state_index", "controller_changed", "two_anchors",
    "bad_sender".
    """
    essence = transaction.essence
    amount_in = sum(output.amount for output in consumed)
    amount_out = sum(output.amount for output in essence.outputs)
    require(amount_in == amount_out, "amount_mismatch", f"{amount_in} tokens consumed, {amount_out} created")
    moved = [output for output in consumed if isinstance(output, AnchorOutput)]
    chains = {anchor.chain for anchor in moved}
    require(len(chains) == len(moved), "two_anchors", "inputs: two anchors of one chain")
    _check_anchors(transaction, moved, len(consumed))
    for output in essence.outputs:
        if isinstance(output, BasicOutput) and output.sender is not None:
            require(
                output.sender.chain in chains, "bad_sender", "an output's sender is a chain that does not move here"
            )
    for place, (output, unlock) in enumerate(zip(consumed, transaction.unlocks, strict=True)):
        owner = owner_at(output, essence.timestamp)
        _check_unlock(owner, unlock, place, consumed, essence.id, verifier)


def owner_at(output: Output, timestamp: Instant) -> Address:
    """Who may spend the output in a transaction with this timestamp.

    Errors: ``Rejected("timelocked", ...)`` when nobody may.
    """
    if isinstance(output, AnchorOutput):
        return output.state_controller
    if output.timelock is not None:
        require(timestamp >= output.timelock, "timelocked", f"timestamp {timestamp}, locked until {output.timelock}")
    if output.expiration is not None and timestamp >= output.expiration.instant:
        return output.expiration.return_address
    return output.address


def _check_anchors(transaction: Transaction, moved: Sequence[AnchorOutput], inputs: int) -> None:
    outputs = transaction.essence.outputs
    successors = {output.chain: output for output in outputs if isinstance(output, AnchorOutput)}
    for anchor in moved:
        successor = successors.pop(anchor.chain, None)
        if successor is None:
            raise Rejected("anchor_lost", "an anchor is consumed and has no successor")
        require(
            successor.state_index == anchor.state_index + 1,
            "bad_state_index",
            f"state index {successor.state_index} after {anchor.state_index}",
        )
        rotation = inputs == 1 and len(outputs) == 1
        require(
            rotation or successor.state_controller == anchor.state_controller,
            "controller_changed",
            "the state controller changes in a transaction that does more than that",
        )
    require(not successors, "anchor_from_nothing", "an anchor is created without its predecessor")


def _check_unlock(
    owner: Address, unlock: Unlock, place: int, consumed: Sequence[Output], message: bytes, verifier: Verifier
) -> None:
    match owner, unlock:
        case KeyAddress(), SignatureUnlock():
            _check_signature(owner.public_key, message, unlock.signature, place, verifier)
        case ChainAddress(), ChainUnlock():
            _check_chain(owner.chain, unlock.anchor_input, place, consumed)
        case _:
            raise Rejected("wrong_unlock", f"input {place}: {type(unlock).__name__} for a {type(owner).__name__}")


def _check_signature(key: PublicKey, message: bytes, signature: Signature, place: int, verifier: Verifier) -> None:
    require(verifier.verify(key, message, signature), "bad_signature", f"input {place}: a signature does not verify")


def _check_chain(chain: ChainId, anchor_input: int, place: int, consumed: Sequence[Output]) -> None:
    anchor = consumed[anchor_input] if anchor_input < len(consumed) and anchor_input != place else None
    moved = isinstance(anchor, AnchorOutput) and anchor.chain == chain
    require(moved, "chain_not_unlocked", f"input {place}: input {anchor_input} is not the anchor of its chain")
