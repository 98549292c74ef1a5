#!/usr/bin/python3
"""Eight writers at once, with failures, savepoints and transactions that stay open while the log is anchored again and again: whatever
order they commit in, the log is whole by the extension's verifier and by the independent one.  And a clock that was set back.

    test_audit_writers.py [SECONDS [SEED]]
"""
import random
import sys
import threading
import time

import psycopg

import audit_log

SECONDS = 4
WRITERS = 8


def write(seed, until, failures):
    rng = random.Random(seed)
    try:
        with psycopg.connect() as conn:
            while time.monotonic() < until:
                if rng.random() < 0.2:
                    conn.execute(f"SET TRANSACTION ISOLATION LEVEL {rng.choice(['REPEATABLE READ', 'SERIALIZABLE'])}")
                for number in range(rng.choice((1, 1, 1, 2, 5, 40))):
                    fails = rng.random() < 0.2
                    if fails:
                        conn.execute('SAVEPOINT s')
                    conn.execute("SELECT facematch_internal.write_audit('tried', jsonb_build_object('writer', %s::int, 'n', %s::int))", [seed, number])
                    if fails:
                        conn.execute('ROLLBACK TO s' if rng.random() < 0.5 else 'RELEASE s')
                if rng.random() < 0.1:
                    time.sleep(rng.random() * 0.3)
                conn.rollback() if rng.random() < 0.2 else conn.commit()
    except Exception as error:      # told by the main thread
        failures.append(f'writer {seed}: {error}')


def anchor_again(until, anchors, failures):
    rng = random.Random(0)
    try:
        with psycopg.connect() as conn:
            while time.monotonic() < until:
                if rng.random() < 0.2:
                    conn.execute("SELECT facematch_internal.write_audit('before an anchor', '{}')")
                anchors.append(conn.execute('SELECT facematch.audit_anchor()').fetchone()[0])
                if rng.random() < 0.3:
                    time.sleep(rng.random() * 0.1)
                conn.commit()
                time.sleep(rng.random() * 0.02)
    except Exception as error:
        failures.append(f'anchors: {error}')


def findings(conn, anchor=None):
    """What both verifiers say."""
    said = conn.execute('SELECT finding FROM facematch.verify_audit(%s) WHERE NOT intact', [anchor]).fetchall()
    return [f for f, in said] + audit_log.findings(audit_log.read(conn), audit_log.read_receipts(conn), anchor)


def concurrent(seconds, seed):
    failures, anchors = [], []
    until = time.monotonic() + seconds
    threads = [threading.Thread(target=write, args=(seed + n, until, failures)) for n in range(WRITERS)]
    threads.append(threading.Thread(target=anchor_again, args=(until, anchors, failures)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    with psycopg.connect() as conn:
        assert findings(conn) == [], findings(conn)[:5]
        assert findings(conn, anchors[len(anchors) // 2]) == []
        events, chains = conn.execute('SELECT count(*), count(DISTINCT chain) FROM facematch.audit_event').fetchone()
        opened = conn.execute("SELECT count(*) FROM facematch.audit_event WHERE action = 'anchored' AND detail -> 'open' <> '[]'").fetchone()[0]
    print(f'seed {seed}: {events} events in {chains} chains, {len(anchors)} anchors, {opened} of them while somebody wrote')
    assert chains > 2 and opened > 0, 'nobody wrote at the same time: the test does not try hard enough'


def clock_set_back():
    """The log has an event of tomorrow, as if the clock had been wrong: time stands until it is reached, and what the clock said is kept."""
    with psycopg.connect() as conn:
        conn.execute("SELECT facematch_internal.write_audit('of tomorrow', '{}')")
        conn.commit()
        conn.execute('ALTER TABLE facematch.audit_event DISABLE TRIGGER ALL')
        conn.execute("UPDATE facematch.audit_event SET at = at + interval '1 day' WHERE action = 'of tomorrow'")
        conn.execute("UPDATE facematch.audit_event e SET hash = sha256(facematch.audit_content(e)) WHERE action = 'of tomorrow'")
        conn.execute('ALTER TABLE facematch.audit_event ENABLE ALWAYS TRIGGER audit_event_10_is_a_record, ENABLE ALWAYS TRIGGER audit_event_40_truncate')
        conn.commit()
        for number in range(3):
            conn.execute("SELECT facematch_internal.write_audit('after it', jsonb_build_object('n', %s::int))", [number])
            conn.commit()
        assert findings(conn) == [], findings(conn)
        rows = conn.execute("SELECT e.at = t.at, abs((e.detail ->> 'clock')::numeric - extract(epoch FROM clock_timestamp())) < 600, e.detail ? 'n' "
                            "FROM facematch.audit_event e, facematch.audit_event t WHERE e.action = 'after it' AND t.action = 'of tomorrow'").fetchall()
        assert rows == [(True, True, True)] * 3, rows
        # Whoever does not wait, but writes the day that the clock says, is found.
        conn.execute('ALTER TABLE facematch.audit_event DISABLE TRIGGER ALL')
        conn.execute("UPDATE facematch.audit_event SET at = clock_timestamp() WHERE event_id = (SELECT max(event_id) FROM facematch.audit_event)")
        conn.execute('UPDATE facematch.audit_event e SET hash = sha256(facematch.audit_content(e)) WHERE event_id = (SELECT max(event_id) FROM facematch.audit_event)')
        assert findings(conn) != []
        conn.rollback()
        try:
            conn.execute('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ')
            conn.execute('SELECT facematch.audit_anchor()')
            raise AssertionError('an anchor of an old snapshot')
        except psycopg.errors.ObjectNotInPrerequisiteState:
            conn.rollback()


def main():
    concurrent(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS, int(sys.argv[2]) if len(sys.argv) > 2 else 7)
    clock_set_back()


if __name__ == '__main__':
    main()
