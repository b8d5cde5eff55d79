import itertools

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ledger.kernel.automaton import NOTHING, Envelope, Fault, NodeId, Step
from ledger.kernel.encoding import digest, encode
from ledger.kernel.identity import ModelSigner, ModelVerifier, deal_signer
from ledger.kernel.instant import HOUR, MINUTE, SECOND
from ledger.kernel.rng import stream
from ledger.output import BasicOutput, ChainAddress, OutputId, chain_id
from wasp.batch_policy import OldestFirst
from wasp.committee import Committee
from wasp.crosschain import Inbox
from wasp.mempool import (
    ANSWER_SIZE_MAX,
    SHARED_AGAIN_MAX,
    ActiveStateMoved,
    FindRequests,
    ForgetRequests,
    InboxGrew,
    Mempool,
    RequestAnswer,
    RequestPooled,
    RequestQuery,
    RequestRefused,
    RequestsFound,
    SharedRequest,
    SharingTimes,
    SubmitRequest,
)
from wasp.off_ledger_pool import PoolLimits
from wasp.request import OnLedgerRequest, call, sign_request
from wasp.request_search import PULLS_MAX

PATH = ("mg1", "mempool")
NAMES = [NodeId(f"m{place}") for place in range(4)]
ME, PEER = NAMES[0], NAMES[1]
COMMITTEE = Committee(NAMES, [deal_signer("model", 0, name).public_key for name in NAMES], bytes(32))
USERS = [ModelSigner(digest("user", place)) for place in range(3)]
LIMITS = PoolLimits(off_ledger_max=6, nonces_ahead_max=4, time_to_live=HOUR, left_max=3)
HERE = chain_id("net", "mg1")
EVERYTHING = OldestFirst()


class FakeState:
    """Next nonces by account, and what was executed."""

    def __init__(self, nonces=(0, 0, 0), executed=()):
        self.nonces = {user.public_key: nonce for user, nonce in zip(USERS, nonces, strict=True)}
        self.executed = set(executed)

    def next_nonce(self, sender):
        return self.nonces.get(sender)

    def is_executed(self, request):
        return request in self.executed


def mempool_of(state=None, limits=LIMITS):
    inbox = Inbox(HERE, MINUTE)
    return Mempool(
        PATH, COMMITTEE, ME, ModelVerifier(), inbox, state or FakeState(), limits, SharingTimes(), stream(0, "mempool")
    )


def request_of(user, nonce, label=0, chain="mg1"):
    return sign_request(USERS[user], chain, nonce, call("counter", "add", label))


def submit(mempool, request, now=0):
    return mempool.handle_input(SubmitRequest(request), now)


def share(mempool, request, now=0, sender=PEER):
    return mempool.handle_message(sender, PATH, SharedRequest(request), now)


def pooled(request):
    return RequestPooled("mg1", request.id)


def code_of(step):
    [refused] = step.outputs
    assert isinstance(refused, RequestRefused)
    return refused.code


def proposable(mempool, now=0, policy=EVERYTHING):
    return mempool.proposable(now, policy)


def ids(*requests):
    return tuple(request.id for request in requests)


def test_a_submitted_request_is_kept_and_shared_with_the_committee():
    mempool, request = mempool_of(), request_of(0, 0)
    assert submit(mempool, request) == Step(
        (), (Envelope(COMMITTEE.members, PATH, SharedRequest(request)),), [pooled(request)]
    )
    assert proposable(mempool) == ids(request)
    assert submit(mempool, request) == Step(outputs=(pooled(request),))
    assert share(mempool, request) == NOTHING


def test_a_shared_request_is_kept_and_not_shared_again():
    mempool, request = mempool_of(), request_of(0, 0)
    assert share(mempool, request) == Step((), (), [pooled(request)])


def test_what_can_not_run_is_refused_with_a_code():
    mempool = mempool_of(FakeState((2, 0, 0)))
    forged = msgspec.structs.replace(request_of(1, 0), signature=bytes(64))
    stranger = sign_request(ModelSigner(digest("stranger")), "mg1", 0, call("counter", "add", 1))
    cases = [
        (request_of(0, 1), "old_nonce"),
        (request_of(0, 6), "nonce_ahead"),
        (request_of(0, 2, chain="mg2"), "wrong_chain"),
        (stranger, "unknown_sender"),
        (forged, "bad_signature"),
    ]
    assert [code_of(submit(mempool, request)) for request, _ in cases] == [code for _, code in cases]
    assert submit(mempool, request_of(0, 5)).outputs == [pooled(request_of(0, 5))]


def test_a_member_is_blamed_for_what_it_could_have_found_itself_and_only_for_that():
    mempool = mempool_of(FakeState((2, 0, 0)))
    forged = msgspec.structs.replace(request_of(1, 0), signature=bytes(64))
    [fault] = share(mempool, forged).faults
    assert fault == Fault(PEER, "bad_signature", PATH, "the sender did not sign the request")
    assert [fault.kind for fault in share(mempool, request_of(1, 0, chain="mg2")).faults] == ["wrong_chain"]
    assert share(mempool, request_of(0, 1)) == NOTHING
    stranger = mempool.handle_message(NodeId("stranger"), PATH, SharedRequest(request_of(1, 0)), 0)
    assert [fault.kind for fault in stranger.faults] == ["not_a_member"]


def test_the_pool_tells_which_nonces_a_request_waits_for():
    mempool = mempool_of(FakeState((2, 0, 0)))
    first, third = request_of(0, 2), request_of(0, 5)
    submit(mempool, third)
    assert mempool.pool.gap_below(third) == (2, 3, 4)
    submit(mempool, first)
    assert mempool.pool.gap_below(third) == (3, 4)
    assert mempool.pool.gap_below(first) == ()


def test_a_nonce_gap_waits_and_consecutive_nonces_are_proposable():
    mempool = mempool_of()
    first, second, fourth = request_of(0, 0), request_of(0, 1), request_of(0, 3)
    for request in (fourth, second):
        submit(mempool, request)
    assert proposable(mempool) == ()
    assert not mempool.has_proposable(0)
    submit(mempool, first)
    assert proposable(mempool) == ids(first, second)
    assert mempool.has_proposable(0)


def test_a_request_with_the_same_nonce_replaces_the_one_before():
    mempool = mempool_of()
    first, second = request_of(0, 0, 1), request_of(0, 0, 2)
    submit(mempool, first)
    detail = "the sender signed another request with its nonce"
    assert submit(mempool, second).outputs == [RequestRefused("mg1", first.id, "replaced", detail), pooled(second)]
    assert proposable(mempool) == ids(second)


def test_every_accounts_first_comes_before_anybodys_second():
    mempool = mempool_of()
    requests = {(user, nonce): request_of(user, nonce) for user, nonce in ((0, 0), (0, 1), (1, 0), (2, 0), (0, 2))}
    for request in requests.values():
        submit(mempool, request)
    order = [(0, 0), (1, 0), (2, 0), (0, 1), (0, 2)]
    assert proposable(mempool) == ids(*[requests[place] for place in order])
    assert proposable(mempool, policy=OldestFirst(off_ledger_max=4)) == ids(*[requests[place] for place in order[:4]])


def test_a_full_pool_refuses_new_requests_but_not_replacements():
    mempool = mempool_of()
    for user in (0, 1):
        for nonce in range(3):
            submit(mempool, request_of(user, nonce))
    assert code_of(submit(mempool, request_of(2, 0))) == "pool_full"
    assert submit(mempool, request_of(0, 0, 9)).outputs[1:] == [pooled(request_of(0, 0, 9))]


def test_a_request_leaves_after_its_time_to_live():
    mempool, request = mempool_of(), request_of(0, 0)
    submit(mempool, request, 5)
    assert not list(mempool.handle_timer(5 + HOUR - 1).outputs)
    assert code_of(mempool.handle_timer(5 + HOUR)) == "expired"
    assert (len(mempool.pool), mempool.has_proposable(0)) == (0, False)


def test_what_stays_in_the_pool_is_shared_again_at_doubling_intervals():
    mempool, request = mempool_of(), request_of(0, 0)
    share(mempool, request)
    again = Step((), [Envelope(COMMITTEE.members, PATH, SharedRequest(request))], [])
    instants = []
    while mempool.deadline < 200 * SECOND:
        instants.append(mempool.deadline // SECOND)
        assert mempool.handle_timer(mempool.deadline) == again
    assert instants == [5, 15, 35, 75, 155]
    assert SHARED_AGAIN_MAX == 256


def test_an_empty_pool_shares_nothing_and_has_no_deadline():
    mempool, request = mempool_of(), request_of(0, 0)
    submit(mempool, request)
    mempool.handle_input(ActiveStateMoved(FakeState((1, 0, 0)), (request,)), 1)
    assert mempool.handle_timer(5 * SECOND) == NOTHING
    assert mempool.deadline is None


def test_executed_requests_leave_and_so_does_what_their_nonces_pass():
    mempool = mempool_of()
    executed, rival, later = request_of(0, 0, 1), request_of(0, 0, 2), request_of(0, 1)
    for request in (rival, later):
        submit(mempool, request)
    step = mempool.handle_input(ActiveStateMoved(FakeState((1, 0, 0)), (executed,)), 0)
    assert code_of(step) == "old_nonce"
    assert proposable(mempool) == ids(later)


def test_undone_requests_come_back_unless_the_new_active_state_has_executed_them():
    mempool = mempool_of(FakeState((1, 1, 0)))
    back, done = request_of(0, 0), request_of(1, 0)
    moved = ActiveStateMoved(FakeState((0, 1, 0)), (done,), (back, done))
    assert mempool.handle_input(moved, 0).outputs == [pooled(back)]
    assert proposable(mempool) == ids(back)


def test_an_undone_request_does_not_take_the_place_of_one_that_waits():
    mempool = mempool_of()
    waiting, undone = request_of(0, 0, 1), request_of(0, 0, 2)
    submit(mempool, waiting)
    assert mempool.handle_input(ActiveStateMoved(FakeState(), (), (undone,)), 0) == NOTHING
    assert proposable(mempool) == ids(waiting)


def test_an_undone_request_with_a_forged_signature_does_not_come_back():
    """Chain blocks that were fetched commit to requests without their signatures."""
    mempool = mempool_of(FakeState((1, 0, 0)))
    forged = msgspec.structs.replace(request_of(0, 0), signature=bytes(64))
    assert mempool.handle_input(ActiveStateMoved(FakeState(), (), (forged,)), 0) == NOTHING
    assert len(mempool.pool) == 0


# ------------------------------------------------------------------------------------------ requests of a batch


def find(mempool, *requests, log_index=7, now=0):
    return mempool.handle_input(FindRequests(log_index, ids(*requests)), now)


def test_a_batch_whose_requests_are_here_is_found_at_once_in_its_order():
    mempool = mempool_of()
    first, second = request_of(0, 0), request_of(1, 0)
    submit(mempool, first)
    submit(mempool, second)
    assert find(mempool, second, first).outputs == [RequestsFound(7, (second, first))]
    assert mempool.search.deadline is None


def test_missing_requests_are_asked_for_until_they_come():
    mempool = mempool_of()
    here, missing = request_of(0, 0), request_of(1, 0)
    submit(mempool, here)
    [question] = find(mempool, here, missing).messages
    assert (len(question.recipients), ME in question.recipients) == (2, False)
    assert question.message == RequestQuery(ids(missing))
    instants = []
    while len(instants) < PULLS_MAX - 1:
        instants.append(mempool.search.deadline)
        [again] = [
            envelope.message
            for envelope in mempool.handle_timer(mempool.search.deadline).messages
            if isinstance(envelope.message, RequestQuery)
        ]
        assert again == RequestQuery(ids(missing))
    assert [later - earlier for earlier, later in itertools.pairwise(instants)][:7] == [
        SECOND << place for place in (0, 1, 2, 3, 4, 5, 5)
    ]
    mempool.handle_timer(mempool.search.deadline)
    assert mempool.search.deadline is None
    step = mempool.handle_message(PEER, PATH, RequestAnswer((missing,)), 0)
    assert step.outputs == [pooled(missing), RequestsFound(7, (here, missing))]


def test_a_request_that_is_shared_late_completes_the_batch():
    mempool, missing = mempool_of(), request_of(1, 0)
    find(mempool, missing)
    assert share(mempool, missing).outputs == [pooled(missing), RequestsFound(7, (missing,))]


def test_an_answer_without_the_senders_signature_is_a_fault_and_helps_nobody():
    mempool, missing = mempool_of(), request_of(1, 0)
    find(mempool, missing)
    forged = msgspec.structs.replace(missing, signature=bytes(64))
    step = mempool.handle_message(PEER, PATH, RequestAnswer((forged,)), 0)
    assert ([fault.kind for fault in step.faults], list(step.outputs)) == (["bad_signature"], [])
    assert mempool.search.missing() == {missing.id: None}


def test_an_answer_that_nobody_waits_for_is_ignored():
    mempool = mempool_of()
    step = mempool.handle_message(PEER, PATH, RequestAnswer((request_of(1, 0),)), 0)
    assert (list(step.outputs), list(step.faults), len(mempool.pool)) == ([], [], 0)


def test_a_batch_may_name_what_was_executed_here_a_short_while_ago():
    mempool = mempool_of()
    requests = [request_of(0, nonce) for nonce in range(4)]
    mempool.handle_input(ActiveStateMoved(FakeState((4, 0, 0)), tuple(requests)), 0)
    assert find(mempool, *requests[1:]).outputs == [RequestsFound(7, tuple(requests[1:]))]
    assert mempool.pool.held(requests[0].id) is None


def test_forgotten_requests_are_no_longer_asked_for():
    mempool = mempool_of()
    find(mempool, request_of(1, 0))
    mempool.handle_input(ForgetRequests(7), 0)
    assert mempool.handle_timer(mempool.search.deadline) == NOTHING
    assert mempool.deadline is None


def test_an_on_ledger_request_comes_from_the_own_view_of_layer_1_only():
    mempool = mempool_of()
    request = OnLedgerRequest(OutputId(digest("out"), 0), BasicOutput(5, ChainAddress(HERE)))
    assert find(mempool, request).outputs == []
    mempool.inbox.add(request.output_id, request.output)
    assert mempool.handle_input(InboxGrew(), 0).outputs == [RequestsFound(7, (request,))]
    assert proposable(mempool) == ids(request)
    mempool.handle_input(ActiveStateMoved(FakeState(executed=[request.id]), (request,)), 0)
    assert proposable(mempool) == ()
    mempool.handle_input(ActiveStateMoved(FakeState(), (), (request,)), 0)
    assert proposable(mempool) == ids(request)


def test_a_question_is_answered_with_what_is_here_as_much_as_fits():
    big = b"x" * 60_000
    limits = msgspec.structs.replace(LIMITS, off_ledger_max=100, nonces_ahead_max=100)
    mempool = mempool_of(limits=limits)
    requests = [sign_request(USERS[0], "mg1", nonce, call("counter", "add", big)) for nonce in range(12)]
    for request in requests:
        submit(mempool, request)
    fit = ANSWER_SIZE_MAX // len(encode(requests[0]))
    question = RequestQuery((digest("unknown"), *ids(*requests)))
    [answer] = mempool.handle_message(PEER, PATH, question, 0).messages
    assert answer == Envelope((PEER,), PATH, RequestAnswer(tuple(requests[:fit])))
    assert mempool.handle_message(PEER, PATH, RequestQuery((digest("unknown"),)), 0) == NOTHING


class PoolMachine(RuleBasedStateMachine):
    """Any sequence of submissions, blocks and re-bases, against a plain model: all requests by account and nonce."""

    @initialize()
    def start(self):
        self.mempool = mempool_of(limits=msgspec.structs.replace(LIMITS, off_ledger_max=8))
        self.nonces = [0, 0, 0]
        self.model = {}
        self.history = []
        self.now = 0

    def active(self):
        return FakeState(tuple(self.nonces))

    @rule(user=st.integers(0, 2), ahead=st.integers(-2, 6), label=st.integers(0, 2), submitted=st.booleans())
    def comes(self, user, ahead, label, submitted):
        nonce = self.nonces[user] + ahead
        if nonce < 0:
            return
        request = request_of(user, nonce, label)
        if submitted:
            submit(self.mempool, request, self.now)
        else:
            assert not share(self.mempool, request, self.now).faults
        room = len(self.model) < 8 or (user, nonce) in self.model
        if 0 <= ahead < LIMITS.nonces_ahead_max and room:
            self.model[user, nonce] = request

    @precondition(lambda self: self.mempool.has_proposable(0))
    @rule(count=st.integers(1, 4))
    def a_block_is_anchored(self, count):
        chosen = set(proposable(self.mempool)[:count])
        block = [request for request in self.model.values() if request.id in chosen]
        self.history.append((tuple(self.nonces), tuple(block)))
        for (user, nonce), request in list(self.model.items()):
            if request.id in chosen:
                self.nonces[user] = max(self.nonces[user], nonce + 1)
                del self.model[user, nonce]
        self.mempool.handle_input(ActiveStateMoved(self.active(), tuple(block)), self.now)

    @precondition(lambda self: self.history)
    @rule()
    def a_block_is_undone(self):
        nonces, block = self.history.pop()
        self.nonces = list(nonces)
        self.mempool.handle_input(ActiveStateMoved(self.active(), (), block), self.now)
        for request in block:
            user = next(place for place, signer in enumerate(USERS) if signer.public_key == request.essence.sender)
            if len(self.model) < 8:
                self.model.setdefault((user, request.essence.nonce), request)

    @rule(time=st.integers(1, HOUR // 2))
    def time_passes(self, time):
        since = {pooled.request.id: pooled.since for pooled in self.mempool.pool}
        self.now += time
        self.mempool.handle_timer(self.now)
        self.model = {place: request for place, request in self.model.items() if self.now < since[request.id] + HOUR}

    @invariant()
    def it_holds_what_the_model_holds(self):
        held = {pooled.request.id for pooled in self.mempool.pool}
        assert held == {request.id for request in self.model.values()}
        assert len(self.mempool.pool) == len(held) <= 8

    @invariant()
    def it_proposes_all_consecutive_nonces_of_every_account_in_order(self):
        expected = set()
        for user in range(3):
            nonce = self.nonces[user]
            while (user, nonce) in self.model:
                expected.add(self.model[user, nonce].id)
                nonce += 1
        chosen = proposable(self.mempool)
        assert (set(chosen), len(chosen)) == (expected, len(expected))
        assert self.mempool.has_proposable(0) == bool(expected)
        nonces = {request.id: request.essence.nonce for request in self.model.values()}
        senders = {request.id: request.essence.sender for request in self.model.values()}
        for user in USERS:
            mine = [nonces[chosen_id] for chosen_id in chosen if senders[chosen_id] == user.public_key]
            assert mine == sorted(mine)


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
