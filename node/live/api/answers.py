"""What answers and questions are made of: models with one way to write identifiers, instants and contracts' values.

JSON names are in camel case, as in Hornet and Wasp. An identifier is ``0x`` and hexadecimal digits; an instant is
microseconds since the scenario's epoch, as everywhere in this project (the node's information tells the epoch in Unix time).

A plain value of a contract (parameters, results, state) is JSON: integers, strings, booleans, null and arrays are themselves;
bytes are ``{"hex": "0x..."}``, so that a string that looks like them is still a string.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from ledger.kernel.encoding import PLAIN_DEPTH_MAX, Plain
from ledger.kernel.rejection import Rejected
from ledger.output import OutputId

LIMIT_MAX = 1_000
"""Items of one page: an answer stays below a megabyte, and takes the loop for some milliseconds."""
INTERVAL_MAX = 2**31 - 1
"""No market has more delivery intervals."""
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_OUTPUT_INDEX_SIZE = 2


class ApiModel(BaseModel):
    """A question or an answer."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, allow_inf_nan=False
    )


class Problem(ApiModel):
    """Why a question was not answered: a word for programs, a sentence for people."""

    code: str
    message: str


def _whole(value: object) -> object:
    """What stands in a path or a query is text: a whole number in digits, nothing else that a parser might take for one."""
    if not isinstance(value, str):
        return value
    if not _WHOLE.fullmatch(value):
        raise ValueError("expected a whole number")
    return int(value)


Hex: TypeAlias = Annotated[str, Field(pattern="^0x([0-9a-fA-F]{2})*$", examples=["0x00ff"])]
"""Bytes."""
HexDigest: TypeAlias = Annotated[str, Field(pattern="^0x[0-9a-fA-F]{64}$", examples=["0x" + "a5" * 32])]
"""32 bytes: the id of a block, a transaction or a request."""
HexOutputId: TypeAlias = Annotated[str, Field(pattern="^0x[0-9a-fA-F]{68}$", examples=["0x" + "a5" * 32 + "0000"])]
"""34 bytes: a transaction's id and the output's index, two bytes, low one first (as in Stardust)."""
ChainName: TypeAlias = Annotated[str, Field(min_length=1, max_length=64, examples=["mg1"])]
Interval: TypeAlias = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=INTERVAL_MAX)]
Limit: TypeAlias = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=LIMIT_MAX)]
Whole: TypeAlias = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=2**53 - 1)]
PlainJson: TypeAlias = Any
"""A plain value, see the module."""


def to_hex(data: bytes) -> str:
    """Bytes as they stand in an answer."""
    return f"0x{data.hex()}"


def from_hex(text: str) -> bytes:
    """The bytes of a checked text."""
    return bytes.fromhex(text[2:])


def output_id_to_hex(output_id: OutputId) -> str:
    """An output's id as it stands in an answer."""
    return to_hex(output_id.transaction + output_id.index.to_bytes(_OUTPUT_INDEX_SIZE, "little"))


def output_id_from_hex(text: str) -> OutputId:
    """The output's id of a checked text."""
    data = from_hex(text)
    return OutputId(data[:-_OUTPUT_INDEX_SIZE], int.from_bytes(data[-_OUTPUT_INDEX_SIZE:], "little"))


def plain_to_json(value: Plain) -> PlainJson:
    """A plain value as JSON."""
    if type(value) is tuple:
        return [plain_to_json(item) for item in value]
    return {"hex": to_hex(value)} if type(value) is bytes else value


def plain_from_json(value: object, depth: int = PLAIN_DEPTH_MAX) -> Plain:
    """The plain value of some JSON.

    Errors: ``Rejected("parameters", ...)`` for what is none.
    """
    match value:
        case None | bool() | int() | str():
            return value
        case list() if depth > 0:
            return tuple([plain_from_json(item, depth - 1) for item in value])
        case {"hex": str(text), **more} if not more and re.fullmatch("0x([0-9a-fA-F]{2})*", text):
            return from_hex(text)
        case list():
            raise Rejected("parameters", f"nested deeper than {PLAIN_DEPTH_MAX}")
        case _:
            expected = 'integers, strings, true, false, null, arrays, or {"hex": "0x..."}'
            raise Rejected("parameters", f"{type(value).__name__} is no plain value: {expected} expected")


def status_to_json(status: object) -> Any:
    """What an automaton says of itself, as JSON: keys become text, tuples arrays, bytes hexadecimal."""
    match status:
        case dict():
            return {_key(key): status_to_json(value) for key, value in status.items()}
        case list() | tuple():
            return [status_to_json(item) for item in status]
        case bytes():
            return to_hex(status)
        case None | bool() | int() | float() | str():
            return status
        case _:
            return str(status)


def _key(key: object) -> str:
    return "/".join(map(str, key)) if isinstance(key, tuple) else str(key)
