"""Sweeps: one table whatever runs the cells and in whatever order; what is killed, damaged, changed or fails on the way."""

import errno
import json
import os
import re
import signal
import sys
import types
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from node import cli
from node.configuration import ConfigurationError
from node.experiments import committee_cells, sweep_folder, sweep_workers
from node.experiments.committee_cells import CellResult, cells_of, run_cell
from node.experiments.study_file import open_study
from node.experiments.sweep import SweepInterrupted, run_sweep
from node.experiments.sweep_workers import DaskWorkers, LocalWorkers
from node.shipped import shipped

STUDY = """\
[study]
name = "small"
seeds = 2

[fixed]
blocks = 1
batch = 3

[sweep]
protocol = ["wasp", "pbft"]
nodes = [4, 5]
"""
CELLS = 8


class Inline:
    """Runs cells in this process, equal ones once; ``order``: which were begun. Ends like Ctrl-C after ``until`` results."""

    jobs = 1
    known: "dict[str, CellResult]" = {}  # noqa: RUF012

    def __init__(self, until=None, shuffled=False, fresh=False):
        self.until = until
        self.known = {} if fresh else Inline.known
        self.shuffled = shuffled
        self.order = []

    def results(self, cells):
        for cell in list(cells)[:: -1 if self.shuffled else 1]:
            if len(self.order) == self.until:
                raise KeyboardInterrupt
            self.order.append(cell)
            if cell.digest not in self.known:
                self.known[cell.digest] = run_cell(cell)
            yield cell, self.known[cell.digest]


class Place:
    """A study file and the folder of its results."""

    def __init__(self, folder):
        self.study = folder / "study.toml"
        self.study.write_text(STUDY)
        self.out = folder / "out"
        self.warnings = []

    def sweep(self, workers=None, *overrides, **options):
        return run_sweep(self.study, overrides, self.out, workers or Inline(), warn=self.warnings.append, **options)

    def refused(self, *overrides, **options):
        with pytest.raises(ConfigurationError) as error:
            self.sweep(None, *overrides, **options)
        return [str(problem).replace(str(self.out), "OUT") for problem in error.value.problems]

    def cells(self, *overrides):
        return cells_of(open_study(self.study, overrides), self.study.parent)

    @property
    def table(self):
        return (self.out / "cells.parquet").read_bytes()

    @property
    def files(self):
        return sorted(path.name for path in self.out.rglob("*") if path.is_file())


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_folder, "_commit", lambda: None)  # somebody may commit while tests run
    return Place(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted sweep by one process."""
    place = Place(tmp_path_factory.mktemp("whole"))
    place.outcome = place.sweep(LocalWorkers(1))
    return place


# ----------------------------------------------------------------------------------------------------------- the results


def test_the_table_has_a_row_for_each_cell_block_and_node(whole):
    import pyarrow.parquet as pq

    table = pq.read_table(whole.out / "cells.parquet").to_pylist()
    assert len(table) == 2 * 2 * (4 + 5)
    assert [(row["protocol"], row["nodes"], row["seed"], row["node"]) for row in table] == [
        (protocol, nodes, seed, f"n{place}")
        for protocol in ("wasp", "pbft")
        for nodes in (4, 5)
        for seed in (1, 2)
        for place in range(nodes)
    ]
    first = table[0]
    assert (first["decided_us"], first["anchored_us"], first["agreement_rounds"]) == (125_000, 300_000, "1 1 1 1")
    assert (first["outcome"], first["problem"], first["block"], first["faulty_max"]) == ("done", "", 1, 1)
    assert first["agreement_messages_per_block"] == 4 * 3 * (2 * 4 + 1) + 5 * 4 * 4 * 3
    assert first["messages_per_block"] == first["messages"] * 4


def test_the_manifest_says_what_was_run_with_what_and_how_long_it_took(whole):
    manifest = json.loads((whole.out / "manifest.json").read_text())
    assert manifest == whole.outcome.manifest
    assert (manifest["study"]["name"], manifest["sweep"]["nodes"], manifest["state"]) == ("small", [4, 5], "complete")
    assert (manifest["cells"], manifest["rows"], manifest["seeds"], manifest["failed"]) == (CELLS, 36, [1, 2], [])
    assert manifest["machine"]["processor"] and manifest["versions"]["tanglegrid"]
    assert manifest["times"]["wasp"]["4"]["cells"] == 2 and manifest["times"]["pbft"]["5"]["cpu_seconds"] >= 0
    assert re.fullmatch("[0-9a-f]{64}", manifest["digest"])
    assert manifest["commit"] is None or re.match("[0-9a-f]{40}", manifest["commit"])


def test_the_files_are_a_manifest_a_table_and_one_for_each_cell(whole):
    assert len(whole.files) == CELLS + 2
    assert [name for name in whole.files if not re.fullmatch("[0-9a-f]{32}\\.json", name)] == [
        "cells.parquet",
        "manifest.json",
    ]


@pytest.mark.parametrize(
    "workers", [Inline(), Inline(shuffled=True), LocalWorkers(3)], ids=["here", "backwards", "three"]
)
def test_the_table_is_the_same_byte_for_byte_whoever_runs_the_cells_and_in_whatever_order(place, whole, workers):
    outcome = place.sweep(workers)
    assert place.table == whole.table
    assert outcome.manifest["digest"] == whole.outcome.manifest["digest"]


def test_the_longest_cells_are_begun_first(place):
    workers = Inline()
    place.sweep(workers)
    sizes = [(cell.options.protocol, cell.options.nodes) for cell in workers.order]
    assert sizes == [("wasp", 5)] * 2 + [("wasp", 4)] * 2 + [("pbft", 5)] * 2 + [("pbft", 4)] * 2


def test_without_an_out_folder_the_results_go_below_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = Place(tmp_path)
    outcome = run_sweep(place.study, ["sweep.nodes=[4]", "study.seeds=1"], None, Inline(), warn=print)
    assert outcome.folder == Path("runs/small")
    assert (tmp_path / "runs/small/cells.parquet").is_file()


# ----------------------------------------------------------------------------------------------------- killed, and going on


@pytest.mark.parametrize("finished", [0, 3, 7])
def test_an_interrupted_sweep_keeps_what_is_finished_and_goes_on_with_the_rest(place, whole, finished):
    with pytest.raises(SweepInterrupted) as interrupted:
        place.sweep(Inline(until=finished))
    assert str(interrupted.value) == (
        f"interrupted; {finished} of 8 cells are finished. "
        f"To go on: tanglegrid sweep {place.study} --out {place.out} --resume"
    )
    assert json.loads((place.out / "manifest.json").read_text())["state"] == "unfinished"
    workers = Inline()
    place.sweep(workers, resume=True)
    assert len(workers.order) == CELLS - finished
    assert place.table == whole.table and place.warnings == []


def test_what_was_half_written_when_it_was_killed_is_taken_away(place, whole):
    with pytest.raises(SweepInterrupted):
        place.sweep(Inline(until=2))
    file = next((place.out / "cells").iterdir())
    file.rename(file.with_name(f".{file.name}.4711"))
    workers = Inline()
    place.sweep(workers, resume=True)
    assert len(workers.order) == CELLS - 1 and len(place.files) == CELLS + 2
    assert place.table == whole.table


def test_how_to_go_on_can_be_pasted_into_a_shell(place):
    with pytest.raises(SweepInterrupted) as interrupted:
        place.sweep(Inline(until=1), "sweep.protocol=['wasp', 'pbft']")
    assert str(interrupted.value).endswith(""" --resume --set 'sweep.protocol=['"'"'wasp'"'"', '"'"'pbft'"'"']'""")


def test_going_on_with_a_complete_sweep_runs_nothing(place, whole):
    place.sweep()
    workers = Inline()
    outcome = place.sweep(workers, resume=True)
    assert workers.order == [] and place.table == whole.table
    assert outcome.manifest["times"]["wasp"]["4"]["cells"] == 2


def test_going_on_where_nothing_is_begins(place, whole):
    place.sweep(resume=True)
    assert place.table == whole.table


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("125000", "125001", 1),
        lambda text: "",
        lambda text: "[]",
        lambda text: text.replace('"digest"', '"tsegid"'),
        lambda text: "\x00" * len(text),
    ],
    ids=["half", "altered", "empty", "a list", "no digest", "zeros"],
)
def test_a_damaged_cell_is_warned_of_and_run_again(place, whole, damage):
    place.sweep()
    cell = place.cells()[0]
    file = place.out / "cells" / f"{cell.digest}.json"
    file.write_text(damage(file.read_text()))
    workers = Inline()
    place.sweep(workers, resume=True)
    assert [run.digest for run in workers.order] == [cell.digest]
    assert place.warnings == [f"{file}: is damaged; the cell is run again"]
    assert place.table == whole.table


def test_a_cells_file_under_another_cells_name_is_damaged(place):
    place.sweep()
    first, second = (place.out / "cells" / f"{cell.digest}.json" for cell in place.cells()[:2])
    first.write_bytes(second.read_bytes())
    place.sweep(resume=True)
    assert place.warnings == [f"{first}: is damaged; the cell is run again"]


def test_earlier_results_are_not_touched_without_being_asked(place):
    place.sweep()
    before = place.files
    options = "--resume to go on with it, --overwrite to begin anew, or another folder"
    assert place.refused() == [f"--out OUT: holds a sweep with 8 finished cells: {options}"]
    assert place.files == before


def test_overwriting_takes_away_an_earlier_sweeps_files_and_nothing_else(place):
    place.sweep()
    (place.out / "notes.txt").write_text("mine")
    workers = Inline()
    place.sweep(workers, "study.seeds=1", overwrite=True)
    assert len(workers.order) == len(place.files) - 3 == CELLS // 2
    assert (place.out / "notes.txt").read_text() == "mine"


def test_a_folder_with_something_else_in_it_is_refused(place):
    place.out.mkdir()
    (place.out / "thesis.tex").write_text("all of it")
    for options in ({}, {"resume": True}, {"overwrite": True}):
        assert "holds no earlier run" in place.refused(**options)[0]
    (place.out / "manifest.json").write_text('{"scenario": "three-microgrids"}')
    for options in ({}, {"resume": True}, {"overwrite": True}):
        assert place.refused(**options) == ["--out OUT: holds a run, not a sweep; expected another folder"]
    assert (place.out / "thesis.tex").exists()


def test_a_study_that_has_changed_is_told_with_what_changed(place):
    place.sweep()
    place.study.write_text(STUDY.replace("batch = 3", "batch = 4").replace("[4, 5]", "[4, 5, 6]") + 'silent = ["f"]\n')
    assert place.refused(resume=True) == [
        "OUT: changed since this sweep began: fixed.batch: was 3, is 4",
        "OUT: changed since this sweep began: sweep.nodes: was [4, 5], is [4, 5, 6]",
        'OUT: changed since this sweep began: sweep.silent: was not there, is ["f"]',
        "expected the same study, or --overwrite, or another --out",
    ]


def test_a_hardware_profile_that_has_changed_is_told(place):
    profile = place.study.with_name("mine.toml")
    profile.write_text(shipped("hardware", "laptop.toml").read_text())
    place.sweep(None, "fixed.cpu=mine.toml", "study.seeds=1")
    profile.write_text(profile.read_text().replace("sign = { us = ", "sign = { us = 1"))
    refused = place.refused("fixed.cpu=mine.toml", "study.seeds=1", resume=True)
    assert refused[0].startswith("OUT: changed since this sweep began: inputs.cpu mine.toml: was ")


def test_another_version_of_the_program_is_warned_of(place, monkeypatch):
    place.sweep()
    monkeypatch.setattr(sweep_folder, "versions", lambda: {"tanglegrid": "9.9"})
    place.sweep(resume=True)
    assert place.warnings == [f"{place.out}: earlier cells were run with other versions: a result may depend on it"]


# -------------------------------------------------------------------------------------------------------------- failures


def test_a_cell_that_decides_nothing_is_recorded_with_its_reason_and_stops_nobody(place):
    import pyarrow.parquet as pq

    outcome = place.sweep(None, "sweep.silent=[0, 2]", "sweep.nodes=[4]", "study.seeds=1")
    rows = pq.read_table(place.out / "cells.parquet").to_pylist()
    assert [(row["protocol"], row["silent"], row["outcome"]) for row in rows if row["node"] in ("n0", None)] == [
        ("wasp", 0, "done"), ("wasp", 2, "stalled"), ("pbft", 0, "done"), ("pbft", 2, "stalled")
    ]  # fmt: skip
    stalled = [row for row in rows if row["outcome"] == "stalled"]
    assert {row["block"] for row in stalled} == {None} and len(stalled) == 2
    assert "0 of 1 blocks were decided" in stalled[0]["problem"]
    assert [failed["outcome"] for failed in outcome.manifest["failed"]] == ["stalled"] * 2
    assert outcome.failures[0].startswith("protocol wasp, nodes 4, silent 2")


def test_a_stalled_cell_is_a_result_and_not_run_again_but_a_crashed_one_is(place, monkeypatch):
    options = ("sweep.nodes=[4]", "study.seeds=1", "fixed.silent=2")
    place.sweep(None, *options)
    workers = Inline()
    place.sweep(workers, *options, resume=True)
    assert workers.order == []

    def crash(options, folder):
        raise MemoryError("no more")

    monkeypatch.setattr(committee_cells, "run_committee", crash)
    outcome = place.sweep(Inline(fresh=True), *options, overwrite=True)
    assert [(cell["outcome"], cell["problem"]) for cell in outcome.manifest["failed"]] == [
        ("crashed", "MemoryError: no more")
    ] * 2
    monkeypatch.undo()
    again = Inline()
    place.sweep(again, *options, resume=True)
    assert len(again.order) == 2


def test_a_process_that_is_killed_takes_its_own_cell_with_it_and_no_other(place, monkeypatch):
    cells = place.cells("fixed.blocks=40")
    results = LocalWorkers(2).results(cells)
    first, done = next(results)
    assert done.outcome == "done"
    frame = results.gi_frame
    assert frame is not None
    victim = next(iter(frame.f_locals["busy"].values()))
    os.kill(victim._process.pid, signal.SIGKILL)
    outcomes = {cell.number: result for cell, result in results} | {first.number: done}
    assert sorted(outcomes) == list(range(CELLS))
    crashed = [result.problem for result in outcomes.values() if result.outcome != "done"]
    assert crashed == ["its process was killed by SIGKILL; a lack of memory does that"]


def test_no_process_is_left_when_the_results_are_given_up(place):
    results = LocalWorkers(2).results(place.cells("fixed.blocks=40"))
    next(results)
    frame = results.gi_frame
    assert frame is not None
    processes = [process._process for process in [*frame.f_locals["busy"].values(), *frame.f_locals["idle"]]]
    assert any(process.is_alive() for process in processes)
    results.close()
    assert not any(process.is_alive() for process in processes)


@pytest.mark.parametrize(
    ("limit", "value", "processes"),
    [("PROCESS_MEMORY_MAX", 2**40, 1), ("PROCESS_MEMORY_MAX", 1, CELLS), ("CELLS_PER_PROCESS", 2, CELLS // 2)],
)
def test_a_process_is_replaced_when_its_memory_has_grown_or_it_has_run_enough(
    place, monkeypatch, limit, value, processes
):
    monkeypatch.setattr(sweep_workers, limit, value)
    found = set()
    results = LocalWorkers(1).results(place.cells())
    for _ in results:
        assert results.gi_frame is not None
        found.add(results.gi_frame.f_locals["process"]._process.pid)
    assert len(found) == processes


@contextmanager
def full_disk(monkeypatch, after):
    """Writes fail half-way once so many files were written."""
    write, written = Path.write_bytes, []

    def write_bytes(path, content):
        written.append(path)
        if len(written) > after:
            write(path, content[: len(content) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return write(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", write_bytes)
        yield


def test_a_full_disk_ends_the_sweep_and_leaves_nothing_half_written(place, whole, monkeypatch):
    with full_disk(monkeypatch, after=4), pytest.raises(OSError, match="No space left") as error:
        place.sweep()
    assert Path(error.value.filename).parent == place.out / "cells"
    assert len(place.files) == 1 + 3 and all(not name.startswith(".") for name in place.files)
    workers = Inline()
    place.sweep(workers, resume=True)
    assert len(workers.order) == CELLS - 3
    assert place.table == whole.table and place.warnings == []


# ------------------------------------------------------------------------------------------------------------ a cluster


class Future:
    def __init__(self, client, call):
        self.client = client
        self.call = call
        self.status = "pending"

    def run(self):
        self.status = "lost" if self.client.gone else "finished"

    def result(self):
        return self.call()

    def release(self):
        self.client.released += 1


class Client:
    """What of Dask's client a sweep uses; runs what it was given in the opposite order."""

    made: "list[Client]" = []  # noqa: RUF012

    def __init__(self, address, timeout):
        if address == "tcp://nobody:1":
            raise OSError("timed out")
        self.cancelled, self.released, self.gone = [], 0, address == "tcp://gone:1"
        self.keys = []
        Client.made.append(self)

    def ncores(self):
        return {"tcp://a": 2, "tcp://b": 3}

    def submit(self, function, cell, key, pure):
        self.keys.append(key)
        pickled = msgspec.to_builtins(cell.digest)  # what travels is named by its digest
        assert key == f"cell-{pickled}"
        return Future(self, lambda: function(cell))

    def cancel(self, futures):
        self.cancelled = futures


@pytest.fixture
def dask(monkeypatch):
    """A package ``distributed`` that is not there."""

    def as_completed(futures):
        for future in futures[::-1]:
            future.run()
            yield future

    monkeypatch.setitem(sys.modules, "distributed", types.SimpleNamespace(Client=Client, as_completed=as_completed))


def test_a_clusters_results_are_the_same(place, whole, dask):
    workers = DaskWorkers("tcp://scheduler:8786")
    assert workers.jobs == 5
    place.sweep(workers)
    client = Client.made[-1]
    assert place.table == whole.table
    assert (len(client.keys), client.released, client.cancelled) == (CELLS, CELLS, [])


def test_a_cluster_that_is_gone_ends_the_sweep_with_what_is_finished(place, dask):
    with pytest.raises(OSError, match="the cluster has lost a cell: protocol pbft, nodes 4"):
        place.sweep(DaskWorkers("tcp://gone:1"))
    assert len(Client.made[-1].cancelled) == CELLS - 1


def test_a_scheduler_that_does_not_answer_is_told(dask):
    with pytest.raises(ConfigurationError, match="--scheduler tcp://nobody:1: no scheduler answers: timed out"):
        DaskWorkers("tcp://nobody:1")


def test_without_the_package_a_scheduler_is_told_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigurationError, match="pip install 'tanglegrid\\[dask\\]'"):
        DaskWorkers("tcp://scheduler:8786")


def test_a_real_cluster(place, whole):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        workers = DaskWorkers(cluster.scheduler_address)
        place.sweep(workers)
        workers.close()
    assert place.table == whole.table


# ----------------------------------------------------------------------------------------------------------- the command


def command(*arguments):
    return CliRunner().invoke(cli.main, ["sweep", *map(str, arguments)])


def test_the_command_runs_a_study_and_says_where_the_results_are(place, whole):
    done = command(place.study, "--out", place.out, "--jobs", 2)
    assert (done.exit_code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "small: 8 cells, 0 of them failed; 36 rows"
    assert lines[-1] == f"results: {place.out}; figures: tanglegrid figures {place.out}"
    assert f"digest: {whole.outcome.manifest['digest']}" in lines


def test_failed_cells_end_the_command_with_1_and_unusable_words_with_2(place):
    failed = command(
        place.study, "--out", place.out, "--jobs", 1, "--set", "fixed.silent=2", "--set", "sweep.nodes=[4]"
    )
    assert failed.exit_code == 1
    assert failed.stderr.startswith("error: protocol wasp, nodes 4, silent 2, map 25ms, cpu off, ")
    for arguments in (
        ("--jobs", 1, "--scheduler", "tcp://a:1"),
        ("--resume", "--overwrite"),
        ("--set", "sweep.nodes=[0]"),
    ):
        refused = command(place.study, "--out", place.out.with_name("other"), *arguments)
        assert (refused.exit_code, refused.stdout) == (2, "")
    assert not place.out.with_name("other").exists()


def test_an_interrupted_command_ends_with_130(place, monkeypatch):
    monkeypatch.setattr(LocalWorkers, "results", lambda self, cells: Inline(until=2).results(cells))
    ended = command(place.study, "--out", place.out)
    assert ended.exit_code == 130
    assert ended.stderr.startswith("error: interrupted; 2 of 8 cells are finished. To go on: tanglegrid sweep ")


def test_results_of_cells_survive_json():
    result = CellResult(
        "stalled", "because", ((1, "n0", None),), ((1, 2),), {"events": 3, "rate": 0.5, "none": None}, "d", 0.1
    )
    assert msgspec.convert(json.loads(json.dumps(msgspec.to_builtins(result))), CellResult) == result
