#!/usr/bin/python3
"""what the log costs writers that commit at the same time: without it, with it, and with the one chain of version 0.1.0"""
import argparse
import os
import re
import subprocess
import tempfile

import psycopg

# Version 0.1.0 wrote one chain, under a lock on the table that was held until the commit.
ONE_CHAIN = """
CREATE TABLE one_chain (event_id bigint PRIMARY KEY, at timestamptz NOT NULL, actor text NOT NULL, action text NOT NULL, detail jsonb NOT NULL,
    previous bytea NOT NULL UNIQUE, hash bytea NOT NULL);
CREATE FUNCTION write_one_chain(action text, detail jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    last one_chain;
    content bytea;
    moment timestamptz;
BEGIN
    LOCK TABLE one_chain IN SHARE ROW EXCLUSIVE MODE;
    SELECT * INTO last FROM one_chain ORDER BY event_id DESC LIMIT 1;
    moment := clock_timestamp();
    content := coalesce(last.hash, decode(repeat('00', 32), 'hex')) || convert_to(jsonb_build_array(coalesce(last.event_id, 0) + 1,
        extract(epoch FROM moment)::text, session_user, action, detail)::text, 'UTF8');
    INSERT INTO one_chain VALUES (coalesce(last.event_id, 0) + 1, moment, session_user, action, detail,
        coalesce(last.hash, decode(repeat('00', 32), 'hex')), sha256(content));
END
$$;
CREATE TABLE work (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz DEFAULT now());
"""
WRITERS = (('no log', ''),
           ('the log: facematch_internal.write_audit()', "SELECT facematch_internal.write_audit('tried', '{\"rows\": 1}');"),
           ('one chain under a table lock (0.1.0)', "SELECT write_one_chain('tried', '{\"rows\": 1}');"))


def transactions(script, clients, seconds):
    """Transactions a second, and their mean latency in ms, by pgbench."""
    with tempfile.NamedTemporaryFile('w', suffix='.sql') as f:
        f.write(script)
        f.flush()
        os.chmod(f.name, 0o644)
        out = subprocess.run(['pgbench', '-n', '-M', 'prepared', '-c', str(clients), '-j', '2', '-T', str(seconds), '-f', f.name],
                             check=True, capture_output=True, text=True).stdout
    return float(re.search(r'tps = ([\d.]+)', out).group(1)), float(re.search(r'latency average = ([\d.]+)', out).group(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--clients', type=int, default=8)
    parser.add_argument('--seconds', type=int, default=6)
    parser.add_argument('--wait', type=float, default=5, help='ms that a transaction takes after its event, in the second half')
    args = parser.parse_args()
    with psycopg.connect(autocommit=True) as conn:
        conn.execute(ONE_CHAIN)
        for clients, wait in ((1, 0), (args.clients, 0), (args.clients, args.wait)):
            print(f'{clients} writers, one event a transaction' + (f', and the transaction lasts {wait:g} ms longer' if wait else ''))
            for name, write in WRITERS:
                rest = f'SELECT pg_sleep({wait / 1000});' if wait else ''
                tps, latency = transactions(f'BEGIN;\nINSERT INTO work DEFAULT VALUES;\n{write}\n{rest}\nCOMMIT;\n', clients, args.seconds)
                print(f'  {name:40s} {tps:8,.0f} transactions a second, {latency:6.2f} ms each')
        chains, events = conn.execute('SELECT count(DISTINCT chain), count(*) FROM facematch.audit_event').fetchone()
        rows = conn.execute('EXPLAIN (ANALYZE, TIMING OFF) SELECT * FROM facematch.verify_audit()').fetchall()
        took = float(re.search(r'Execution Time: ([\d.]+)', rows[-1][0]).group(1)) / 1000
        print(f'verify_audit(): {events:,} events in {chains} chains, {events / took:,.0f} a second')
        assert conn.execute('SELECT bool_and(intact) FROM facematch.verify_audit()').fetchone()[0]


if __name__ == '__main__':
    main()
