"""Random lives of committees: crashes, restarts, cut links, a ledger that pauses, rivals that spend inputs.

Whatever happened: when all are back, every request is executed exactly once, all members stand on the same confirmed
block, nobody correct was blamed, and then there is silence.
"""

import pytest

from ledger.kernel.instant import HOUR, MILLISECOND, MINUTE, SECOND
from ledger.kernel.rng import stream
from tests.harness.chain_network import ChainNetwork
from wasp.chain_interface import ChainParameters
from wasp.committee_log import NextIndexVote, RecoveryTimes


class Swarm:
    def __init__(self, seed):
        self.rng = stream(seed, "swarm")
        n = self.rng.choice([1, 4, 4, 5, 7])
        parameters = ChainParameters(
            unconfirmed_anchors_max=self.rng.choice([1, 2, 4, 32]), recovery=RecoveryTimes(2 * SECOND, 16 * SECOND)
        )
        skew = {f"m{place}": self.rng.randrange(200 * MILLISECOND) for place in range(n)}
        jitter = self.rng.choice([0, 5, 50]) * MILLISECOND
        self.network = ChainNetwork(n, parameters, seed, jitter=jitter, skew=skew)
        self.network.drop = lambda sender, receiver, envelope: sender in self.cut or receiver in self.cut
        self.names = self.network.committee.members
        self.cut = set()
        self.nonces = [0, 0, 0]
        self.submitted = []
        self.sent = 0

    def act(self):
        acts = [self.submit] * 10 + [self.restart] * 2 + [self.kill, self.revive, self.revive, self.pause]
        acts += [self.cut_off, self.heal, self.message, self.restart_all]
        self.rng.choice(acts)()

    def submit(self):
        if self.network.members:
            user = self.rng.randrange(3)
            request = self.network.request(user, self.nonces[user], "add", 1)
            self.nonces[user] += 1
            self.submitted.append(request)
            self.network.submit(self.rng.choice(self.network.members), request)

    def restart(self):
        name = self.rng.choice(self.names)
        if name in self.network.chains:
            self.network.restart(name)

    def restart_all(self):
        for name in list(self.network.members):
            self.network.restart(name)

    def kill(self):
        if self.network.members:
            self.network.kill(self.rng.choice(self.network.members))

    def revive(self):
        for name in self.names:
            if name not in self.network.chains:
                self.network.restart(name)

    def pause(self):
        self.network.ledger.paused = not self.network.ledger.paused
        if not self.network.ledger.paused:
            self.network.ledger.settle()

    def cut_off(self):
        self.cut.add(self.rng.choice(self.names))

    def heal(self):
        healed, self.cut = sorted(self.cut), set()
        for name in healed:
            if name in self.network.chains:
                self.network.reconnect(name)

    def message(self):
        ledger = self.network.ledger
        given = ledger.send(self.sent)
        self.sent += 1
        if self.rng.random() < 0.5:
            delay = self.rng.randrange(2 * SECOND)
            self.network.at(delay, lambda: given in ledger.unspent and ledger.spend(given))

    def settle(self):
        self.heal()
        self.revive()
        if self.network.ledger.paused:
            self.pause()
        for _ in range(40):
            for request in self.submitted:
                self.network.submit(self.network.members[0], request)
            self.network.run(15 * SECOND)
            if all(self.is_settled(chain) for chain in self.network.chains.values()):
                return
        raise AssertionError(self.network.statuses())

    def is_settled(self, chain):
        nonces = [chain.active_state.read("accounts", "nonce", f"user{user}") or 0 for user in range(3)]
        return nonces == self.nonces and chain.confirmed_block == chain.active_block


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_requests_are_executed_exactly_once_and_then_there_is_silence(seed):
    swarm = Swarm(seed)
    network = swarm.network
    for _ in range(25):
        network.run(swarm.rng.randrange(50 * MILLISECOND, 1500 * MILLISECOND))
        swarm.act()
    swarm.settle()
    network.run(10 * MINUTE)
    assert len({chain.confirmed_block.digest for chain in network.chains.values()}) == 1
    chain = network.chains["m0"]
    block, executed = chain.confirmed_block, []
    while block.index:
        executed.extend(request.id for request in block.requests)
        block = chain.view.states.block(block.previous)
    assert len(executed) == len(set(executed)) == network.count("m0")
    assert {request.id for request in swarm.submitted} <= set(executed)
    assert network.ledger.anchor.amount == 3_000 + 7 * (len(executed) - len(swarm.submitted))
    assert network.faults == []
    sent = len(network.messages)
    network.run(HOUR)
    late = [envelope.message for _, _, envelope in network.messages[sent:]]
    # a member that proposed alone may still ask for the next index, now and then; the others see no reason
    assert all(isinstance(message, NextIndexVote) and message.cause == "recover" for message in late)
