"""The signature of Wasp: nonces that members deal, dealers that are agreed on with the proposals, partial signatures.

1. on ``PrepareSignature``: deal a nonce (``nonce_sharing``)
2. when the dealings of n - f members have been output: ``SignaturePrepared`` with the set of these dealers
3. on the decided preparations: the dealers are those that at least f + 1 of them name
4. with the digest and the outputs of all these dealings: multicast the partial signature with the sum of their nonces
5. on valid partial signatures of n - f members: combine, output

A preparation is a bit mask of dealers. One that does not name n - f of them is a lie, and counts as if it named all.

Line 3 makes line 4 end: of f + 1 members that name a dealer one is correct (even when all liars are taken to name it) and
has output its dealing, so everybody will. Line 3 keeps the nonce secret: at least f + 1 dealers are named, so a correct
one. For m >= n - f preparations hold m (n - f) names at least; were only f dealers named more than f times,
there would be m f + (n - f) f at most, which is less, because n > 3f. Wasp has no such bound, since there liars may name
few or none: with n = 7 and two of them, the three correct preparations may have a single dealer in common.

A member signs only the digest that it computed itself, one per log index: partial signatures of two digests with one
nonce would give the key away. Robust with f faulty: a bad partial signature is noticed, and left out. Nobody is left
behind: all correct members sign what they all have decided, so everybody sees n - f valid partial signatures.

With constant delay d it is prepared at 5d, after n (n - 1)(4n + 1) messages, and signed 1d after the digest is known, after
n (n - 1) more.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, TypeAlias

import msgspec

from ledger.kernel.automaton import NOTHING, Envelope, Fault, NodeId, Path, Step, StepBuilder
from ledger.kernel.encoding import Digest, Value
from ledger.kernel.group import SCALAR_SIZE
from ledger.kernel.instant import Instant
from wasp.consensus.committee_protocol import Membership
from wasp.consensus.signing.anchor_signature import (
    AnchorSignature,
    MessageSigned,
    PrepareSignature,
    SignatureInput,
    SignatureOutput,
    SignaturePrepared,
    SignMessage,
)
from wasp.consensus.signing.nonce_sharing import DealNonce, NonceShared, NonceSharing, SharingMessage


class PartialNonceSignature(Value):
    """The sender computed what has this digest, and signs it with its share of the nonce that was agreed on."""

    digest: Digest
    partial: Annotated[bytes, msgspec.Meta(min_length=SCALAR_SIZE, max_length=SCALAR_SIZE)]


NonceSignatureMessage: TypeAlias = SharingMessage | PartialNonceSignature


class NonceSignature(AnchorSignature):
    """One member's part in one signature.

    Leaves: (chain, log index, "signature") for partial signatures, (chain, log index, "signature", dealer) for sharings.
    """

    def __init__(self, membership: Membership) -> None:
        self._path: Path = (*membership.path, "signature")
        self._committee = membership.committee
        self._me = membership.committee.index[membership.me]
        self._key = membership.keys.nonces
        self._rng = membership.rng
        self._preparation_quorum = membership.committee.waiting
        self._dealer_quorum = membership.committee.some_correct
        self._signature_quorum = membership.keys.nonces.threshold
        self._sharings: dict[Path, NonceSharing] = {}
        self._shared: dict[int, NonceShared] = {}
        self._dealt = False
        self._prepared = False
        self._digest: Digest | None = None
        self.dealers: tuple[int, ...] = ()
        self._dealings: tuple[bytes, ...] | None = None
        self._unchecked: dict[NodeId, PartialNonceSignature] = {}
        self._checked = 0
        self._partials: dict[int, bytes] = {}
        self._signed = False

    @property
    def started(self) -> bool:
        return self._dealings is not None

    @property
    def attempts(self) -> int:
        return 1

    @property
    def status(self) -> str:
        if self._digest is None:
            waits = {path[-1]: sharing.status for path, sharing in self._sharings.items()}
            return f"prepared {self._prepared}, dealings {len(self._shared)}/{self._preparation_quorum}: {waits}"
        missing = [dealer for dealer in self.dealers if dealer not in self._shared]
        return (
            f"signed by me {self.started}, dealings missing {missing}, "
            f"partial signatures {len(self._partials)}/{self._signature_quorum}"
        )

    def handle_input(self, input: SignatureInput, now: Instant) -> Step[SignatureOutput]:
        step: StepBuilder[SignatureOutput] = StepBuilder()
        match input:
            case PrepareSignature():
                self._handle_prepare_signature(step, now)
            case SignMessage():
                self._handle_sign_message(step, input)
        return step.build()

    def handle_message(self, sender: NodeId, path: Path, message: Value, now: Instant) -> Step[SignatureOutput]:
        sharing = self._sharings.get(path)
        if sharing is None:
            if path == self._path:
                return self._handle_partial(sender, message)
            sharing = self._open(path)
            if sharing is None:
                return Step(faults=(Fault(sender, "no_such_leaf", path),))
        child = sharing.handle_message(sender, path, message, now)
        if not child.outputs:
            return child  # type: ignore[return-value] # a step without outputs is a step of any automaton
        step: StepBuilder[SignatureOutput] = StepBuilder()
        for shared in step.add(child):
            self._handle_nonce_shared(step, path, shared)
        return step.build()

    def _handle_prepare_signature(self, step: StepBuilder[SignatureOutput], now: Instant) -> None:
        """Line 1."""
        assert not self._dealt, "a member deals once"
        self._dealt = True
        path = (*self._path, self._me)
        sharing = self._sharings.get(path) or self._open(path)
        assert sharing is not None
        step.add(sharing.handle_input(DealNonce(self._rng), now))
        self._maybe_prepare(step)

    def _handle_nonce_shared(self, step: StepBuilder[SignatureOutput], path: Path, shared: NonceShared) -> None:
        """Lines 2 and 4."""
        dealer = path[-1]
        assert isinstance(dealer, int)
        self._shared[dealer] = shared
        self._maybe_prepare(step)
        self._maybe_sign(step)

    def _maybe_prepare(self, step: StepBuilder[SignatureOutput]) -> None:
        """Line 2."""
        if self._dealt and not self._prepared and len(self._shared) >= self._preparation_quorum:
            self._prepared = True
            step.outputs.append(SignaturePrepared(encode_dealers(self._shared, self._committee.n)))

    def _handle_sign_message(self, step: StepBuilder[SignatureOutput], input: SignMessage) -> None:
        """Line 3."""
        assert self._digest is None, "an instance signs one message"
        assert len(input.preparations) >= self._committee.waiting, "one preparation of each decided proposal"
        self._digest = input.digest
        named = [
            dealers_named(preparation, self._committee.n, self._committee.f) for _, preparation in input.preparations
        ]
        self.dealers = tuple(
            dealer
            for dealer in range(self._committee.n)
            if sum(mask >> dealer & 1 for mask in named) >= self._dealer_quorum
        )
        assert len(self.dealers) > self._committee.f, "one of the dealers is correct"
        self._maybe_sign(step)

    def _maybe_sign(self, step: StepBuilder[SignatureOutput]) -> None:
        """Line 4, and line 5 for the partial signatures that came before."""
        if self._digest is None or self._dealings is not None or not all(map(self._shared.__contains__, self.dealers)):
            return
        shared = [self._shared[dealer] for dealer in self.dealers]
        self._dealings = tuple(each.dealing for each in shared)
        partial = self._key.sign_partial(self._dealings, [each.share for each in shared], self._digest)
        message = PartialNonceSignature(self._digest, partial)
        step.messages.append(Envelope(self._committee.members, self._path, message))
        for sender, early in self._unchecked.items():
            step.outputs.extend(step.add(self._check(sender, early, self._dealings, self._digest)))
        self._unchecked.clear()

    def _handle_partial(self, sender: NodeId, message: Value) -> Step[SignatureOutput]:
        """Line 5. What comes before the own partial signature waits, one per member."""
        if not isinstance(message, PartialNonceSignature):
            return self._blame(sender, "unexpected_message", type(message).__name__)
        if self._dealings is not None and self._digest is not None:
            return self._check(sender, message, self._dealings, self._digest)
        if self._unchecked.setdefault(sender, message) != message:
            return self._blame(sender, "equivocation", "two partial signatures")
        return NOTHING

    def _check(
        self, sender: NodeId, message: PartialNonceSignature, dealings: tuple[bytes, ...], digest: Digest
    ) -> Step[SignatureOutput]:
        """Line 5. Of each member one is checked."""
        member, bit = self._committee.index[sender], self._committee.bit[sender]
        if self._signed or self._checked & bit:
            return NOTHING
        self._checked |= bit
        if not self._key.verify_partial(member, dealings, message.digest, message.partial):
            return self._blame(sender, "bad_signature", "a partial signature that does not verify")
        if message.digest != digest:
            return self._blame(sender, "divergent", f"signed {message.digest.hex()}, computed here {digest.hex()}")
        self._partials[member] = message.partial
        if len(self._partials) < self._signature_quorum:
            return NOTHING
        self._signed = True
        return Step(outputs=(MessageSigned(self._key.combine(dealings, digest, self._partials)),))

    def _open(self, path: Path) -> NonceSharing | None:
        """The sharing of a path that has not been heard of, if there may be one."""
        if len(path) != len(self._path) + 1 or path[:-1] != self._path:
            return None
        dealer = path[-1]
        if type(dealer) is not int or not 0 <= dealer < self._committee.n:
            return None
        sharing = self._sharings[path] = NonceSharing(path, self._committee, dealer, self._key)
        return sharing

    def _blame(self, sender: NodeId, kind: str, detail: str) -> Step[SignatureOutput]:
        return Step(faults=(Fault(sender, kind, self._path, detail),))


def encode_dealers(dealers: Iterable[int], n: int) -> bytes:
    """The set of dealers as a bit mask, one bit per member, in whole bytes."""
    return sum(1 << dealer for dealer in dealers).to_bytes(_mask_size(n), "big")


def dealers_named(preparation: bytes, n: int, f: int) -> int:
    """The dealers that a preparation names, as a mask; all, if no correct member has prepared this. Total."""
    mask, everybody = int.from_bytes(preparation, "big"), (1 << n) - 1
    well_formed = len(preparation) == _mask_size(n) and mask <= everybody and mask.bit_count() >= n - f
    return mask if well_formed else everybody


def _mask_size(n: int) -> int:
    return (n + 7) // 8
