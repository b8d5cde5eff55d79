"""The committee's signature by FROST (RFC 9591), made robust as ROAST is (Ruffing, Ronge, Jin, Schneider-Bensch, Schröder,
*ROAST: Robust asynchronous Schnorr threshold signatures*, 2022, figure 4).

n - f members sign together; a share fits one list of their commitments to nonces, so one bad or missing share spoils it.

1. prepare a pair of nonces; its commitment travels in the member's proposal
2. on the digest to sign: attempt 0 has for signers the first n - f members, counted from the log index on, whose decided
   commitments are well formed; multicast ``SignatureShare(digest, share, offer)``, the share by signers only; the offer is
   the commitment to the member's next pair of nonces
3. on the shares of all signers of a session: combine; a signature that verifies is the output
4. if it does not verify, the shares are checked one by one, and whose share is bad is a culprit
5. attempt 0 gives way to attempt 1 at once when it has too few signers, or one of them gives a bad share, no share, or one of
   another digest; any attempt k gives way to k + 1 when n - f members have been in k or later for its timeout
   (``protocol_times``); while there are fewer, line 6 is said again each time that the timeout is over
6. whoever begins an attempt k >= 1 multicasts ``NextAttempt(k, offer)``; f + 1 members in k or later pull others along
7. the coordinator of attempt k, member (log index + k) mod n, as soon as n - f members that are no culprits have offers for k
   that are not used: multicast ``SigningSession(k, s, commitments)``, s = 0, 1, ..., f; offers for attempt 1 come with
   line 2, for later ones with line 6, and new ones with line 8
8. a signer in such a session, once, if it is named with its offer: multicast ``SessionShare(k, s, share, offer)``
9. whoever has the signature answers what belongs to a later session or attempt, or is said again, with
   ``CommitteeSignature(signature)``
10. on a valid ``CommitteeSignature``: output it

*Robust.* In attempt k only its coordinator's sessions use nonces, so a correct one knows which are unused. A session that
does not end in a signature keeps a faulty member, silent or culprit, out of the next ones of this coordinator, so f + 1 are
enough, without any timer; timers only replace coordinators. *Blame.* A coordinator that tells two lists can't make correct
signers look bad; a member that is named with nonces that it did not offer tells on the coordinator. *Nonces* are used
once: a pair is replaced before its share leaves, and an instance is never resumed after a crash. *Totality.* Who lacks the
signature that another correct member has, asks for it with its next message, at the latest when its time is over. *Together.*
Members that know the digest long before the others wait for them in an attempt: if all went on by their own clocks, and each
attempt needs every correct member, they could miss each other for ever.

Departures from ROAST: attempt 0, whose nonces are ready ahead; shares go to all and not to the coordinator, which saves a
delay; coordinators take turns instead of all running at once, because a multicast each would be n^2 sessions; a session more
is opened as soon as n - f are ready, in vain when others were only slow.

With constant delay d: signed 1d after the digest, with n (n - 1) messages. With f bad shares in attempt 0: 3d, with
n (n - 1) + n (n - 1) + (n - 1) + (n - f)(n - 1) messages. With f of its signers silent: its timeout and 2d.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TypeAlias

from ledger.kernel.automaton import NOTHING, Envelope, Fault, NodeId, Path, Step, StepBuilder
from ledger.kernel.encoding import Digest, Value
from ledger.kernel.identity import Signature
from ledger.kernel.instant import Instant
from ledger.kernel.threshold import NoncePair
from wasp.consensus.committee_protocol import Membership
from wasp.consensus.signing.anchor_signature import (
    AnchorSignature,
    MessageSigned,
    PrepareSignature,
    SignatureInput,
    SignatureOutput,
    SignaturePrepared,
    SignMessage,
)
from wasp.consensus.signing.signing_session import (
    CommitteeSignature,
    FrostSignatureMessage,
    HeldSignature,
    NextAttempt,
    Offers,
    Place,
    Progress,
    Session,
    SessionShare,
    SignatureShare,
    SigningSession,
    SigningTurns,
)

FIRST: Place = (0, 0)
"""The one session of attempt 0, which nobody coordinates."""

_Builder: TypeAlias = StepBuilder[SignatureOutput]


class FrostSignature(AnchorSignature):
    """One member's part in one signature."""

    def __init__(self, membership: Membership) -> None:
        log_index = membership.path[-1]
        assert isinstance(log_index, int)
        committee = membership.committee
        self._path: Path = (*membership.path, "signature")
        self._committee = committee
        self._me = committee.index[membership.me]
        self._key = membership.keys.signing
        self._verifier = membership.verifier
        self._rng = membership.rng
        self._times = membership.times
        self._turns = SigningTurns(committee, log_index, self._key)
        self._nonces: NoncePair | None = None
        self._digest: Digest | None = None
        self._first_shares: dict[int, SignatureShare] = {}
        self._culprits = 0
        self._attempt = 0
        self._announced = 0
        self._deadline: Instant | None = None
        self._progress = Progress(committee)
        self._offers = Offers()
        self._opened = 0
        self._sessions: defaultdict[Place, Session] = defaultdict(Session)
        self._held: HeldSignature | None = None
        self._told_by = committee.bit[membership.me]

    @property
    def started(self) -> bool:
        """Whether this member has signed."""
        return self._digest is not None

    @property
    def attempts(self) -> int:
        return self._attempt + 1

    @property
    def status(self) -> str:
        """What is waited for."""
        if self._held is not None:
            return f"signed in attempt {self._held.place[0]}"
        shares = max((len(session.shares) for session in self._sessions.values()), default=0)
        return f"signed by me {self.started}, attempt {self._attempt}, shares {shares}/{self._turns.signer_quorum}"

    @property
    def deadline(self) -> Instant | None:
        return self._deadline

    def handle_input(self, input: SignatureInput, now: Instant) -> Step[SignatureOutput]:
        match input:
            case PrepareSignature():
                assert self._nonces is None, "an instance is prepared once"
                self._nonces = self._key.make_nonces(self._rng)
                return Step(outputs=(SignaturePrepared(self._nonces.commitment),))
            case SignMessage():
                step: _Builder = StepBuilder()
                self._handle_sign_message(step, input, now)
                return step.build()

    def handle_message(self, sender: NodeId, path: Path, message: Value, now: Instant) -> Step[SignatureOutput]:
        if self._held is not None:
            return self._held.answer(sender, message)
        if isinstance(message, SignatureShare):
            return self._handle_signature_share(sender, message, now)
        step: _Builder = StepBuilder()
        match message:
            case SessionShare():
                self._handle_session_share(step, sender, message, now)
            case NextAttempt():
                self._handle_next_attempt(step, sender, message, now)
            case SigningSession():
                self._handle_signing_session(step, sender, message, now)
            case CommitteeSignature():
                self._handle_committee_signature(step, sender, message)
            case _:
                self._blame(step, sender, "unexpected_message", type(message).__name__)
        return step.build()

    def handle_timer(self, now: Instant) -> Step[SignatureOutput]:
        """Line 5: the time of the attempt is over."""
        if self._deadline is None or now < self._deadline:
            return NOTHING
        step: _Builder = StepBuilder()
        if self._progress.is_joined(self._attempt):
            self._begin(step, self._attempt + 1, now)
        else:
            self._announce(step, now)
        return step.build()

    def _handle_sign_message(self, step: _Builder, input: SignMessage, now: Instant) -> None:
        """Line 2, and the lines after it for what came before."""
        assert self._digest is None and self._nonces is not None, "an instance is prepared, and signs one message"
        self._digest = input.digest
        self._start_timer(now)
        prepared, self._nonces = self._nonces, self._key.make_nonces(self._rng)
        commitments, share = self._turns.first_list(input.preparations), None
        if commitments is not None:
            self._sessions[FIRST].open(commitments)
            if (self._me, prepared.commitment) in commitments:  # not so, if a former life that is forgotten proposed
                share = self._key.sign_share(prepared, input.digest, commitments)
        self._multicast(step, SignatureShare(input.digest, share, self._nonces.commitment))
        for member, early in list(self._first_shares.items()):
            self._follow_first_share(step, member, early, self._take_first_share(member, early), now)
        if commitments is None:
            self._begin(step, 1, now)
        for place in list(self._sessions):
            self._maybe_combine(step, place, now)
        self._maybe_join(step, now)

    def _handle_signature_share(self, sender: NodeId, message: SignatureShare, now: Instant) -> Step[SignatureOutput]:
        """Most of these only wait for others, and cost little."""
        member = self._committee.index[sender]
        known = self._first_shares.setdefault(member, message)
        if known is not message:
            if known == message:
                return NOTHING
            return Step(faults=(Fault(sender, "equivocation", self._path, "two shares of the first attempt"),))
        if self._digest is None:
            return NOTHING
        fits = self._take_first_share(member, message)
        if fits and self._attempt == 0 and len(self._sessions[FIRST].shares) < self._turns.signer_quorum:
            return NOTHING
        step: _Builder = StepBuilder()
        self._follow_first_share(step, member, message, fits, now)
        return step.build()

    def _take_first_share(self, member: int, message: SignatureShare) -> bool:
        """Whether the message has the digest of this member, and a share if its sender is a signer."""
        first = self._sessions[FIRST]
        if message.digest != self._digest or (member in first.signers) != (message.share is not None):
            return False
        self._offers.note(member, (1, 0), message.offer)
        if message.share is not None:
            first.shares[member] = (first.digest, message.share)
        return True

    def _follow_first_share(
        self, step: _Builder, member: int, message: SignatureShare, fits: bool, now: Instant
    ) -> None:
        """Lines 3, 5 and 7."""
        if fits:
            self._maybe_combine(step, FIRST, now)
            self._maybe_open_session(step)
            return
        signs = member in self._sessions[FIRST].signers
        if message.digest != self._digest:
            self._condemn(step, member, "divergent", f"signed {message.digest.hex()}")
        else:
            self._condemn(step, member, "bad_share", f"{'no' if signs else 'a'} share in the first attempt")
        if signs and self._attempt == 0:
            self._begin(step, 1, now)

    def _begin(self, step: _Builder, attempt: int, now: Instant) -> None:
        """Lines 5 and 6."""
        self._attempt, self._opened = attempt, 0
        for place in [place for place in self._sessions if 0 < place[0] < attempt]:
            del self._sessions[place]
        self._announce(step, now)
        self._maybe_open_session(step)

    def _handle_next_attempt(self, step: _Builder, sender: NodeId, message: NextAttempt, now: Instant) -> None:
        member = self._committee.index[sender]
        if not self._turns.is_place((message.attempt, 0)):
            self._blame(step, sender, "bad_attempt", "attempt 0 is never announced")
            return
        waiting = not self._progress.is_joined(self._attempt)
        self._progress.note(member, message.attempt)
        if waiting and self._progress.is_joined(self._attempt):
            self._start_timer(now)
        self._offers.note(member, (message.attempt, 0), message.offer)
        self._maybe_join(step, now)
        self._maybe_open_session(step)

    def _maybe_join(self, step: _Builder, now: Instant) -> None:
        """Line 6: a correct member has given up all attempts before this one."""
        joined = self._progress.joined
        if self._digest is not None and self._held is None and joined > self._attempt:
            self._begin(step, joined, now)

    def _maybe_open_session(self, step: _Builder) -> None:
        """Line 7. An offer that is no commitment makes a culprit; it is looked at only when it is to be used."""
        attempt = self._attempt
        if attempt == 0 or self._turns.coordinator(attempt) != self._me or self._held is not None:
            return
        while self._opened < self._turns.sessions_max:
            candidates = [member for member in self._turns.by_turn(attempt) if not self._culprits >> member & 1]
            chosen = self._offers.ready(attempt, candidates, self._turns.signer_quorum)
            if chosen is None:
                return
            malformed = [member for member, offer in chosen if not self._key.is_commitment(offer)]
            for member in malformed:
                self._condemn(step, member, "bad_commitment", "an offer that commits to nothing")
            if not malformed:
                self._offers.use(chosen)
                self._multicast(step, SigningSession(attempt, self._opened, chosen))
                self._opened += 1

    def _handle_signing_session(self, step: _Builder, sender: NodeId, message: SigningSession, now: Instant) -> None:
        place = (message.attempt, message.session)
        if not self._turns.is_place(place) or self._committee.index[sender] != self._turns.coordinator(message.attempt):
            self._blame(step, sender, "bad_session", f"session {place} is not the sender's")
        elif self._is_kept(message.attempt):
            session = self._sessions[place]
            if session.commitments is None and self._turns.is_list(message.commitments):
                session.open(message.commitments)
                self._maybe_sign(step, place)
                self._maybe_combine(step, place, now)
            elif session.commitments is None:
                self._blame(step, sender, "bad_session", "not n - f distinct members with commitments")
            elif session.commitments != message.commitments:
                self._blame(step, sender, "equivocation", f"two lists for session {place}")

    def _maybe_sign(self, step: _Builder, place: Place) -> None:
        """Line 8. Attempt 1 is open from the beginning: nobody else may use what was offered for it.

        No coordinator knows what a member offers for an attempt before the member has begun it, or knows the digest for 1.
        """
        session = self._sessions[place]
        if self._digest is None or self._held is not None or session.commitments is None or session.answered:
            return
        if place[0] != max(self._attempt, 1) or self._me not in session.signers:
            return
        session.answered = True
        assert self._nonces is not None
        if (self._me, self._nonces.commitment) not in session.commitments:
            coordinator = self._committee.members[self._turns.coordinator(place[0])]
            self._blame(
                step, coordinator, "bad_session", f"session {place} names this member with what it did not offer"
            )
            return
        nonces, self._nonces = self._nonces, self._key.make_nonces(self._rng)
        share = self._key.sign_share(nonces, self._digest, session.commitments)
        self._multicast(step, SessionShare(*place, session.digest, share, self._nonces.commitment))

    def _handle_session_share(self, step: _Builder, sender: NodeId, message: SessionShare, now: Instant) -> None:
        member, place = self._committee.index[sender], (message.attempt, message.session)
        if not self._turns.is_place(place):
            self._blame(step, sender, "bad_session", f"a share of session {place}")
            return
        self._offers.note(member, (message.attempt, message.session + 1), message.offer)
        if self._is_kept(message.attempt):
            given = (message.commitments, message.share)
            if self._sessions[place].shares.setdefault(member, given) != given:
                self._blame(step, sender, "equivocation", f"two shares of session {place}")
            self._maybe_combine(step, place, now)
        self._maybe_open_session(step)

    def _maybe_combine(self, step: _Builder, place: Place, now: Instant) -> None:
        """Lines 3, 4 and 5."""
        session = self._sessions[place]
        if self._digest is None or self._held is not None or session.failed:
            return
        commitments, shares = session.commitments, session.all_shares()
        if commitments is None or shares is None:
            return
        signature = self._key.combine(self._digest, commitments, shares)
        if signature is not None:
            self._end_with(step, signature, place)
            return
        session.failed = True
        for member, share in shares.items():
            if not self._key.verify_share(member, self._digest, commitments, share):
                self._condemn(step, member, "bad_share", f"of session {place}")
        if self._attempt == 0:
            self._begin(step, 1, now)
        self._maybe_open_session(step)

    def _handle_committee_signature(self, step: _Builder, sender: NodeId, message: CommitteeSignature) -> None:
        """Line 10. Who has no digest yet has asked for nothing. Of each member one signature is checked."""
        if self._digest is None:
            self._blame(step, sender, "unexpected_message", "a signature of what is not known yet")
        elif not self._told_by & (bit := self._committee.bit[sender]):
            self._told_by |= bit
            if self._verifier.verify(self._key.group_key, self._digest, message.signature):
                self._end_with(step, message.signature, None)
            else:
                self._blame(step, sender, "bad_signature", "not the committee's signature of the digest")

    def _end_with(self, step: _Builder, signature: Signature, place: Place | None) -> None:
        """Line 9 for those who have asked before, if it was made here, in this session."""
        self._deadline = None
        self._held = HeldSignature(signature, place or FIRST, self._committee, self._path, self._me, self._progress)
        self._first_shares.clear()
        self._sessions.clear()
        step.outputs.append(MessageSigned(signature))
        for member in self._progress.beyond(place) if place is not None else ():
            step.add(self._held.tell(self._committee.members[member]))

    def _start_timer(self, now: Instant) -> None:
        """Of the present attempt; longer when it was announced again. There is none when timers are off.

        There is no last attempt: who gave up in an outage would find nobody after it. Timeouts have a limit, and the instance
        an end.
        """
        timeout = self._times.timeout_of_attempt(max(self._attempt, self._announced))
        self._deadline = None if timeout is None else now + timeout

    def _announce(self, step: _Builder, now: Instant) -> None:
        """Line 6."""
        assert self._nonces is not None
        self._announced += 1
        self._start_timer(now)
        self._multicast(step, NextAttempt(self._attempt, self._nonces.commitment))

    def _is_kept(self, attempt: int) -> bool:
        """Sessions of the present attempt and of the next one are kept; who misses others asks for the signature later."""
        return attempt - max(self._attempt, 1) in (0, 1)

    def _multicast(self, step: _Builder, message: FrostSignatureMessage) -> None:
        step.messages.append(Envelope(self._committee.members, self._path, message))

    def _condemn(self, step: _Builder, member: int, kind: str, detail: str) -> None:
        self._culprits |= 1 << member
        self._blame(step, self._committee.members[member], kind, detail)

    def _blame(self, step: _Builder, sender: NodeId, kind: str, detail: str) -> None:
        step.faults.append(Fault(sender, kind, self._path, detail))
