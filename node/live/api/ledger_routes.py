"""Layer 1, after Hornet's core API v2: information, tips, blocks, transactions, outputs, submission.

Only layer-1 nodes have a Tangle; the others say so. Blocks and settled transactions are pruned after a while, as the
profile of layer 1 says; what is gone is answered as unknown.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from ledger.dag import BlockEntry
from ledger.issuing import SubmitTransaction
from ledger.kernel.encoding import Codec
from ledger.kernel.rejection import Rejected
from ledger.output import AnchorOutput, BasicOutput, ChainAddress, KeyAddress, Output
from ledger.transaction import Transaction
from ledger.utxo import Standing, UtxoLedger
from ledger.validation import check_form
from node.host import LedgerHost
from node.live.api.answers import (
    ApiModel,
    Hex,
    HexDigest,
    HexOutputId,
    Limit,
    Whole,
    from_hex,
    output_id_from_hex,
    output_id_to_hex,
    to_hex,
)
from node.live.api.endpoint import Desk, Endpoint, Question, Refused
from node.live.api.submitting import submitted

TIPS_MAX = 8
"""As many as a block has parents."""
NAMED_MAX = 100
"""Rivals of a transaction, and blocks that carry it: there are few, unless somebody makes them."""
TRANSACTION_CODEC: Codec[Transaction] = Codec(Transaction)
StandingName = Literal["pending", "accepted", "confirmed", "rejected"]


class LedgerInfo(ApiModel):
    """Layer 1, as this node sees it."""

    name: str
    network: str
    is_synchronised: bool
    status: str
    blocks: int = Field(description="Booked and not pruned")
    unconfirmed_blocks: int
    open_transactions: int
    newest_confirmed: str = Field(description="The newest confirmed block")
    newest_confirmed_time: int
    pruned_before: int = Field(description="Blocks issued before this instant may have been forgotten")
    pow_difficulty: int


class Tips(ApiModel):
    """Some strong tips."""

    tips: list[str]


class BlockInfo(ApiModel):
    """A block of the Tangle."""

    block_id: str
    place: int = Field(description="Where it stands in this node's order of booking")
    issuing_time: int
    issuer: str | None = Field(description="The issuer's public key; none for a block of which only the name is kept")
    strong_parents: list[str]
    weak_parents: list[str]
    transaction_id: str | None
    nonce: int | None
    grade: Literal["booked", "accepted", "confirmed"]


class BlockPage(ApiModel):
    """Blocks, newest first."""

    blocks: list[BlockInfo]
    next: int | None = Field(description="Give it as `before` for the next page; none: there is none")


class OutputInfo(ApiModel):
    """An output and who may spend it."""

    output_id: str
    kind: Literal["basic", "anchor"]
    amount: int
    address: str = Field(description="A public key, or a chain's id")
    chain_id: str | None = Field(description="For an anchor: the chain")
    state_index: int | None
    state_metadata: str | None
    timelock: int | None
    expiration: int | None
    return_address: str | None
    metadata: str | None
    is_spent: bool = Field(description="By a transaction that is confirmed")


class TransactionInfo(ApiModel):
    """A transaction and how far it has come."""

    transaction_id: str
    standing: StandingName
    timestamp: int
    inputs: list[str]
    outputs: list[str]
    rivals: list[str] = Field(description="Transactions that spend one of its inputs, too")
    blocks: list[str] = Field(description="The blocks that carry it, as far as they are kept")


class TransactionSubmission(ApiModel):
    """A signed transaction, in the canonical encoding of this project."""

    transaction: Annotated[Hex, Field(max_length=2 * 64 * 1024 + 2)]


class Submitted(ApiModel):
    """What was taken, to ask about."""

    transaction_id: str


class BlockPlace(ApiModel):
    """A block."""

    block_id: HexDigest


class TransactionPlace(ApiModel):
    """A transaction."""

    transaction_id: HexDigest


class OutputPlace(ApiModel):
    """An output."""

    output_id: HexOutputId


class BlockQuery(ApiModel):
    """A page of blocks."""

    limit: Limit = 50
    before: Annotated[Whole | None, Field(description="Only blocks booked before this place")] = None


def _ledger_host(desk: Desk) -> LedgerHost:
    host = desk.node.host
    if not isinstance(host, LedgerHost):
        raise Refused(404, "no_ledger", f"{desk.node.name} is no layer-1 node: ask one of those")
    return host


def _information(desk: Desk, question: Question) -> LedgerInfo:
    tangle = _ledger_host(desk).tangle
    dag = tangle.dag
    return LedgerInfo(
        name=desk.node.name,
        network=desk.node.network,
        is_synchronised=tangle.synchronised,
        status=tangle.status,
        blocks=len(dag.entries),
        unconfirmed_blocks=len(dag.unconfirmed),
        open_transactions=tangle.ledger.open_count,
        newest_confirmed=to_hex(dag.newest_confirmed.id),
        newest_confirmed_time=dag.newest_confirmed.time,
        pruned_before=dag.pruned_before,
        pow_difficulty=tangle.profile.pow_difficulty,
    )


def _tips(desk: Desk, question: Question) -> Tips:
    return Tips(tips=[to_hex(tip) for tip in _ledger_host(desk).tangle.tips[:TIPS_MAX]])


def _blocks(desk: Desk, question: Question) -> BlockPage:
    entries = _ledger_host(desk).tangle.dag.newest(question.query.limit + 1, question.query.before)
    page = entries[: question.query.limit]
    more = len(entries) > len(page)
    return BlockPage(blocks=[_block_info(entry) for entry in page], next=page[-1].place if more else None)


def _block(desk: Desk, question: Question) -> BlockInfo:
    entry = _ledger_host(desk).tangle.dag.entries.get(from_hex(question.path.block_id))
    if entry is None:
        raise Refused(404, "unknown_block", "no such block here, or it is pruned")
    return _block_info(entry)


def _block_info(entry: BlockEntry) -> BlockInfo:
    grade: Literal["booked", "accepted", "confirmed"]
    grade = "confirmed" if entry.confirmed else "accepted" if entry.grade else "booked"
    essence = None if entry.block is None else entry.block.essence
    return BlockInfo(
        block_id=to_hex(entry.id),
        place=entry.place,
        issuing_time=entry.time,
        issuer=None if essence is None else to_hex(essence.issuer),
        strong_parents=[] if essence is None else list(map(to_hex, essence.strong)),
        weak_parents=[] if essence is None else list(map(to_hex, essence.weak)),
        transaction_id=None if essence is None or essence.payload is None else to_hex(essence.payload.id),
        nonce=None if entry.block is None else entry.block.nonce,
        grade=grade,
    )


def _transaction(desk: Desk, question: Question) -> TransactionInfo:
    tangle = _ledger_host(desk).tangle
    ledger, transaction_id = tangle.ledger, from_hex(question.path.transaction_id)
    entry = ledger.transactions.get(transaction_id)
    if entry is None:
        raise Refused(404, "unknown_transaction", "no such transaction here, or it was settled long ago")
    essence = entry.transaction.essence
    return TransactionInfo(
        transaction_id=to_hex(entry.id),
        standing=entry.standing.value,
        timestamp=essence.timestamp,
        inputs=list(map(output_id_to_hex, essence.inputs)),
        outputs=[output_id_to_hex(entry.transaction.output_id(index)) for index in range(len(essence.outputs))],
        rivals=[to_hex(rival.id) for rival in ledger.rivals(entry)[:NAMED_MAX]],
        blocks=[to_hex(block.id) for block in tangle.dag.attachments.get(transaction_id, ())[:NAMED_MAX]],
    )


def _included_block(desk: Desk, question: Question) -> BlockInfo:
    attached = _ledger_host(desk).tangle.dag.attachments.get(from_hex(question.path.transaction_id), ())
    included = next((entry for entry in attached if entry.confirmed), None)
    if included is None:
        raise Refused(
            404, "not_included", "no confirmed block carries this transaction, as far as this node keeps blocks"
        )
    return _block_info(included)


def _output(desk: Desk, question: Question) -> OutputInfo:
    ledger = _ledger_host(desk).tangle.ledger
    entry = ledger.outputs.get(output_id_from_hex(question.path.output_id))
    if entry is None:
        raise Refused(404, "unknown_output", "no such output here, or it was spent long ago")
    spent = any(spender.standing is Standing.CONFIRMED for spender in entry.spenders)
    return _output_info(question.path.output_id.lower(), entry.output, spent)


def _output_info(output_id: str, output: Output, spent: bool) -> OutputInfo:
    nothing: dict[str, Any] = dict.fromkeys(
        ("chain_id", "state_index", "state_metadata", "timelock", "expiration", "return_address", "metadata")
    )
    match output:
        case AnchorOutput():
            told = nothing | {
                "kind": "anchor",
                "address": _address(output.state_controller),
                "chain_id": to_hex(output.chain),
                "state_index": output.state_index,
                "state_metadata": to_hex(output.state_metadata),
            }
        case BasicOutput():
            expiration = output.expiration
            told = nothing | {
                "kind": "basic",
                "address": _address(output.address),
                "timelock": output.timelock,
                "expiration": None if expiration is None else expiration.instant,
                "return_address": None if expiration is None else _address(expiration.return_address),
                "metadata": to_hex(output.metadata),
            }
    return OutputInfo(output_id=output_id, amount=output.amount, is_spent=spent, **told)


def _address(address: KeyAddress | ChainAddress) -> str:
    return to_hex(address.public_key if isinstance(address, KeyAddress) else address.chain)


def _submit(desk: Desk, question: Question) -> Submitted:
    ledger = _ledger_host(desk).tangle.ledger
    try:
        transaction = _checked(question.body.transaction, ledger)
    except Rejected as rejected:
        raise Refused(400, rejected.code, rejected.detail) from None
    if ledger.standing(transaction.id) is None and transaction.id not in ledger.past:
        submitted(desk.node, SubmitTransaction(transaction))
    return Submitted(transaction_id=to_hex(transaction.id))


def _checked(text: str, ledger: UtxoLedger) -> Transaction:
    try:
        transaction = TRANSACTION_CODEC.decode(from_hex(text))
    except ValueError as error:
        raise Rejected("undecodable", str(error)) from None
    check_form(transaction, ledger.network)
    return transaction


CORE = "/api/core/v2"
LEDGER_ENDPOINTS = (
    Endpoint(
        "GET", f"{CORE}/info", "tangle", "Layer 1, as this node sees it", _information, LedgerInfo, refusals=(404,)
    ),
    Endpoint("GET", f"{CORE}/tips", "tangle", "Tips that a new block could approve", _tips, Tips, refusals=(404,)),
    Endpoint(
        "GET", f"{CORE}/blocks", "tangle", "Blocks, newest first", _blocks, BlockPage, query=BlockQuery, refusals=(404,)
    ),
    Endpoint(
        "POST",
        f"{CORE}/blocks",
        "tangle",
        "Submit a signed transaction: the node chooses parents, does the proof of work and issues the block",
        _submit,
        Submitted,
        body=TransactionSubmission,
        status=202,
        refusals=(404,),
    ),
    Endpoint(
        "GET", f"{CORE}/blocks/{{blockId}}", "tangle", "A block", _block, BlockInfo, places=BlockPlace, refusals=(404,)
    ),
    Endpoint(
        "GET",
        f"{CORE}/transactions/{{transactionId}}",
        "tangle",
        "A transaction, and how far it has come",
        _transaction,
        TransactionInfo,
        places=TransactionPlace,
        refusals=(404,),
    ),
    Endpoint(
        "GET",
        f"{CORE}/transactions/{{transactionId}}/included-block",
        "tangle",
        "The confirmed block that carries a transaction",
        _included_block,
        BlockInfo,
        places=TransactionPlace,
        refusals=(404,),
    ),
    Endpoint(
        "GET",
        f"{CORE}/outputs/{{outputId}}",
        "tangle",
        "An output",
        _output,
        OutputInfo,
        places=OutputPlace,
        refusals=(404,),
    ),
)
