"""The block log: what happened, block by block, provable from the state.

- per chain block: its timestamp, the digest of the block before, the ids of its requests, the number of its events;
- per request: its receipt;
- per event: who said what.

The last ``blocks_kept`` blocks are kept, and the receipts and events of the last ``receipts_kept``: with each block
exactly one older one is forgotten, so all members forget the same. A receipt also tells that a request was executed,
hence it must be kept at least as long as a mempool may still offer it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ledger.kernel.encoding import Digest, Frozen, Natural, Plain, Value
from ledger.kernel.instant import Instant
from ledger.kernel.rejection import Rejected
from wasp.request import RequestId
from wasp.state import KeyReader, Proof, State, StateKey, verify_proof
from wasp.vm.contract import AccountName, Contract, EntryPoint, View, ViewPoint
from wasp.vm.draft import Draft

BLOCKLOG = "blocklog"
DETAIL_SIZE_MAX = 200
"""Characters of an error's detail in a receipt: a sentence."""
TIMESTAMP_KEY: StateKey = (BLOCKLOG, "timestamp")


class Receipt(Value):
    """What became of a request: ``code`` is none when it succeeded, ``result`` is packed, ``gas`` is what was charged."""

    request_id: RequestId
    block_index: Natural
    timestamp: Instant
    account: AccountName
    code: str | None
    detail: str
    gas: Natural
    fee: Natural
    result: bytes

    @property
    def succeeded(self) -> bool:
        """Whether the request did what it was to do."""
        return self.code is None


class Event(Value):
    """What a contract made public in a chain block."""

    contract: str
    name: str
    fields: bytes


class BlockInfo(Frozen):
    """What is remembered of a chain block."""

    timestamp: Instant
    previous: Digest
    requests: tuple[RequestId, ...]
    events: int


def receipt_key(request_id: RequestId) -> tuple[str, str]:
    """Where the contract keeps a receipt."""
    return ("receipt", request_id.hex())


def receipt_of(reader: KeyReader, request_id: RequestId) -> Receipt | None:
    """The receipt of a request, if it was executed and is still remembered."""
    entry = reader.value_at((BLOCKLOG, *receipt_key(request_id)))
    return None if entry is None else Receipt(request_id, *entry)


def prove_receipt(state: State, request_id: RequestId) -> Proof:
    """The proof of the request's receipt under the state's root, or that there is none."""
    return state.prove(BLOCKLOG, *receipt_key(request_id))


def verify_receipt(root: Digest, receipt: Receipt, proof: Proof) -> bool:
    """Whether the receipt is what stands under the root. Total."""
    return verify_proof(root, BLOCKLOG, receipt_key(receipt.request_id), _entry(receipt), proof)


def block_info(reader: KeyReader, index: int) -> BlockInfo | None:
    """What is remembered of the chain block with this index."""
    entry = reader.value_at(_block_key(index))
    return None if entry is None else BlockInfo(*entry)


def timestamp_of(reader: KeyReader) -> Instant:
    """The timestamp of the chain block that led to this state."""
    return reader.value_at(TIMESTAMP_KEY) or 0


def write_receipt(draft: Draft, receipt: Receipt) -> None:
    """Remember what became of a request."""
    draft.write((BLOCKLOG, *receipt_key(receipt.request_id)), _entry(receipt))


def write_block(draft: Draft, index: int, info: BlockInfo, events: Sequence[Event]) -> None:
    """Remember a chain block and its events."""
    draft.write(TIMESTAMP_KEY, info.timestamp)
    draft.write(_block_key(index), (info.timestamp, info.previous, info.requests, info.events))
    for place, event in enumerate(events):
        draft.write(_event_key(index, place), (event.contract, event.name, event.fields))


def forget(draft: Draft, index: int, blocks_kept: int, receipts_kept: int) -> None:
    """Forget what the block with this index makes too old."""
    assert 1 <= receipts_kept <= blocks_kept, "the block's info names the receipts to forget"
    info = block_info(draft, index - receipts_kept)
    if info is not None:
        for request_id in info.requests:
            draft.write((BLOCKLOG, *receipt_key(request_id)), None)
        for place in range(info.events):
            draft.write(_event_key(index - receipts_kept, place), None)
    if draft.value_at(_block_key(index - blocks_kept)) is not None:
        draft.write(_block_key(index - blocks_kept), None)


class Blocklog(Contract):
    """The doors to the block log, for readers only: the chain itself writes it."""

    name = BLOCKLOG

    @property
    def entry_points(self) -> Mapping[str, EntryPoint]:
        return {}

    @property
    def views(self) -> Mapping[str, ViewPoint]:
        return {"block": _block, "receipt": _receipt, "event": _event}


def _block(view: View, index: Plain) -> Plain:
    entry: Plain = view.read("block", _index(index))
    return entry


def _receipt(view: View, request_id: Plain) -> Plain:
    if type(request_id) is not bytes:
        raise Rejected("parameters", "a request's id is 32 bytes")
    entry: Plain = view.read(*receipt_key(request_id))
    return entry


def _event(view: View, index: Plain, place: Plain) -> Plain:
    entry: Plain = view.read("event", _index(index), _index(place))
    return entry


def _index(value: Plain) -> int:
    if type(value) is not int:
        raise Rejected("parameters", "an index is an integer")
    return value


def _entry(receipt: Receipt) -> Plain:
    return (
        receipt.block_index,
        receipt.timestamp,
        receipt.account,
        receipt.code,
        receipt.detail,
        receipt.gas,
        receipt.fee,
        receipt.result,
    )


def _block_key(index: int) -> StateKey:
    return (BLOCKLOG, "block", index)


def _event_key(index: int, place: int) -> StateKey:
    return (BLOCKLOG, "event", index, place)
