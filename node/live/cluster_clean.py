"""What the nodes of a cluster have written, removed: its keys and its configuration stay, or go as well.

Only files that this program writes are removed, by their names; a folder goes when nothing else is in it.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from node.live.cluster import FAULTS_FILE, LOCK_FILE, Cluster, ClusterFailed
from node.live.cluster_files import NODES_FOLDER, SCENARIO_FILE
from node.live.cluster_links import LINKS_FILE
from node.live.node_file import CLUSTER_FILE, NODE_FILE, PUBLIC_FILE
from node.live.node_process import OUTPUT_FILE, PID_FILE


def clean_cluster(cluster: Cluster, *, everything: bool) -> list[str]:
    """Which files were removed.

    Errors: ``ClusterFailed`` when a node runs.
    """
    with cluster.locked():
        if cluster.alive:
            raise ClusterFailed(
                [f"{', '.join(cluster.alive)} run: tanglegrid cluster down {cluster.folder} comes first"]
            )
        paths = _written(cluster)
        if everything:
            paths += _given(cluster)
        removed = [path for path in paths if path.is_file()]
        for path in removed:
            path.unlink()
        if everything:
            _remove_folders(cluster)
    return [str(path.relative_to(cluster.folder)) for path in removed]


def _written(cluster: Cluster) -> list[Path]:
    paths = [cluster.folder / FAULTS_FILE, cluster.folder / LINKS_FILE]
    for node, file in cluster.files.nodes.items():
        home = cluster.node_folder(node)
        paths += [home / PID_FILE, home / OUTPUT_FILE, home / file.log, home / f"{file.log}.1"]
        paths += sorted((home / file.store).parent.glob(f"{Path(file.store).name}*"))
    return paths


def _given(cluster: Cluster) -> list[Path]:
    folder, configuration = cluster.folder, cluster.files.configuration
    paths = [folder / CLUSTER_FILE, folder / SCENARIO_FILE, folder / PUBLIC_FILE, folder / LOCK_FILE]
    named = (configuration.data.file, configuration.network.matrix, configuration.hardware.profile)
    paths += [folder / name for name in named if name is not None and Path(name).parent == Path("data")]
    for node, file in cluster.files.nodes.items():
        paths += [cluster.node_folder(node) / NODE_FILE, cluster.node_folder(node) / file.secrets]
    return paths


def _remove_folders(cluster: Cluster) -> None:
    homes = [cluster.node_folder(node) for node in cluster.names]
    for folder in (*homes, cluster.folder / NODES_FOLDER, cluster.folder / "data", cluster.folder):
        with suppress(OSError):  # something else is in it
            folder.rmdir()
