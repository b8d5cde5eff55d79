"""The committee's signature: what unlocks the chain's anchor on layer 1.

1. on the digest to sign: sign it, multicast ``PartialSignature(digest, signature)``
2. on valid partial signatures of the own digest by n - f distinct members: output the unlock that holds them

A member signs only what it computed itself, so n - f signatures tell that n - 2f correct members, f + 1 at least, computed
the same. Signatures that come before the own digest is known wait, one per member.

What is modelled, what is not: the committee's address spells out its members' keys, and the signature is a set of
theirs. A threshold signature under one key has the same input and the same output.
"""

from __future__ import annotations

from ledger.kernel.automaton import NOTHING, Automaton, Envelope, Fault, NodeId, Path, Step
from ledger.kernel.encoding import Digest, Frozen, Value
from ledger.kernel.identity import Signature, Signer, Verifier
from ledger.kernel.instant import Instant
from ledger.output import OutputId
from ledger.transaction import ChainUnlock, CommitteeUnlock, Essence, Transaction, Unlock
from wasp.committee import Committee


class PartialSignature(Value):
    """The sender computed what has this digest, and agrees that the committee signs it."""

    digest: Digest
    signature: Signature


class SignMessage(Frozen):
    """Input, once: the digest that this member agrees to."""

    digest: Digest


class MessageSigned(Frozen):
    """Output, once: the committee's signature of the digest."""

    unlock: CommitteeUnlock


class DistributedSignature(Automaton[SignMessage, PartialSignature, MessageSigned]):
    """One member's part in one signature. Senders of messages are members: the owner has checked that."""

    def __init__(self, path: Path, committee: Committee, signer: Signer, verifier: Verifier) -> None:
        self._path = path
        self._committee = committee
        self._signer = signer
        self._verifier = verifier
        self._signature_quorum = signature_quorum(committee)
        self._digest: Digest | None = None
        self._unchecked: dict[NodeId, PartialSignature] = {}
        self._signatures: dict[int, Signature] = {}
        self._signed = False

    @property
    def started(self) -> bool:
        """Whether this member has signed."""
        return self._digest is not None

    @property
    def status(self) -> str:
        """What is waited for."""
        return f"signed by me {self.started}, signatures {len(self._signatures)}/{self._signature_quorum}"

    def handle_input(self, input: SignMessage, now: Instant) -> Step[MessageSigned]:
        """Line 1, and line 2 for the signatures that came before."""
        assert self._digest is None, "an instance signs one message"
        self._digest = input.digest
        message = PartialSignature(input.digest, self._signer.sign(input.digest))
        outputs: list[MessageSigned] = []
        faults: list[Fault] = []
        for sender, early in self._unchecked.items():
            step = self._check(sender, early, input.digest)
            outputs.extend(step.outputs)
            faults.extend(step.faults)
        self._unchecked.clear()
        return Step((), (Envelope(self._committee.members, self._path, message),), outputs, faults)

    def handle_message(self, sender: NodeId, path: Path, message: Value, now: Instant) -> Step[MessageSigned]:
        """Line 2."""
        if not isinstance(message, PartialSignature):
            return self._blame(sender, "unexpected_message", type(message).__name__)
        if self._digest is not None:
            return self._check(sender, message, self._digest)
        if self._unchecked.setdefault(sender, message) != message:
            return self._blame(sender, "equivocation", "two partial signatures")
        return NOTHING

    def _check(self, sender: NodeId, message: PartialSignature, digest: Digest) -> Step[MessageSigned]:
        member = self._committee.index[sender]
        if self._signed or member in self._signatures:
            return NOTHING
        if not self._verifier.verify(self._committee.public_keys[member], message.digest, message.signature):
            return self._blame(sender, "bad_signature", "a partial signature that does not verify")
        if message.digest != digest:
            return self._blame(sender, "divergent", f"signed {message.digest.hex()}, computed here {digest.hex()}")
        self._signatures[member] = message.signature
        if len(self._signatures) < self._signature_quorum:
            return NOTHING
        self._signed = True
        members = tuple(sorted(self._signatures))
        unlock = CommitteeUnlock(members, tuple(self._signatures[j] for j in members))
        return Step(outputs=(MessageSigned(unlock),))

    def _blame(self, sender: NodeId, kind: str, detail: str) -> Step[MessageSigned]:
        return Step(faults=(Fault(sender, kind, self._path, detail),))


def signature_quorum(committee: Committee) -> int:
    """n - f: as many as correct members can bring about alone; the threshold of the committee's address."""
    return committee.waiting


def is_signed_by(committee: Committee, digest: Digest, unlock: CommitteeUnlock, verifier: Verifier) -> bool:
    """Whether n - f distinct members signed the digest. Total."""
    if not unlock.fits(committee.n) or len(unlock.signatures) < signature_quorum(committee):
        return False
    return all(
        verifier.verify(committee.public_keys[j], digest, signature)
        for j, signature in zip(unlock.signers, unlock.signatures, strict=True)
    )


def anchor_transaction(essence: Essence, unlock: CommitteeUnlock) -> Transaction:
    """The transaction that moves a chain's anchor, its first input; every other input is unlocked by moving it."""
    unlocks: list[Unlock] = [unlock]
    unlocks.extend(ChainUnlock(0) for _ in essence.inputs[1:])
    return Transaction(essence, tuple(unlocks))


def is_signed_anchor(transaction: Transaction, base: OutputId, committee: Committee, verifier: Verifier) -> bool:
    """Whether the committee signed the transaction, it moves this anchor, and has the unlocks that it must. Total."""
    essence, unlock = transaction.essence, transaction.unlocks[0]
    return (
        essence.inputs[0] == base
        and isinstance(unlock, CommitteeUnlock)
        and transaction == anchor_transaction(essence, unlock)
        and is_signed_by(committee, essence.id, unlock, verifier)
    )
