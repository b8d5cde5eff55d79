"""Keys, genesis ledgers and transactions for tests of layer 1."""

from __future__ import annotations

from collections.abc import Sequence

from ledger.kernel.identity import Signer, deal_signer
from ledger.output import (
    AnchorOutput,
    BasicOutput,
    ChainAddress,
    KeyAddress,
    Output,
    OutputId,
    chain_id,
)
from ledger.transaction import ChainUnlock, Essence, SignatureUnlock, Transaction, Unlock
from ledger.utxo import GenesisLedger

NETWORK = "test"
ALICE, BOB, CAROL = (deal_signer("model", 0, name) for name in ("alice", "bob", "carol"))
COMMITTEE_KEY = deal_signer("model", 0, "committee")
CHAINS = tuple(chain_id(NETWORK, name) for name in ("mg1", "mg2"))
COMMITTEE = KeyAddress(COMMITTEE_KEY.public_key)


def key_of(signer: Signer) -> KeyAddress:
    return KeyAddress(signer.public_key)


def coins(*amounts: int, owner: Signer = ALICE) -> tuple[BasicOutput, ...]:
    return tuple(BasicOutput(amount, key_of(owner)) for amount in amounts)


def anchors(amount: int = 1_000) -> tuple[AnchorOutput, ...]:
    return tuple(AnchorOutput(amount, chain, 0, b"genesis", COMMITTEE) for chain in CHAINS)


def genesis(*outputs: Output) -> GenesisLedger:
    return GenesisLedger(NETWORK, outputs)


def sign(essence: Essence, *signers: Signer | int) -> Transaction:
    """One unlock per signer: a key's, or the place of an anchor."""
    unlocks: list[Unlock] = []
    for signer in signers:
        if isinstance(signer, int):
            unlocks.append(ChainUnlock(signer))
        else:
            unlocks.append(SignatureUnlock(signer.sign(essence.id)))
    return Transaction(essence, tuple(unlocks))


def payment(
    inputs: Sequence[OutputId], outputs: Sequence[Output], timestamp: int = 0, owner: Signer = ALICE, note: bytes = b""
) -> Transaction:
    essence = Essence(NETWORK, timestamp, tuple(inputs), tuple(outputs), note)
    return sign(essence, *[owner] * len(inputs))


def move(
    anchor_id: OutputId,
    anchor: AnchorOutput,
    timestamp: int = 0,
    sent: Sequence[BasicOutput] = (),
    received: Sequence[tuple[OutputId, BasicOutput]] = (),
    note: bytes = b"",
    signer: Signer = COMMITTEE_KEY,
) -> Transaction:
    """The chain's next anchor, with outputs sent and received."""
    amount = anchor.amount + sum(output.amount for _, output in received) - sum(output.amount for output in sent)
    successor = AnchorOutput(amount, anchor.chain, anchor.state_index + 1, note or anchor.state_metadata, COMMITTEE)
    inputs = (anchor_id, *(id for id, _ in received))
    return sign(Essence(NETWORK, timestamp, inputs, (successor, *sent)), signer, *[0] * len(received))


def successor_of(transaction: Transaction) -> tuple[OutputId, AnchorOutput]:
    output = transaction.essence.outputs[0]
    assert isinstance(output, AnchorOutput)
    return transaction.output_id(0), output


def to_chain(amount: int, chain: bytes, **fields: object) -> BasicOutput:
    return BasicOutput(amount, ChainAddress(chain), **fields)  # type: ignore[arg-type]


GENESIS_OF_COINS = genesis(*coins(100))
