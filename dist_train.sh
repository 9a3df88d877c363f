#!/usr/bin/env bash
# Train in N processes on this machine:     ./dist_train.sh N [CONFIG] [key=value ...]
#
# On several machines, which share the folders that the config names, run it on each with
#   NNODES       how many there are, or MIN:MAX, where MIN are enough to begin (default 1)
#   MASTER_ADDR  a name or address of one of them that all can reach, MASTER_PORT a free port there
#                (default 29400); or both in one: RDZV_ENDPOINT=HOST:PORT
#   NODE_RANK    0 on that one, another number elsewhere; may be left out where its name is known
#   LOCAL_ADDR   this machine's address for the others, where its own name does not lead to it
#   GLOO_SOCKET_IFNAME, NCCL_SOCKET_IFNAME  the network interface that leads to the other machines,
#                where PyTorch does not find it
#   RESTARTS     how often all begin again from the last checkpoint after one failed (default 0)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
script=${AUTOX_VIDEO_SCRIPT:-autotrain.py}
shell_script=${AUTOX_VIDEO_SHELL_SCRIPT:-dist_train.sh}

fail() {
    echo "$1 Usage: $shell_script N [CONFIG] [key=value ...]" >&2
    exit 2
}

processes=${1:-}
[[ $processes =~ ^[1-9][0-9]*$ ]] ||
    fail "N: '$processes' is no number of processes; give how many to start on this machine."
shift
nodes=${NNODES:-1}
[[ $nodes =~ ^[1-9][0-9]*(:[1-9][0-9]*)?$ ]] ||
    fail "NNODES: '$nodes' is neither a number of machines nor MIN:MAX."
restarts=${RESTARTS:-0}
[[ $restarts =~ ^[0-9]+$ ]] || fail "RESTARTS: '$restarts' is no number."
python=${PYTHON:-$(command -v python || command -v python3 || true)}
[[ -n $python ]] || fail "There is no python; activate the environment that autox_video is in."

where=(--standalone)
if [[ $nodes != 1 ]]; then
    endpoint=${RDZV_ENDPOINT:-${MASTER_ADDR:+$MASTER_ADDR:${MASTER_PORT:-29400}}}
    [[ -n $endpoint ]] ||
        fail "MASTER_ADDR: give a machine that all $nodes can reach, the same to each."
    where=(--nnodes "$nodes" --rdzv-backend c10d --rdzv-endpoint "$endpoint")
    where+=(--rdzv-id "${RDZV_ID:-autox_video}")
    if [[ -n ${NODE_RANK:-} ]]; then
        [[ $NODE_RANK =~ ^[0-9]+$ ]] || fail "NODE_RANK: '$NODE_RANK' is no number."
        [[ $NODE_RANK == 0 ]] && where+=(--rdzv-conf is_host=1) || where+=(--rdzv-conf is_host=0)
    fi
    [[ -z ${LOCAL_ADDR:-} ]] || where+=(--local-addr "$LOCAL_ADDR")
fi

# Cores are shared out evenly; a process has 20 s to save after a signal.
cores=$(nproc)
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((cores > processes ? cores / processes : 1))}
export TORCH_CPP_LOG_LEVEL=${TORCH_CPP_LOG_LEVEL:-ERROR}
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=${TORCH_ELASTIC_SHUTDOWN_TIMEOUT:-20}
export PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH}
unset MASTER_ADDR MASTER_PORT RANK WORLD_SIZE LOCAL_RANK LOCAL_WORLD_SIZE
exec "$python" -m autox_video.cli.torchrun "${where[@]}" --nproc-per-node "$processes" \
    --max-restarts "$restarts" --signals-to-handle SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1 \
    "$here/$script" "$@"
