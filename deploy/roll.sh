#!/usr/bin/env bash
# Puts this checkout's release on a cluster that runs, part by part while frames flow: `roll.sh CLUSTER.yaml`, as of
# `make roll`. Ends with status 1 where a migration would lose data, a node cannot install it, or a part does not come back;
# docs/delivery.md says what is left then. Libraries stay as they are: another requirements.lock takes `ray up`.
set -euo pipefail
cd "$(dirname "$0")/.."
. deploy/next.sh
cluster=${1:?which cluster? make roll CLUSTER=deploy/local-cluster.yaml}
dist=${DIST:-dist}
export RAY_AUTH_MODE=token RAY_UP_enable_autoscaler_v2=0 RAY_USAGE_STATS_ENABLED=0
[ -d .venv/bin ] && export PATH=$PWD/.venv/bin:$PATH

bring_next "$cluster" "$dist"
ray rsync-up "$cluster" requirements.lock next/requirements.lock
ray exec "$cluster" 'cmp ~/next/requirements.lock ~/release/requirements.lock' || {
    echo "roll: the cluster's libraries are not those of this requirements.lock: bring it up with ray up instead" >&2
    exit 1
}
show_migrations "$cluster"
# For nodes that come later: their setup installs the newest of the head's release/dist.
ray exec "$cluster" 'PYTHONPATH=~/next/lib ~/venv/bin/python -m canfleet install --config ~/release/canfleet.yaml $(ls ~/next/dist/canfleet-*.whl) &&
    cp ~/next/dist/canfleet-*.whl ~/release/dist/ && touch ~/release/dist/$(basename ~/next/dist/canfleet-*.whl)'
# Until it is ready once more than before, or has ended.
ray exec "$cluster" 'ulimit -n 65536; log=~/canfleet.log; ready() { grep -c "canfleet is ready" $log || true; }; before=$(ready)
    export CANFLEET_BOOTSTRAP_KEY=$(cat ~/release/bootstrap.key)
    (setsid nohup canfleet up --take-over --config ~/release/canfleet.yaml >> $log 2>&1 < /dev/null &)
    while sleep 1; do
        [ "$(ready)" = "$before" ] || exit 0
        pgrep -f "bin/canfleet [u]p" > /dev/null || { tail -n 20 $log >&2; exit 1; }
    done'
echo "rolled $(git rev-parse --short HEAD 2> /dev/null || echo "$dist") out"
