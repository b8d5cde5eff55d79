"""What a composite collects from its children, and what an automaton does by default."""

from ledger.kernel.automaton import (
    NOTHING,
    Automaton,
    Envelope,
    Fault,
    NodeId,
    Path,
    Record,
    Step,
    StepBuilder,
)
from ledger.kernel.encoding import Value
from ledger.kernel.instant import Instant


class SamplePing(Value):
    number: int


A, B = NodeId("a"), NodeId("b")
PATH: Path = ("mg1", 1)


def step_with(number: int) -> Step[str]:
    return Step(
        records=[Record(PATH, SamplePing(number))],
        messages=[Envelope((A, B), PATH, SamplePing(number))],
        outputs=[f"output {number}"],
        faults=[Fault(B, "equivocation", PATH, f"fault {number}")],
    )


def test_an_empty_builder_builds_the_shared_nothing():
    assert StepBuilder[str]().build() == NOTHING
    assert Step((), (), (), ()) == NOTHING


def test_adding_nothing_changes_nothing_and_returns_no_outputs():
    builder = StepBuilder[str]()
    assert builder.add(NOTHING) == ()
    assert builder.build() == NOTHING


def test_records_messages_and_faults_of_children_are_kept_in_order_and_outputs_are_handed_back():
    builder = StepBuilder[str]()
    assert list(builder.add(step_with(1))) == ["output 1"]
    builder.records.append(Record(PATH, SamplePing(2)))
    assert list(builder.add(step_with(3))) == ["output 3"]
    builder.outputs.append("own output")
    assert builder.build() == Step(
        records=[Record(PATH, SamplePing(number)) for number in (1, 2, 3)],
        messages=[Envelope((A, B), PATH, SamplePing(number)) for number in (1, 3)],
        outputs=["own output"],
        faults=[Fault(B, "equivocation", PATH, f"fault {number}") for number in (1, 3)],
    )


def test_each_of_the_four_alone_makes_a_step():
    whole = step_with(1)
    for field in ("records", "messages", "outputs", "faults"):
        builder = StepBuilder[str]()
        getattr(builder, field).extend(getattr(whole, field))
        built = builder.build()
        assert built != NOTHING
        empty = {name: [] for name in ("records", "messages", "outputs", "faults")}
        assert built == Step(**(empty | {field: getattr(whole, field)}))


def test_adding_a_step_does_not_change_the_step():
    step, builder = step_with(1), StepBuilder[str]()
    builder.add(step)
    builder.add(step_with(2))
    assert step == step_with(1)


class SampleEcho(Automaton[str, SamplePing, str]):
    def handle_input(self, input: str, now: Instant) -> Step[str]:
        return Step(outputs=[input])

    def handle_message(self, sender: NodeId, path: Path, message: SamplePing, now: Instant) -> Step[str]:
        return Step(messages=[Envelope((sender,), path, message)])


def test_an_automaton_without_timers_has_no_deadline_and_does_nothing_on_a_timer():
    echo = SampleEcho()
    assert echo.deadline is None
    assert echo.handle_timer(5) == NOTHING
