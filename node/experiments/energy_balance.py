"""What adds up to what: where the energy of all homes came from, and where it went.

With the routes as they were ordered, and imbalances as they were settled, over all homes and intervals:

    demand     = consumed where generated + local + between microgrids + grid bought + imbalance bought - back - ...
    generation = consumed where generated + local + between microgrids + grid sold   + imbalance sold   - back - ...

*Back* is the energy that was ordered to buy and not used, or ordered to sell and not generated: by the market it went one
way, by the imbalance it went back to, or came from, the main grid, so it stands on both sides and was never demand nor
generation. Each Wh of it costs the spread of the main grid's prices.

An interval without a reading counts as metered as ordered; what its home measured besides is *unread*, and stands for the
dots. So does the energy of intervals that were never settled.
"""

from __future__ import annotations

from collections.abc import Mapping

from market.orders import ASK, BID
from node.experiments.tables import Tables

PARTS = ("self_consumed", "local", "between_microgrids")
WORDS = {
    "self_consumed": "consumed where generated", "local": "within microgrids", "between_microgrids": "between microgrids",
    "grid_bought": "bought from the main grid", "grid_sold": "sold to the main grid",
    "imbalance_bought": "imbalance bought", "imbalance_sold": "imbalance sold",
}  # fmt: skip


def balance_of(tables: Tables, energy: Mapping[str, int]) -> dict[str, int]:
    """Wh that are in no route: ``back``, ``unread_demand``, ``unread_generation``. ``energy``: of the summary."""
    back, demand, generation = 0, energy["demand"], energy["generation"]
    columns = ("side", "ordered_wh", "load_wh", "generation_wh", "metered_wh", "imbalance_wh", "assumed")
    for side, ordered, load, generated, metered, imbalance, assumed in tables.settlements.select(*columns):
        if metered is None or assumed:
            demand -= abs(ordered) if side == BID else 0
            generation -= abs(ordered) if side == ASK else 0
        else:
            demand -= load
            generation -= generated
            against = imbalance if side == BID else -imbalance
            back += min(abs(ordered), max(0, against))
    return {"back": back, "unread_demand": demand, "unread_generation": generation}


def balance_lines(energy: Mapping[str, int], balance: Mapping[str, int]) -> list[str]:
    """Both sums in kWh and words; none where the energy is not known by all its routes."""
    lines = []
    for whole, way in (("demand", "bought"), ("generation", "sold")):
        keys = (*PARTS, f"grid_{way}", f"imbalance_{way}")
        if not {whole, *keys} <= energy.keys():
            continue
        unread = balance[f"unread_{whole}"]
        total = sum(energy[key] for key in keys) - balance["back"] + unread
        text = " + ".join(f"{energy[key] / 1000:,.3f} {WORDS[key]}" for key in keys)
        text += f" - {balance['back'] / 1000:,.3f} ordered, not used, and settled back as imbalance"
        if unread:
            text += f" {'+' if unread > 0 else '-'} {abs(unread) / 1000:,.3f} without a reading"
        relation = "=" if total == energy[whole] else f"DIFFERS FROM {total / 1000:,.3f} ="
        lines.append(f"{whole} {energy[whole] / 1000:,.3f} {relation} {text}")
    return lines
