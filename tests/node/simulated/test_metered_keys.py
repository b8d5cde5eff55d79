"""What the virtual CPU is charged for keys is what the real keys do: their calls of the group's functions are counted."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ledger.kernel import group, nonce_key, signing_key
from ledger.kernel.encoding import digest
from ledger.kernel.identity import RealVerifier
from ledger.kernel.key_dealer import deal_member_keys
from ledger.kernel.rng import stream
from ledger.kernel.threshold import MemberKeys
from node.simulated.cpu import CpuMeter
from tests.harness.simulation import toy_profile

SIZES = [(1, 0), (4, 1), (6, 1), (7, 2), (9, 2), (13, 4)]
SID = b"a name"
MESSAGE = digest("a message")
TEXT = bytes(100)
PER_BYTE = ("hash", "cipher")

_COUNTED: dict[str, tuple[str, Callable[..., int]]] = {
    "base_times": ("base_multiply", lambda scalar: 1),
    "times": ("point_multiply", lambda scalar, point: 1),
    "plus": ("point_add", lambda left, right: 1),
    "minus": ("point_add", lambda left, right: 1),
    "is_point": ("point_check", lambda data: 1),
    "hash_to_point": ("hash_to_point", lambda name: 1),
    "hash_to_scalar": ("hash_to_scalar", lambda *parts: 1),
    "lagrange": ("lagrange", lambda members, member, at=0: len(members)),
    "evaluate": ("polynomial", lambda coefficients, member: len(coefficients)),
}
"""The functions of the group that cost: as which operation, and how many."""


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Counts the calls of the group's functions, from wherever they are called, and of the verifier."""
    counts: Counter[str] = Counter()

    def counting(function: Callable[..., Any], operation: str, amount: Callable[..., int]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            counts[operation] += amount(*arguments)
            return function(*arguments)

        return call

    signing_key._package.cache_clear()
    nonce_key._session.cache_clear()
    with monkeypatch.context() as patch:
        for name, (operation, amount) in _COUNTED.items():
            function: Callable[..., Any] = vars(group)[name]
            for module in [module for key, module in sys.modules.items() if key.startswith("ledger.kernel.")]:
                if vars(module).get(name) is function:
                    patch.setattr(module, name, counting(function, operation, amount))
        patch.setattr(RealVerifier, "verify", counting(RealVerifier.verify, "verify", lambda *_: 1))
        yield counts


class Scene:
    """The real keys of a committee, and all that they make for one another."""

    def __init__(self, n: int, f: int) -> None:
        self.keys = deal_member_keys("real", 1, "c", n, f)
        self.rng = stream(1, "rng")
        coin = {j: self.keys[j].coin.share(SID) for j in range(n)}
        pairs = [self.keys[j].signing.make_nonces(self.rng) for j in range(n)]
        k = n - f
        commitments = [(j, pairs[j].commitment) for j in range(k)]
        shares = {j: self.keys[j].signing.sign_share(pairs[j], MESSAGE, commitments) for j in range(k)}
        dealings = [self.keys[j].nonces.deal(SID, self.rng) for j in range(f + 1)]
        opened = [[self.keys[j].nonces.open(SID, dealing) or b"" for dealing in dealings] for j in range(n)]
        partials = {j: self.keys[j].nonces.sign_partial(dealings, opened[j], MESSAGE) for j in range(n)}
        implication = self.keys[n - 1].nonces.implicate(SID, dealings[0])
        ciphertext = self.keys[0].decryption.encrypt(b"label", TEXT, self.rng)
        opening = {j: self.keys[j].decryption.share(ciphertext) for j in range(n)}
        firsts = {j: opened[j][0] for j in range(n)}
        self.operations: dict[str, Callable[[MemberKeys], Any]] = {
            "coin share": lambda keys: keys.coin.share(SID),
            "coin verify share": lambda keys: keys.coin.verify_share(n - 1, SID, coin[n - 1]),
            "coin combine": lambda keys: keys.coin.combine(SID, coin),
            "signing make nonces": lambda keys: keys.signing.make_nonces(self.rng),
            "signing check commitment": lambda keys: keys.signing.is_commitment(pairs[0].commitment),
            "signing share": lambda keys: keys.signing.sign_share(pairs[0], MESSAGE, commitments),
            "signing verify share": lambda keys: keys.signing.verify_share(k - 1, MESSAGE, commitments, shares[k - 1]),
            "signing combine": lambda keys: keys.signing.combine(MESSAGE, commitments, shares),
            "nonces deal": lambda keys: keys.nonces.deal(SID, self.rng),
            "nonces check dealing": lambda keys: keys.nonces.is_dealing(SID, dealings[0]),
            "nonces open": lambda keys: keys.nonces.open(SID, dealings[0]),
            "nonces implicate": lambda keys: keys.nonces.implicate(SID, dealings[0]),
            "nonces verify implication": lambda keys: keys.nonces.verify_implication(
                n - 1, SID, dealings[0], implication
            ),
            "nonces verify share": lambda keys: keys.nonces.verify_share(n - 1, dealings[0], firsts[n - 1]),
            "nonces recover": lambda keys: keys.nonces.recover(dealings[0], firsts),
            "nonces sign partial": lambda keys: keys.nonces.sign_partial(dealings, opened[0], MESSAGE),
            "nonces verify partial": lambda keys: keys.nonces.verify_partial(n - 1, dealings, MESSAGE, partials[n - 1]),
            "nonces combine": lambda keys: keys.nonces.combine(dealings, MESSAGE, partials),
            "decryption encrypt": lambda keys: keys.decryption.encrypt(b"label", TEXT, self.rng),
            "decryption check": lambda keys: keys.decryption.is_ciphertext(b"label", ciphertext),
            "decryption share": lambda keys: keys.decryption.share(ciphertext),
            "decryption verify share": lambda keys: keys.decryption.verify_share(n - 1, ciphertext, opening[n - 1]),
            "decryption combine": lambda keys: keys.decryption.combine(ciphertext, opening),
        }

    def charged(self, *names: str) -> dict[str, int]:
        """What a member is charged that carries out these operations, one after another."""
        meter = CpuMeter(toy_profile())
        metered = meter.member_keys(self.keys[0])
        for name in names:
            self.operations[name](metered)
        return {operation: amount for operation, amount in meter.charged.items() if amount}


@pytest.mark.parametrize(("n", "f"), SIZES)
def test_each_operation_of_a_key_is_charged_with_what_the_real_one_does(
    n: int, f: int, monkeypatch: pytest.MonkeyPatch
):
    scene = Scene(n, f)
    for name, operation in scene.operations.items():
        with counted(monkeypatch) as counts:
            result = operation(scene.keys[0])
        charged = {kind: amount for kind, amount in scene.charged(name).items() if kind not in PER_BYTE}
        assert (name, charged) == (name, dict(counts))
        assert result or name == "nonces verify implication", name


def test_every_operation_of_every_key_is_counted_here():
    keys = Scene(4, 1).keys[0]
    methods = {
        f"{field} {method}"
        for field in MemberKeys.__struct_fields__
        for method in dir(getattr(keys, field))
        if not method.startswith("_") and method not in ("threshold", "group_key")
    }
    assert len(methods) == len(Scene(4, 1).operations)


def test_what_is_needed_again_for_the_same_signature_is_paid_for_once(monkeypatch: pytest.MonkeyPatch):
    scene = Scene(7, 2)
    names = ("signing share", "signing verify share", "signing verify share", "signing combine", "nonces sign partial",
             "nonces verify partial", "nonces verify partial", "nonces combine")  # fmt: skip
    with counted(monkeypatch) as counts:
        for name in names:
            scene.operations[name](scene.keys[0])
    charged = scene.charged(*names)
    assert {kind: amount for kind, amount in charged.items() if kind not in PER_BYTE} == dict(counts)


def test_each_member_pays_for_itself_although_they_share_a_process():
    scene = Scene(4, 1)
    once = scene.charged("signing share", "nonces sign partial")
    assert scene.charged("signing share", "nonces sign partial") == once
    assert once["point_multiply"] == 3


def test_what_was_not_needed_for_longest_is_forgotten_and_paid_for_again():
    scene = Scene(4, 1)
    meter = CpuMeter(toy_profile())
    metered = meter.member_keys(scene.keys[0])
    dealings = [scene.keys[0].nonces.deal(SID, scene.rng)]
    shares = [scene.keys[0].nonces.open(SID, dealings[0]) or b""]
    full = nonce_key.SESSIONS_MAX
    for number in (*range(full), 0, full, 0, 1):
        metered.nonces.sign_partial(dealings, shares, digest(number))
    assert meter.charged["hash_to_scalar"] == full + 2, "the one that was new, and number 1"


@pytest.mark.parametrize(
    ("name", "charged"),
    [
        ("signing share", {"hash": 32 + 3 * 64}),
        ("signing combine", {"hash": 2 * 32 + 3 * 64}),
        ("decryption encrypt", {"cipher": 100, "hash": 200}),
        ("decryption check", {"hash": 228}),
        ("decryption combine", {"cipher": 228}),
        ("decryption share", {}),
    ],
)
def test_what_is_hashed_or_masked_is_charged_by_its_size(name: str, charged: dict[str, int]):
    scene = Scene(4, 1)
    assert {kind: amount for kind, amount in scene.charged(name).items() if kind in PER_BYTE} == charged


@pytest.mark.parametrize("kind", ["real", "model"])
def test_a_metered_key_does_what_the_key_inside_does(kind: Any):
    keys = deal_member_keys(kind, 1, "c", 4, 1)
    metered = [CpuMeter(toy_profile()).member_keys(key) for key in keys]
    coin = {j: metered[j].coin.share(SID) for j in range(2)}
    assert coin == {j: keys[j].coin.share(SID) for j in range(2)}
    assert metered[0].coin.combine(SID, coin) == keys[3].coin.combine(SID, coin)
    assert [metered[0].coin.verify_share(j, SID, coin[1]) for j in (0, 1)] == [False, True]
    ciphertext = metered[0].decryption.encrypt(b"label", TEXT, stream(1))
    assert ciphertext == keys[0].decryption.encrypt(b"label", TEXT, stream(1))
    assert [metered[0].decryption.is_ciphertext(label, ciphertext) for label in (b"label", b"other")] == [True, False]
    thresholds = (metered[0].coin.threshold, metered[0].signing.threshold, metered[0].nonces.threshold)
    assert (*thresholds, metered[0].decryption.threshold) == (2, 3, 3, 2)
    assert metered[0].signing.group_key == metered[0].nonces.group_key == keys[0].signing.group_key
