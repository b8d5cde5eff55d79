"""Canonical encoding (MessagePack) and digests (BLAKE2b-256).

Two kinds of value are encoded:

- *typed values*: subclasses of ``Value``, frozen structs that travel as arrays ``[type name, field, ...]``. They are
  messages, records, blocks, transactions. A ``Codec`` knows the types that may come in at one door.
- *plain values*: nested tuples of integers, strings, bytes, booleans and None: parameters of requests, contract state.
  Inside a typed value they travel packed, as ``bytes``.

Both have exactly one encoding per value: integers and lengths take their shortest form, and a decoder refuses bytes
that its own encoder would not have produced. So ``decode(encode(x)) == x``, equal values have equal digests, and a
digest of bytes received is a digest of the value. A decoder is total: for any bytes it returns a value or raises
``Rejected``, and it never builds more than ``size_max`` bytes can hold.

Typed values use msgspec (typed decoding at the cost of none), plain ones msgpack.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Annotated, Any, Generic, TypeAlias, TypeVar, dataclass_transform

import msgpack
import msgspec

from ledger.kernel.rejection import Rejected

DIGEST_SIZE = 32
FRAME_SIZE_MAX = 4 * 1024 * 1024
"""Bytes of the largest typed value: a batch of the largest requests for the largest committee fits, memory is safe."""
RECORD_SIZE_MAX = 64 * 1024 * 1024
"""Bytes of the largest record: the snapshot of a large state; a disk takes it, and it is read only at a restart."""
PLAIN_SIZE_MAX = 64 * 1024
"""Bytes of the largest plain value: parameters and state entries are small."""
PLAIN_DEPTH_MAX = 16
"""Nesting of the deepest plain value: deeper ones come only from attackers of recursive decoders."""

Digest = Annotated[bytes, msgspec.Meta(min_length=DIGEST_SIZE, max_length=DIGEST_SIZE)]
"""32 bytes of BLAKE2b."""
Natural = Annotated[int, msgspec.Meta(ge=0)]
"""An integer that is not negative."""

Plain: TypeAlias = "int | str | bytes | bool | None | tuple[Plain, ...]"
"""A value without a declared type."""

ZERO_DIGEST: Digest = bytes(DIGEST_SIZE)


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class FrozenStructMeta(msgspec.StructMeta):
    """Tells type checkers that subclasses of a frozen struct are frozen as well, without saying it again."""


class Frozen(msgspec.Struct, frozen=True, metaclass=FrozenStructMeta):
    """An immutable, comparable, hashable value that never leaves its node."""


class Value(Frozen, array_like=True, tag=True, forbid_unknown_fields=True):
    """A typed value: immutable, comparable, hashable, encodable. Its class name is its tag on the wire."""


_encode = msgspec.msgpack.Encoder().encode

T = TypeVar("T")


def encode(value: Value) -> bytes:
    """The one encoding of a typed value."""
    return _encode(value)


class Codec(Generic[T]):
    """Decodes the typed values of one door: ``Codec(Echo | Ready)``.

    Errors of ``decode``: ``Rejected("undecodable", ...)`` for bytes that are too long, malformed, of another type, out of
    a field's bounds, or not in canonical form.
    """

    def __init__(self, kind: Any, size_max: int = FRAME_SIZE_MAX) -> None:
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._size_max = size_max

    def encode(self, value: T) -> bytes:
        """The one encoding of a value of this codec's type."""
        return _encode(value)

    def decode(self, data: bytes) -> T:
        """The value that these bytes encode."""
        if len(data) > self._size_max:
            raise Rejected("undecodable", f"{len(data)} bytes, at most {self._size_max} expected")
        try:
            value = self._decoder.decode(data)
            canonical = _encode(value) == data
        except (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError) as error:
            raise Rejected("undecodable", str(error)) from None
        if not canonical:
            raise Rejected("undecodable", "not the canonical encoding of its value")
        return value  # type: ignore[no-any-return]


def pack(value: Plain) -> bytes:
    """The one encoding of a plain value.

    Errors: ``Rejected("unpackable", ...)`` for a value that is too deep or too large, or holds a type that is not plain.
    """
    try:
        _check_plain(value, PLAIN_DEPTH_MAX)
        data: bytes = msgpack.packb(value, use_bin_type=True)
    except (TypeError, OverflowError, ValueError) as error:
        raise Rejected("unpackable", str(error)) from None
    if len(data) > PLAIN_SIZE_MAX:
        raise Rejected("unpackable", f"{len(data)} bytes, at most {PLAIN_SIZE_MAX} expected")
    return data


def unpack(data: bytes) -> Plain:
    """The plain value that these bytes encode.

    Errors: ``Rejected("undecodable", ...)`` for any other bytes.
    """
    if len(data) > PLAIN_SIZE_MAX:
        raise Rejected("undecodable", f"{len(data)} bytes, at most {PLAIN_SIZE_MAX} expected")
    try:
        value: Plain = msgpack.unpackb(data, use_list=False, raw=False, max_map_len=0, max_ext_len=0)
        canonical = pack(value) == data
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException, Rejected) as error:
        raise Rejected("undecodable", str(error) or type(error).__name__) from None
    if not canonical:
        raise Rejected("undecodable", "not the canonical encoding of its value")
    return value


def _check_plain(value: Plain, depth: int) -> None:
    if value is None or type(value) in (int, str, bytes, bool):
        return
    if type(value) is not tuple:
        raise TypeError(f"{type(value).__name__} is not a plain type")
    if depth == 0:
        raise ValueError(f"nested deeper than {PLAIN_DEPTH_MAX}")
    for item in value:
        _check_plain(item, depth - 1)


def digest_of_bytes(data: bytes) -> Digest:
    """BLAKE2b-256 of the bytes."""
    return blake2b(data, digest_size=DIGEST_SIZE).digest()


def digest(*parts: Plain) -> Digest:
    """BLAKE2b-256 of the encoding of the tuple of parts. The first part is a label that says what is hashed."""
    return blake2b(_encode(parts), digest_size=DIGEST_SIZE).digest()


def digest_of(value: Value) -> Digest:
    """BLAKE2b-256 of a typed value; its type name is part of its encoding, so values of two types never collide."""
    return blake2b(_encode(value), digest_size=DIGEST_SIZE).digest()
