"""Named streams of randomness.

A stream is derived by hashing a seed with a label. Two labels give independent streams, so a new consumer never
shifts the draws of an old one; seed + i is never used, because generators with arithmetic seeds are correlated.
This is the only module below the runtimes that may import ``random``.

Members draw secrets from their streams: nonces, for one, of which two alike under two messages give a share of the key away,
and what encrypts a proposal. So no two lives of a member may have the same stream. A simulated host has a label of its own in
each incarnation, which the runtime counts. A live node, which may forget how often it was started, takes the operating
system's: ``random.SystemRandom`` is a ``Stream``. A seeded one would not do there anyway: who sees enough of what the
Mersenne Twister yields can tell what comes next.
"""

import random

from ledger.kernel.encoding import Plain, digest

Stream = random.Random
"""A source of random numbers: the Mersenne Twister of the standard library."""


def stream(seed: bytes | int, *label: Plain) -> Stream:
    """The stream with this seed and label: the same on every machine, under every hash seed."""
    return random.Random(digest("stream", seed, *label))
