"""An erasure code: a payload cut into n shards of which any k give it back (Reed and Solomon 1960, over GF(256)).

The arithmetic is the library ``zfec``'s; its code is systematic: the first k shards are the payload itself. The payload
travels with its length before it and zeros after it, so that k shards of one size hold it, and so that there is exactly one
row of shards per payload: ``encode_shards(decode_shards(...))`` gives back the row that the shards were taken from, or they
were taken from none.

Decoding is total, as shards come from peers. The library is not: it raises for shards of two sizes, never returns when a
place is named twice, and moves the items of the sequences that it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import zfec

SHARDS_MAX = 256
"""Shards of one payload: as many as the field has elements."""
_LENGTH_SIZE = 4


def shard_size(payload_size: int, k: int) -> int:
    """Bytes of each shard of a payload of so many bytes."""
    return -(-(payload_size + _LENGTH_SIZE) // k)


def encode_shards(payload: bytes, k: int, n: int) -> tuple[bytes, ...]:
    """The n shards of the payload, any k of which give it back; 1 <= k <= n <= 256."""
    size = shard_size(len(payload), k)
    row = (len(payload).to_bytes(_LENGTH_SIZE, "big") + payload).ljust(size * k, b"\0")
    return tuple(_encoder(k, n).encode(tuple(row[start : start + size] for start in range(0, size * k, size))))


def decode_shards(shards: Mapping[int, bytes], k: int, n: int) -> bytes | None:
    """The payload that k of these shards, by their places from 0, give; None: they are too few, or no payload's. Total.

    Shards that belong to no row of n give some payload or None, and which one depends on the choice: whoever must know
    encodes the payload again, and compares.
    """
    places = tuple(sorted(place for place in shards if 0 <= place < n)[:k])
    chosen = tuple(shards[place] for place in places)
    if len(chosen) < k or not chosen[0] or any(len(shard) != len(chosen[0]) for shard in chosen):
        return None
    row = b"".join(_decoder(k, n).decode(chosen, places))
    end = _LENGTH_SIZE + int.from_bytes(row[:_LENGTH_SIZE], "big")
    return row[_LENGTH_SIZE:end] if _LENGTH_SIZE <= len(row) >= end and not any(row[end:]) else None


@cache
def _encoder(k: int, n: int) -> zfec.Encoder:
    assert 1 <= k <= n <= SHARDS_MAX
    return zfec.Encoder(k, n)


@cache
def _decoder(k: int, n: int) -> zfec.Decoder:
    assert 1 <= k <= n <= SHARDS_MAX
    return zfec.Decoder(k, n)
