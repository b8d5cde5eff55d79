"""Who is at the other end of a connection: mutual challenge and response, and the connection's keys; sans I/O.

ISO/IEC 9798-3 (mutual authentication in three passes) with an exchange of ephemeral keys under the signatures, as in the
station-to-station protocol (Diffie, van Oorschot, Wiener 1992) and SIGMA (Krawczyk 2003). D dials, R responds::

    T(role) = digest("peering", version, role, hello, challenge, D's public key, R's public key)

1. D -> R  hello: network, both names, D's session, nonce and ephemeral key. The version is told before it, in the clear.
2. R refuses another version or network, then a name that is not its own, then a D that is itself or unknown.
3. R -> D  challenge: R's session, nonce and ephemeral key; with R's Ed25519 signature of T("responder").
4. D verifies it with the key that it knows R by.
5. D -> R  proof: D's signature of T("dialler"), which R verifies with the key that it knows D by.
6. Both: a key per direction by X25519 of the ephemeral keys (libsodium's crypto_kx), each hashed with T("keys").

What is protected, against somebody who reads, changes, drops and repeats all that passes:

- *Identity.* Each signature covers both names, both public keys, both nonces, both ephemeral keys, network and version. A
  replayed message meets a fresh nonce; a reflected one the other role; one relayed to a third node another responder's name.
- *Frames.* They are encrypted and authenticated with the connection's keys (``sealing``), and numbered: what is changed,
  repeated, left out or put in by somebody in the middle ends the connection, and nothing of it is handled.
- *The past.* Ephemeral keys are forgotten with the connection: who steals a host's key later can't read what was sent
  before.

What is not: that two nodes talk, how much and when, is seen. Who sits in the middle can close connections, and can forge
refusals, which are therefore logged and otherwise taken as a failure to connect. A stolen host key is the host. Names
and network travel in the clear. A stranger can make R compute one signature per connection; how many, ``newcomers`` limits.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import nacl.bindings
import nacl.exceptions

from ledger.kernel.automaton import NodeId
from ledger.kernel.encoding import Codec, Digest, Frozen, Natural, Value, digest, encode
from ledger.kernel.identity import PublicKey, RealVerifier, Signature, Signer
from ledger.kernel.rejection import Rejected, require

PEERING_VERSION = 1
"""Of the handshake and of the frames: nodes of two versions do not talk."""
NONCE_SIZE = 32
HANDSHAKE_SIZE_MAX = 1024
"""Bytes of the largest message of a handshake: three names of at most 64 letters, and keys."""
SHOWN_MAX = 64
"""Letters of a stranger's text that are repeated to anybody."""

Nonce = Annotated[bytes, msgspec.Meta(min_length=NONCE_SIZE, max_length=NONCE_SIZE)]
EphemeralKey = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class PeerHello(Value):
    """The dialler says who it is and whom it means."""

    network: str
    dialler: str
    responder: str
    session: Natural
    nonce: Nonce
    ephemeral_key: EphemeralKey


class PeerChallenge(Value):
    """What the responder adds of its own."""

    session: Natural
    nonce: Nonce
    ephemeral_key: EphemeralKey


class PeerAnswer(Value):
    """The challenge, signed: the responder is who the dialler means."""

    challenge: PeerChallenge
    signature: Signature


class PeerProof(Value):
    """The dialler is who it says."""

    signature: Signature


class Identity(Frozen):
    """Who a node is, and whom it knows."""

    me: NodeId
    signer: Signer
    network: str
    session: int
    """The node's incarnation: a peer's rises with each of its starts."""
    peers: Mapping[NodeId, PublicKey]


class ConnectionKeys(Frozen):
    """One secret per direction, of one connection."""

    sending: bytes
    receiving: bytes


_HELLO = Codec[PeerHello](PeerHello, HANDSHAKE_SIZE_MAX)
_ANSWER = Codec[PeerAnswer](PeerAnswer, HANDSHAKE_SIZE_MAX)
_PROOF = Codec[PeerProof](PeerProof, HANDSHAKE_SIZE_MAX)
_verify = RealVerifier().verify


class DiallerHandshake:
    """The side that dialled. Errors of the handler: ``Rejected``."""

    def __init__(self, identity: Identity, responder: NodeId) -> None:
        self._identity = identity
        self.responder = responder
        public, self._secret = nacl.bindings.crypto_kx_keypair()
        self._hello = PeerHello(identity.network, identity.me, responder, identity.session, _nonce(), public)
        self.hello = encode(self._hello)
        """What is sent first."""
        self.keys: ConnectionKeys | None = None
        self.peer_session = 0

    def handle_answer(self, data: bytes) -> bytes:
        """The proof, for an answer that only the responder can have given (4, 5)."""
        answer = _ANSWER.decode(data)
        challenge, known = answer.challenge, self._identity.peers[self.responder]
        transcript = _Transcript(self.hello, challenge, self._identity.signer.public_key, known)
        require(
            _verify(known, transcript.digest("responder"), answer.signature),
            "bad_signature",
            f"who answered for {self.responder} does not have the key that {self.responder} is known by",
        )
        receiving, sending = _agreed(
            nacl.bindings.crypto_kx_client_session_keys,
            self._hello.ephemeral_key,
            self._secret,
            challenge.ephemeral_key,
        )
        self.keys = transcript.keys(sending, receiving)
        self.peer_session = challenge.session
        return encode(PeerProof(self._identity.signer.sign(transcript.digest("dialler"))))


class ResponderHandshake:
    """The side that was dialled. Errors, of the constructor as well: ``Rejected``."""

    def __init__(self, identity: Identity, data: bytes) -> None:
        hello = _HELLO.decode(data)
        _check_hello(identity, hello)
        public, self._secret = nacl.bindings.crypto_kx_keypair()
        challenge = PeerChallenge(identity.session, _nonce(), public)
        self._hello, self._challenge = hello, challenge
        self.peer = NodeId(hello.dialler)
        """Who the dialler says it is: believed only when the proof has been handled."""
        self.peer_session = hello.session
        self._known = identity.peers[self.peer]
        self._transcript = _Transcript(data, challenge, self._known, identity.signer.public_key)
        self.answer = encode(PeerAnswer(challenge, identity.signer.sign(self._transcript.digest("responder"))))
        """What is sent back."""

    def handle_proof(self, data: bytes) -> ConnectionKeys:
        """The keys, when the dialler is who it says (5, 6)."""
        proof = _PROOF.decode(data)
        require(
            _verify(self._known, self._transcript.digest("dialler"), proof.signature),
            "bad_signature",
            f"who says it is {self.peer} does not have the key that {self.peer} is known by",
        )
        receiving, sending = _agreed(
            nacl.bindings.crypto_kx_server_session_keys,
            self._challenge.ephemeral_key,
            self._secret,
            self._hello.ephemeral_key,
        )
        return self._transcript.keys(sending, receiving)


class _Transcript:
    """All that both sides have said, and who they are."""

    def __init__(self, hello: bytes, challenge: PeerChallenge, dialler: PublicKey, responder: PublicKey) -> None:
        self._said = (hello, encode(challenge), dialler, responder)

    def digest(self, role: str) -> Digest:
        """What the signature of this role covers."""
        return digest("peering", PEERING_VERSION, role, *self._said)

    def keys(self, sending: bytes, receiving: bytes) -> ConnectionKeys:
        """The agreed keys, bound to the transcript (6)."""
        bound = self.digest("keys")
        return ConnectionKeys(digest("peering key", sending, bound), digest("peering key", receiving, bound))


def check_version(told: str) -> None:
    """Refuse a dialler of another version, by what it told (2).

    Errors: ``Rejected("wrong_version", ...)``.
    """
    require(
        told == str(PEERING_VERSION),
        "wrong_version",
        f"peering of version {shown(told)} meets a node of version {PEERING_VERSION}: one of them is to be updated",
    )


def _check_hello(identity: Identity, hello: PeerHello) -> None:
    me = identity.me
    require(
        hello.network == identity.network,
        "wrong_network",
        f"a node of network {shown(hello.network)} meets {me} of network {shown(identity.network)}",
    )
    require(
        hello.responder == me, "wrong_name", f"{shown(hello.responder)} is called where {me} listens: check the address"
    )
    require(hello.dialler != me, "reflected", f"somebody calls {me} by its own name")
    require(
        NodeId(hello.dialler) in identity.peers,
        "unknown_peer",
        f"{me} has no peer with the name {shown(hello.dialler)}",
    )


def shown(text: str, letters_max: int = SHOWN_MAX) -> str:
    """A stranger's text, quoted, without anything that a terminal or a log would obey, and cut."""
    return ascii(text[:letters_max])


def _agreed(exchange: Any, public: bytes, secret: bytes, theirs: bytes) -> tuple[bytes, bytes]:
    """The keys for receiving and for sending."""
    try:
        receiving, sending = exchange(public, secret, theirs)
    except nacl.exceptions.CryptoError:
        raise Rejected("bad_key", "an ephemeral key that gives the same secret to everybody") from None
    return receiving, sending


def _nonce() -> bytes:
    return os.urandom(NONCE_SIZE)
