"""A committee on one virtual clock, with a ledger that confirms what it is given: a chain without layer 1 and hosts.

Messages take a delay and a jitter drawn from a stream, and every one is encoded and decoded on its way. A member's records
are its disk: a restarted member has nothing else. The ledger is shared: it tells all members what was seen, accepted,
confirmed or rejected.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ledger.access import (
    AnchorConfirmed,
    ChainSynced,
    OutputConfirmed,
    OutputSpent,
    TransactionAccepted,
    TransactionConfirmed,
    TransactionRejected,
    TransactionSeen,
)
from ledger.kernel.automaton import NodeId, PeerReconnected
from ledger.kernel.encoding import Codec, digest, encode
from ledger.kernel.identity import ModelSigner, ModelVerifier, Signer, deal_signer
from ledger.kernel.instant import MILLISECOND, SECOND
from ledger.kernel.key_dealer import deal_member_keys
from ledger.kernel.quorum import max_faulty
from ledger.kernel.rng import stream
from ledger.output import AnchorOutput, BasicOutput, ChainAddress, Expiration, OutputId, SenderFeature, chain_id
from ledger.transaction import Transaction
from node.record_places import unsuperseded
from wasp.chain import Chain
from wasp.chain_block import state_metadata_of
from wasp.chain_interface import (
    ChainBlockAnchored,
    ChainBlockConfirmed,
    ChainBlockExecutionNeeded,
    ChainParameters,
    ExecutionCompleted,
)
from wasp.chain_view import ViewMessage
from wasp.committee import Committee
from wasp.committee_log import CommitteeLogMessage, RecoveryTimes
from wasp.consensus.consensus import ConsensusMessage
from wasp.core_contracts.accounts import total_of
from wasp.mempool import MempoolMessage, SubmitRequest
from wasp.publishing import PublicationNeeded
from wasp.request import CrossChainMessage, MessageId, OffLedgerRequest, call, sign_request
from wasp.signed_anchor import committee_address
from wasp.vm.contract import Contract, Due
from wasp.vm.execution import execute
from wasp.vm.genesis import genesis, genesis_block
from wasp.vm.program import Limits, Program

NETWORK = "testnet"
CHAIN = "mg1"
OTHER = "mg2"
CODEC: Codec[Any] = Codec(ConsensusMessage | CommitteeLogMessage | MempoolMessage | ViewMessage)
QUICK = ChainParameters(recovery=RecoveryTimes(2 * SECOND, 30 * SECOND))


class Counter(Contract):
    """Counts what it is told, sends messages, and rings at the moments that it was given."""

    name = "counter"

    @property
    def entry_points(self) -> Mapping[str, Callable[..., Any]]:
        return {"add": self._add, "ring_at": self._ring_at, "send": self._send, "returned": self._returned}

    def genesis(self, sandbox):
        sandbox.write("count", value=0)

    def next_due(self, state) -> Due | None:
        at = state.read("at")
        return None if at is None else Due(at, 0, self.name)

    def handle_due(self, sandbox, due):
        sandbox.write("at", value=None)
        sandbox.write("rung", value=sandbox.timestamp)

    def _add(self, sandbox, amount):
        sandbox.write("count", value=sandbox.read("count") + amount)

    def _ring_at(self, sandbox, instant):
        sandbox.write("at", value=instant)

    def _send(self, sandbox, amount, expires):
        sandbox.take(amount)
        sandbox.send(OTHER, call("counter", "add", 1), amount, expires)

    def _returned(self, sandbox, counter, entry_point, parameters):
        sandbox.write("returned", counter, value=sandbox.attached)


class FakeLedger:
    """A ledger of one opinion: the first valid spending wins, after a time."""

    def __init__(self, network: ChainNetwork, anchor: AnchorOutput) -> None:
        self.network = network
        self.anchor_id = OutputId(digest("genesis", NETWORK), 0)
        self.anchor = anchor
        self.unspent: dict[OutputId, Any] = {self.anchor_id: anchor}
        self.known: dict[bytes, Transaction] = {}
        self.confirmed: list[bytes] = []
        self.waiting: list[Transaction] = []
        self.settled: set[bytes] = set()
        self.spent: set[OutputId] = set()
        self.published: list[tuple[int, NodeId, bytes]] = []
        self.paused = False
        self.deaf = False
        self.seen_after = 50 * MILLISECOND
        self.accepted_after = 500 * MILLISECOND
        self.confirmed_after = 2 * SECOND

    def publish(self, member: NodeId, transaction: Transaction) -> None:
        self.published.append((self.network.now, member, transaction.id))
        if self.deaf:
            return
        if transaction.id in self.settled:
            done = transaction.id in self.confirmed
            told = TransactionConfirmed(transaction.id) if done else TransactionRejected(transaction.id, "conflict", "")
            self.network.at(self.seen_after, lambda: self.network.input(member, told))
            return
        self.network.at(self.seen_after, lambda: self.tell(TransactionSeen(transaction.id)))
        if transaction.id not in self.known:
            self.known[transaction.id] = transaction
            self.network.at(self.accepted_after, lambda: self.tell(TransactionAccepted(transaction.id)))
            self.network.at(self.confirmed_after, lambda: self.offer(transaction))

    def offer(self, transaction: Transaction) -> None:
        """The transaction has the weight to be confirmed, as soon as its inputs are."""
        self.waiting.append(transaction)
        if not self.paused:
            self.settle()

    def settle(self) -> None:
        """Confirm what can be confirmed, in the order of coming."""
        moved = True
        while moved:
            moved = False
            for transaction in list(self.waiting):
                inputs = transaction.essence.inputs
                if any(place in self.spent for place in inputs):
                    self._reject(transaction)
                    moved = True
                elif all(place in self.unspent for place in inputs):
                    self._confirm(transaction)
                    moved = True

    def spend(self, output_id: OutputId) -> None:
        """A rival transaction spent the output, confirmed at once."""
        self.unspent.pop(output_id)
        self.spent.add(output_id)
        self.tell(OutputSpent(self.network.chain_id, output_id, digest("rival")))
        for transaction in list(self.known.values()):
            if output_id in transaction.essence.inputs and transaction.id not in self.settled:
                self._reject(transaction)

    def give(self, output: BasicOutput, *label: Any) -> OutputId:
        """A confirmed output comes from elsewhere."""
        output_id = OutputId(digest("given", *label), 0)
        self.unspent[output_id] = output
        self.tell(OutputConfirmed(self.network.chain_id, output_id, output))
        return output_id

    def send(self, counter: int, amount: int = 7, expires: int | None = None, timelock: int | None = None) -> OutputId:
        """A message of the other chain's counter arrives: add 1."""
        other = chain_id(NETWORK, OTHER)
        message = CrossChainMessage(MessageId(OTHER, "counter", counter), call("counter", "add", 1))
        expiration = None if expires is None else Expiration(expires, ChainAddress(other))
        output = BasicOutput(
            amount,
            ChainAddress(self.network.chain_id),
            expiration,
            timelock,
            SenderFeature(other, "counter"),
            encode(message),
        )
        return self.give(output, counter)

    def tell(self, update: Any) -> None:
        for member in self.network.members:
            self.network.input(member, update)

    def synced(self) -> ChainSynced:
        outputs = [(key, value) for key, value in self.unspent.items() if isinstance(value, BasicOutput)]
        mine = [(key, value) for key, value in outputs if self._concerns(value)]
        return ChainSynced(self.network.chain_id, self.anchor_id, self.anchor, tuple(mine))

    def _confirm(self, transaction: Transaction) -> None:
        chain, essence = self.network.chain_id, transaction.essence
        self.waiting.remove(transaction)
        self.settled.add(transaction.id)
        self.confirmed.append(transaction.id)
        self.spent.update(essence.inputs)
        before = [self.unspent.pop(place) for place in essence.inputs]
        assert sum(output.amount for output in before) == sum(output.amount for output in essence.outputs)
        self.tell(TransactionConfirmed(transaction.id))
        for place in essence.inputs[1:]:
            self.tell(OutputSpent(chain, place, transaction.id))
        spent = self.anchor_id
        anchor = essence.outputs[0]
        assert essence.inputs[0] == spent and isinstance(anchor, AnchorOutput)
        assert anchor.state_index == self.anchor.state_index + 1
        self.anchor_id, self.anchor = transaction.output_id(0), anchor
        for index, output in enumerate(essence.outputs):
            self.unspent[transaction.output_id(index)] = output
        self.tell(AnchorConfirmed(chain, self.anchor_id, anchor, transaction.id, spent))
        for index, output in enumerate(essence.outputs[1:], 1):
            if isinstance(output, BasicOutput) and self._concerns(output):
                self.tell(OutputConfirmed(chain, transaction.output_id(index), output))

    def _reject(self, transaction: Transaction) -> None:
        """And what spends from it."""
        if transaction in self.waiting:
            self.waiting.remove(transaction)
        self.settled.add(transaction.id)
        self.tell(TransactionRejected(transaction.id, "conflict", "a rival was confirmed"))
        for other in list(self.known.values()):
            if other.essence.inputs[0].transaction == transaction.id and other.id not in self.settled:
                self._reject(other)

    def _concerns(self, output: BasicOutput) -> bool:
        mine = ChainAddress(self.network.chain_id)
        return output.address == mine or (output.expiration is not None and output.expiration.return_address == mine)


class ChainNetwork:
    """The committee, its ledger and its clock."""

    def __init__(
        self,
        n: int,
        parameters: ChainParameters = QUICK,
        seed: int = 0,
        delay: int = 10 * MILLISECOND,
        jitter: int = 5 * MILLISECOND,
        users: int = 3,
        skew: Mapping[str, int] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.n = n
        self.seed = seed
        self.now = 0
        self.delay = delay
        self.jitter = jitter
        self.rng = stream(seed, "network")
        self.skew = dict(skew or {})
        self.parameters = parameters
        self.chain_id = chain_id(NETWORK, CHAIN)
        names = tuple(NodeId(f"m{place}") for place in range(n))
        self.signers: dict[NodeId, Signer] = {name: deal_signer("model", seed, name) for name in names}
        self.keys = deal_member_keys("model", seed, CHAIN, n, max_faulty(n))
        public_keys = [self.signers[name].public_key for name in names]
        self.committee = Committee(names, public_keys, self.keys[0].signing.group_key)
        self.users = [ModelSigner(digest("user", place)) for place in range(users)]
        self.program = Program(
            NETWORK,
            CHAIN,
            {"counter": Counter()},
            b"seed",
            {OTHER: chain_id(NETWORK, OTHER)},
            {user.public_key: f"user{place}" for place, user in enumerate(self.users)},
            limits or Limits(),
        )
        self.genesis_state = genesis(self.program, {f"user{place}": 1_000 for place in range(users)})
        self.genesis_block = genesis_block(self.program, self.genesis_state)
        anchor = AnchorOutput(
            total_of(self.genesis_state),
            self.chain_id,
            0,
            state_metadata_of(self.genesis_block),
            committee_address(self.committee),
        )
        self.ledger = FakeLedger(self, anchor)
        self.genesis_anchor = (self.ledger.anchor_id, anchor)
        self.disks: dict[NodeId, list[Any]] = {name: [] for name in names}
        self.written: dict[NodeId, list[Any]] = {name: [] for name in names}
        """All records, also those that later ones supersede."""
        self.chains: dict[NodeId, Chain] = {}
        self.outputs: list[tuple[int, NodeId, Any]] = []
        self.messages: list[tuple[int, NodeId, Any]] = []
        self.faults: list[Any] = []
        self.drop: Callable[[NodeId, NodeId, Any], bool] = lambda sender, receiver, message: False
        self.execution_delay = 2 * MILLISECOND
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._lives = dict.fromkeys(names, 0)
        self._armed: dict[NodeId, int | None] = dict.fromkeys(names)
        for name in names:
            self.start(name)

    @property
    def members(self) -> list[NodeId]:
        """Those alive."""
        return list(self.chains)

    # ---- lives

    def start(self, name: NodeId) -> None:
        """A member boots from its disk."""
        arguments = (CHAIN, NETWORK, self.committee, name, self.signers[name], ModelVerifier())
        key = self.keys[self.committee.index[name]]
        self._lives[name] += 1
        self.chains[name] = Chain.restore(
            self.disks[name],
            *arguments,
            key,
            self.program,
            self.genesis_block,
            self.genesis_state,
            self.genesis_anchor,
            self.parameters,
            stream(self.seed, "member", name, self._lives[name]),
        )
        self._arm(name)
        self.at(20 * MILLISECOND, partial(self._sync, name, self._lives[name]))

    def kill(self, name: NodeId) -> None:
        """A member stops; what is under way to it is lost."""
        del self.chains[name]
        self._armed[name] = None
        self._lives[name] += 1

    def restart(self, name: NodeId) -> None:
        if name in self.chains:
            self.kill(name)
        self.start(name)
        self.reconnect(name)

    def reconnect(self, name: NodeId) -> None:
        """The links between this member and the others are new."""
        for other in self.members:
            if other != name:
                self.input(other, PeerReconnected(name))
                self.input(name, PeerReconnected(other))

    # ---- acts

    def submit(self, name: NodeId, request: OffLedgerRequest) -> None:
        self.input(name, SubmitRequest(request))

    def request(self, user: int, nonce: int, entry_point: str = "add", *parameters: Any, allowance: int = 0):
        return sign_request(
            self.users[user], CHAIN, nonce, call("counter", entry_point, *(parameters or (1,))), allowance
        )

    def input(self, name: NodeId, input: Any) -> None:
        if name in self.chains:
            self._take(name, self.chains[name].handle_input(input, self.local(name)))

    def at(self, delay: int, act: Callable[[], Any]) -> None:
        self._count += 1
        heapq.heappush(self._heap, (self.now + delay, self._count, act))

    def local(self, name: NodeId) -> int:
        return self.now + self.skew.get(name, 0)

    # ---- running

    def run(self, duration: int) -> None:
        """Let this much time pass."""
        self.run_until(lambda: False, duration, fails=False)

    def run_until(self, condition: Callable[[], bool], at_most: int = 600 * SECOND, fails: bool = True) -> None:
        end = self.now + at_most
        while not condition():
            if not self._heap or self._heap[0][0] > end:
                self.now = end
                assert not fails, f"not within {at_most / SECOND} s: {self.statuses()}"
                return
            instant, _, act = heapq.heappop(self._heap)
            self.now = instant
            act()

    def statuses(self) -> str:
        return "\n".join(str(chain.status) for chain in self.chains.values())

    def _take(self, name: NodeId, step: Any) -> None:
        """Carry out a step and the steps that follow from it at once: records, own copies, then the others."""
        steps = deque([step])
        life = self._lives[name]
        while steps:
            step = steps.popleft()
            self.written[name].extend(step.records)
            self.disks[name].extend(step.records)
            if any(record.supersedes for record in step.records):
                self.disks[name] = unsuperseded(self.disks[name])
            self.faults.extend(step.faults)
            chain = self.chains[name]
            own = []
            for envelope in step.messages:
                if name in envelope.recipients:
                    own.append(chain.handle_message(name, envelope.path, envelope.message, self.local(name)))
                self._send(name, envelope)
            for output in step.outputs:
                self.outputs.append((self.now, name, output))
                match output:
                    case ChainBlockExecutionNeeded():
                        self.at(self.execution_delay, partial(self._execute, name, life, output))
                    case PublicationNeeded():
                        self.at(0, partial(self.ledger.publish, name, output.transaction))
            steps.extendleft(reversed(own))
        self._arm(name)

    def _send(self, sender: NodeId, envelope: Any) -> None:
        data = encode(envelope.message)
        for receiver in envelope.recipients:
            if receiver == sender:
                continue
            self.messages.append((self.now, sender, envelope))
            if self.drop(sender, receiver, envelope):
                continue
            life = self._lives[receiver]
            delay = self.delay + (self.rng.randrange(self.jitter) if self.jitter else 0)
            self.at(delay, partial(self._deliver, sender, receiver, life, envelope.path, data))

    def _sync(self, name: NodeId, life: int) -> None:
        if self._lives[name] == life:
            self.input(name, self.ledger.synced())

    def _deliver(self, sender: NodeId, receiver: NodeId, life: int, path: Any, data: bytes) -> None:
        if receiver in self.chains and self._lives[receiver] == life:
            message = CODEC.decode(data)
            self._take(receiver, self.chains[receiver].handle_message(sender, path, message, self.local(receiver)))

    def _execute(self, name: NodeId, life: int, need: ChainBlockExecutionNeeded) -> None:
        if self._lives[name] == life:
            execution = execute(
                self.program,
                need.state,
                need.previous,
                need.base,
                need.log_index,
                need.timestamp,
                need.requests,
                need.entropy,
            )
            self.input(name, ExecutionCompleted(need.log_index, execution))

    def _arm(self, name: NodeId) -> None:
        deadline = self.chains[name].deadline
        if deadline is None or deadline == self._armed[name]:
            return
        self._armed[name] = deadline
        life = self._lives[name]
        wait = max(0, deadline - self.local(name))
        self.at(wait, lambda: self._ring(name, life, deadline))

    def _ring(self, name: NodeId, life: int, deadline: int) -> None:
        if self._lives[name] != life:
            return
        if self._armed[name] == deadline:
            self._armed[name] = None
        chain = self.chains[name]
        if chain.deadline is not None and chain.deadline <= self.local(name):
            step = chain.handle_timer(self.local(name))
            assert chain.deadline != deadline or step.messages or step.outputs, "a timer that spins"
            self._take(name, step)
        else:
            self._arm(name)

    # ---- what happened

    def facts(self, name: NodeId, kind: type) -> list[Any]:
        return [output for _, member, output in self.outputs if member == name and isinstance(output, kind)]

    def anchored(self, name: NodeId) -> list[ChainBlockAnchored]:
        return self.facts(name, ChainBlockAnchored)

    def confirmed(self, name: NodeId) -> list[ChainBlockConfirmed]:
        return self.facts(name, ChainBlockConfirmed)

    def count(self, name: NodeId) -> int:
        return self.chains[name].active_state.read("counter", "count")
