#!/usr/bin/env bash
# Puts this commit's release on an environment: `deploy.sh ENV`, as of `make deploy`. docs/delivery.md says what it needs.
# With ROLL=1 part by part while frames flow (deploy/roll.sh); else the cluster is started anew.
# Ends with status 1 where a migration would lose data, the cluster does not come up, or the smoke test fails.
set -euo pipefail
cd "$(dirname "$0")/../.."
. deploy/next.sh
environment=${1:?which environment? make deploy ENV=staging}
folder=${CANFLEET_ENVIRONMENTS:-$HOME/.canfleet}/$environment
cluster=$folder/cluster.yaml
export PATH=$PWD/.venv/bin:$PATH RAY_AUTH_MODE=token RAY_UP_enable_autoscaler_v2=0 RAY_USAGE_STATS_ENABLED=0
for file in outputs.json canfleet.yaml bootstrap.key; do
    [ -e "$folder/$file" ] || { echo "deploy: $folder/$file is missing; docs/delivery.md says what it is" >&2; exit 1; }
done
ray get-auth-token --generate > /dev/null
python -m deploy.aws.render "$folder"

if [ -n "${ROLL:-}" ]; then
    deploy/roll.sh "$cluster"
else
    if ray get-head-ip "$cluster" > /dev/null 2>&1; then
        bring_next "$cluster" dist
        show_migrations "$cluster"
    fi
    ray up --yes --no-config-cache "$cluster"
fi
url=$(python -c 'import json, sys; print(json.load(open(sys.argv[1]))["url"]["value"])' "$folder/outputs.json")
CANFLEET_KEY=$(cat "$folder/bootstrap.key") canfleet smoke --url "$url" --timeout "${SMOKE_S:-300}"
git tag --force "deployed/$environment" > /dev/null
echo "deployed $(git rev-parse --short HEAD) to $environment"
