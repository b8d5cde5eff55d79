"""Nonsense that decodes: random messages of every kind that the wire knows, and real ones bent out of shape.

Kinds are read from the codec's own types, so a new message is in it from its first day. Digests, names, numbers, paths and
senders come mostly from the real life of a host, from about the same time, so that nonsense gets past the first look-up.
"""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Any

import msgspec
from msgspec import inspect

from ledger.block import Block, sign_block
from ledger.kernel.automaton import NodeId, Path
from ledger.kernel.identity import Signer
from ledger.kernel.rejection import Rejected
from ledger.pow import ModelGrinder
from node.wire import HostMessage, Packet, Wire
from wasp.mempool import SharedRequest
from wasp.request import OffLedgerRequest

WIRE = Wire()
KINDS = inspect.type_info(HostMessage)
NUMBERS = (0, 1, 2, 3, 4, 5, 7, 16, 100, 199, 200, 10**6, 2**31, 2**63 - 1, 2**64 - 1, -1, -(2**63))
ITEMS_MAX = 3
_kind_of = cache(inspect.type_info)
NEAR = 30
"""Messages before and after the present."""
LEAVES = (
    "log",
    "mempool",
    "state",
    "anchors",
    "broadcast",
    "agreement",
    "coin",
    "entropy",
    "signature",
    "tangle",
    "access",
)


class Nonsense:
    """Makes packets out of a life (what a host was told) by chance. ``signers`` are keys that a liar may hold."""

    def __init__(self, rng: Random, life: list[tuple[NodeId, Path, Any]], signers: list[Signer], bits: int) -> None:
        self._rng = rng
        self._life = life
        self._signers = signers
        self._bits = bits
        self._grinder = ModelGrinder(rng)
        self._digests: list[bytes] = [bytes(32)]
        self._names: list[str] = ["", "x", *LEAVES]
        self._numbers: list[int] = list(NUMBERS)
        for _, path, message in rng.sample(life, min(40, len(life))):
            self._learn(path)
            self._learn(message)

    def packet(self, place: int) -> tuple[NodeId, Packet] | None:
        """What somebody sends at about this place of the life, as it comes out of a frame; none when it would not decode."""
        rng = self._rng
        near = self._life[max(0, place - NEAR) : place + NEAR] if rng.random() < 0.7 else self._life
        sender, path, message = rng.choice(near)
        if rng.random() < 0.4:
            message = self._made(KINDS)
        elif rng.random() < 0.8:
            message = self._bent(message)
        if rng.random() < 0.4:
            path = self._path(path)
        try:
            decoded = WIRE.decode(WIRE.frame(None, [WIRE.packet(path, self._repaired(message))]))
        except (Rejected, OverflowError, msgspec.MsgspecError):
            return None
        return sender, decoded[1][0]

    def _learn(self, value: Any) -> None:
        if isinstance(value, msgspec.Struct):
            for field in value.__struct_fields__:
                self._learn(getattr(value, field))
        elif isinstance(value, tuple):
            for item in value:
                self._learn(item)
        elif isinstance(value, bytes) and len(value) == 32:
            self._digests.append(value)
        elif isinstance(value, str):
            self._names.append(value)
        elif type(value) is int:
            self._numbers.append(value)

    def _path(self, path: Path) -> Path:
        rng = self._rng
        steps: list[str | int] = list(path) if rng.random() < 0.7 else []
        for _ in range(rng.randrange(1, 4)):
            part = rng.choice(self._names) if rng.random() < 0.5 else rng.choice(NUMBERS)
            if steps and rng.random() < 0.6:
                steps[rng.randrange(len(steps))] = part
            elif rng.random() < 0.5:
                steps.append(part)
        return tuple(steps[: rng.randrange(1, 7)])

    def _made(self, kind: Any) -> Any:
        """A random value of a type."""
        rng = self._rng
        match kind:
            case inspect.UnionType():
                return self._made(rng.choice(kind.types))
            case inspect.StructType():
                return kind.cls(*[self._made(field.type) for field in kind.fields])
            case inspect.VarTupleType():
                least = kind.min_length or 0
                most = ITEMS_MAX if kind.max_length is None else min(kind.max_length, ITEMS_MAX)
                return tuple([self._made(kind.item_type) for _ in range(rng.randint(least, max(least, most)))])
            case inspect.TupleType():
                return tuple([self._made(item) for item in kind.item_types])
            case inspect.IntType():
                number = rng.choice(self._numbers) + rng.choice((-1, 0, 0, 0, 1))
                low = -(2**63) if kind.ge is None else kind.ge
                return min(max(number, low), 2**64 - 1 if kind.le is None else kind.le)
            case inspect.BytesType():
                return self._bytes(kind.min_length or 0, kind.max_length)
            case inspect.StrType():
                return rng.choice([name for name in self._names if len(name) >= (kind.min_length or 0)])
            case inspect.BoolType():
                return rng.random() < 0.5
            case inspect.LiteralType():
                return rng.choice(kind.values)
            case inspect.NoneType():
                return None
        raise TypeError(f"no values of {kind}")

    def _bytes(self, least: int, most: int | None) -> bytes:
        rng = self._rng
        if least == most == 32:
            return rng.choice(self._digests)
        length = rng.choice((0, 1, 32, 64, 300) if most is None else (least, min(most, least + 40), min(most, 300)))
        return rng.randbytes(max(least, length))

    def _bent(self, value: Any) -> Any:
        """The value with one of its parts changed."""
        rng = self._rng
        if isinstance(value, msgspec.Struct):
            place = rng.randrange(len(value.__struct_fields__) or 1)
            kind = _kind_of(type(value))
            if not isinstance(kind, inspect.StructType) or not kind.fields:
                return value
            fields, field = kind.fields, kind.fields[place]
            old = getattr(value, field.name)
            new = self._made(field.type) if rng.random() < 0.4 else self._bent(old)
            return type(value)(*[new if other is field else getattr(value, other.name) for other in fields])
        if isinstance(value, tuple) and value:
            items = list(value)
            place = rng.randrange(len(items))
            change = rng.randrange(4)
            if change == 0:
                del items[place]
            elif change == 1:
                items.append(items[place])
            else:
                items[place] = self._bent(items[place])
            return tuple(items)
        if type(value) is bool:
            return not value
        if type(value) is int:
            return rng.choice((value + 1, value - 1, *self._numbers))
        if type(value) is bytes:
            return rng.choice(self._digests) if len(value) == 32 else value[:-1] + rng.randbytes(1)
        return rng.choice(self._names) if type(value) is str else value

    def _repaired(self, message: Any) -> Any:
        """Signed by a key that a liar holds, mostly: what is not signed at all is refused by the first check."""
        rng = self._rng
        if rng.random() < 0.2:
            return message
        if isinstance(message, Block):
            essence = msgspec.structs.replace(message.essence, issuer=(signer := rng.choice(self._signers)).public_key)
            return sign_block(essence, self._grinder.grind(essence.work_data, self._bits).nonce, signer)
        if isinstance(message, SharedRequest):
            signer = rng.choice(self._signers)
            request = msgspec.structs.replace(message.request.essence, sender=signer.public_key)
            return SharedRequest(OffLedgerRequest(request, signer.sign(request.id)))
        return message
