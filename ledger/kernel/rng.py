"""Named streams of randomness.

A stream is derived by hashing a seed with a label. Two labels give independent streams, so a new consumer never
shifts the draws of an old one; seed + i is never used, because generators with arithmetic seeds are correlated.
This is the only module below the runtimes that may import ``random``.
"""

import random

from ledger.kernel.encoding import Plain, digest

Stream = random.Random
"""A source of random numbers: the Mersenne Twister of the standard library."""


def stream(seed: bytes | int, *label: Plain) -> Stream:
    """The stream with this seed and label: the same on every machine, under every hash seed."""
    return random.Random(digest("stream", seed, *label))
