"""What work is made of operations that a hardware profile prices: that of a committee's keys, and of some messages.

**Keys.** The group operations that the real keys carry out, in n and f.

A hardware profile prices the operations of the group. What an operation of a key costs is not in it but follows, so that
it grows with the committee as it really does. With k = f + 1 (coin, decryption) or n - f (signatures), d dealings:

======================  ==============================================================================================
prove equal logarithms  2 B + 2 M + 2 S
verify that proof       C + B + 3 M + 2 A + S
coin                    share: P + proof; verify: P + proof verified; combine: k M + (k - 1) A + k^2 L
decryption              encrypt: proof + B + M; check: C + proof verified; share: proof; verify: proof verified;
                        combine: k M + (k - 1) A + k^2 L
signing (FROST)         nonces: 2 B + 2 S; check of a commitment: 2 C; package, once per message and signers:
                        k M + (2 k - 1) A + (k + 1) S; share: k L; verify: B + 2 M + 2 A + k L; combine: V
nonces (ACSS)           deal: proof + (f + 1) B + n M + (f + 2) S + n (f + 1) E; check: (f + 2) C + proof verified;
                        verify a share: B + f M + f A; open: M + share verified; implicate: proof;
                        verify that: proof and share verified; recover: k^2 L with k = f + 1;
                        session, once per message and dealings: (f + 1) (d - 1) A + S; sign: nothing more;
                        verify: B + (f + 1) M + (f + 1) A; combine: k^2 L
======================  ==============================================================================================

B base point times a scalar, M a point times a scalar, A sum of points, C check of a point, P hash to a point, S hash to a
scalar, L one member's factor of a Lagrange weight, E one coefficient of a polynomial's value, V an Ed25519 verification.

**Messages.** Handling one costs ``message``. The shards of a broadcast with an erasure code cost more, by their size: their
branches are checked; the proposer codes them all, which is charged with its own ``Val``; each member decodes the payload
and codes it again once, of which each ``ShardEcho`` bears a part.

Left out, all together a few per cent: conversions, sums of scalars, the padding of shares. Malformed input, which a real key
refuses before it has done all that, is charged like any other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ledger.kernel.quorum import some_correct, waiting
from wasp.consensus.avid_broadcast import ProvenShard, ShardEcho, Val

Work: TypeAlias = Counter[Any]
"""How many of each ``Operation`` of a hardware profile."""

_PROVE: Work = Counter(base_multiply=2, point_multiply=2, hash_to_scalar=2)
_VERIFY: Work = Counter(point_check=1, base_multiply=1, point_multiply=3, point_add=2, hash_to_scalar=1)
_HASH_TO_POINT: Work = Counter(hash_to_point=1)


def key_work(n: int, f: int) -> dict[str, Work]:
    """The work of each operation of a member's keys, by its name, "coin share" for one, in a committee of n with f faulty.

    Where messages, plaintexts or dealings have a size, what grows with it is charged apart.
    """
    work = {**_coin_work(some_correct(f)), **_decryption_work(some_correct(f))}
    return {**work, **_signing_work(waiting(n, f)), **_nonce_work(n, f)}


def nonce_session_work(f: int, dealings: int) -> Work:
    """What a member does once per message that is signed with the sum of so many dealings' nonces."""
    return Counter(point_add=(f + 1) * (dealings - 1), hash_to_scalar=1)


def _interpolated(k: int) -> Work:
    """A scalar from k shares."""
    return Counter(lagrange=k * k)


def _interpolated_point(k: int) -> Work:
    """A point from k shares."""
    return Counter(point_multiply=k, point_add=k - 1) + _interpolated(k)


def _coin_work(k: int) -> dict[str, Work]:
    return {
        "coin share": _HASH_TO_POINT + _PROVE,
        "coin verify share": _HASH_TO_POINT + _VERIFY,
        "coin combine": _interpolated_point(k),
    }


def _decryption_work(k: int) -> dict[str, Work]:
    return {
        "decryption encrypt": _PROVE + Counter(base_multiply=1, point_multiply=1),
        "decryption check": _VERIFY + Counter(point_check=1),
        "decryption share": _PROVE,
        "decryption verify share": _VERIFY,
        "decryption combine": _interpolated_point(k),
    }


def _signing_work(k: int) -> dict[str, Work]:
    return {
        "signing make nonces": Counter(base_multiply=2, hash_to_scalar=2),
        "signing check commitment": Counter(point_check=2),
        "signing package": Counter(point_multiply=k, point_add=2 * k - 1, hash_to_scalar=k + 1),
        "signing share": Counter(lagrange=k),
        "signing verify share": Counter(base_multiply=1, point_multiply=2, point_add=2, lagrange=k),
        "signing combine": Counter(verify=1),
    }


def _nonce_work(n: int, f: int) -> dict[str, Work]:
    verify_share = Counter(base_multiply=1, point_multiply=f, point_add=f)
    polynomial = Counter(base_multiply=f + 1, hash_to_scalar=f + 2)
    padded = Counter(point_multiply=n, polynomial=n * (f + 1))
    return {
        "nonces deal": _PROVE + polynomial + padded,
        "nonces check dealing": _VERIFY + Counter(point_check=f + 2),
        "nonces open": Counter(point_multiply=1) + verify_share,
        "nonces implicate": _PROVE,
        "nonces verify implication": _VERIFY + verify_share,
        "nonces verify share": verify_share,
        "nonces recover": _interpolated(some_correct(f)),
        "nonces verify partial": verify_share + Counter(point_multiply=1, point_add=1),
        "nonces combine": _interpolated(waiting(n, f)),
    }


def _shard_work(message: ProvenShard, own: bool) -> Work:
    """Its branch is checked. The payload is decoded and coded again once, when there are enough: shared among all echoes."""
    work = _branch_work(message)
    if isinstance(message, ShardEcho):
        work += _row_work(message, 1)
    elif own:
        work += _row_work(message, message.branch.count)
    return work


def _branch_work(message: ProvenShard) -> Work:
    return Counter(digest=len(message.branch.siblings) + 2, hash=len(message.shard))


def _row_work(message: ProvenShard, shards: int) -> Work:
    """So many shards' part of coding a payload, and of the tree over all shards: each has a leaf, and a node above it."""
    size = shards * len(message.shard)
    return Counter(erasure=size, hash=size, digest=2 * shards)


MESSAGE_WORK: Mapping[type, Callable[[Any, bool], Work]] = {Val: _shard_work, ShardEcho: _shard_work}
"""By kind of message: what handling this one takes beyond ``message``; the second argument tells whether it is one's own."""
