import msgspec

from ledger.kernel.automaton import NOTHING, Envelope, Fault, NodeId, Record, Step
from ledger.kernel.encoding import digest, encode, pack
from ledger.kernel.identity import deal_signer
from ledger.kernel.instant import MILLISECOND
from ledger.kernel.rng import stream
from ledger.output import OutputId
from node.record_places import unsuperseded
from wasp import state_manager
from wasp.chain_block import ChainBlock, first_block
from wasp.committee import Committee
from wasp.state import EMPTY_STATE, Mutation
from wasp.state_manager import (
    ANSWER_SIZE_MAX,
    BLOCKS_PER_ANSWER_MAX,
    BlocksFetched,
    ChainBlockAnswer,
    ChainBlockQuery,
    FetchTimes,
    SeekBlocks,
    StateManager,
    StateSnapshot,
)

PATH = ("mg1", "state")
NAMES = [NodeId(f"m{place}") for place in range(4)]
ME, PEER = NAMES[0], NAMES[1]
COMMITTEE = Committee(NAMES, [deal_signer("model", 0, name).public_key for name in NAMES], bytes(32))
GENESIS = first_block("mg1", EMPTY_STATE)


def grown(count, label="a", size=0, base=(GENESIS, EMPTY_STATE)):
    """Blocks with their states, each on the one before."""
    line = []
    block, state = base
    for _ in range(count):
        mutations = (Mutation(("counter", label), pack((block.index + 1, bytes(size)))),)
        state = state.apply(mutations)
        block = ChainBlock(
            "mg1",
            block.index + 1,
            block.digest,
            OutputId(digest("base", block.index), 0),
            block.timestamp + 1,
            block.index + 1,
            (),
            mutations,
            state.root,
        )
        line.append((block, state))
    return line


def manager():
    return StateManager(PATH, COMMITTEE, ME, GENESIS, EMPTY_STATE, FetchTimes(), stream(0, "states"))


def holding(line):
    states = manager()
    for block, state in line:
        states.hold(block, state)
    return states


def seek(states, *blocks, now=0):
    return states.handle_input(SeekBlocks(tuple(block.digest for block in blocks)), now)


def answer(states, *blocks, sender=PEER):
    return states.handle_message(sender, PATH, ChainBlockAnswer(blocks), 0)


def test_an_executed_block_is_held_and_a_record_once():
    states = manager()
    [(block, state)] = grown(1)
    assert states.hold(block, state) == Step(records=(Record((*PATH, 0), block),))
    assert states.hold(block, state) == NOTHING
    assert (states.block(block.digest), states.state(block.digest)) == (block, state)


def test_blocks_that_are_sought_are_asked_for_and_replayed_from_the_held_one_up():
    line = grown(3)
    states = manager()
    [question] = seek(states, line[2][0]).messages
    assert question.message == ChainBlockQuery(line[2][0].digest, 0)
    assert (len(question.recipients), ME in question.recipients) == (2, False)
    blocks = [block for block, _ in reversed(line)]
    step = answer(states, *blocks)
    assert step.outputs == (BlocksFetched((line[2][0].digest,)),)
    assert step.records == [Record((*PATH, 0), block) for block, _ in line]
    assert states.state(line[2][0].digest).root == line[2][1].root
    assert states.deadline is None


def test_a_partial_answer_is_followed_by_a_question_for_the_rest():
    line = grown(4)
    states = manager()
    seek(states, line[3][0])
    step = answer(states, line[3][0], line[2][0])
    assert [envelope.message for envelope in step.messages] == [ChainBlockQuery(line[1][0].digest, 0)]
    assert step.outputs == ()
    assert answer(states, line[1][0], line[0][0]).outputs == (BlocksFetched((line[3][0].digest,)),)


def test_held_blocks_are_not_sought_and_a_repeated_wish_asks_nobody():
    line = grown(2)
    states = holding(line[:1])
    assert seek(states, line[0][0]) == NOTHING
    assert seek(states, line[1][0]).messages
    assert seek(states, line[1][0]) == NOTHING
    seek(states)
    assert (states.deadline, answer(states, line[1][0])) == (None, NOTHING)


def test_without_an_answer_others_are_asked_at_doubling_intervals():
    states = manager()
    seek(states, grown(1)[0][0])
    instants, asked = [], set()
    for _ in range(9):
        instants.append(states.deadline)
        assert states.handle_timer(states.deadline - 1) == NOTHING
        [question] = states.handle_timer(states.deadline).messages
        asked |= set(question.recipients)
    waits = [after - before for before, after in zip([0, *instants[:-1]], instants, strict=True)]
    assert waits == [500 * MILLISECOND << place for place in (0, 1, 2, 3, 4, 5, 6, 6, 6)]
    assert asked == set(NAMES[1:])


def test_a_chain_of_blocks_that_does_not_hang_together_is_a_fault():
    line = grown(3)
    states = manager()
    seek(states, line[2][0])
    [fault] = answer(states, line[2][0], line[0][0]).faults
    assert fault == Fault(PEER, "broken_answer", PATH, "a chain block that the one above does not name")


def test_an_answer_that_nobody_asked_for_is_ignored_and_a_strangers_is_a_fault():
    states = manager()
    assert answer(states, grown(1)[0][0]) == NOTHING
    assert [fault.kind for fault in answer(states, grown(1)[0][0], sender=NodeId("x")).faults] == ["not_a_member"]


def test_a_block_that_does_not_lead_to_its_state_root_is_never_held_and_no_peer_is_blamed():
    [(block, _)] = grown(1)
    lie = msgspec.structs.replace(block, state_root=digest("another root"))
    states = manager()
    seek(states, lie)
    step = answer(states, lie)
    assert (list(step.records), list(step.faults), states.state(lie.digest)) == ([], [], None)
    assert states.deadline is None
    assert "1 blocks do not lead to their state root" in states.status


def test_an_answer_holds_what_the_asker_lacks_newest_first():
    line = grown(6)
    states = holding(line)
    question = ChainBlockQuery(line[4][0].digest, 2)
    [envelope] = states.handle_message(PEER, PATH, question, 0).messages
    blocks = tuple(line[place][0] for place in (4, 3, 2))
    assert envelope == Envelope((PEER,), PATH, ChainBlockAnswer(blocks))
    assert states.handle_message(PEER, PATH, ChainBlockQuery(GENESIS.digest, 0), 0) == NOTHING
    assert states.handle_message(PEER, PATH, ChainBlockQuery(digest("unknown"), 0), 0) == NOTHING


def test_an_answer_is_bounded_in_blocks_and_in_bytes():
    line = grown(BLOCKS_PER_ANSWER_MAX + 5)
    [envelope] = holding(line).handle_message(PEER, PATH, ChainBlockQuery(line[-1][0].digest, 0), 0).messages
    assert len(envelope.message.blocks) == BLOCKS_PER_ANSWER_MAX
    line = grown(12, size=60_000)
    [envelope] = holding(line).handle_message(PEER, PATH, ChainBlockQuery(line[-1][0].digest, 0), 0).messages
    assert len(envelope.message.blocks) == ANSWER_SIZE_MAX // len(encode(line[-1][0]))


def test_branches_stand_side_by_side_until_one_is_confirmed():
    line, branch = grown(3), grown(2, "b")
    states = holding([*line, *branch])
    states.settle(line[1][0])
    assert [states.state(block.digest) is None for block, _ in line] == [True, False, False]
    assert states.block(line[0][0].digest) == line[0][0]
    assert states.state(branch[1][0].digest) is not None


def test_states_are_restored_from_records_alone_and_what_stands_on_nothing_is_left_out():
    line = grown(4)
    states = manager()
    states.restore([block for block, _ in (*line[:2], line[3])])
    assert [states.state(block.digest) is not None for block, _ in line] == [True, True, False, False]
    assert states.state(line[1][0].digest).root == line[1][1].root


# --------------------------------------------------------------------------------------------------------- snapshots


def kept_of_a_life(count, patch, keep=4, every=3):
    """The records of a member that confirmed so many blocks, one by one, and what its disk keeps of them."""
    patch.setattr(state_manager, "BLOCKS_KEPT", keep)
    patch.setattr(state_manager, "SNAPSHOT_INTERVAL", every)
    states, records = manager(), []
    line = grown(count)
    for block, state in line:
        records += states.hold(block, state).records
        states.settle(block)
        records += states.maybe_snapshot(block).records
    return line, records, unsuperseded(records)


def test_a_snapshot_takes_the_place_of_the_last_one_and_of_the_oldest_blocks(monkeypatch):
    """With four blocks to a path and a snapshot every third block."""
    _line, records, kept = kept_of_a_life(14, monkeypatch)
    snapshots = [record for record in records if isinstance(record.value, StateSnapshot)]
    assert [record.value.block.index for record in snapshots] == [3, 6, 9, 12]
    assert [record.supersedes for record in snapshots] == [
        ((*PATH, "snapshot"),),
        ((*PATH, "snapshot"),),
        ((*PATH, "snapshot"), (*PATH, 0)),
        ((*PATH, "snapshot"), (*PATH, 1)),
    ]
    assert [record.value.index for record in kept if isinstance(record.value, ChainBlock)] == [*range(8, 15)]
    assert [record.value for record in kept if isinstance(record.value, StateSnapshot)] == [snapshots[-1].value]


def test_a_disk_keeps_at_least_as_many_blocks_as_others_may_ask_for_and_at_most_twice_as_many(monkeypatch):
    for count in range(40):
        _, _, kept = kept_of_a_life(count, monkeypatch)
        blocks = [record.value.index for record in kept if isinstance(record.value, ChainBlock)]
        assert blocks == [*range(count + 1 - len(blocks), count + 1)]
        assert min(count, 4) <= len(blocks) <= 2 * 4 + 3


def test_a_restarted_member_begins_with_its_last_snapshot_and_serves_what_it_keeps(monkeypatch):
    for count in range(1, 30):
        line, _records, kept = kept_of_a_life(count, monkeypatch)
        states = manager()
        start = states.restore([record.value for record in kept])
        last = count // 3 * 3
        assert (start is None) == (last == 0)
        if start is not None:
            assert (start[0], start[1].root) == (line[last - 1][0], line[last - 1][1].root)
        assert states.state(line[-1][0].digest).root == line[-1][1].root
        states.settle(line[-1][0])
        asked = states.handle_message(PEER, PATH, ChainBlockQuery(line[-1][0].digest, 0), 0)
        served = [block.index for block in asked.messages[0].message.blocks]
        assert served == [*range(count, max(0, count - len(served)), -1)] and len(served) >= min(count, 4)


def test_a_restarted_member_goes_on_with_snapshots_where_its_former_life_ended(monkeypatch):
    line, _records, kept = kept_of_a_life(14, monkeypatch)
    states = manager()
    states.restore([record.value for record in kept])
    assert states.maybe_snapshot(line[13][0]) == NOTHING
    [after] = grown(1, base=line[13])
    states.hold(*after)
    [record] = states.maybe_snapshot(after[0]).records
    assert record.value == StateSnapshot(after[0], after[1].mutations())
    assert record.supersedes == ((*PATH, "snapshot"),)


def test_blocks_that_were_skipped_by_a_member_that_was_away_are_superseded_too(monkeypatch):
    """It fetches twenty blocks at once: the one snapshot after that names all paths that nobody needs."""
    monkeypatch.setattr(state_manager, "BLOCKS_KEPT", 4)
    line, states = grown(20), manager()
    seek(states, line[-1][0])
    records = [*answer(states, *[block for block, _ in reversed(line)]).records]
    states.settle(line[-1][0])
    monkeypatch.setattr(state_manager, "SNAPSHOT_INTERVAL", 3)
    [snapshot] = states.maybe_snapshot(line[-1][0]).records
    assert snapshot.supersedes == ((*PATH, "snapshot"), *[(*PATH, place) for place in range(4)])
    kept = unsuperseded([*records, snapshot])
    assert [record.value.index for record in kept if isinstance(record.value, ChainBlock)] == [16, 17, 18, 19, 20]


def test_a_state_that_is_too_large_for_a_record_has_no_snapshot_and_loses_no_block(monkeypatch):
    monkeypatch.setattr(state_manager, "SNAPSHOT_SIZE_MAX", 100)
    _, records, kept = kept_of_a_life(14, monkeypatch)
    assert records == kept and len(records) == 14


def test_a_snapshot_is_never_asked_for_more_than_once_in_an_interval(monkeypatch):
    line, _records, _ = kept_of_a_life(6, monkeypatch)
    states = manager()
    for block, state in line:
        states.hold(block, state)
    assert states.maybe_snapshot(line[1][0]) == NOTHING
    assert len(states.maybe_snapshot(line[2][0]).records) == 1
    assert states.maybe_snapshot(line[2][0]) == NOTHING
    assert states.maybe_snapshot(line[4][0]) == NOTHING
    assert len(states.maybe_snapshot(line[5][0]).records) == 1
