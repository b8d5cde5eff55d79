"""The outbox: messages for other chains that wait for an anchor of this one.

A message gets its id (chain, contract, counter) for ever when it enters; its tokens move to the outbox's account.
Every anchor takes the first ones out, as outputs, in order (interval, chain, contract, counter): what is due first
leaves first, however much waits.

Who sends in a due moment sends for its interval; who sends in a request, for the interval of the last due moment that
ran. So requests can't push in front of what an earlier interval still has to send, nor are they put off by intervals
to come.

Kept in the accounts' part of the state, below "outbox": the intervals with messages, sorted; per interval the
messages, sorted; the messages; a counter per contract. An output names this chain as its sender, and as its return
address if it expires.
"""

from __future__ import annotations

from bisect import insort

from ledger.kernel.encoding import Codec, Frozen, Natural, Value, encode
from ledger.kernel.instant import Instant
from ledger.output import METADATA_SIZE_MAX, BasicOutput, ChainAddress, ChainId, Expiration, SenderFeature
from wasp.core_contracts.accounts import ACCOUNTS, OUTBOX_ACCOUNT, debit, move
from wasp.request import Call, CrossChainMessage, MessageId
from wasp.state import KeyReader, StateKey
from wasp.vm.contract import AccountName
from wasp.vm.draft import Draft

RETURN_OVERHEAD = 2_048
"""Bytes by which a message that comes back may be larger than it was: five names and what is around them."""
PARAMETERS_SIZE_MAX = METADATA_SIZE_MAX - RETURN_OVERHEAD
"""Bytes of a message's packed parameters: with them it still fits into an output, also when it is sent back."""

# The queue of an interval is one entry of the state: it has room for some 2,000 messages with names of ordinary length.
_SIZE: StateKey = (ACCOUNTS, "outbox", "size")
_INTERVALS: StateKey = (ACCOUNTS, "outbox", "intervals")
_LAST_INTERVAL: StateKey = (ACCOUNTS, "outbox", "last interval")


class OutboxEntry(Value):
    """A message that waits: for which chain, with how many tokens, until when."""

    target: str
    amount: Natural
    expires: Instant | None
    message: CrossChainMessage


_ENTRY_CODEC: Codec[OutboxEntry] = Codec(OutboxEntry)


class Sending(Frozen):
    """What is to enter the outbox, from the account ``payer``."""

    id: MessageId
    target: str
    call: Call
    amount: int
    expires: Instant | None
    payer: AccountName
    interval: int


def outbox_size(reader: KeyReader) -> int:
    """How many messages wait."""
    return reader.value_at(_SIZE) or 0


def last_interval(reader: KeyReader) -> int:
    """The highest interval of the due moments that ran on this chain: what requests send for."""
    return reader.value_at(_LAST_INTERVAL) or 0


def note_interval(draft: Draft, interval: int) -> None:
    """A due moment of this interval runs."""
    if interval > last_interval(draft):
        draft.write(_LAST_INTERVAL, interval)


def next_message_id(reader: KeyReader, chain: str, contract: str) -> MessageId:
    """The name of the contract's next message."""
    return MessageId(chain, contract, reader.value_at(_counter_key(contract)) or 0)


def put(draft: Draft, sending: Sending) -> None:
    """Let a message enter.

    Errors: ``Rejected("funds", ...)`` beyond the payer's balance.
    """
    assert sending.amount >= 1, "an output carries at least one token"
    id = sending.id
    move(draft, sending.payer, OUTBOX_ACCOUNT, sending.amount)
    entry = OutboxEntry(sending.target, sending.amount, sending.expires, CrossChainMessage(id, sending.call))
    draft.write(_entry_key(id.contract, id.counter), encode(entry))
    draft.write(_counter_key(id.contract), id.counter + 1)
    draft.write(_SIZE, outbox_size(draft) + 1)
    queue = list(draft.value_at(_queue_key(sending.interval)) or ())
    if not queue:
        intervals = list(draft.value_at(_INTERVALS) or ())
        insort(intervals, sending.interval)
        draft.write(_INTERVALS, tuple(intervals))
    insort(queue, (sending.target, id.contract, id.counter))
    draft.write(_queue_key(sending.interval), tuple(queue))


def drain(draft: Draft, count_max: int, tokens_max: int) -> tuple[OutboxEntry, ...]:
    """Take out the first messages, at most ``count_max`` with at most ``tokens_max`` tokens; their tokens leave."""
    drained: list[OutboxEntry] = []
    intervals = draft.value_at(_INTERVALS) or ()
    for interval in intervals:
        queue = draft.value_at(_queue_key(interval))
        taken = 0
        for _, contract, counter in queue[: count_max - len(drained)]:
            entry = _ENTRY_CODEC.decode(draft.value_at(_entry_key(contract, counter)))
            if entry.amount > tokens_max:
                break
            tokens_max -= entry.amount
            draft.write(_entry_key(contract, counter), None)
            drained.append(entry)
            taken += 1
        left = queue[taken:]
        draft.write(_queue_key(interval), left or None)
        if left:
            break
    if drained:
        debit(draft, OUTBOX_ACCOUNT, sum([entry.amount for entry in drained]))
        draft.write(_SIZE, outbox_size(draft) - len(drained))
        waiting = tuple([interval for interval in intervals if draft.value_at(_queue_key(interval))])
        draft.write(_INTERVALS, waiting or None)
    return tuple(drained)


def output_of(entry: OutboxEntry, target: ChainId, sender: ChainId) -> BasicOutput:
    """The output of the anchor that carries the message."""
    expires = entry.expires
    return BasicOutput(
        entry.amount,
        ChainAddress(target),
        expiration=None if expires is None else Expiration(expires, ChainAddress(sender)),
        sender=SenderFeature(sender, entry.message.id.contract),
        metadata=encode(entry.message),
    )


def _counter_key(contract: str) -> StateKey:
    return (ACCOUNTS, "outbox", "counter", contract)


def _entry_key(contract: str, counter: int) -> StateKey:
    return (ACCOUNTS, "outbox", "message", contract, counter)


def _queue_key(interval: int) -> StateKey:
    return (ACCOUNTS, "outbox", "queue", interval)
