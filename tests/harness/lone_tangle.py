"""One layer-1 node among neighbours that the test plays."""

from __future__ import annotations

from typing import Any

from ledger.block import Block, BlockEssence, sign_block
from ledger.booking import BlockRefused
from ledger.issuing import PowFound, PowNeeded, SubmitTransaction
from ledger.kernel.automaton import NodeId, Step
from ledger.kernel.identity import Signer, deal_signer, verifier
from ledger.kernel.instant import SECOND
from ledger.kernel.rng import stream
from ledger.pow import ModelGrinder
from ledger.profile import GOSHIMMER_08, Profile
from ledger.synchronisation import SyncPart
from ledger.tangle import Tangle
from ledger.transaction import Transaction
from ledger.utxo import GenesisLedger
from tests.harness.payments import NETWORK

GRINDER = ModelGrinder(stream(0, "test"))


class LoneTangle:
    """The node under test is no validator, so it only speaks when the test makes it."""

    def __init__(
        self,
        genesis: GenesisLedger,
        weights: tuple[int, ...] = (1, 1, 1, 1),
        profile: Profile = GOSHIMMER_08,
        neighbours: tuple[str, ...] = ("a", "b"),
        validates: bool = False,
    ) -> None:
        self.signers: list[Signer] = [deal_signer("model", 0, "validator", i) for i in range(len(weights))]
        own = self.signers[0] if validates else deal_signer("model", 0, "own")
        self.now = 100 * SECOND
        self.tangle = Tangle(
            NodeId("me"),
            own,
            verifier("model"),
            tuple(NodeId(name) for name in neighbours),
            {signer.public_key: weight for signer, weight in zip(self.signers, weights, strict=True)},
            profile,
            genesis,
            GRINDER,
            stream(0, "lone"),
            names={signer.public_key: NodeId(f"v{i}") for i, signer in enumerate(self.signers)},
        )
        self.step(self.tangle.handle_timer(self.now))
        if neighbours:
            self.hear(SyncPart(self.now, 0, True, None, ()))
        self.outputs: list[Any] = []
        self.last: Step[Any] = Step()

    @property
    def genesis_id(self) -> bytes:
        return self.tangle.dag.genesis.id

    def block(
        self,
        issuer: int | Signer,
        *strong: Block | bytes,
        payload: Transaction | None = None,
        weak: tuple[Block, ...] = (),
        time: int | None = None,
        difficulty: int | None = None,
        **changes: Any,
    ) -> Block:
        signer = self.signers[issuer] if isinstance(issuer, int) else issuer
        parents = [parent if isinstance(parent, bytes) else parent.id for parent in strong or (self.genesis_id,)]
        fields: dict[str, Any] = {
            "version": 1,
            "network": NETWORK,
            "strong": tuple(sorted(parents)),
            "weak": tuple(sorted(parent.id for parent in weak)),
            "issuer": signer.public_key,
            "issuing_time": self.now if time is None else time,
            "payload": payload,
        }
        essence = BlockEssence(**{**fields, **changes})
        work = GRINDER.grind(
            essence.work_data, self.tangle.profile.pow_difficulty if difficulty is None else difficulty
        )
        return sign_block(essence, work.nonce, signer)

    def hear(self, message: Any, sender: str = "a") -> Step[Any]:
        return self.step(self.tangle.handle_message(NodeId(sender), ("tangle",), message, self.now))

    def hear_all(self, *blocks: Block) -> None:
        for block in blocks:
            self.hear(block)

    def later(self, duration: int) -> Step[Any]:
        """Let time pass, with all deadlines on the way; proof of work takes none."""
        end = self.now + duration
        last: Step[Any] = Step()
        while (deadline := self.tangle.deadline) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            last = self.step(self.tangle.handle_timer(self.now))
        self.now = end
        return last

    def submit(self, transaction: Transaction) -> Step[Any]:
        return self.step(self.tangle.handle_input(SubmitTransaction(transaction), self.now))

    def step(self, step: Step[Any]) -> Step[Any]:
        self.last = step
        self.outputs = [*getattr(self, "outputs", []), *step.outputs]
        for output in step.outputs:
            if isinstance(output, PowNeeded):
                work = GRINDER.grind(output.data, output.difficulty)
                self.step(self.tangle.handle_input(PowFound(output.id, work.nonce), self.now))
        return step

    # looking on -------------------------------------------------------------------------------------------------------

    def told(self, kind: type[Any]) -> list[Any]:
        return [output for output in self.outputs if type(output) is kind]

    def is_booked(self, block: Block) -> bool:
        return block.id in self.tangle.dag.entries

    def is_confirmed(self, block: Block) -> bool:
        return self.tangle.dag.entries[block.id].confirmed

    def refusal(self, block: Block) -> str:
        (refused,) = [output for output in self.told(BlockRefused) if output.block_id == block.id]
        return str(refused.code)
