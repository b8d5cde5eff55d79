"""The work whose cost ``calibrate`` measures, for every operation of a hardware profile: made ready, then repeated.

What is measured is the very code that a node runs: the kernel's keys and group, the wire's codec, the virtual machine, a
common subset's handlers, WebSockets between two ends of which each seals and opens what it sends and gets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from time import process_time
from typing import Any, TypeAlias

from nacl.secret import SecretBox

from ledger.kernel import group
from ledger.kernel.automaton import NOTHING, Envelope, NodeId, Step
from ledger.kernel.decryption_key import deal_decryption_keys
from ledger.kernel.encoding import ZERO_DIGEST, digest
from ledger.kernel.erasure import decode_shards, encode_shards
from ledger.kernel.identity import deal_signer, verifier
from ledger.kernel.key_dealer import deal_member_keys
from ledger.kernel.quorum import max_faulty
from ledger.kernel.rng import stream
from ledger.output import OutputId, chain_id
from ledger.pow import RealGrinder
from node.hardware import Operation
from node.wire import Wire
from wasp.committee import Committee
from wasp.consensus.binary_agreement import BVal
from wasp.consensus.committee_protocol import Membership, Propose
from wasp.consensus.common_subset import CommonSubset
from wasp.consensus.reliable_broadcast import Echo
from wasp.request import GAS_BUDGET_MAX, call, sign_request
from wasp.vm.execution import execute
from wasp.vm.genesis import genesis, genesis_block
from wasp.vm.program import Limits, Program

Work: TypeAlias = Callable[[], float]
"""Does something once, and tells how many units of it that was."""

MEMBERS = 16
"""Of the committee whose messages are measured: both its steps and its paths are of a usual size."""
PROPOSAL = bytes(1_000)
MESSAGE = digest("calibration")
BLOCK = bytes(1_000)
TEXT = bytes(100_000)
FRAME = bytes(300)
DIFFICULTY = 12
POLYNOMIAL_SIZE = 33
TRANSFERS = 100
SHARDS = (22, 64)
"""Of which any 22 give the payload: those of 64 members."""


def cpu_work() -> Mapping[Operation, Callable[[], Work]]:
    """For every operation what makes its work ready. Frames are not here: they need an event loop."""
    rng = stream(1, "calibration")
    scalar = group.random_scalar(rng)
    point, other = group.base_times(scalar), group.base_times(scalar + 1)
    coefficients = group.random_polynomial(rng, POLYNOMIAL_SIZE - 1)
    signers = range(POLYNOMIAL_SIZE)
    signer, judge = deal_signer("real", 1, "calibration"), verifier("real")
    signature = signer.sign(MESSAGE)
    return {
        "sign": lambda: _once(lambda: signer.sign(MESSAGE)),
        "verify": lambda: _once(lambda: judge.verify(signer.public_key, MESSAGE, signature)),
        "hash": lambda: _once(lambda: digest(BLOCK), len(BLOCK) / 1_000),
        "digest": lambda: _once(lambda: digest("node", MESSAGE, MESSAGE)),
        "encode": _encoding,
        "decode": _decoding,
        "base_multiply": lambda: _once(lambda: group.base_times(scalar)),
        "point_multiply": lambda: _once(lambda: group.times(scalar, point)),
        "point_add": lambda: _once(lambda: group.plus(point, other)),
        "point_check": lambda: _once(lambda: group.is_point(point)),
        "hash_to_point": lambda: _once(lambda: group.hash_to_point(MESSAGE)),
        "hash_to_scalar": lambda: _once(lambda: group.hash_to_scalar(MESSAGE, point, other, point, other)),
        "lagrange": lambda: _once(lambda: group.lagrange(signers, 3), POLYNOMIAL_SIZE),
        "polynomial": lambda: _once(lambda: group.evaluate(coefficients, 3), POLYNOMIAL_SIZE),
        "cipher": _masking,
        "erasure": _coding,
        "gas": _execution,
        "packet": _packing,
        "message": _handling,
    }


def hashing_work() -> Work:
    """Hashes of proof of work."""
    numbers = iter(range(1 << 60))
    return lambda: RealGrinder().grind(next(numbers).to_bytes(8, "big") + FRAME, DIFFICULTY).hashes


def _once(act: Callable[[], object], units: float = 1) -> Work:
    def work() -> float:
        act()
        return units

    return work


class _Subset:
    """A whole common subset of members with model keys: messages arrive together, each at all members."""

    def __init__(self) -> None:
        members = tuple(NodeId(f"m{index}") for index in range(MEMBERS))
        signers = [deal_signer("model", 1, member) for member in members]
        keys, judge = deal_member_keys("model", 1, "calibration", MEMBERS, max_faulty(MEMBERS)), verifier("model")
        committee = Committee(members, [signer.public_key for signer in signers], keys[0].signing.group_key)
        self._memberships = [
            Membership(("calibration", 1), committee, member, signer, judge, key, stream(1, "calibration", member))
            for member, signer, key in zip(members, signers, keys, strict=True)
        ]
        self.envelopes: list[Envelope] = []
        """All that was sent."""

    def run(self) -> float:
        """How many messages were handled."""
        nodes = {membership.me: CommonSubset(membership) for membership in self._memberships}
        sent: list[tuple[NodeId, Envelope]] = []
        handled = 0
        for me, node in nodes.items():
            _send(sent, me, node.handle_input(Propose(PROPOSAL), 0))
        self.envelopes = []
        for sender, envelope in sent:
            self.envelopes.append(envelope)
            handled += len(envelope.recipients)
            for recipient in envelope.recipients:
                step = nodes[recipient].handle_message(sender, envelope.path, envelope.message, 0)
                if step is not NOTHING:
                    _send(sent, recipient, step)
        assert all(node.terminated for node in nodes.values())
        return handled


def _send(sent: list[tuple[NodeId, Envelope]], sender: NodeId, step: Step[Any]) -> None:
    sent.extend([(sender, envelope) for envelope in step.messages])


def _handling() -> Work:
    return _Subset().run


def _packing() -> Work:
    """Each is encoded once, and decoded in frames of as many as a member usually sends together."""
    wire, subset = Wire(), _Subset()
    subset.run()
    votes = [(envelope.path, envelope.message) for envelope in subset.envelopes if type(envelope.message) is BVal]

    def work() -> float:
        packets = [wire.packet(path, vote) for path, vote in votes]
        for start in range(0, len(packets), MEMBERS):
            wire.decode(wire.frame(None, packets[start : start + MEMBERS]))
        return 2 * len(packets)

    return work


def _encoding() -> Work:
    wire, message = Wire(), Echo(TEXT)
    return _once(lambda: wire.packet(("calibration", 1), message), len(TEXT) / 1_000)


def _decoding() -> Work:
    wire = Wire()
    frame = wire.frame(None, [wire.packet(("calibration", 1), Echo(TEXT))])
    return _once(lambda: wire.decode(frame), len(TEXT) / 1_000)


def _masking() -> Work:
    """What opening a long ciphertext takes beyond opening a short one."""
    (key,) = deal_decryption_keys("real", 1, "calibration", 1, 1)
    ciphertext = key.encrypt(b"", TEXT, stream(1, "calibration"))
    shares = {0: key.share(ciphertext)}
    return _once(lambda: key.combine(ciphertext, shares), len(TEXT) / 1_000)


def _coding() -> Work:
    k, n = SHARDS
    shards = dict(enumerate(encode_shards(TEXT, k, n)))
    found = {place: shards[place] for place in range(n - k, n)}

    def work() -> float:
        payload = decode_shards(found, k, n)
        assert payload == TEXT
        return sum(map(len, encode_shards(payload, k, n))) / 1_000

    return work


def _execution() -> Work:
    """A chain block of transfers between accounts."""
    users = [deal_signer("model", 1, "user", number) for number in range(TRANSFERS)]
    names = {user.public_key: f"user{number}" for number, user in enumerate(users)}
    program = Program(
        "calibration", "chain", {}, bytes(32), {"chain": chain_id("calibration", "chain")}, names, Limits()
    )
    state = genesis(program, dict.fromkeys(names.values(), 1_000))
    block, base = genesis_block(program, state), OutputId(ZERO_DIGEST, 0)
    transfer = call("accounts", "transfer", "user0", 1)
    requests = [sign_request(user, "chain", 0, transfer, 1, GAS_BUDGET_MAX) for user in users]

    def work() -> float:
        execution = execute(program, state, block, base, 1, 10, requests, MESSAGE)
        assert execution is not None
        return execution.gas

    return work


# ------------------------------------------------------------------------------------------------------------------ frames


def frame_cost(seconds: float) -> float:
    """CPU microseconds of one frame at one end, from as many round trips as fit into so many CPU seconds."""
    return asyncio.run(_round_trips(seconds))


async def _round_trips(seconds: float) -> float:
    """Both ends are in this process, so a round trip is four ends of frames, each encrypted or decrypted."""
    from aiohttp import ClientSession, web

    box = SecretBox(MESSAGE)

    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_bytes(box.encrypt(box.decrypt(message.data)))
        return socket

    application = web.Application()
    application.router.add_get("/", echo)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        async with ClientSession() as session, session.ws_connect(f"http://{host}:{port}/") as socket:
            trips, begin, spent = 0, process_time(), 0.0
            while spent < seconds:
                await socket.send_bytes(box.encrypt(FRAME))
                assert box.decrypt(await socket.receive_bytes()) == FRAME
                trips, spent = trips + 1, process_time() - begin
            return spent / (4 * trips) * 1_000_000
    finally:
        await runner.cleanup()
