"""Chains without committees and without a ledger: contracts run by ``execute`` alone, one block whenever there is work.

Time is a logical clock, consensus is a shuffle, layer 1 a list of outputs: an output is there for its target
``delay`` after the block that made it, and for its return address when it has expired. ``offline`` chains make no
blocks, so messages to them expire.

    solo = Solo({"mg1": {"auction": Auction()}, "region": {}}, users=("home1", "home2"), balances={"mg1": {"home1":
    100}}) receipt = solo.post("mg1", "home1", "accounts", "transfer", "home2", 30, allowance=30) solo.advance_to(3 *
    HOUR)                       # due moments fire, messages travel, at their times solo.view("mg1", "accounts",
    "balance", "home2")

After every block the whole supply is counted: accounts of all chains and outputs under way. What a test submits as an
on-ledger request of its own comes from outside, and adds to the supply.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ledger.kernel.encoding import Codec, Plain, digest, encode, unpack
from ledger.kernel.identity import Signer, deal_signer
from ledger.kernel.instant import SECOND, Duration, Instant, earliest
from ledger.output import AnchorOutput, BasicOutput, ChainAddress, KeyAddress, OutputId, chain_id
from wasp.chain_block import replayed, state_metadata_of
from wasp.core_contracts.accounts import balance_of, next_nonce
from wasp.core_contracts.blocklog import Event, Receipt, receipt_of
from wasp.request import GAS_BUDGET_MAX, OffLedgerRequest, OnLedgerRequest, Request, call, sign_request
from wasp.state import State
from wasp.vm.admission import admission
from wasp.vm.contract import AccountName, Contract
from wasp.vm.execution import Execution, execute, has_outbox, next_due
from wasp.vm.genesis import genesis, genesis_block
from wasp.vm.program import Limits, Program
from wasp.vm.sandbox import call_view

NETWORK = "solo"
ANCHOR_CODEC: Codec[AnchorOutput] = Codec(AnchorOutput)
BLOCKS_MAX = 100_000
"""Blocks of one ``advance_to``: a contract that is always due would never end."""


class SoloChain:
    """One chain: its program, the blocks so far, the requests that wait."""

    def __init__(self, program: Program, state: State) -> None:
        self.program = program
        self.genesis = state
        self.state = state
        self.block = genesis_block(program, state)
        self.accounts = [str(key[2]) for key, _ in state.entries() if key[:2] == ("accounts", "balance")]
        self.funds = sum(balance_of(state, account) for account in self.accounts)
        self.executions: list[Execution] = []
        self.pool: list[Request] = []

    @property
    def events(self) -> list[Event]:
        """Every event so far."""
        return [event for execution in self.executions for event in execution.events]

    @property
    def receipts(self) -> list[Receipt]:
        """Every receipt so far."""
        return [receipt for execution in self.executions for receipt in execution.receipts]

    def anchor(self) -> AnchorOutput:
        """The anchor that the last block would make."""
        address = KeyAddress(bytes(32))
        return AnchorOutput(self.funds, self.program.id, self.block.index, state_metadata_of(self.block), address)


class Solo:
    """A few chains and what travels between them."""

    def __init__(
        self,
        chains: Mapping[str, Mapping[str, Contract]],
        users: Sequence[AccountName] | Mapping[str, Sequence[AccountName]] = (),
        balances: Mapping[str, Mapping[AccountName, int]] | None = None,
        mandates: Mapping[str, Mapping[AccountName, tuple[str, ...]]] | None = None,
        *,
        seed: int = 0,
        contract_seed: bytes = bytes(32),
        delay: Duration = SECOND,
        limits: Limits | None = None,
        links: Mapping[str, Sequence[str]] | None = None,
        owner: AccountName | None = None,
        start: Instant = 0,
    ) -> None:
        self.now = start
        self.delay = delay
        self.seed = seed
        self.offline: set[str] = set()
        self.under_way: list[tuple[Instant, OutputId, BasicOutput]] = []
        self.consumed: set[OutputId] = set()
        self.chains: dict[str, SoloChain] = {}
        self._signers: dict[AccountName, Signer] = {}
        for name, contracts in chains.items():
            names = users.get(name, ()) if isinstance(users, Mapping) else users
            others = chains if links is None else links.get(name, ())
            known = {other: chain_id(NETWORK, other) for other in others}
            keys = {self.signer(user).public_key: user for user in names}
            program = Program(NETWORK, name, contracts, contract_seed, known, keys, limits or Limits(), owner)
            state = genesis(program, (balances or {}).get(name, {}), (mandates or {}).get(name))
            self.chains[name] = SoloChain(program, state)
        self._programs_by_id = {chain.program.id: name for name, chain in self.chains.items()}
        self.supply = sum(chain.funds for chain in self.chains.values())

    def signer(self, user: AccountName) -> Signer:
        """The user's key, the same on every chain."""
        if user not in self._signers:
            self._signers[user] = deal_signer("model", self.seed, "user", user)
        return self._signers[user]

    # ---------------------------------------------------------------------------------------------- asking, reading

    def sign(
        self,
        chain: str,
        user: AccountName,
        contract: str,
        entry_point: str,
        *parameters: Plain,
        allowance: int = 0,
        nonce: int | None = None,
        gas_budget: int = GAS_BUDGET_MAX,
    ) -> OffLedgerRequest:
        """A request of the user, by default with the next nonce that neither the state nor the pool has used."""
        if nonce is None:
            waiting = [request for request in self.chains[chain].pool if type(request) is OffLedgerRequest]
            mine = [request for request in waiting if request.essence.sender == self.signer(user).public_key]
            nonce = next_nonce(self.chains[chain].state, user) + len(mine)
        calling = call(contract, entry_point, *parameters)
        return sign_request(self.signer(user), chain, nonce, calling, allowance, gas_budget)

    def submit(self, chain: str, *requests: Request) -> None:
        """Leave requests in the chain's pool for its next block."""
        self.chains[chain].pool.extend(requests)

    def post(
        self, chain: str, user: AccountName, contract: str, entry_point: str, *parameters: Plain, allowance: int = 0
    ) -> Receipt:
        """Submit a request and run a block at once; its receipt."""
        request = self.sign(chain, user, contract, entry_point, *parameters, allowance=allowance)
        self.submit(chain, request)
        self.run_block(chain)
        receipt = receipt_of(self.chains[chain].state, request.id)
        assert receipt is not None, f"{contract}.{entry_point} of {user} was not executed"
        return receipt

    def result(
        self, chain: str, user: AccountName, contract: str, entry_point: str, *parameters: Plain, allowance: int = 0
    ) -> Plain:
        """What a request returns; it must succeed."""
        receipt = self.post(chain, user, contract, entry_point, *parameters, allowance=allowance)
        assert receipt.succeeded, f"{receipt.code}: {receipt.detail}"
        return unpack(receipt.result)

    def view(self, chain: str, contract: str, view: str, *parameters: Plain) -> Plain:
        """What a view tells about the chain's last state."""
        return call_view(self.chains[chain].program, self.chains[chain].state, contract, view, *parameters)

    def balance(self, chain: str, account: AccountName) -> int:
        """Tokens of an account."""
        balance = self.view(chain, "accounts", "balance", account)
        assert type(balance) is int
        return balance

    # ------------------------------------------------------------------------------------------------- blocks, time

    def run_block(self, chain: str, at: Instant | None = None) -> Execution | None:
        """Run one block of the chain, at the latest of now and one microsecond after its last block."""
        here = self.chains[chain]
        timestamp = max(self.now if at is None else at, here.block.timestamp + 1)
        self.now = max(self.now, timestamp)
        arrived = [
            OnLedgerRequest(output_id, output)
            for moment, output_id, output in self.under_way
            if moment <= timestamp and self._goes_to(output, timestamp) == chain
        ]
        requests = [*here.pool, *arrived]
        entropy = digest("solo entropy", self.seed, chain, here.block.index)
        base = OutputId(digest("solo anchor", chain, here.block.index), 0)
        log_index = here.block.log_index + 1
        execution = execute(here.program, here.state, here.block, base, log_index, timestamp, requests, entropy)
        if execution is not None:
            self._take_over(here, execution)
        kept = set(execution.skipped) if execution is not None else {request.id for request in here.pool}
        here.pool = [
            request
            for request in here.pool
            if request.id in kept and admission(here.program, here.state, timestamp, request).verdict != "hopeless"
        ]
        return execution

    def advance_to(self, instant: Instant) -> None:
        """Let time pass: everything that becomes work on the way is done at its moment."""
        for _ in range(BLOCKS_MAX):
            moments = [(moment, name) for name in self.chains if (moment := self._next_work(name)) is not None]
            if not moments or min(moments)[0] > instant:
                self.now = max(self.now, instant)
                return
            moment, name = min(moments)
            self.run_block(name, max(moment, self.now))
        raise AssertionError(f"{BLOCKS_MAX} blocks and no end")

    def advance(self, duration: Duration) -> None:
        """Let this much time pass."""
        self.advance_to(self.now + duration)

    @property
    def quiet(self) -> bool:
        """Whether no message is under way or waits in an outbox."""
        return not self.under_way and not any(has_outbox(chain.state) for chain in self.chains.values())

    def _next_work(self, name: str) -> Instant | None:
        """When the chain next has work, as far as is known now."""
        here = self.chains[name]
        if name in self.offline:
            return None
        ready = any(admission(here.program, here.state, self.now, request).verdict == "ready" for request in here.pool)
        if has_outbox(here.state) or ready:
            return self.now
        arrivals = [self._arrival(name, moment, output) for moment, _, output in self.under_way]
        return earliest(next_due(here.program, here.state), *arrivals)

    def _arrival(self, name: str, moment: Instant, output: BasicOutput) -> Instant | None:
        """When the output can be taken by the chain, if by itself nothing happens to it before."""
        if self._goes_to(output, max(moment, self.now)) == name:
            return max(moment, self.now)
        expiration = output.expiration
        if expiration is None or expiration.return_address != ChainAddress(self.chains[name].program.id):
            return None
        return max(expiration.instant, moment)

    def _goes_to(self, output: BasicOutput, at: Instant) -> str | None:
        """Which chain may take the output at this time."""
        expiration = output.expiration
        address = output.address
        if expiration is not None and at >= expiration.instant:
            address = expiration.return_address
        assert isinstance(address, ChainAddress)
        name = self._programs_by_id[address.chain]
        if expiration is not None and at < expiration.instant:
            guard = self.chains[name].program.limits.expiry_guard
            return name if at < expiration.instant - guard else None
        return name

    def _take_over(self, here: SoloChain, execution: Execution) -> None:
        taken = {request.output_id for request in execution.consumed}
        assert not taken & self.consumed, "an output was consumed twice"
        self.consumed |= taken
        made_here = {output_id for _, output_id, _ in self.under_way}
        foreign = [request for request in execution.consumed if request.output_id not in made_here]
        self.supply += sum(request.output.amount for request in foreign)
        self.under_way = [entry for entry in self.under_way if entry[1] not in taken]
        assert replayed(here.state, execution.block) is not None, "the mutations lead to another root"
        here.executions.append(execution)
        here.block, here.state, here.funds = execution.block, execution.state, execution.funds
        for place, output in enumerate(execution.outgoing):
            self.under_way.append((execution.block.timestamp + self.delay, OutputId(here.block.digest, place), output))
        assert ANCHOR_CODEC.decode(encode(here.anchor())) == here.anchor(), "layer 1 would refuse the anchor"
        self.check_supply()

    def check_supply(self) -> None:
        """All tokens are in accounts or under way; a chain's accounts add up to its funds."""
        for name, chain in self.chains.items():
            counted = sum(balance_of(chain.state, account) for account in chain.accounts)
            assert counted == chain.funds == self.view(name, "accounts", "total"), f"{name} does not add up"
        funds = sum(chain.funds for chain in self.chains.values())
        assert funds + sum(output.amount for _, _, output in self.under_way) == self.supply, "the supply changed"
