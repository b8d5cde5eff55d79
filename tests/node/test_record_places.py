from ledger.kernel.automaton import Record
from node.record_places import RecordPlaces, unsuperseded
from tests.harness.toys import ToyPong


def test_places_are_found_by_path_and_below_and_taken_once():
    places = RecordPlaces()
    for place, path in enumerate([("a",), ("a", 1), ("ab",), ("a", 1), ("a", 1, "x")]):
        places.note(path, place)
    assert places.below(()) == places.take_below(()) == []
    assert places.below([("a", 1)]) == [1, 3, 4]
    assert places.below([("a", 1), ("a",), ("nothing",)]) == [0, 1, 3, 4]
    assert places.take_below([("a", 1)]) == [1, 3, 4]
    assert places.below([("a",), ("ab",)]) == [0, 2]


def test_a_record_supersedes_what_stands_before_it_and_neither_itself_nor_what_follows():
    a, b = ("a",), ("a", 1)
    records = [Record(b, ToyPong(0)), Record(a, ToyPong(1), (a,)), Record(b, ToyPong(2)), Record(b, ToyPong(3), (b,))]
    assert unsuperseded(records) == [records[1], records[3]]
    assert unsuperseded(records[:3]) == records[1:3]
