"""Some layer-1 nodes with their servers and clients in virtual time: one message per crank, delays drawn at random.

Every message is encoded and decoded on its way. A fault against a correct node fails the test at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from typing import Any

from ledger.access import ACCESS_PATH, AccessMessage, LedgerClient
from ledger.access_server import LedgerServer
from ledger.issuing import PowFound, PowNeeded, SubmitTransaction
from ledger.kernel.automaton import Envelope, Fault, NodeId, Step
from ledger.kernel.encoding import Codec
from ledger.kernel.identity import deal_signer, verifier
from ledger.kernel.instant import MILLISECOND, SECOND, Duration, Instant
from ledger.kernel.rng import stream
from ledger.pow import ModelGrinder
from ledger.profile import GOSHIMMER_08, Profile
from ledger.tangle import Tangle, TangleMessage
from ledger.transaction import Transaction
from ledger.utxo import GenesisLedger
from node.record_places import unsuperseded

CODEC: Codec[Any] = Codec(TangleMessage | AccessMessage)
POW_TIME = 50 * MILLISECOND


class Layer1Host:
    """A Tangle and the server beside it."""

    def __init__(self, tangle: Tangle) -> None:
        self.tangle = tangle
        self.server = LedgerServer(tangle.me, tangle.ledger)


class TangleNetwork:
    def __init__(
        self,
        count: int,
        genesis: GenesisLedger,
        *,
        profile: Profile = GOSHIMMER_08,
        seed: int = 0,
        delay: Callable[[str, str], Duration | None] | None = None,
        neighbours: Callable[[int], Iterable[int]] | None = None,
        codec: bool = True,
    ) -> None:
        self.genesis, self.profile, self.seed = genesis, profile, seed
        self.rng = stream(seed, "network")
        self.names = [NodeId(f"t{i}") for i in range(count)]
        self.signers = {name: deal_signer("model", seed, name) for name in self.names}
        self.validators = {self.signers[name].public_key: 1 for name in self.names}
        others = neighbours or (lambda i: (j for j in range(count) if j != i))
        self.neighbours = {self.names[i]: tuple(self.names[j] for j in others(i)) for i in range(count)}
        self.delay = delay or (lambda _from, _to: 1 + self.rng.randrange(100 * MILLISECOND))
        self.codec = codec
        self.now: Instant = 0
        self.hosts: dict[NodeId, Layer1Host] = {}
        self.clients: dict[NodeId, LedgerClient] = {}
        self.records: dict[NodeId, list[Any]] = {name: [] for name in self.names}
        self.outputs: dict[NodeId, list[Any]] = {name: [] for name in self.names}
        self.times: dict[NodeId, list[Instant]] = {name: [] for name in self.names}
        self.expected_faults: set[str] = set()
        self.faults: list[Fault] = []
        self.messages = 0
        self._queue: list[tuple[Instant, int, Callable[[], None]]] = []
        self._number = 0
        for name in self.names:
            self.start(name)

    # hosts ------------------------------------------------------------------------------------------------------------

    def tangle(self, name: NodeId) -> Tangle:
        signer = self.signers[name]
        return Tangle(
            name,
            signer,
            verifier("model"),
            self.neighbours[name],
            self.validators,
            self.profile,
            self.genesis,
            ModelGrinder(stream(self.seed, "pow", name)),
            stream(self.seed, "tangle", name, self.now),
            names={signer.public_key: other for other, signer in self.signers.items()},
        )

    def start(self, name: NodeId, *, with_records: bool = False) -> None:
        tangle = self.tangle(name)
        if with_records:
            tangle.restore([record.value for record in self.records[name]], self.now)
        else:
            self.records[name].clear()
        self.hosts[name] = Layer1Host(tangle)

    def stop(self, name: NodeId) -> None:
        del self.hosts[name]

    def add_client(self, name: str, server: str, chains: tuple[bytes, ...]) -> LedgerClient:
        client = LedgerClient(NodeId(name), (NodeId(server),), chains)
        self.clients[client.me] = client
        self.outputs[client.me], self.times[client.me], self.records[client.me] = [], [], []
        return client

    # events -----------------------------------------------------------------------------------------------------------

    def submit(self, name: str, transaction: Transaction) -> None:
        host = self.hosts[NodeId(name)]
        self._tangle_step(host, host.tangle.handle_input(SubmitTransaction(transaction), self.now))

    def publish(self, name: str, input: Any) -> None:
        self._client_step(NodeId(name), self.clients[NodeId(name)].handle_input(input, self.now))

    def send(self, sender: str, recipient: str, message: Any) -> None:
        """A message out of nowhere, at once."""
        self._deliver(NodeId(sender), NodeId(recipient), ("tangle",), message)

    def run(self, duration: Duration) -> None:
        end = self.now + duration
        while self._crank(end):
            pass
        self.now = end

    def run_until(self, condition: Callable[[], bool], limit: Duration = 600 * SECOND) -> None:
        end = self.now + limit
        while not condition():
            assert self._crank(end), "the condition has not come true in time"

    def _crank(self, end: Instant) -> bool:
        due = [(deadline, name) for name, deadline in self._deadlines() if deadline is not None]
        first = min(due) if due else None
        queued = self._queue[0][0] if self._queue else None
        if first is not None and (queued is None or first[0] < queued):
            if first[0] > end:
                return False
            self.now = max(self.now, first[0])
            self._timer(first[1])
            return True
        if queued is None or queued > end:
            return False
        self.now = max(self.now, queued)
        heappop(self._queue)[2]()
        return True

    def _deadlines(self) -> Iterable[tuple[NodeId, Instant | None]]:
        for name, host in self.hosts.items():
            yield name, host.tangle.deadline
        for name, client in self.clients.items():
            yield name, client.deadline

    def _timer(self, name: NodeId) -> None:
        if name in self.hosts:
            host = self.hosts[name]
            self._tangle_step(host, host.tangle.handle_timer(self.now))
        else:
            self._client_step(name, self.clients[name].handle_timer(self.now))

    def _deliver(self, sender: NodeId, recipient: NodeId, path: Any, message: Any) -> None:
        self.messages += 1
        if recipient in self.clients:
            self._client_step(recipient, self.clients[recipient].handle_message(sender, path, message, self.now))
        elif recipient in self.hosts:
            host = self.hosts[recipient]
            if path == ACCESS_PATH:
                self._server_step(host, host.server.handle_message(sender, path, message, self.now))
            else:
                self._tangle_step(host, host.tangle.handle_message(sender, path, message, self.now))

    # steps ------------------------------------------------------------------------------------------------------------

    def _tangle_step(self, host: Layer1Host, step: Step[Any]) -> None:
        self._common(host.tangle.me, step)
        for output in step.outputs:
            if isinstance(output, PowNeeded):
                work = host.tangle._booker._grinder.grind(output.data, output.difficulty)
                self._later(POW_TIME, lambda o=output, w=work: self._pow(host, o, w.nonce))  # type: ignore[misc]
            else:
                self._server_step(host, host.server.handle_input(output, self.now))

    def _pow(self, host: Layer1Host, needed: PowNeeded, nonce: int) -> None:
        if self.hosts.get(host.tangle.me) is host:
            self._tangle_step(host, host.tangle.handle_input(PowFound(needed.id, nonce), self.now))

    def _server_step(self, host: Layer1Host, step: Step[Any]) -> None:
        self._common(host.tangle.me, step, keep=False)
        for output in step.outputs:
            self._tangle_step(host, host.tangle.handle_input(output, self.now))

    def _client_step(self, name: NodeId, step: Step[Any]) -> None:
        self._common(name, step)

    def _common(self, me: NodeId, step: Step[Any], keep: bool = True) -> None:
        if step.records:
            self.records[me] = unsuperseded([*self.records[me], *step.records])
        if keep:
            self.outputs[me].extend(step.outputs)
            self.times[me].extend([self.now] * len(step.outputs))
        for fault in step.faults:
            self.faults.append(fault)
            assert fault.kind in self.expected_faults, f"{me} accuses: {fault}"
        for envelope in step.messages:
            self._send(me, envelope)

    def _send(self, me: NodeId, envelope: Envelope) -> None:
        message: Any = envelope.message
        if self.codec:
            message = CODEC.decode(CODEC.encode(message))
            assert message == envelope.message
        for recipient in envelope.recipients:
            delay = self.delay(me, recipient)
            if delay is not None:
                self._later(delay, lambda r=recipient, m=message: self._deliver(me, r, envelope.path, m))  # type: ignore[misc]

    def _later(self, delay: Duration, action: Callable[[], None]) -> None:
        self._number += 1
        heappush(self._queue, (self.now + delay, self._number, action))

    # looking on -------------------------------------------------------------------------------------------------------

    def told(self, name: str, kind: type[Any]) -> list[Any]:
        return [output for output in self.outputs[NodeId(name)] if type(output) is kind]
