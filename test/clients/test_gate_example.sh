#!/usr/bin/env bash
# examples/gate, as its README says: pictures, templates by a packaged model, and the gate's flow, as an operator.
# GATE_MODULES names a node_modules folder that has its packages; otherwise npm fetches them.
set -eu

role=example_gate_$$
work=$(mktemp -d)
trap 'rm -rf "$work"; psql -Xq -c "SET client_min_messages = error" -c "DROP OWNED BY $role" -c "DROP ROLE IF EXISTS $role" >/dev/null 2>&1 || true' EXIT

absent()
{
	echo "$*"
	exit 77
}

command -v node >/dev/null && command -v npm >/dev/null || absent "node and npm are not installed (script/bootstrap)"
cp examples/gate/*.cjs examples/gate/*.sql examples/gate/package.json "$work"
if [ -n "${GATE_MODULES:-}" ]; then
	ln -s "$GATE_MODULES" "$work/node_modules"
else
	(cd "$work" && HOME=$work timeout -k 10 300 npm install --silent --no-audit --no-fund --ignore-scripts) || absent "npm's packages for examples/gate cannot be had here"
fi
psql -Xq -v ON_ERROR_STOP=1 -c "CREATE ROLE $role LOGIN" -v operator="$role" -f "$work/stage.sql"
cd "$work"
PGUSER=$role node story.cjs
