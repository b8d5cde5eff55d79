"""What every scheme by which a committee signs its anchor looks like from above, so that it goes with the protocol.

A scheme prepares nonces before the committee decides, because a signature must not wait for them: what a member has
prepared travels in its proposal, so the decided proposals tell all correct members the same about it.

1. on ``PrepareSignature``, at the opening of the log index: prepare; then output ``SignaturePrepared(preparation)``
2. on ``SignMessage(digest, preparations)`` (those of the decided proposals, by member): sign
3. output ``MessageSigned(signature)``: an ordinary Ed25519 signature under the committee's key

The digest to sign is what this member computed itself. A log index is used once and is durable before the first message of
its instance leaves, so the nonces of an instance are never used in another life of the member.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, TypeAlias

from ledger.kernel.automaton import Automaton
from ledger.kernel.encoding import Digest, Frozen
from ledger.kernel.identity import Signature


class PrepareSignature(Frozen):
    """Input, once: the log index is open."""


class SignMessage(Frozen):
    """Input, once: the digest that this member agrees to; the decided proposals' preparations by rising member index.

    Of every decided proposal there is one, empty for a proposal that can't be decoded: who said nothing sensible counts too.
    """

    digest: Digest
    preparations: tuple[tuple[int, bytes], ...]


SignatureInput: TypeAlias = PrepareSignature | SignMessage


class SignaturePrepared(Frozen):
    """Output, once: this member's proposal may be sent, with this in it."""

    preparation: bytes


class MessageSigned(Frozen):
    """Output, once: the committee's signature of the digest."""

    signature: Signature


SignatureOutput: TypeAlias = SignaturePrepared | MessageSigned


class AnchorSignature(Automaton[SignatureInput, Any, SignatureOutput]):
    """One member's part in one signature. Senders of messages are members: the owner has checked that.

    Messages may come before any input. Leaves have paths (chain, log index, "signature", ...).
    """

    @property
    @abstractmethod
    def started(self) -> bool:
        """Whether this member has signed."""

    @property
    @abstractmethod
    def attempts(self) -> int:
        """How many attempts there were here: more than one when members were bad or late."""

    @property
    @abstractmethod
    def status(self) -> str:
        """What is waited for."""
