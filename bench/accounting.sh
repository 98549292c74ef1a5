#!/usr/bin/env bash
# What it costs that a search leaves a row: identify() in galleries of 400 by an operator, with facematch.account_searches
# on and off, in turns.  script/bench accounting.sh [TURNS [SECONDS]]; ROWS=1000000 references unless said otherwise.
set -eu
turns=${1:-5} seconds=${2:-5} rows=${ROWS:-1000000} sql=$(mktemp)
trap 'rm -f "$sql"' EXIT
psql -Xq -v ON_ERROR_STOP=1 -v rows="$rows" <<'SQL'
CREATE EXTENSION IF NOT EXISTS facematch CASCADE;
INSERT INTO facematch.model (name, tag, dims) VALUES ('accounted', 32000, 512);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at)
SELECT 'accounted ' || n, 'flight', 'accounted', 0.4, now() + interval '1 day' FROM generate_series(1, :rows / 400) n;
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT g.gallery_id, gen_random_uuid(), 'noncitizen', f.e, 'document' FROM facematch.gallery g,
	LATERAL (SELECT array_agg(random() + random() - 1)::real[]::face_embedding AS e FROM generate_series(1, 400) r, generate_series(1, 512)
		WHERE g.gallery_id > 0 GROUP BY r) f WHERE g.name LIKE 'accounted %';
CREATE TABLE accounted_probe AS SELECT n AS id, (SELECT array_agg(random() + random() - 1)::real[]::face_embedding
	FROM generate_series(1, 512 + 0 * n)) AS e FROM generate_series(1, 2000) n;
CREATE INDEX ON accounted_probe (id);
CREATE ROLE accounted_gate LOGIN;
SELECT facematch.grant_operator('accounted_gate');
GRANT SELECT ON accounted_probe TO accounted_gate;
SQL
psql -Xq -c 'VACUUM ANALYZE'
cat >"$sql" <<SQL
\set n random(1, 2000)
\set g random(1, $((rows / 400)))
SELECT i.* FROM accounted_probe p, facematch.identify(p.e, 'accounted ' || :g) i WHERE p.id = :n
SQL
for turn in $(seq "$turns"); do
	for accounted in on off; do
		psql -Xq -c "ALTER ROLE accounted_gate SET facematch.account_searches = $accounted"
		for clients in 1 4; do
			printf '%s\t%s\t%s\t' "$turn" "$accounted" "$clients"
			pgbench -n -M prepared -U accounted_gate -c $clients -j $clients -T "$seconds" -f "$sql" | sed -n 's/^tps = \([0-9.]*\).*/\1/p'
		done
	done
done | awk -F'\t' '{ s[$2, $3] += $4; n[$2, $3]++; print } END { for (c = 1; c <= 4; c += 3) { on = s["on", c] / n["on", c]; off = s["off", c] / n["off", c];
	printf "%d clients: %d searches a second accounted, %d not, ratio %.3f; accounting adds %.1f us a search\n", c, on, off, on / off, c * (1e6 / on - 1e6 / off) } }'
psql -Xq -c 'ALTER ROLE accounted_gate RESET facematch.account_searches'
