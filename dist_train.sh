#!/usr/bin/env bash
# Train with N processes on this machine:     ./dist_train.sh N [CONFIG] [key=value ...]
#
# To use several machines that share the folders of the config, run it on each of them with
#   NNODES       number of machines, or MIN:MAX to start as soon as MIN are ready (default 1)
#   MASTER_ADDR  name or address of one machine that all can reach; MASTER_PORT: a free port there
#                (default 29400). RDZV_ENDPOINT=HOST:PORT sets both.
#   NODE_RANK    0 on that machine, other numbers elsewhere; not needed if its name can be resolved
#   LOCAL_ADDR   address of this machine for the others, if its host name cannot be resolved
#   GLOO_SOCKET_IFNAME, NCCL_SOCKET_IFNAME  network interface to the other machines, if PyTorch does
#                not find it
#   RESTARTS     number of restarts from the last checkpoint after a failure (default 0)
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
    fail "N: '$processes' is not a number of processes to start on this machine."
shift
nodes=${NNODES:-1}
[[ $nodes =~ ^[1-9][0-9]*(:[1-9][0-9]*)?$ ]] ||
    fail "NNODES: '$nodes' is not a number of machines, nor MIN:MAX."
restarts=${RESTARTS:-0}
[[ $restarts =~ ^[0-9]+$ ]] || fail "RESTARTS: '$restarts' is not a number."
python=${PYTHON:-$(command -v python || command -v python3 || true)}
[[ -n $python ]] || fail "python not found. Activate the environment of autox-video."

where=(--standalone)
if [[ $nodes != 1 ]]; then
    endpoint=${RDZV_ENDPOINT:-${MASTER_ADDR:+$MASTER_ADDR:${MASTER_PORT:-29400}}}
    [[ -n $endpoint ]] ||
        fail "MASTER_ADDR: give the address of a machine that all machines can reach."
    where=(--nnodes "$nodes" --rdzv-backend c10d --rdzv-endpoint "$endpoint")
    where+=(--rdzv-id "${RDZV_ID:-autox_video}")
    if [[ -n ${NODE_RANK:-} ]]; then
        [[ $NODE_RANK =~ ^[0-9]+$ ]] || fail "NODE_RANK: '$NODE_RANK' is not a number."
        [[ $NODE_RANK == 0 ]] && where+=(--rdzv-conf is_host=1) || where+=(--rdzv-conf is_host=0)
    fi
    [[ -z ${LOCAL_ADDR:-} ]] || where+=(--local-addr "$LOCAL_ADDR")
fi

# Cores are divided evenly; after a signal a process has 20 s to save.
cores=$(nproc)
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((cores > processes ? cores / processes : 1))}
export TORCH_CPP_LOG_LEVEL=${TORCH_CPP_LOG_LEVEL:-ERROR}
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=${TORCH_ELASTIC_SHUTDOWN_TIMEOUT:-20}
export PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH}
unset MASTER_ADDR MASTER_PORT RANK WORLD_SIZE LOCAL_RANK LOCAL_WORLD_SIZE
exec "$python" -m autox_video.cli.torchrun "${where[@]}" --nproc-per-node "$processes" \
    --max-restarts "$restarts" --signals-to-handle SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1 \
    "$here/$script" "$@"
