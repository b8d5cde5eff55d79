"""The two kinds of host: a layer-1 node, and a household. Each is an automaton that holds the others and passes between
them what one puts out and another takes in.

::

    layer-1 host    Tangle  <->  LedgerServer

    household       meter, bidder: Prosumer  --request-->  Chain of its microgrid   (state advanced -->)
                    LedgerClient  --confirmed view-->  every Chain  --anchors to publish-->  LedgerClient
                    Chain  --batch to execute-->  Executor  --execution-->  the same Chain

What no other automaton of the host takes goes to the owner: facts for whoever observes, and needs that take time (proof
of work). Facts of a chain are told with its name, as ``ChainFact``.

A household's own chain is the first of its chains. A restarted host gives every automaton the records of its path.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from ledger.access import (
    ACCESS_PATH,
    LedgerClient,
    PublishTransaction,
)
from ledger.access_server import LedgerServer
from ledger.booking import TANGLE_PATH
from ledger.kernel.automaton import NOTHING, Automaton, Fault, NodeId, Path, PeerReconnected, Record, Step, StepBuilder
from ledger.kernel.encoding import Frozen, Value
from ledger.kernel.instant import Instant, earliest
from ledger.tangle import Tangle
from market.hierarchy import AUCTION
from market.prosumer import Prosumer, RequestToSubmit, StateAdvanced
from wasp.chain import Chain
from wasp.chain_interface import ChainBlockAnchored, ChainBlockExecutionNeeded, ChainBlocksUndone, ExecutionCompleted
from wasp.core_contracts.accounts import next_nonce
from wasp.mempool import SubmitRequest
from wasp.publishing import PublicationNeeded
from wasp.vm.execution import Execution
from wasp.vm.sandbox import ContractReader


class ChainFact(Frozen):
    """Output of a household: what one of its chains put out."""

    chain: str
    fact: Any


class Executor(Protocol):
    """Executes batches: a pure function, whose cost the runtime charges."""

    def __call__(self, need: ChainBlockExecutionNeeded) -> Execution | None:
        """What the batch does; none when there is nothing to do."""
        ...


def records_of(records: Iterable[Record], owner: str) -> list[Record]:
    """The records of the automaton whose paths begin with this name."""
    return [record for record in records if record.path[0] == owner]


class LedgerHost(Automaton[Any, Any, Any]):
    """A layer-1 node and the door for its clients."""

    def __init__(self, tangle: Tangle, server: LedgerServer) -> None:
        self.tangle = tangle
        self.server = server

    def handle_input(self, input: Any, now: Instant) -> Step[Any]:
        """An answer to a need. A peer that reconnects asks by itself, a neighbour for blocks, a client for a session."""
        if isinstance(input, PeerReconnected):
            return NOTHING
        step: StepBuilder[Any] = StepBuilder()
        self._absorb_tangle(step, self.tangle.handle_input(input, now), now)
        return step.build()

    def handle_message(self, sender: NodeId, path: Path, message: Any, now: Instant) -> Step[Any]:
        step: StepBuilder[Any] = StepBuilder()
        if path == TANGLE_PATH:
            self._absorb_tangle(step, self.tangle.handle_message(sender, path, message, now), now)
        elif path == ACCESS_PATH:
            self._absorb_server(step, self.server.handle_message(sender, path, message, now), now)
        else:
            step.faults.append(Fault(sender, "no_such_leaf", path, type(message).__name__))
        return step.build()

    def handle_timer(self, now: Instant) -> Step[Any]:
        step: StepBuilder[Any] = StepBuilder()
        if _has_come(self.tangle.deadline, now):
            self._absorb_tangle(step, self.tangle.handle_timer(now), now)
        if _has_come(self.server.deadline, now):
            self._absorb_server(step, self.server.handle_timer(now), now)
        return step.build()

    @property
    def deadline(self) -> Instant | None:
        return earliest(self.tangle.deadline, self.server.deadline)

    def _absorb_tangle(self, step: StepBuilder[Any], child: Step[Any], now: Instant) -> None:
        for output in step.add(child):
            step.outputs.append(output)
            self._absorb_server(step, self.server.handle_input(output, now), now)

    def _absorb_server(self, step: StepBuilder[Any], child: Step[Any], now: Instant) -> None:
        for output in step.add(child):
            self._absorb_tangle(step, self.tangle.handle_input(output, now), now)


class Household(Automaton[Any, Value, Any]):
    """A smart meter: members of chains, their view of layer 1, and the prosumer."""

    def __init__(
        self, client: LedgerClient, chains: Sequence[Chain], prosumer: Prosumer | None, account: str, execute: Executor
    ) -> None:
        self.client = client
        self.chains: Mapping[str, Chain] = {chain.name: chain for chain in chains}
        self.prosumer = prosumer
        self.account = account
        self._chain_list = tuple(chains)
        self._chains_by_path: Mapping[str | int, Chain] = {chain.name: chain for chain in chains}
        self._home_chain = self._chain_list[0] if chains else None
        self._execute = execute
        self._started = False
        self._client_deadline = client.deadline
        self._chain_deadlines: dict[str, Instant | None] = {chain.name: chain.deadline for chain in chains}
        self._prosumer_deadline: Instant | None = None

    def handle_input(self, input: Any, now: Instant) -> Step[Any]:
        """A request of the owner, for the chain that it names, else for the household's own, which refuses it; or a peer
        that reconnects, for every chain.
        """
        step: StepBuilder[Any] = StepBuilder()
        if isinstance(input, PeerReconnected):
            for chain in self._chain_list:
                self._absorb_chain(step, chain, chain.handle_input(input, now), now)
            return step.build()
        assert self._home_chain is not None and isinstance(input, SubmitRequest)
        chain = self.chains.get(input.request.essence.chain, self._home_chain)
        self._absorb_chain(step, chain, chain.handle_input(input, now), now)
        return step.build()

    def handle_message(self, sender: NodeId, path: Path, message: Value, now: Instant) -> Step[Any]:
        chain = self._chains_by_path.get(path[0]) if path else None
        if chain is not None:
            child = chain.handle_message(sender, path, message, now)
            if not child.outputs:
                self._chain_deadlines[chain.name] = chain.deadline
                return child
            step: StepBuilder[Any] = StepBuilder()
            self._absorb_chain(step, chain, child, now)
            return step.build()
        if path != ACCESS_PATH:
            return Step(faults=(Fault(sender, "no_such_leaf", path, type(message).__name__),))
        step = StepBuilder()
        self._absorb_client(step, self.client.handle_message(sender, path, message, now), now)  # type: ignore[arg-type]
        return step.build()

    def handle_timer(self, now: Instant) -> Step[Any]:
        step: StepBuilder[Any] = StepBuilder()
        if not self._started:
            self._started = True
            self._maybe_advance(step, now)
        if _has_come(self._client_deadline, now):
            self._absorb_client(step, self.client.handle_timer(now), now)
        for chain in self._chain_list:
            if _has_come(self._chain_deadlines[chain.name], now):
                self._absorb_chain(step, chain, chain.handle_timer(now), now)
        if self.prosumer is not None and _has_come(self._prosumer_deadline, now):
            self._absorb_prosumer(step, self.prosumer.handle_timer(now), now)
        return step.build()

    @property
    def deadline(self) -> Instant | None:
        return earliest(self._client_deadline, self._prosumer_deadline, *self._chain_deadlines.values())

    def _absorb_client(self, step: StepBuilder[Any], child: Step[Any], now: Instant) -> None:
        """What layer 1 says is for the chain that it names, or for all."""
        self._client_deadline = self.client.deadline
        for update in step.add(child):
            chain_id = getattr(update, "chain", None)
            for chain in self._chain_list:
                if chain_id is None or chain_id == chain.id:
                    self._absorb_chain(step, chain, chain.handle_input(update, now), now)

    def _absorb_chain(self, step: StepBuilder[Any], chain: Chain, child: Step[Any], now: Instant) -> None:
        if child is NOTHING:
            self._chain_deadlines[chain.name] = chain.deadline
            return
        advanced = False
        outputs = deque(step.add(child))
        while outputs:
            output = outputs.popleft()
            match output:
                case ChainBlockExecutionNeeded():
                    completed = ExecutionCompleted(output.log_index, self._execute(output))
                    outputs.extend(step.add(chain.handle_input(completed, now)))
                case PublicationNeeded():
                    published = self.client.handle_input(PublishTransaction(output.transaction), now)
                    self._absorb_client(step, published, now)
                case _:
                    advanced = advanced or isinstance(output, ChainBlockAnchored | ChainBlocksUndone)
                    step.outputs.append(ChainFact(chain.name, output))
        self._chain_deadlines[chain.name] = chain.deadline
        if advanced and chain is self._home_chain:
            self._maybe_advance(step, now)

    def _maybe_advance(self, step: StepBuilder[Any], now: Instant) -> None:
        """Show the prosumer the active state of its chain."""
        if self.prosumer is None or self._home_chain is None:
            return
        state = self._home_chain.active_state
        timestamp = self._home_chain.active_block.timestamp
        advanced = StateAdvanced(ContractReader(state, AUCTION), timestamp, next_nonce(state, self.account))
        self._absorb_prosumer(step, self.prosumer.handle_input(advanced, now), now)

    def _absorb_prosumer(self, step: StepBuilder[Any], child: Step[RequestToSubmit], now: Instant) -> None:
        assert self.prosumer is not None
        self._prosumer_deadline = self.prosumer.deadline
        for output in step.add(child):
            step.outputs.append(output)
            assert self._home_chain is not None
            submitted = self._home_chain.handle_input(SubmitRequest(output.request), now)
            self._absorb_chain(step, self._home_chain, submitted, now)


def _has_come(deadline: Instant | None, now: Instant) -> bool:
    return deadline is not None and deadline <= now
