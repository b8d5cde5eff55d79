"""The commands of live nodes: ``tanglegrid node`` and ``tanglegrid cluster``. All that is heavy is imported inside them."""

from __future__ import annotations

from pathlib import Path

import click

from node.terminal import overrides_option, problems_told, stop, tell_result, traceback_option, warn

_folder = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))


@click.group()
def cluster() -> None:
    """Run a cluster of live nodes: real processes, sockets and disks."""


@cluster.command(epilog="Exit codes: 0 done; 1 the disk failed; 2 the command, scenario or folder is unusable.")
@_folder
@click.option(
    "--config",
    "configuration",
    metavar="SCENARIO",
    type=click.Path(path_type=Path),
    help="The scenario's file [live.toml, which comes with tanglegrid].",
)
@click.option(
    "-n", "members", metavar="N", type=click.IntRange(1), help="Homes, so members, of each microgrid [the scenario's]."
)
@overrides_option
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    help="Run with this seed, and deal the keys from it, as a simulation does: for comparisons, anybody can make them "
    "[the scenario's seed, and keys from the system's entropy].",
)
@click.option(
    "--for",
    "surrounding",
    type=click.Choice(["local", "netns", "compose", "kubernetes"]),
    default="local",
    show_default=True,
    help="Where the nodes will run, which decides their addresses.",
)
@click.option(
    "--starts-in", metavar="TIME", default="0s", help="When the market's clock begins, such as 2m from now [0s]."
)
@traceback_option
def init(
    folder: Path,
    configuration: Path | None,
    members: int | None,
    overrides: tuple[str, ...],
    seed: int | None,
    surrounding: str,
    starts_in: str,
    traceback: bool,
) -> None:
    """Write the files of a cluster into DIR: keys, and a configuration for every node, to be edited.

    DIR must not be there yet, or be empty. Nothing is started.
    """
    with problems_told(traceback):
        from time import time_ns

        from node.configuration import ConfigurationError, parse_duration
        from node.live.cluster_files import init_cluster

        try:
            delay = parse_duration(starts_in)
        except ValueError as error:
            raise ConfigurationError([f"--starts-in: {error}"]) from None
        made = init_cluster(
            folder,
            configuration,
            overrides,
            members=members,
            seed=seed,
            surrounding=surrounding,  # type: ignore[arg-type] # one of the choices
            now_us=time_ns() // 1_000,
            starts_in=delay,
        )
        for warning in made.warnings:
            warn(warning)
        tell_result(made.text())


@click.command(
    epilog="Exit codes: 0 stopped by SIGTERM or SIGINT; 1 the node failed; 2 its files or its store are unusable."
)
@click.option(
    "--config",
    "configuration",
    metavar="FILE",
    required=True,
    type=click.Path(path_type=Path),
    help="The node's file, such as DIR/nodes/home1/node.toml.",
)
@traceback_option
def node(configuration: Path, traceback: bool) -> None:
    """Run one node of a cluster until it is told to stop."""
    with problems_told(traceback):
        from node.live.process import NodeDown, run_node

        try:
            run_node(configuration)
        except NodeDown as down:
            stop([str(down)], down.code)
