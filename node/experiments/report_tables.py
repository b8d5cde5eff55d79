"""The tables of a report: the summary of a run in words and units that people read.

Energy is shown in kWh with three decimals and money in pence with two; prices are p/kWh with three decimals, so a price is
exact. A number that does not exist is a dash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from ledger.access import AccessMessage
from ledger.kernel.encoding import Frozen
from ledger.kernel.instant import HOUR, MILLISECOND, MINUTE, SECOND
from ledger.tangle import TangleMessage
from node.experiments.cost import cost_lines
from node.experiments.energy_balance import balance_lines
from node.experiments.figures import Market
from node.experiments.invariants import MEANINGS
from node.experiments.tables import Tables
from wasp.chain_view import ViewMessage
from wasp.committee_log import CommitteeLogMessage
from wasp.consensus.avid_broadcast import AvidMessage
from wasp.consensus.binary_agreement import AgreementMessage
from wasp.consensus.common_coin import CoinShare
from wasp.consensus.consensus import SignedAnchor
from wasp.consensus.distributed_key import DistributedKeyMessage
from wasp.consensus.late_coin_agreement import LateCoinMessage
from wasp.consensus.protocols import AnchorSignatureMessage, ProtocolMessage
from wasp.consensus.reliable_broadcast import BroadcastMessage
from wasp.mempool import MempoolMessage

DASH = "–"
ITEMS_MAX = 40
"""Unsettled items and kinds of messages that are listed; the rest is counted."""
MESSAGE_KINDS_MAX = 12
ENERGY_ROWS = (
    ("demand", "demand of the homes, gross", True, False),
    ("generation", "generation of the homes, gross", False, True),
    ("self_consumed", "consumed where it was generated", True, True),
    ("local", "traded within a microgrid", True, True),
    ("between_microgrids", "traded between microgrids", True, True),
    ("grid_bought", "bought from the main grid", True, False),
    ("grid_sold", "sold to the main grid", False, True),
    ("imbalance_bought", "imbalance, bought from the main grid", True, False),
    ("imbalance_sold", "imbalance, sold to the main grid", False, True),
)
"""Key of the summary, words, and whether it is a part of demand, of generation."""


def _message_parts(*parts: tuple[str, Any]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The names of each part's kinds of messages; a kind that several parts use counts for the first."""
    named: dict[str, str] = {}
    for part, kinds in parts:
        for kind in get_args(kinds) or (kinds,):
            named.setdefault(kind.__name__, part)
    return tuple((part, tuple(kind for kind in named if named[kind] == part)) for part, _ in parts)


MESSAGE_PARTS = _message_parts(
    ("broadcast of proposals and of nonces", BroadcastMessage | AvidMessage),
    ("binary agreement on each proposal", AgreementMessage | LateCoinMessage),
    ("common coin", CoinShare),
    ("signature of anchors", AnchorSignatureMessage | SignedAnchor),
    ("agreement behind a leader, opening of encrypted proposals", ProtocolMessage),
    ("generation of keys", DistributedKeyMessage),
    ("committee log, which index is next", CommitteeLogMessage),
    ("mempool, requests within a committee", MempoolMessage),
    ("catching up with a chain", ViewMessage),
    ("layer-1 gossip", TangleMessage),
    ("access to layer 1", AccessMessage),
)
"""Parts of the protocol, and the kinds of their messages."""
STAGE_WORDS = {
    "submitted": "submitted",
    "in_batch": "named in a batch proposal",
    "decided": "decided by the committee",
    "anchored": "anchored: signed by n-f members",
    "confirmed": "confirmed by layer 1",
}


class Listing(Frozen):
    """A table of the page: all columns but the first hold numbers, unless ``numbers`` says otherwise."""

    caption: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    numbers: bool = True
    note: str = ""


def summary_tables(tables: Tables, summary: Mapping[str, Any], market: Market) -> dict[str, Listing]:
    """All tables that have rows, by name."""
    found = {
        "energy": _energy(summary),
        "prices": _prices(summary, market),
        "benefit": _benefit(summary),
        "net-benefit": _net_benefit(summary),
        "latency": _latency(summary),
        "chains": _chains(summary),
        "layer1": _layer1(summary),
        "cost": _cost(summary),
        "final": _final(summary),
        "messages": _messages(tables),
        "invariants": _invariants(summary),
        "settled": _settled(summary),
    }
    return {name: listing for name, listing in found.items() if listing.rows}


def _energy(summary: Mapping[str, Any]) -> Listing:
    energy = summary.get("energy_wh", {})
    demand, generation = energy.get("demand", 0), energy.get("generation", 0)
    rows = [
        (
            words,
            kwh(energy[key]),
            share(energy[key], demand * of_demand),
            share(energy[key], generation * of_generation),
        )
        for key, words, of_demand, of_generation in ENERGY_ROWS
        if key in energy
    ]
    note = "Imbalance is metered less ordered, per home and interval. Bought and sold between homes is the same energy."
    if "energy_balance_wh" in summary:
        note += f" What adds up, in kWh: {'; '.join(balance_lines(energy, summary['energy_balance_wh']))}."
    return Listing("Energy of all homes, by route", ("", "kWh", "of demand", "of generation"), rows, note=note)


def _prices(summary: Mapping[str, Any], market: Market) -> Listing:
    rows = [
        (chain, *(price(prices[key]) for key in ("min", "mean", "max")), kwh(prices["matched_wh"]))
        for chain, prices in summary["prices"].items()
    ]
    note = (
        f"The main grid charges {price(market.tariff.buy_price)} and pays {price(market.tariff.sell_price)} p/kWh. "
        "The mean is weighted by energy. Under full match a price is a quote, not a limit: the short side trades in full, at "
        "whatever price clears, so a home may pay more or receive less than it quoted, and never worse than the grid's price."
    )
    columns = ("chain", "lowest, p/kWh", "mean, p/kWh", "highest, p/kWh", "matched, kWh")
    return Listing("Clearing prices", columns, rows, note=note)


def _benefit(summary: Mapping[str, Any]) -> Listing:
    benefit = summary["benefit"]
    columns = (
        "",
        "ordered, kWh",
        "of it between homes, kWh",
        "mean price, p/kWh",
        "gain on what was ordered, p",
        "% of the grid's money for kWh between homes",
        "% of the grid's money for all kWh",
    )
    groups = [("all", benefit), *benefit["chains"].items()] if benefit["chains"] else []
    rows = [
        (
            f"{side}, {name}",
            kwh(part["wh"]),
            kwh(part["peer_to_peer_wh"]),
            price(part["mean_price"]),
            pence(part["gain"]),
            percent(part["percent_of_peer_to_peer"]),
            percent(part["percent_of_all"]),
        )
        for name, group in groups
        for side in ("producers", "consumers")
        for part in [group[side]]
    ]
    relation = "equals" if benefit["gain"] == benefit["joint"] else "DIFFERS FROM"
    note = (
        "Gain on what was ordered: received more, or paid less, than for the same orders with the main grid alone. The joint "
        f"gain, {pence(benefit['gain'])} p, {relation} the spread of the grid's prices times the energy between homes, "
        f"{pence(benefit['joint'])} p. The first percentage is the gain over what the main grid pays or charges for the Wh "
        "that were traded between homes. The second is the gain over what it pays or charges for all Wh ordered. A "
        "producer's reference is what the grid pays, the low price, so more than 100 % is possible."
    )
    return Listing("Gain on what was ordered, against the main grid", columns, rows, note=note)


def _net_benefit(summary: Mapping[str, Any]) -> Listing:
    benefit = summary["benefit"]
    columns = (
        "",
        "gain on what was ordered, p",
        "cost of imbalances, p",
        "net gain, after imbalances, p",
        "% of the grid's money for all kWh",
    )
    groups = [("all", benefit), *benefit["chains"].items()] if benefit["chains"] else []
    rows = [
        (
            f"{side}, {name}",
            *(pence(group[side][key]) for key in ("gain", "imbalance_cost", "net_gain")),
            percent(group[side]["net_percent_of_all"]),
        )
        for name, group in groups
        for side in ("producers", "consumers")
    ]
    note = (
        "Cost of imbalances: what homes paid less received for metering something else than they had ordered, against the "
        "same metered energy with the grid alone, where a forecast error costs nothing. Net gain, after imbalances: the "
        f"gain on what was ordered less that cost; {pence(benefit['net_gain'])} p for both sides, which is what all metered "
        "energy would have cost with the grid alone less what the homes paid. The percentage is that of the net gain over "
        "what the grid pays or charges for all Wh ordered."
    )
    return Listing("Net gain, after imbalances, against the main grid", columns, rows, note=note)


def _latency(summary: Mapping[str, Any]) -> Listing:
    rows = [
        (STAGE_WORDS.get(stage, words(stage)), *(span(of.get(key)) for key in ("p50", "p95", "p99")))
        for stage, of in summary.get("latency_us", {}).items()
    ]
    return Listing("Latency of a bid since its submission", ("stage", "p50", "p95", "p99"), rows)


def _chains(summary: Mapping[str, Any]) -> Listing:
    chains = summary.get("chains", {})
    keys = list(dict.fromkeys(key for counts in chains.values() for key in counts))
    columns = tuple(
        {"blocks": "chain blocks", "anchors_confirmed": "anchors confirmed"}.get(key, words(key)) for key in keys
    )
    rows = [(chain, *(words(counts.get(key)) for key in keys)) for chain, counts in chains.items()]
    return Listing("Chains", ("chain", *columns), rows)


def _layer1(summary: Mapping[str, Any]) -> Listing:
    names = {"payload_blocks": "blocks with a payload"}
    rows = [(names.get(key, words(key)), words(value)) for key, value in summary.get("layer1", {}).items()]
    rows += [(f"{words(key)} between all hosts", words(value)) for key, value in summary.get("traffic", {}).items()]
    return Listing("Layer 1 and the network", ("", "count"), rows)


def _cost(summary: Mapping[str, Any]) -> Listing:
    cost = summary.get("cost", {})
    note = (
        f"A trade is a row of the table of trades between peers ({cost.get('trades') or 0:,}): one participant, interval "
        f"and route. Between peers {kwh(cost.get('peer_to_peer_wh'))} kWh were traded. The cost is that of the whole run, "
        "bidding rounds, idle layer-1 blocks and drain included. Hashes are those that the search for proofs of work "
        "needs at its difficulty; gas is counted once, although every member executes the requests."
    )
    columns = ("", "in all", "per trade", "per kWh between peers")
    return Listing("What it cost", columns, cost_lines(cost), note=note)


def _final(summary: Mapping[str, Any]) -> Listing:
    rows = [(chain, span(spans["p50"]), span(spans["p95"])) for chain, spans in summary.get("final_us", {}).items()]
    note = (
        "From the timestamp of the clearing to the instant at which layer 1 had confirmed the state with every home's "
        "shares: where energy went up to other microgrids, the gates above lie between."
    )
    return Listing("From the gate to final, by microgrid", ("chain", "p50", "p95"), rows, note=note)


def _messages(tables: Tables) -> Listing:
    kinds = sorted(tables.messages.select("kind", "messages", "bytes"), key=lambda row: (-row[2], row[0]))
    shown, rest = kinds[:MESSAGE_KINDS_MAX], kinds[MESSAGE_KINDS_MAX:]
    if rest:
        shown.append((f"{len(rest)} other kinds", sum(row[1] for row in rest), sum(row[2] for row in rest)))
    rows = [(kind, f"{messages:,}", f"{size / 10**6:,.2f}") for kind, messages, size in shown]
    sent = {kind for kind, _, _ in kinds}
    parts = [(part, [kind for kind in of if kind in sent]) for part, of in MESSAGE_PARTS]
    note = "By part of the protocol. " + "; ".join(f"{part}: {', '.join(of)}" for part, of in parts if of)
    return Listing("Messages between hosts, by kind", ("kind", "messages", "MB"), rows, note=f"{note}.")


def _invariants(summary: Mapping[str, Any]) -> Listing:
    rows = [(name, f"{times:,}", MEANINGS.get(name, "")) for name, times in summary.get("invariants", {}).items()]
    columns = ("invariant", "times", "what is checked, each time")
    return Listing("Invariants, and how often each was checked", columns, rows)


def _settled(summary: Mapping[str, Any]) -> Listing:
    rows: list[tuple[str, str]] = []
    money = summary.get("money_micropence", {})
    rows += [(f"supply {when} the run, p", pence(money[when])) for when in ("before", "after") if when in money]
    for who, count in summary.get("missed_gates", {}).items():
        rows.append((f"orders that missed their gate, of {'homes' if who == 'home' else 'child chains'}", words(count)))
    if "assumed_readings" in summary:
        rows.append(("readings assumed, because none came", words(summary["assumed_readings"])))
    if "debts" in summary:
        rows.append(("accounts in debt to the utility", words(len(summary["debts"]))))
        rows += [(f"debt of {account}, p", pence(debt)) for account, debt in summary["debts"].items()]
    unsettled = summary.get("unsettled", [])
    if isinstance(unsettled, int):
        rows.append(("unsettled at the end", words(unsettled)))
    else:
        listed = unsettled.items() if isinstance(unsettled, Mapping) else enumerate(unsettled, 1)
        items = [(f"unsettled: {key}", words(item)) for key, item in listed]
        rows += [("unsettled at the end", words(len(items))), *items[:ITEMS_MAX]]
        if len(items) > ITEMS_MAX:
            rows.append(("more unsettled", words(len(items) - ITEMS_MAX)))
    return Listing("Money, gates, and what is left open", ("", "value"), rows if summary else [])


# ------------------------------------------------------------------------------------------------- numbers for people


def kwh(energy: int | None, decimals: int = 3) -> str:
    """Wh as kWh."""
    return DASH if energy is None else f"{energy / 1000:,.{decimals}f}"


def pence(money: int | Sequence[int] | None) -> str:
    """Micro-pence as pence; several sums, where nodes differ, one after another."""
    if isinstance(money, Sequence):
        return "; ".join(pence(sum_) for sum_ in money)
    return DASH if money is None else f"{money / 10**6:,.2f}"


def price(amount: int | None) -> str:
    """Micro-pence per Wh as p/kWh."""
    return DASH if amount is None else f"{amount / 1000:,.3f}"


def percent(value: float | None) -> str:
    """A percentage with two decimals."""
    return DASH if value is None else f"{value:.2f} %"


def share(part: int, whole: int) -> str:
    """A part in percent; empty where there is no whole."""
    return f"{100 * part / whole:.1f} %" if whole else ""


def span(time: int | None) -> str:
    """Microseconds in the unit that suits them."""
    if time is None:
        return DASH
    return f"{time / SECOND:,.2f} s" if time >= SECOND else f"{time / MILLISECOND:,.1f} ms"


def clock(time: int) -> str:
    """An instant as hours, minutes and seconds since the scenario's epoch."""
    return f"{time // HOUR:02d}:{time % HOUR // MINUTE:02d}:{time % MINUTE / SECOND:06.3f}"


def words(value: Any) -> str:
    """Any value of a summary or a configuration, for people."""
    match value:
        case None:
            return DASH
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case str():
            return value.replace("_", " ") if value.isidentifier() else value
        case Mapping():
            return ", ".join(f"{words(key)} {words(item)}" for key, item in value.items())
        case list() | tuple():
            return ", ".join(words(item) for item in value)
        case _:
            return str(value)
