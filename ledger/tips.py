"""Tips, and restricted uniform random tip selection.

IOTA 2.0 research specification, section 4.3, with GoShimmer 0.7's two pools. A *strong* tip is a block whose whole
branch this node likes and that no liked block approves; a *weak* tip is one whose payload is liked although its
branch is not. The first parent is drawn from the strong pool, the others from both, uniformly and without repetition.
*Restricted*: tips older than ``tip_age_max`` are not drawn, and leave.

A pool is a list with a table of places: adding, removing and drawing take constant time, and the order, hence the draw,
depends on nothing but the history of the pool.
"""

from __future__ import annotations

from typing import Protocol

from ledger.block import BlockId
from ledger.dag import BlockEntry
from ledger.kernel.instant import Instant
from ledger.kernel.rng import Stream


class TipPool:
    """A set of tips that can be drawn from."""

    def __init__(self) -> None:
        self._tips: list[BlockEntry] = []
        self._places: dict[BlockId, int] = {}

    def __len__(self) -> int:
        return len(self._tips)

    def __contains__(self, tip: BlockEntry) -> bool:
        return tip.id in self._places

    @property
    def tips(self) -> tuple[BlockEntry, ...]:
        """All of them, in the order of the list."""
        return tuple(self._tips)

    def add(self, tip: BlockEntry) -> None:
        """Add a tip, unless it is there."""
        if tip.id not in self._places:
            self._places[tip.id] = len(self._tips)
            self._tips.append(tip)

    def discard(self, tip: BlockEntry) -> None:
        """Remove a tip, if it is there: the last one takes its place."""
        place = self._places.pop(tip.id, None)
        if place is None:
            return
        last = self._tips.pop()
        if place < len(self._tips):
            self._tips[place] = last
            self._places[last.id] = place

    def clear(self) -> None:
        """Remove all."""
        self._tips.clear()
        self._places.clear()

    def sample(self, count: int, rng: Stream) -> list[BlockEntry]:
        """This many different tips, or all if there are fewer, uniformly."""
        tips = self._tips
        if len(tips) <= count:
            return list(tips)
        if count == 1:
            return [tips[rng.randrange(len(tips))]]
        return [tips[place] for place in rng.sample(range(len(tips)), count)]


class TipPools:
    """A node's strong and weak tips."""

    def __init__(self) -> None:
        self.strong = TipPool()
        self.weak = TipPool()

    def clear(self) -> None:
        """Remove all."""
        self.strong.clear()
        self.weak.clear()

    def drop_unfit(self, oldest: Instant) -> None:
        """Remove the tips issued before ``oldest``, and weak ones whose payload is settled."""
        for tip in self.strong.tips:
            if tip.time < oldest:
                self.strong.discard(tip)
        for tip in self.weak.tips:
            if tip.time < oldest or tip.payload is None or tip.payload.settled:
                self.weak.discard(tip)


class Demand:
    """How many parents are wanted: ``total`` at most, of them so many strong and so many weak."""

    __slots__ = ("strong_max", "total", "weak_max")

    def __init__(self, total: int, strong_max: int, weak_max: int) -> None:
        assert 1 <= strong_max <= total and weak_max < total
        self.total = total
        self.strong_max = strong_max
        self.weak_max = weak_max


class TipSelection(Protocol):
    """Chooses parents."""

    def select(
        self, pools: TipPools, demand: Demand, oldest: Instant, rng: Stream
    ) -> tuple[list[BlockEntry], list[BlockEntry]]:
        """Strong and weak parents, none issued before ``oldest``; no strong one only if there is no such tip."""
        ...


class RestrictedUniform:
    """Uniform over the tips that are young enough."""

    def select(
        self, pools: TipPools, demand: Demand, oldest: Instant, rng: Stream
    ) -> tuple[list[BlockEntry], list[BlockEntry]]:
        while True:
            strong, weak = self._draw(pools, demand, rng)
            unfit = any(tip.time < oldest for tip in strong) or any(
                tip.time < oldest or tip.payload is None or tip.payload.settled for tip in weak
            )
            if not unfit:
                return strong, weak
            pools.drop_unfit(oldest)

    def _draw(self, pools: TipPools, demand: Demand, rng: Stream) -> tuple[list[BlockEntry], list[BlockEntry]]:
        strong_tips, weak_tips = len(pools.strong), len(pools.weak)
        if strong_tips == 0:
            return [], []
        weak = 0
        if weak_tips and demand.weak_max:
            others = min(demand.total - 1, strong_tips - 1 + weak_tips)
            drawn = rng.sample(range(strong_tips - 1 + weak_tips), others)
            weak = min(demand.weak_max, sum(place >= strong_tips - 1 for place in drawn))
            spare = demand.total - min(strong_tips, demand.strong_max) - weak
            weak = min(weak + max(0, spare), demand.weak_max, weak_tips)
        strong = min(demand.strong_max, demand.total - weak)
        return pools.strong.sample(strong, rng), pools.weak.sample(weak, rng) if weak else []
