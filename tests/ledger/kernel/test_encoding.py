"""One encoding per value, a decoder for any bytes: the claims of ledger.kernel.encoding."""

import hashlib
import struct

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.kernel.encoding import (
    DIGEST_SIZE,
    PLAIN_DEPTH_MAX,
    PLAIN_SIZE_MAX,
    ZERO_DIGEST,
    Codec,
    Digest,
    Natural,
    Plain,
    Value,
    digest,
    digest_of,
    digest_of_bytes,
    encode,
    pack,
    unpack,
)
from ledger.kernel.rejection import Rejected


class SampleNote(Value):
    height: Natural
    text: str
    data: bytes
    flag: bool
    maybe: int | None = None


class SampleTwin(Value):
    height: Natural
    text: str
    data: bytes
    flag: bool
    maybe: int | None = None


class SampleBundle(Value):
    root: Digest
    notes: tuple[SampleNote | SampleTwin, ...]


class SampleStranger(Value):
    height: int


DOOR: Codec[SampleNote | SampleTwin | SampleBundle] = Codec(SampleNote | SampleTwin | SampleBundle)

integers = st.integers(-(2**63), 2**64 - 1)
naturals = st.integers(0, 2**64 - 1)
notes = st.builds(
    SampleNote,
    naturals,
    st.text(),
    st.binary(max_size=300),
    st.booleans(),
    st.none() | st.integers(-(2**63), 2**64 - 1),
)
bundles = st.builds(SampleBundle, st.binary(min_size=32, max_size=32), st.lists(notes, max_size=20).map(tuple))
plains: st.SearchStrategy[Plain] = st.recursive(
    st.none() | st.booleans() | integers | st.text() | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=20).map(tuple),
    max_leaves=30,
)


def code_of(call, *arguments) -> str:
    with pytest.raises(Rejected) as caught:
        call(*arguments)
    return caught.value.code


# ------------------------------------------------------------------------------------------------------ typed values


@given(notes | bundles)
def test_a_typed_value_comes_back_as_it_was(value):
    assert DOOR.decode(encode(value)) == value
    assert DOOR.encode(value) == encode(value)


@given(st.binary(max_size=200))
@example(b"")
@example(b"\x92\xacSampleBundle\xdd\xff\xff\xff\xff")
def test_any_bytes_are_either_a_value_with_exactly_this_encoding_or_rejected(data):
    try:
        value = DOOR.decode(data)
    except Rejected as rejected:
        assert rejected.code == "undecodable"
    else:
        assert encode(value) == data


@given(notes, st.data())
def test_no_change_of_one_byte_goes_unseen(value, data):
    sound = encode(value)
    place = data.draw(st.integers(0, len(sound) - 1))
    changed = bytearray(sound)
    changed[place] ^= data.draw(st.integers(1, 255))
    try:
        assert DOOR.decode(bytes(changed)) != value
    except Rejected as rejected:
        assert rejected.code == "undecodable"


@given(notes, st.data())
def test_no_truncated_and_no_longer_encoding_is_a_value(value, data):
    sound = encode(value)
    assert code_of(DOOR.decode, sound[: data.draw(st.integers(0, len(sound) - 1))]) == "undecodable"
    assert code_of(DOOR.decode, sound + data.draw(st.binary(min_size=1, max_size=9))) == "undecodable"


def typed(*fields: bytes, name: bytes = b"\xaaSampleNote") -> bytes:
    return bytes([0x90 + 1 + len(fields)]) + name + b"".join(fields)


HEIGHT, TEXT, DATA, FLAG, MAYBE = b"\x07", b"\xa2ab", b"\xc4\x01\x00", b"\xc3", b"\xc0"


def test_the_canonical_form_of_a_note_is_these_bytes():
    note = SampleNote(7, "ab", b"\x00", True)
    assert encode(note) == typed(HEIGHT, TEXT, DATA, FLAG, MAYBE)
    assert DOOR.decode(typed(HEIGHT, TEXT, DATA, FLAG, MAYBE)) == note


@pytest.mark.parametrize(
    ("form", "data"),
    [
        ("an integer of 8 bits that fits into the prefix", typed(b"\xcc\x07", TEXT, DATA, FLAG, MAYBE)),
        ("an integer of 16 bits", typed(b"\xcd\x00\x07", TEXT, DATA, FLAG, MAYBE)),
        ("an integer of 32 bits", typed(b"\xce\x00\x00\x00\x07", TEXT, DATA, FLAG, MAYBE)),
        ("an integer of 64 bits", typed(b"\xcf" + struct.pack(">Q", 7), TEXT, DATA, FLAG, MAYBE)),
        ("a signed integer that is not negative", typed(b"\xd0\x07", TEXT, DATA, FLAG, MAYBE)),
        ("a float in the place of an integer", typed(b"\xcb" + struct.pack(">d", 7.0), TEXT, DATA, FLAG, MAYBE)),
        ("a boolean in the place of an integer", typed(b"\xc3", TEXT, DATA, FLAG, MAYBE)),
        ("a number in the place of a boolean", typed(HEIGHT, TEXT, DATA, b"\x01", MAYBE)),
        ("a string with a long header", typed(HEIGHT, b"\xd9\x02ab", DATA, FLAG, MAYBE)),
        ("a string that is not UTF-8", typed(HEIGHT, b"\xa2\xff\xfe", DATA, FLAG, MAYBE)),
        ("an overlong UTF-8 sequence", typed(HEIGHT, b"\xa2\xc0\x80", DATA, FLAG, MAYBE)),
        ("a surrogate in UTF-8", typed(HEIGHT, b"\xa3\xed\xa0\x80", DATA, FLAG, MAYBE)),
        ("bytes in the place of a string", typed(HEIGHT, b"\xc4\x02ab", DATA, FLAG, MAYBE)),
        ("a string in the place of bytes", typed(HEIGHT, TEXT, b"\xa1\x00", FLAG, MAYBE)),
        ("bytes with a long header", typed(HEIGHT, TEXT, b"\xc5\x00\x01\x00", FLAG, MAYBE)),
        ("an array with a long header", b"\xdc\x00\x06" + typed(HEIGHT, TEXT, DATA, FLAG, MAYBE)[1:]),
        ("a name with a long header", typed(HEIGHT, TEXT, DATA, FLAG, MAYBE, name=b"\xd9\x0aSampleNote")),
        ("a default left out", typed(HEIGHT, TEXT, DATA, FLAG)),
        ("a field too few", typed(HEIGHT, TEXT, DATA)),
        ("a field too many", typed(HEIGHT, TEXT, DATA, FLAG, MAYBE, MAYBE)),
        ("a negative natural", typed(b"\xff", TEXT, DATA, FLAG, MAYBE)),
        ("an extension", typed(HEIGHT, TEXT, b"\xd4\x05\x00", FLAG, MAYBE)),
        ("an unused code", typed(b"\xc1", TEXT, DATA, FLAG, MAYBE)),
        ("a map", b"\x81\xa4type\xaaSampleNote"),
        ("a type that has no business here", encode(SampleStranger(1))),
        ("no name", b"\x95" + HEIGHT + TEXT + DATA + FLAG + MAYBE),
    ],
)
def test_every_other_form_is_rejected(form, data):
    assert code_of(DOOR.decode, data) == "undecodable", form


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_digest_field_holds_exactly_32_bytes(size):
    wrong = encode(SampleBundle(bytes(size), ()))
    assert code_of(DOOR.decode, wrong) == "undecodable"
    assert DOOR.decode(encode(SampleBundle(bytes(32), ()))) == SampleBundle(bytes(32), ())


def test_a_typed_value_of_the_largest_size_passes_and_one_byte_more_does_not():
    value = SampleNote(1, "", bytes(100), False)
    size = len(encode(value))
    assert Codec[SampleNote](SampleNote, size_max=size).decode(encode(value)) == value
    assert code_of(Codec[SampleNote](SampleNote, size_max=size - 1).decode, encode(value)) == "undecodable"


def test_a_declared_length_far_beyond_the_data_is_rejected_without_building_it():
    head = b"\x93\xacSampleBundle\xc4\x20" + bytes(32)
    assert code_of(DOOR.decode, head + b"\xdd\xff\xff\xff\xff") == "undecodable"


def test_values_of_two_types_with_the_same_fields_have_different_digests():
    note, twin = SampleNote(1, "a", b"b", True), SampleTwin(1, "a", b"b", True)
    assert note != twin
    assert digest_of(note) != digest_of(twin)
    assert digest_of(note) == digest_of(SampleNote(1, "a", b"b", True, None)) == digest_of_bytes(encode(note))


def test_a_typed_value_cannot_be_changed_and_can_be_a_key():
    note = SampleNote(1, "a", b"b", True)
    with pytest.raises(AttributeError):
        note.height = 2  # type: ignore[misc]
    assert {note: "found"}[SampleNote(1, "a", b"b", True)] == "found"


# ------------------------------------------------------------------------------------------------------ plain values


def types_of(value: Plain) -> object:
    return tuple(types_of(item) for item in value) if isinstance(value, tuple) else type(value)


@given(plains)
def test_a_plain_value_comes_back_as_it_was_with_its_types(value):
    back = unpack(pack(value))
    assert back == value
    assert types_of(back) == types_of(value)


@given(st.binary(max_size=200))
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\xdf\xff\xff\xff\xff")
@example(b"\xc6\xff\xff\xff\xff")
@example(b"\xc7\x00\xff")
@example(b"\xc7\x00\x05")
@example(b"\x91" * 2000)
def test_any_bytes_are_either_a_plain_value_with_exactly_this_encoding_or_rejected(data):
    try:
        value = unpack(data)
    except Rejected as rejected:
        assert rejected.code == "undecodable"
    else:
        assert pack(value) == data


@pytest.mark.parametrize(
    ("form", "data"),
    [
        ("nothing", b""),
        ("an integer of 8 bits that fits into the prefix", b"\xcc\x07"),
        ("a signed integer that is not negative", b"\xd1\x01\x00"),
        ("a long string header", b"\xd9\x01a"),
        ("a long bytes header", b"\xc5\x00\x01a"),
        ("a long array header", b"\xdc\x00\x01\x01"),
        ("a string that is not UTF-8", b"\xa1\xff"),
        ("a float", b"\xcb" + struct.pack(">d", 1.0)),
        ("a map", b"\x81\x01\x02"),
        ("an empty map", b"\x80"),
        ("an extension", b"\xd4\x05\x00"),
        ("a time", b"\xd6\xff\x00\x00\x00\x00"),
        ("an unused code", b"\xc1"),
        ("two values", b"\x01\x02"),
        ("a truncated value", b"\x92\x01"),
    ],
)
def test_every_other_plain_form_is_rejected(form, data):
    assert code_of(unpack, data) == "undecodable", form


def nested(depth: int) -> Plain:
    value: Plain = ()
    for _ in range(depth - 1):
        value = (value,)
    return value


def raw(value: object) -> bytes:
    return msgpack.packb(value, use_bin_type=True)


def test_a_plain_value_of_the_largest_depth_passes_and_one_level_more_does_not():
    assert unpack(pack(nested(PLAIN_DEPTH_MAX))) == nested(PLAIN_DEPTH_MAX)
    assert code_of(pack, nested(PLAIN_DEPTH_MAX + 1)) == "unpackable"
    assert code_of(unpack, raw(nested(PLAIN_DEPTH_MAX + 1))) == "undecodable"


def test_a_plain_value_of_the_largest_size_passes_and_one_byte_more_does_not():
    largest = bytes(PLAIN_SIZE_MAX - 3)  # the header of 2**8 to 2**16 - 1 bytes takes three
    assert len(pack(largest)) == PLAIN_SIZE_MAX
    assert unpack(pack(largest)) == largest
    assert code_of(pack, largest + b"\x00") == "unpackable"
    assert code_of(unpack, raw(largest + b"\x00")) == "undecodable"


@pytest.mark.parametrize(
    "value", [1.0, [1], {1: 2}, {1}, ([1],), object(), bytearray(b"a"), 2**64, -(2**63) - 1, "\ud800"]
)
def test_what_is_not_plain_is_not_packed(value):
    assert code_of(pack, value) == "unpackable"


@pytest.mark.parametrize("number", [0, 127, 128, 255, 256, 2**16, 2**32, 2**64 - 1, -1, -32, -33, -129, -(2**63)])
def test_the_bounds_of_the_integer_forms_come_back(number):
    assert unpack(pack(number)) == number


# ---------------------------------------------------------------------------------------------------------- digests


def test_digests_are_blake2b_of_32_bytes():
    assert digest_of_bytes(b"abc") == hashlib.blake2b(b"abc", digest_size=32).digest()
    assert digest("label", 1, b"x") == digest_of_bytes(pack(("label", 1, b"x")))
    assert (len(ZERO_DIGEST), DIGEST_SIZE) == (32, 32)


@given(st.lists(plains, max_size=4), st.lists(plains, max_size=4))
def test_two_lists_of_parts_have_one_digest_only_when_they_are_the_same_parts(left, right):
    same = pack(tuple(left)) == pack(tuple(right))
    assert (digest(*left) == digest(*right)) is same


def test_parts_do_not_run_into_each_other():
    assert len({digest("a", "bc"), digest("ab", "c"), digest("abc"), digest(("a", "bc")), digest(b"a", "bc")}) == 5
