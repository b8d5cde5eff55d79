#!/usr/bin/env bash
# Runs a cluster with every node in a network namespace of its own: its own address, its own cable, pulled when you say so.
#
#   cluster.sh DIR [COMMAND [ARGUMENT]...]
#
# starts the nodes of DIR, which `tanglegrid cluster init DIR --for netns` has written, waits until all are ready, runs the
# command beside them (without one, a shell) and ends with its exit code. The command, or what you type in the shell, can use
#
#   cluster.sh unplug NODE...      their cables are down: they reach nobody, and nobody hears why
#   cluster.sh plug NODE...        and up again
#   cluster.sh partition NODE...   these on one side, all others on the other
#   cluster.sh heal                one side again, every cable up
#   cluster.sh kill NODE...        SIGKILL
#   cluster.sh start NODE...       as at the beginning
#
# The whole is in namespaces (processes, mounts, network) which the kernel removes with their first process. That one dies
# with this script, whatever ends it. So no process, interface, address or mount is ever left behind, and two clusters with
# the same addresses can run side by side. Without root it runs wherever a user may have namespaces.
#
#   nodes' namespaces     [eth0]  [eth0]  [eth0]        [eth0]
#                           |       |       |             |         cables: link down = unplugged
#   this namespace        [=== switch "left" ===]--x--[ "right" ]   trunk: link down = partition
#
# TANGLEGRID names the command if it is not in the PATH. READY_WITHIN: seconds in which all nodes must be ready (300).

set -euo pipefail

STOP_WITHIN=10 # seconds that a node has to stop by itself, as long as others give a process on SIGTERM

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

usage() {
    sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

# ------------------------------------------------------------------------------------------------------ outside: enter

enter() {
    local tool folder=$1
    for tool in ip setpriv timeout unshare; do
        command -v "$tool" >/dev/null || fail "$tool is missing: on Debian and Ubuntu it is in iproute2, util-linux or coreutils"
    done
    [[ -d $folder/nodes ]] || fail "$folder: there is no folder nodes in it: tanglegrid cluster init $folder --for netns"
    command -v "${TANGLEGRID:=tanglegrid}" >/dev/null || fail "$TANGLEGRID: no such command; TANGLEGRID names another"
    TANGLEGRID=$(command -v "$TANGLEGRID")
    CLUSTER=$(realpath -- "$folder")
    TOOL=$(realpath -- "${BASH_SOURCE[0]}")
    export CLUSTER TANGLEGRID TOOL
    local user=()
    ((EUID == 0)) || user=(unshare --user --map-root-user --)
    "${user[@]}" unshare --net true 2>/dev/null || fail "this user may not have network namespaces; root may"
    # The two deaths: setpriv's, when this shell is gone, and that of the first process within, when unshare is gone.
    "${user[@]}" setpriv --pdeathsig KILL unshare --pid --fork --kill-child --mount --mount-proc --net -- \
        "$BASH" "$TOOL" --within "${@:2}"
}

# ----------------------------------------------------------------------------------------------------- within: set up

within() {
    trap 'stop_nodes' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    mount -t tmpfs tmpfs /run # where the names of network namespaces are kept, and those of others are not to be seen
    [[ -d $CLUSTER/nodes ]] || fail "$CLUSTER is below /run: expected a cluster in another folder"
    mkdir /run/netns /run/nodes
    lay_cables
    local node
    for node in $(all_nodes); do
        start_node "$node"
    done
    await_ready
    if (($# == 0)); then
        set -- "${SHELL:-$BASH}"
    fi
    PATH="$(dirname -- "$TOOL"):$PATH" "$@"
}

all_nodes() {
    basename -a -- "$CLUSTER"/nodes/*/
}

# What the node's file says after `listen = ` or `api = `: an address and a port.
endpoint() {
    local found
    found=$(sed -nE "s/^$2 *= *\"([0-9.]+:[0-9]+)\".*/\1/p" "$CLUSTER/nodes/$1/node.toml")
    [[ -n $found && $found != 127.* ]] ||
        fail "$CLUSTER/nodes/$1/node.toml: expected $2 = \"ADDRESS:PORT\" with an address of its own: cluster init --for netns"
    printf '%s\n' "$found"
}

# Interfaces are numbered, for their names may have 15 letters only.
cable() {
    [[ -f /run/nodes/$1.cable ]] || fail "$1: no such node here; there are: $(all_nodes | paste -sd ' ')"
    cat "/run/nodes/$1.cable"
}

lay_cables() {
    local node address number=0
    ip link set lo up
    ip link add left type bridge
    ip link add right type bridge
    ip link add trunk master left type veth peer name trunk-end
    ip link set trunk-end master right
    for node in $(all_nodes); do
        address=$(endpoint "$node" listen)
        address=${address%:*}
        ((++number))
        echo "cable$number" >"/run/nodes/$node.cable"
        ip netns add "$node"
        ip link add "cable$number" master left type veth peer name eth0 netns "$node"
        ip link set "cable$number" up
        ip -n "$node" link set lo up
        ip -n "$node" address add "$address/24" dev eth0
        ip -n "$node" link set eth0 up
    done
    ip address add "${address%.*}.1/24" dev left # ours, for whoever asks the nodes' API
    for node in left right trunk trunk-end; do
        ip link set "$node" up
    done
}

# ------------------------------------------------------------------------------------------------------ within: nodes

running() {
    [[ -f /run/nodes/$1.pid ]] && kill -0 "$(cat "/run/nodes/$1.pid")" 2>/dev/null
}

start_node() {
    cable "$1" >/dev/null
    ! running "$1" || fail "$1 is running"
    local home=$CLUSTER/nodes/$1
    ip netns exec "$1" "$TANGLEGRID" node --config "$home/node.toml" </dev/null >>"$home/output.txt" 2>&1 &
    echo $! >"/run/nodes/$1.pid"
    disown # its end is told by who looks for it, not by this shell
}

kill_node() {
    cable "$1" >/dev/null
    running "$1" || fail "$1 is not running"
    kill -KILL "$(cat "/run/nodes/$1.pid")"
    until ! running "$1"; do sleep 0.05; done
}

stop_nodes() {
    local node pids=()
    for node in $(all_nodes); do
        ! running "$node" || pids+=("$(cat "/run/nodes/$node.pid")")
    done
    ((${#pids[@]})) || return 0
    kill -TERM "${pids[@]}" 2>/dev/null || true
    timeout "$STOP_WITHIN" bash -c 'while kill -0 "$@"; do sleep 0.1; done' - "${pids[@]}" 2>/dev/null || true
}

# Whether the node's API says that it is ready, in the words of HTTP.
ready() {
    # shellcheck disable=SC2016  # $1 is the inner shell's, which ends when its time is over
    timeout 2 bash -c '
        exec 3<>"/dev/tcp/${1%:*}/${1#*:}"
        printf "GET /ready HTTP/1.0\r\nHost: %s\r\n\r\n" "$1" >&3
        read -r line <&3
        [[ $line == "HTTP/1."?" 200 "* ]]' - "$1" 2>/dev/null
}

await_ready() {
    local node address until=$((SECONDS + ${READY_WITHIN:-300}))
    for node in $(all_nodes); do
        address=$(endpoint "$node" api)
        until ready "$address"; do
            running "$node" || fail "$node has stopped: $(tail -n 3 "$CLUSTER/nodes/$node/output.txt")"
            ((SECONDS < until)) || fail "$node is not ready: see $CLUSTER/nodes/$node/output.txt"
            sleep 0.2
        done
    done
    printf '%s nodes are ready; their output is in %s/nodes/*/output.txt\n' "$(all_nodes | wc -l)" "$CLUSTER" >&2
}

# ----------------------------------------------------------------------------------------------------- within: cables

# Which side a node is on is the switch that its cable is in.
partition() {
    local node
    (($#)) || fail "expected the names of the nodes on one side"
    for node in "$@"; do
        cable "$node" >/dev/null
    done
    for node in $(all_nodes); do
        ip link set "$(cable "$node")" master left
    done
    for node in "$@"; do
        ip link set "$(cable "$node")" master right
    done
    ip link set trunk down
}

heal() {
    local node
    for node in $(all_nodes); do
        ip link set "$(cable "$node")" up
    done
    ip link set trunk up
}

each() {
    local what=$1 node
    shift
    (($#)) || fail "expected the names of nodes"
    for node in "$@"; do
        cable "$node" >/dev/null
    done
    for node in "$@"; do
        case $what in
            unplug) ip link set "$(cable "$node")" down ;;
            plug) ip link set "$(cable "$node")" up ;;
            kill) kill_node "$node" ;;
            start) start_node "$node" ;;
        esac
    done
}

case ${1-} in
    -h | --help) usage ;;
    --within) within "${@:2}" ;;
    unplug | plug | kill | start | partition | heal)
        [[ -d /run/nodes && -n ${CLUSTER-} ]] || fail "$1 is for the command that runs beside the nodes: see --help"
        case $1 in
            partition) partition "${@:2}" ;;
            heal) heal ;;
            *) each "$@" ;;
        esac
        ;;
    "" | -*) usage >&2 && exit 2 ;;
    *) enter "$@" ;;
esac
