"""The commands of a running cluster: up, status, down, and what is done to its nodes and links on purpose.

Each prints a result for people, or with ``--json`` one JSON object for programs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.terminal import FAILED, INTERRUPTED, problems_told, stop, tell_result, traceback_option, warn

if TYPE_CHECKING:
    from ledger.kernel.automaton import NodeId
    from node.live.cluster import Cluster
    from node.live.cluster_links import Links, LinkWish

_folder = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
_nodes = click.argument("names", metavar="NODE...", nargs=-1, required=True)
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object, and nothing else.")
_wait = click.option(
    "--wait",
    "wait_seconds",
    metavar="SECONDS",
    type=click.FloatRange(0, 86_400),
    default=180.0,
    show_default=True,
    help="How long to wait at most.",
)
_codes = "Exit codes: 0 done; 1 it failed; 2 the command or the folder is unusable."


@contextmanager
def _cluster(folder: Path, traceback: bool) -> Iterator[Cluster]:
    """The cluster of the folder; what goes wrong is told."""
    with problems_told(traceback):
        from node.live.cluster import Cluster, ClusterFailed

        try:
            yield Cluster(folder)
        except ClusterFailed as failed:
            stop(failed.problems, FAILED)


def _tell(text: str, as_json: bool, **document: Any) -> None:
    if as_json:
        import json

        tell_result(json.dumps(document))
    else:
        tell_result(text)


def _note(text: str) -> None:
    click.echo(text, err=True)


@click.command(epilog=f"{_codes} 1 is also: the cluster runs, and does not trade yet.")
@_folder
@_wait
@_json
@click.option("-d", "--disposable", is_flag=True, help="Stay here until interrupted; then stop it, and remove DIR.")
@traceback_option
def up(folder: Path, wait_seconds: float, as_json: bool, disposable: bool, traceback: bool) -> None:
    """Start all nodes of the cluster in DIR that don't run, and wait until they trade.

    They do when every chain has a quorum of members and its first anchor is confirmed by layer 1. Nodes go on when this
    command ends. Doing it again does no harm.
    """
    with _cluster(folder, traceback) as cluster:
        from node.live.cluster_up import bring_up, remain_until_interrupted, remove_disposable

        try:
            outcome = bring_up(cluster, wait_seconds, _note)
        except KeyboardInterrupt:
            if disposable:
                remove_disposable(cluster)
            alive = len(cluster.alive) if folder.exists() else 0
            stop([f"interrupted; {alive} nodes run" + f": tanglegrid cluster down {folder}" * bool(alive)], INTERRUPTED)
        _tell(outcome.text(), as_json, **outcome.document())
        if disposable:
            _note("until interrupted")
            remain_until_interrupted(cluster)
            _note(f"{folder} is stopped and removed")
        elif not outcome.standing.is_trading:
            stop(
                [f"not trading after {wait_seconds:g} seconds; it goes on: tanglegrid cluster status {folder}"], FAILED
            )


@click.command(epilog=_codes)
@_folder
@_json
@traceback_option
def status(folder: Path, as_json: bool, traceback: bool) -> None:
    """Tell how the cluster stands: nodes, chains, how far layer 1 has confirmed them, and why they are stuck."""
    with _cluster(folder, traceback) as cluster:
        from node.live.cluster_up import present_standing

        standing = present_standing(cluster)
        _tell(standing.text(), as_json, **standing.document())


@click.command(epilog=_codes)
@_folder
@click.option("--grace", type=click.FloatRange(0, 3600), default=15.0, show_default=True, help="Seconds to stop.")
@_json
@traceback_option
def down(folder: Path, grace: float, as_json: bool, traceback: bool) -> None:
    """Stop all nodes gracefully; what has not stopped after the grace is killed. Faults of links end."""
    with _cluster(folder, traceback) as cluster:
        from node.live.cluster_life import stop_nodes
        from node.live.cluster_links import Links, write_links

        with cluster.locked():
            alive = cluster.alive
            killed = stop_nodes(cluster, cluster.names, grace)
            write_links(cluster, Links({}))
        for node in killed:
            warn(f"{node} had not stopped after {grace:g} seconds, and was killed")
        _tell(f"{folder}: {len(alive)} nodes stopped", as_json, stopped=alive, killed=killed)


@click.command(epilog=_codes)
@_folder
@_nodes
@_json
@traceback_option
def kill(folder: Path, names: Sequence[str], as_json: bool, traceback: bool) -> None:
    """Kill nodes with SIGKILL, as a failing machine would. A chain's name stands for its members."""
    with _cluster(folder, traceback) as cluster:
        from node.live.cluster_life import kill_nodes

        with cluster.locked():
            alive = [node for node in cluster.named(names) if cluster.processes[node].is_alive]
            kill_nodes(cluster, cluster.named(names))
            cluster.record_fault("kill", alive)
        _tell(_told("killed", alive, f"up again: tanglegrid cluster restart {folder} ..."), as_json, killed=alive)


@click.command(epilog=_codes)
@_folder
@_nodes
@_json
@traceback_option
def pause(folder: Path, names: Sequence[str], as_json: bool, traceback: bool) -> None:
    """Pause nodes with SIGSTOP: they are there, and do nothing. A chain's name stands for its members."""
    with _cluster(folder, traceback) as cluster, cluster.locked():
        from node.live.node_process import pause_processes

        stopped = pause_processes([cluster.processes[node] for node in cluster.named(names)])
        paused = [node for node in cluster.named(names) if cluster.processes[node] in stopped]
        cluster.record_fault("pause", paused)
        _tell(_told("paused", paused, f"go on: tanglegrid cluster resume {folder} ..."), as_json, paused=paused)


@click.command(epilog=_codes)
@_folder
@_nodes
@_json
@traceback_option
def resume(folder: Path, names: Sequence[str], as_json: bool, traceback: bool) -> None:
    """Let paused nodes go on. A chain's name stands for its members."""
    with _cluster(folder, traceback) as cluster:
        from node.live.cluster_up import resume_nodes

        with cluster.locked():
            resumed = resume_nodes(cluster, cluster.named(names))
        _tell(_told("go on", resumed), as_json, resumed=resumed)


@click.command(epilog=_codes)
@_folder
@_nodes
@_json
@traceback_option
def restart(folder: Path, names: Sequence[str], as_json: bool, traceback: bool) -> None:
    """Stop nodes gracefully, if they run, and start them; wait until they answer. A chain's name stands for its members."""
    with _cluster(folder, traceback) as cluster:
        from node.live.cluster_up import restart_nodes

        started = restart_nodes(cluster, cluster.named(names))
        _tell(_told("started", started), as_json, started=started)


@click.command(epilog=_codes)
@_folder
@click.argument("names", metavar="[NODE...]", nargs=-1)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until interrupted.")
@click.option("-n", "lines", type=click.IntRange(0), default=20, show_default=True, help="So many lines of each node.")
@click.option("--json", "as_json", is_flag=True, help="Print the lines as they are: one JSON object each.")
@traceback_option
def logs(folder: Path, names: Sequence[str], follow: bool, lines: int, as_json: bool, traceback: bool) -> None:
    """Print the nodes' logs as one, in the order of time. A chain's name stands for its members."""
    with _cluster(folder, traceback) as cluster:
        from node.live.cluster_logs import log_lines

        nodes = cluster.named(names) if names else cluster.names
        try:
            for line in log_lines({node: cluster.log_path(node) for node in nodes}, lines, follow=follow):
                tell_result(line.text if as_json else line.told())
        except KeyboardInterrupt:
            if not follow:
                raise


@click.command(epilog=_codes)
@_folder
@click.option("--all", "everything", is_flag=True, help="Remove DIR with its keys and its configuration, too.")
@_json
@traceback_option
def clean(folder: Path, everything: bool, as_json: bool, traceback: bool) -> None:
    """Remove what the nodes have written, stores above all: the cluster begins anew. It must be down.

    Keys, scenario and configuration stay, and files that are not the cluster's.
    """
    with _cluster(folder, traceback) as cluster:
        from node.live.cluster_clean import clean_cluster

        removed = clean_cluster(cluster, everything=everything)
        _tell(f"{folder}: {len(removed)} files removed", as_json, removed=removed)


@click.command(epilog=_codes)
@_folder
@click.argument("groups", metavar='"A,B | C,D"', nargs=-1, required=True)
@_json
@traceback_option
def partition(folder: Path, groups: Sequence[str], as_json: bool, traceback: bool) -> None:
    """Cut the links between groups of nodes.

    Groups stand between bars (in quotes: to a shell a bar is a pipe), or are arguments of their own. One group is parted
    from all others. Who is in no group still reaches everybody. A chain's name stands for its members. A new partition
    takes the place of the former one.
    """
    import msgspec

    def change(wish: LinkWish, chosen: bool) -> LinkWish:
        return msgspec.structs.replace(wish, cut=chosen)

    _change_links(folder, traceback, as_json, groups, change, "partition")


@click.command(epilog=_codes)
@_folder
@click.argument("time", metavar="TIME")
@click.argument("groups", metavar='["A,B | C,D"]', nargs=-1)
@_json
@traceback_option
def delay(folder: Path, time: str, groups: Sequence[str], as_json: bool, traceback: bool) -> None:
    """Let frames between the groups, or on all links, leave later by TIME, such as 50ms; 0s ends it."""
    import msgspec

    with problems_told(traceback):
        from node.configuration import ConfigurationError, parse_duration
        from node.live.api.node_routes import DELAY_MAX

        try:
            duration = parse_duration(time)
        except ValueError as error:
            raise ConfigurationError([f"TIME: {error}"]) from None
        if duration > DELAY_MAX:
            raise ConfigurationError([f"TIME: expected at most 10m, not {time}"])

    def change(wish: LinkWish, chosen: bool) -> LinkWish:
        return msgspec.structs.replace(wish, delay=duration if chosen else 0)

    _change_links(folder, traceback, as_json, groups, change, "delay", delay_us=duration)


@click.command(epilog=_codes)
@_folder
@click.argument("part", metavar="PART", type=click.FloatRange(0, 1))
@click.argument("groups", metavar='["A,B | C,D"]', nargs=-1)
@_json
@traceback_option
def loss(folder: Path, part: float, groups: Sequence[str], as_json: bool, traceback: bool) -> None:
    """Lose PART of the frames, from 0 to 1, between the groups, or on all links; 0 ends it. Links send them again."""
    import msgspec

    def change(wish: LinkWish, chosen: bool) -> LinkWish:
        return msgspec.structs.replace(wish, loss=part if chosen else 0.0)

    _change_links(folder, traceback, as_json, groups, change, "loss", loss=part)


@click.command(epilog=_codes)
@_folder
@_json
@traceback_option
def heal(folder: Path, as_json: bool, traceback: bool) -> None:
    """Let all links be good again."""
    with _cluster(folder, traceback) as cluster:
        from node.live.cluster_links import Links
        from node.live.cluster_up import set_links

        with cluster.locked():
            untold = set_links(cluster, Links({}), "heal")
        for problem in untold:
            warn(problem)
        _tell("all links are good", as_json, untold=untold)


def _change_links(
    folder: Path,
    traceback: bool,
    as_json: bool,
    words: Sequence[str],
    change: Callable[[LinkWish, bool], LinkWish],
    fault: str,
    **details: Any,
) -> None:
    with _cluster(folder, traceback) as cluster:
        from node.live.cluster_links import groups_of, pairs_between, read_links
        from node.live.cluster_up import set_links

        groups = groups_of(cluster, words)
        if fault == "partition" and len(groups) < 2:
            raise click.UsageError("expected a group of nodes at least")
        with cluster.locked():
            links: Links = read_links(cluster).changed(pairs_between(cluster, groups), change)
            untold = set_links(cluster, links, fault, groups=groups, **details)
        for problem in untold:
            warn(problem)
        told = links.told()
        _tell("\n".join(told) if told else "all links are good", as_json, links=told, untold=untold)


def _told(what: str, nodes: Sequence[NodeId], next_command: str = "") -> str:
    if not nodes:
        return "nothing to do: no such node runs, or all do"
    return "\n".join([f"{what}: {', '.join(nodes)}", *([next_command] if next_command else [])])


RUNNING_COMMANDS = (
    up, status, down, kill, pause, resume, restart, logs, clean, partition, heal, delay, loss,
)  # fmt: skip
"""To be added to the group of a cluster's commands."""
