"""Issuing: from a submitted transaction, or the wish to be active, to a signed block.

1.  submit(T): wait for its inputs, and for its timestamp if that is ahead of the clock.
2.  One block at a time, transactions first in the order of their coming: choose parents, ``PowNeeded``.
3.  ``PowFound``: if the parents are still approved, sign and book; else choose again.
4.  A transaction that is pending already is attached again if its last block is older than ``reattach_after``.
5.  A transaction that this node does not like, because of a rival, waits until that is decided.
6.  A transaction that can never be valid is rejected to whoever submitted it, and costs no proof of work.

A node that restarts does not know all of its own last blocks; where the difficulty depends on their number, it keeps
quiet for one window.
"""

from __future__ import annotations

from typing import Any

from ledger.access import TransactionRejected
from ledger.attachment import Attacher
from ledger.block import BlockEssence, BlockId, sign_block
from ledger.booking import Booker
from ledger.kernel.automaton import StepBuilder
from ledger.kernel.encoding import Digest, Frozen
from ledger.kernel.identity import Signer, Verifier
from ledger.kernel.instant import MINUTE, Duration, Instant
from ledger.kernel.rejection import Rejected
from ledger.kernel.rng import Stream
from ledger.output import TransactionId
from ledger.pow import required_difficulty
from ledger.rate_control import Activity
from ledger.transaction import Transaction
from ledger.utxo import Standing
from ledger.validation import check_form, validate

SUBMISSIONS_MAX = 1_000
"""Transactions that wait to be attached: hours of work for this node's proof of work."""
SUBMISSION_WAIT: Duration = MINUTE
"""How long a submission waits for inputs; who submitted it will do so again."""


class SubmitTransaction(Frozen):
    """Attach this transaction, unless that is done. Its fate is told by TransactionSeen, Accepted, Confirmed, Rejected."""

    transaction: Transaction


class PowNeeded(Frozen):
    """Find a nonce for the data with this many zero bits. Answered by ``PowFound``."""

    id: Digest
    difficulty: int
    data: bytes


class PowFound(Frozen):
    """The nonce for the ``PowNeeded`` with this id; one that is no longer wanted is ignored."""

    id: Digest
    nonce: int


class TransactionAttached(Frozen):
    """This node issued a block with the transaction."""

    transaction_id: TransactionId
    block_id: BlockId


class _Submission:
    __slots__ = ("is_checked", "since", "transaction")

    def __init__(self, transaction: Transaction, since: Instant) -> None:
        self.transaction = transaction
        self.since = since
        self.is_checked = False


class Issuer:
    """Attaches one node's blocks."""

    def __init__(
        self, signer: Signer, verifier: Verifier, is_validator: bool, booker: Booker, attacher: Attacher, rng: Stream
    ) -> None:
        self._signer = signer
        self._verifier = verifier
        self._is_validator = is_validator
        self._booker = booker
        self._attacher = attacher
        self._profile = booker.profile
        self._ledger = booker.ledger
        self._dag = booker.dag
        self._activity = Activity(self._profile, rng)
        self._submissions: dict[TransactionId, _Submission] = {}
        self._grinding: BlockEssence | None = None
        self._quiet_until: Instant = 0

    def start(self, now: Instant, restored: bool) -> None:
        """The node runs from now on."""
        self._activity.start(now)
        if restored and self._profile.pow_rate_thousandths:
            self._quiet_until = now + self._profile.pow_window

    def note_payloads(self, open_count: int, now: Instant) -> None:
        """So many payloads are unconfirmed now."""
        self._activity.note_payloads(open_count, now)

    @property
    def waits(self) -> list[str]:
        """What it waits for."""
        waits = [] if self._grinding is None else ["waits for proof of work"]
        return [*waits, f"{len(self._submissions)} submissions wait to be attached"] if self._submissions else waits

    def submit(self, transaction: Transaction, now: Instant, builder: StepBuilder[Any]) -> None:
        """Attach this transaction when that is possible."""
        if transaction.id in self._submissions or self._is_ground(transaction):
            return
        if transaction.id in self._ledger.past:
            return
        if transaction.id not in self._ledger.transactions:
            try:
                check_form(transaction, self._ledger.network)
            except Rejected as rejected:
                builder.outputs.append(TransactionRejected(transaction.id, rejected.code, rejected.detail))
                return
        if len(self._submissions) >= SUBMISSIONS_MAX:
            return  # not a rejection: whoever submitted it will do so again while it is not seen
        self._submissions[transaction.id] = _Submission(transaction, now)

    def _is_ground(self, transaction: Transaction) -> bool:
        payload = None if self._grinding is None else self._grinding.payload
        return payload is not None and payload.id == transaction.id

    def _next_submission(self, now: Instant, builder: StepBuilder[Any]) -> Transaction | None:
        """The first submission that can be attached now; those that never will be are dropped. (Lines 4 and 5.)"""
        for id, submission in list(self._submissions.items()):
            transaction = submission.transaction
            standing = self._ledger.standing(id)
            if standing is Standing.PENDING or standing is Standing.ACCEPTED:
                blocks = self._dag.attachments.get(id, ())
                stuck = all(block.time < now - self._profile.reattach_after for block in blocks)
                del self._submissions[id]
                if stuck and self._attacher.may_attach(transaction):
                    return transaction
            elif standing is not None:
                del self._submissions[id]
            elif self._ledger.missing(transaction):
                if now >= submission.since + SUBMISSION_WAIT:
                    del self._submissions[id]
            elif not self._is_valid(submission, builder):
                del self._submissions[id]
            elif transaction.essence.timestamp <= now + self._profile.skew_max:
                if self._attacher.may_attach(transaction):
                    del self._submissions[id]
                    return transaction
                if now >= submission.since + SUBMISSION_WAIT:
                    del self._submissions[id]
        return None

    def _is_valid(self, submission: _Submission, builder: StepBuilder[Any]) -> bool:
        """Whether it can still be confirmed; its unlocks are checked once."""
        transaction = submission.transaction
        try:
            if not submission.is_checked:
                validate(transaction, self._ledger.consumed(transaction), self._verifier)
                submission.is_checked = True
            for id in transaction.essence.inputs:
                for spender in self._ledger.outputs[id].spenders:
                    if spender.won or spender.standing is Standing.CONFIRMED:
                        raise Rejected("conflict_lost", "one of its inputs is spent for good")
        except Rejected as rejected:
            builder.outputs.append(TransactionRejected(transaction.id, rejected.code, rejected.detail))
            return False
        return True

    @property
    def deadline(self) -> Instant | None:
        """When a block could be begun."""
        if self._grinding is not None:
            return None
        deadline = self._activity.due if self._is_validator else None
        for submission in self._submissions.values():
            transaction = submission.transaction
            ready = transaction.essence.timestamp - self._profile.skew_max
            if self._ledger.missing(transaction) or not self._attacher.may_attach(transaction):
                ready = submission.since + SUBMISSION_WAIT
            deadline = ready if deadline is None else min(deadline, ready)
        return deadline if deadline is None else max(deadline, self._quiet_until)

    def begin_block(self, now: Instant, builder: StepBuilder[Any]) -> None:
        """Begin the next block, if there is anything to attach and nothing is being ground."""
        if self._grinding is not None or now < self._quiet_until:
            return
        payload = self._next_submission(now, builder) if self._submissions else None
        if payload is None and not (self._is_validator and now >= self._activity.due):
            return
        self._activity.note_issued(now)
        self._grind(payload, now, builder)

    def _grind(self, payload: Transaction | None, now: Instant, builder: StepBuilder[Any]) -> None:
        essence = self._attacher.essence(payload, self._signer.public_key, now)
        count = self._booker.rates.count(essence.issuer, essence.issuing_time)
        difficulty = required_difficulty(self._profile.pow_difficulty, self._profile.pow_rate_thousandths, count)
        self._grinding = essence
        builder.outputs.append(PowNeeded(essence.work_data, difficulty, essence.work_data))

    def finish_block(self, found: PowFound, now: Instant, builder: StepBuilder[Any]) -> None:
        """Sign and book the block whose nonce this is."""
        essence = self._grinding
        if essence is None or found.id != essence.work_data:
            return
        self._grinding = None
        payload = essence.payload
        if payload is not None and self._ledger.standing(payload.id) in (Standing.CONFIRMED, Standing.REJECTED):
            return
        if payload is not None and not self._attacher.may_attach(payload):
            self._submissions[payload.id] = _Submission(payload, now)
            return
        if not self._attacher.still_stands(essence):
            self._grind(payload, now, builder)
            return
        block = sign_block(essence, found.nonce, self._signer)
        self._booker.take(block, self._booker.me, now, builder)
        assert block.id in self._dag.entries, "a node books its own blocks"
        if payload is not None:
            builder.outputs.append(TransactionAttached(payload.id, block.id))
