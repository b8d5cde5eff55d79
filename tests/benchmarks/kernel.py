"""The kernel: encoding, digests, signatures of both kinds, Merkle branches."""

from collections.abc import Callable

from ledger.kernel.encoding import Codec, Digest, Natural, Value, digest, digest_of, encode, pack, unpack
from ledger.kernel.identity import CryptoKind, deal_signer, verifier
from ledger.kernel.merkle import MerkleTree, verify_branch
from tests.benchmarks.rate import Benchmark, repeated


class BenchmarkVote(Value):
    """As large as the votes of a protocol are."""

    round: Natural
    value: Digest
    signature: bytes


VOTE = BenchmarkVote(17, bytes(range(32)), bytes(64))
PARAMETERS = ("mg1", 17, ("home1", 420, 11_000_000), b"0123456789abcdef", None, True)
MESSAGE = bytes(200)


def encoding() -> Callable[[], int]:
    return repeated(lambda: encode(VOTE))


def decoding() -> Callable[[], int]:
    decode, data = Codec[BenchmarkVote](BenchmarkVote).decode, encode(VOTE)
    return repeated(lambda: decode(data))


def packing() -> Callable[[], int]:
    return repeated(lambda: pack(PARAMETERS))


def unpacking() -> Callable[[], int]:
    data = pack(PARAMETERS)
    return repeated(lambda: unpack(data))


def digesting_values() -> Callable[[], int]:
    return repeated(lambda: digest_of(VOTE))


def digesting_parts() -> Callable[[], int]:
    return repeated(lambda: digest("label", 17, b"0123456789abcdef"))


def signing(kind: CryptoKind) -> Callable[[], Callable[[], int]]:
    signer = deal_signer(kind, 1, "benchmark")
    return lambda: repeated(lambda: signer.sign(MESSAGE), 100)


def verifying(kind: CryptoKind) -> Callable[[], Callable[[], int]]:
    signer, verify = deal_signer(kind, 1, "benchmark"), verifier(kind).verify
    signature = signer.sign(MESSAGE)
    return lambda: repeated(lambda: verify(signer.public_key, MESSAGE, signature), 100)


def building_trees() -> Callable[[], int]:
    leaves = [index.to_bytes(4, "big") for index in range(1000)]
    return repeated(lambda: MerkleTree(leaves).root, 1)


def verifying_branches() -> Callable[[], int]:
    tree = MerkleTree([index.to_bytes(4, "big") for index in range(1000)])
    root, leaf, branch = tree.root, (7).to_bytes(4, "big"), tree.branch(7)
    return repeated(lambda: verify_branch(root, leaf, branch), 100)


BENCHMARKS = (
    Benchmark("encode a typed value (116 bytes)", "values", encoding),
    Benchmark("decode a typed value, canonical form checked", "values", decoding),
    Benchmark("pack a plain value", "values", packing),
    Benchmark("unpack a plain value, canonical form checked", "values", unpacking),
    Benchmark("digest of a typed value", "digests", digesting_values),
    Benchmark("digest of parts", "digests", digesting_parts),
    Benchmark("sign 200 bytes, model", "signatures", signing("model")),
    Benchmark("verify 200 bytes, model", "signatures", verifying("model")),
    Benchmark("sign 200 bytes, real", "signatures", signing("real")),
    Benchmark("verify 200 bytes, real", "signatures", verifying("real")),
    Benchmark("Merkle tree of 1,000 leaves", "trees", building_trees),
    Benchmark("verify a branch of 1,000 leaves", "branches", verifying_branches),
)
