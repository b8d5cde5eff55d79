"""What is still open: while a run is drained, and, when it can't be drained, at its end.

Nothing is open when every interval that began is closed on every chain, on a chain with a member that is up every interval
at all (it may not have made a chain block since they began), no message waits in an outbox or lies on layer 1 for the chain
that it is for, and every member that is up has its active state confirmed.

What is *unsettled* at the end is told by who holds it: an order by the chain that took it and has not answered it yet (homes'
orders before a microgrid's gate, children's residuals on a parent chain), an interval by the microgrid that has no orders
in it any more and could not finish it, a message by the outbox or by layer 1. A microgrid that waits for a parent chain has
nothing of its own to tell: its residual is the order that the parent chain has taken.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ledger.output import BasicOutput
from market.hierarchy import AUCTION
from node.experiments.recorder import Recorder
from node.scenario import Scenario
from node.simulated.runtime import SimulatedRuntime
from wasp.outbox import outbox_size
from wasp.vm.sandbox import call_view


def view_of(scenario: Scenario, recorder: Recorder, chain: str, view: str, *parameters: Any) -> Any:
    """What the auction's view tells about the newest confirmed state of a chain."""
    return call_view(scenario.chains[chain].program, recorder.confirmed_states[chain], AUCTION, view, *parameters)


def is_drained(scenario: Scenario, recorder: Recorder, runtime: SimulatedRuntime) -> bool:
    """Whether nothing is open."""
    if any(view_of(scenario, recorder, name, "open_intervals") for name in scenario.chains):
        return False
    if unsettled_of(scenario, recorder):
        return False
    last = scenario.market.intervals - 1
    for name, setup in scenario.chains.items():
        hosts = [host for host in map(runtime.host, setup.committee.members) if host is not None]
        chains = [chain for host in hosts if (chain := host.chains.get(name)) is not None]
        if any(chain.active_block.index != recorder.confirmed[name] for chain in chains):
            return False
        # by its own time, a chain that stands still has nothing open
        if chains and view_of(scenario, recorder, name, "interval", last) not in ("closed", "forgotten"):
            return False
    return True


def unsettled_of(scenario: Scenario, recorder: Recorder) -> list[dict[str, Any]]:
    """What nobody has settled; empty after a drained run."""
    found: list[dict[str, Any]] = []
    for name in scenario.chains:
        look = partial(view_of, scenario, recorder, name)
        for k in look("open_intervals"):
            found += _of_parent(name, k, look) if scenario.plan.chains[name].children else _of_microgrid(name, k, look)
        messages = outbox_size(recorder.confirmed_states[name])
        if messages:
            found.append({"what": "messages in the outbox", "chain": name, "count": messages})
    under_way = sum(isinstance(output, BasicOutput) for output in recorder.invariants.newest_unspent().values())
    if under_way:
        found.append({"what": "messages on layer 1", "count": under_way})
    return found


def _order(chain: str, interval: int, account: str, side: str, energy: int) -> dict[str, Any]:
    taken = {"what": "order", "chain": chain, "interval": interval, "account": account}
    return {**taken, "side": side, "energy_wh": energy}


def _of_parent(name: str, k: int, look: Any) -> list[dict[str, Any]]:
    return [_order(name, k, child, side, left) for child, side, _, left, _ in look("requests", k) if left]


def _of_microgrid(name: str, k: int, look: Any) -> list[dict[str, Any]]:
    match look("interval", k):
        case "open":
            return [_order(name, k, home, side, energy) for home, side, energy, _ in look("book", k)]
        case "final":
            return [{"what": "interval without readings", "chain": name, "interval": k}]
        case _:
            return []
