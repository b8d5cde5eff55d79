"""Cycles of garbage are looked for seldom while a simulation runs.

The cyclic collector walks over all objects that live, again and again as they become more: 6 to 50 per cent of a run's time,
the more the larger the run. What a simulation drops is freed without it, by the counts of its references: automata hold
their children and never their parents. So the collector only watches, at a threshold that few objects reach.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

OBJECTS_MAX = 1_000_000
"""New objects between two searches for cycles: bounds what a forgotten cycle can cost, to some hundred megabytes."""


@contextmanager
def seldom_collected() -> Iterator[None]:
    """What lives now is left out of every search inside, and searches are rare."""
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS_MAX, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
