"""The market of a scenario off the ledger: its contracts in ``Solo``, its homes beside them, no committees and no Tangle.

A home sees every state of its chain at once, and what it submits is executed at once.
"""

from __future__ import annotations

from typing import Any

from ledger.kernel.encoding import unpack
from ledger.kernel.instant import Instant, earliest
from market.auction import Auction
from market.hierarchy import AUCTION
from market.meter import Meter
from market.microgrid import ACCEPTED
from market.prosumer import Prosumer, RequestToSubmit, StateAdvanced
from node.scenario import Scenario, _forecast
from tests.harness.solo import Solo
from wasp.core_contracts.accounts import balance_of, next_nonce
from wasp.core_contracts.blocklog import receipt_of
from wasp.vm.sandbox import StateView

Order = tuple[str, int, int]
"""Side, energy, price."""


class OffLedger:
    """All chains and homes of a scenario."""

    def __init__(self, scenario: Scenario) -> None:
        market, plan = scenario.market, scenario.plan
        homes = {name: [home.name for home in chain.homes] for name, chain in plan.chains.items()}
        accounts = {name: (*homes[name], "utility") for name in homes}
        self.solo = Solo(
            {name: {AUCTION: Auction(market, place)} for name, place in scenario.places.items()},
            homes,
            {
                name: {account: balance_of(setup.state, account) for account in accounts[name]}
                for name, setup in scenario.chains.items()
            },
            {name: dict.fromkeys(accounts[name], (AUCTION,)) for name in accounts},
            links={name: [*chain.children, *filter(None, [chain.parent])] for name, chain in plan.chains.items()},
        )
        forecast = _forecast(scenario.configuration, scenario.seed)
        connection = scenario.configuration.market.connection
        self.homes = {home.name: home.chain for home in plan.homes}
        self.prosumers = {}
        for name, chain in self.homes.items():
            series = scenario.series[name]
            meter = Meter(name, connection, series.load, series.generation, forecast)
            self.prosumers[name] = Prosumer(market, scenario.places[chain], meter, self.solo.signer(name))
        self._submitted: list[tuple[str, RequestToSubmit]] = []
        self._seen: dict[str, Any] = {}

    def run(self, until: Instant) -> None:
        """Let time pass, from one moment at which something is due to the next."""
        self._tell()
        while True:
            works = [self.solo._next_work(name) for name in self.solo.chains]
            moment = earliest(*works, *(prosumer.deadline for prosumer in self.prosumers.values()))
            if moment is None or moment > until:
                return
            self.solo.advance_to(moment)
            self._tell()
            for name, prosumer in self.prosumers.items():
                if prosumer.deadline is not None and prosumer.deadline <= self.solo.now:
                    self._submit(name, prosumer.handle_timer(self.solo.now).outputs)

    def view(self, chain: str, view: str, *parameters: Any) -> Any:
        """A view of a chain's auction."""
        return self.solo.view(chain, AUCTION, view, *parameters)

    @property
    def accepted_orders(self) -> dict[tuple[str, int], list[Order]]:
        """Of each home and interval, the orders that were accepted, in their order."""
        accepted: dict[tuple[str, int], list[Order]] = {}
        for home, output in self._submitted:
            receipt = receipt_of(self.solo.chains[self.homes[home]].state, output.request.id)
            assert receipt is not None
            if output.entry_point == "submit_order" and receipt.succeeded and unpack(receipt.result) == ACCEPTED:
                order: Any = unpack(output.request.essence.call.parameters)
                accepted.setdefault((home, output.interval), []).append(order[1:])
        return accepted

    def _tell(self) -> None:
        """Every home whose chain has a new state is told."""
        for name, prosumer in self.prosumers.items():
            chain = self.solo.chains[self.homes[name]]
            if self._seen.get(name) is not chain.block:
                self._seen[name] = chain.block
                reader, nonce = StateView(chain.state, AUCTION), next_nonce(chain.state, name)
                step = prosumer.handle_input(StateAdvanced(reader, chain.block.timestamp, nonce), self.solo.now)
                self._submit(name, step.outputs)

    def _submit(self, home: str, outputs: Any) -> None:
        for output in outputs:
            assert not output.again, "nothing is lost here"
            self._submitted.append((home, output))
            self.solo.submit(self.homes[home], output.request)
