#!/usr/bin/env bash
# Puts the release that last passed its smoke test back on an environment: `rollback.sh ENV`, as of `make rollback`.
# Its commit has the tag deployed/ENV, which `make deploy` moves. It is built anew, with its own lock, and deployed like any.
set -euo pipefail
cd "$(dirname "$0")/../.."
environment=${1:?which environment? make rollback ENV=staging}
last=deployed/$environment
git rev-parse --quiet --verify "$last^{commit}" > /dev/null || { echo "rollback: there is no tag $last" >&2; exit 1; }
# An older release refuses to work on a schema that it does not know.
if ! git diff --quiet "$last" HEAD -- pipeline/clickhouse/migrations; then
    echo "rollback: migrations differ between $last and this commit: mend this one and deploy it instead" >&2
    exit 1
fi
tree=$(mktemp -d)
trap 'git worktree remove --force "$tree"' EXIT
git worktree add --quiet --detach "$tree" "$last"
make -C "$tree" deploy ENV="$environment"
