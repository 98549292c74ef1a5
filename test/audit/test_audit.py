#!/usr/bin/python3
"""A thousand random tamperings with the log, as a superuser with triggers off: every one is found, and by a verifier
that shares no code with the extension too.

    test_audit.py [TAMPERINGS [SEED]]

What only an anchor can show (the end of the log cut off or rewritten, hashes and all) is looked for with the anchor that was
taken before.  The log has several chains.
"""
import datetime
import hashlib
import json
import random
import sys

import psycopg
import psycopg.types.json

import audit_log

TAMPERINGS = 1000
SESSIONS = 5
# Kinds that the log shows by itself, and that are more than one event more.
ALONE = ('backdate', 'fill_gap')
FIELDS = ('event_id', 'at', 'actor', 'action', 'detail', 'previous', 'hash', 'chain', 'seq', 'witness')


def write_events(rng):
    """Several sessions with transactions that overlap, some of which fail."""
    conns = [psycopg.connect() for _ in range(SESSIONS)]
    for number in range(40):
        conn = rng.choice(conns)
        conn.execute('SELECT facematch_internal.write_audit(%s, %s)', [rng.choice(['tried', 'drawn "up"', 'größer']),
                                                              psycopg.types.json.Jsonb({'n': number, 'ratio': rng.random(), 'name': 'ä\\"\n\t', 'deep': [1, {'x': None}]})])
        if rng.random() < 0.5:
            conn.rollback() if rng.random() < 0.3 else conn.commit()
    for conn in conns:
        conn.commit()
        conn.close()


def write_policy():
    """Through the tables: what the extension logs by itself, receipts among it."""
    with psycopg.connect(autocommit=True) as conn:
        conn.execute("INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 1, 2)")
        conn.execute("INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('g', 'flight', 'm', 0.5, now() - interval '30 hours')")
        conn.execute("INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, enrolled_at) "
                     "SELECT 1, gen_random_uuid(), 'us_citizen', '[1,0]', 's', now() - interval '40 hours' FROM generate_series(1, 5)")
        conn.execute('INSERT INTO facematch.opt_out (subject_id) SELECT subject_id FROM facematch.reference LIMIT 1')
        conn.execute('CALL facematch.purge()')


def rehash(conn, chain, place):
    """Makes a chain whole again from a place on, as somebody would who knows how it is made."""
    members = conn.execute(f'SELECT {audit_log.COLUMNS} FROM facematch.audit_event WHERE chain = %s '
                           'AND seq >= %s - 1 ORDER BY seq, event_id', [chain, place]).fetchall()
    before = audit_log.NOTHING if place == 1 else members[0][6]
    for event in members if place == 1 else members[1:]:
        event = event[:5] + (before,) + event[6:]
        before = hashlib.sha256(audit_log.content(event)).digest()
        conn.execute('UPDATE facematch.audit_event SET previous = %s, hash = %s WHERE event_id = %s', [event[5], before, event[0]])


class Tampering:
    """The ways to tamper: each changes the log in an open transaction, and says what it did."""

    def __init__(self, conn, rng):
        self.conn, self.rng = conn, rng
        self.events = conn.execute(f'SELECT {audit_log.COLUMNS} FROM facematch.audit_event ORDER BY event_id').fetchall()

    def last_of(self, chain):
        return max((e for e in self.events if e[7] == chain), key=lambda e: e[8])

    def some_field(self, event):
        """Changes a field; returns its name."""
        field = self.rng.choice(FIELDS)
        new = {
            'event_id': "event_id + 100000", 'at': "at + interval '1 microsecond' * (1 + %s::int)", 'actor': "actor || 'x'", 'action': "action || ' '",
            'detail': "detail || jsonb_build_object('n', %s::int)", 'chain': 'chain + 1000', 'seq': 'seq + 100000',
            'previous': 'set_byte(previous, %s::int %% 32, get_byte(previous, %s::int %% 32) # 1)',
            'hash': 'set_byte(hash, %s::int %% 32, get_byte(hash, %s::int %% 32) # 16)',
            'witness': "set_byte(coalesce(witness, '\\x6f726465727320666f7267656420627920736f6d656f6e6520656c736521212121'), %s::int %% 32, "
                       "get_byte(coalesce(witness, sha256('')), %s::int %% 32) # 128)"}[field]
        arguments = [self.rng.randrange(10 ** 6)] * new.count('%s')
        self.conn.execute(f'UPDATE facematch.audit_event SET {field} = {new} WHERE event_id = %s', arguments + [event[0]])
        return field

    def change(self):
        event = self.rng.choice(self.events)
        return f'changed {self.some_field(event)} of {event[0]}'

    def delete(self):
        event = self.rng.choice([self.events[0], self.events[-1], self.rng.choice(self.events), self.rng.choice(self.events)])
        self.conn.execute('DELETE FROM facematch.audit_event WHERE event_id = %s', [event[0]])
        return f'deleted {event[0]}'

    def delete_and_close_up(self):
        event = self.rng.choice(self.events)
        self.conn.execute('DELETE FROM facematch.audit_event WHERE event_id = %s', [event[0]])
        self.conn.execute('UPDATE facematch.audit_event SET seq = -seq WHERE chain = %s AND seq > %s', [event[7], event[8]])
        self.conn.execute('UPDATE facematch.audit_event SET seq = -seq - 1 WHERE chain = %s AND seq < 0', [event[7]])
        rehash(self.conn, event[7], event[8])
        return f'deleted {event[0]} and closed the gap'

    def cut_off(self):
        """The end of a chain, or of the whole log."""
        first = self.rng.choice(self.events)
        if self.rng.random() < 0.5:
            self.conn.execute('DELETE FROM facematch.audit_event WHERE event_id >= %s', [first[0]])
            return f'cut off from {first[0]}'
        self.conn.execute('DELETE FROM facematch.audit_event WHERE chain = %s AND seq >= %s', [first[7], first[8]])
        return f'cut off chain {first[7]} from {first[0]}'

    def insert(self):
        """A copy of an event, in a chain's end, in the middle or in a new chain; with a right hash or the copied one."""
        copied, at = self.rng.choice(self.events), self.rng.choice(self.events)
        chain = at[7]
        where = self.rng.choice(('middle', 'end'))
        if where == 'end':
            last = self.last_of(chain)
            seq, previous = last[8] + 1, last[6]
        else:
            self.conn.execute('UPDATE facematch.audit_event SET seq = -seq WHERE chain = %s AND seq >= %s', [chain, at[8]])
            self.conn.execute('UPDATE facematch.audit_event SET seq = -seq + 1 WHERE chain = %s AND seq < 0', [chain])
            seq, previous = at[8], at[5]
        number = self.conn.execute('SELECT max(event_id) + 1 FROM facematch.audit_event').fetchone()[0]
        self.conn.execute('INSERT INTO facematch.audit_event SELECT %s, at, actor, action, detail, %s, hash, %s, %s, %s FROM facematch.audit_event '
                          'WHERE event_id = %s', [number, previous, chain, seq, self.events[-1][6], copied[0]])
        if self.rng.random() < 0.5 and where == 'middle':
            rehash(self.conn, chain, seq)
        return f'inserted a copy of {copied[0]} at place {seq} of chain {chain}'

    def swap(self):
        """Two events change places, or only what they say."""
        a, b = self.rng.sample(self.events, 2)
        columns = self.rng.choice(('event_id', 'at, actor, action, detail', 'hash', 'previous, hash', 'chain, seq', 'actor, action, detail, at, previous, hash, witness, chain, seq'))
        if columns == 'event_id':
            for number, other in ((a[0], -1), (b[0], a[0]), (-1, b[0])):
                self.conn.execute('UPDATE facematch.audit_event SET event_id = %s WHERE event_id = %s', [other, number])
        else:
            self.conn.execute('ALTER TABLE facematch.audit_event DROP CONSTRAINT audit_event_follows_one')
            self.conn.execute(f'UPDATE facematch.audit_event e SET ({columns}) = (SELECT {columns} FROM facematch.audit_event o '
                              'WHERE o.event_id = %s + %s - e.event_id) WHERE e.event_id IN (%s, %s)', [a[0], b[0], a[0], b[0]])
        return f'swapped {columns} of {a[0]} and {b[0]}'

    def reorder(self):
        """The places of a stretch of a chain are dealt anew, sometimes with hashes to fit."""
        chain = self.rng.choice([e[7] for e in self.events])
        places = sorted(e[8] for e in self.events if e[7] == chain)
        if len(places) < 2:
            return self.swap()
        dealt = self.rng.sample(places, len(places))
        if dealt == places:
            dealt.reverse()
        self.conn.execute('UPDATE facematch.audit_event SET seq = -seq WHERE chain = %s', [chain])
        for old, new in zip(places, dealt):
            self.conn.execute('UPDATE facematch.audit_event SET seq = %s WHERE chain = %s AND seq = %s', [new, chain, -old])
        if self.rng.random() < 0.5:
            rehash(self.conn, chain, 1)
        return f'reordered chain {chain}'

    def rewrite(self):
        """An event says something else, and all of its chain after it is hashed anew."""
        event = self.rng.choice(self.events)
        self.conn.execute("UPDATE facematch.audit_event SET detail = detail || '{\"forged\": true}' WHERE event_id = %s", [event[0]])
        rehash(self.conn, event[7], event[8])
        return f'rewrote {event[0]} and hashed anew'

    def rewrite_all(self):
        """The same, and all witnesses and anchors are made to fit: nothing in the log itself contradicts it."""
        event = self.rng.choice(self.events)
        self.conn.execute("UPDATE facematch.audit_event SET actor = 'nobody' WHERE event_id = %s", [event[0]])
        renamed, before = {}, {}
        for e in self.conn.execute(f'SELECT {audit_log.COLUMNS} FROM facematch.audit_event ORDER BY event_id').fetchall():
            detail = e[4]
            for old, new in renamed.items():
                detail = detail.replace(old.hex(), new.hex())
            e = e[:4] + (detail, before.get(e[7], audit_log.NOTHING)) + e[6:9] + (renamed.get(e[9], e[9]),)
            value = hashlib.sha256(audit_log.content(e)).digest()
            if value != e[6]:
                renamed[e[6]] = value
                self.conn.execute('UPDATE facematch.audit_event SET detail = %s, previous = %s, witness = %s, hash = %s WHERE event_id = %s',
                                  [detail, e[5], e[9], value, e[0]])
            before[e[7]] = value
        return f'rewrote {event[0]} and everything after it'

    def append(self, number, chain, age, witness):
        """An event by another's name, hashed as it should be, at the end of a chain or in a new one."""
        seq, previous = self.conn.execute('SELECT max(seq) + 1, (array_agg(hash ORDER BY seq DESC))[1] FROM facematch.audit_event WHERE chain = %s', [chain]).fetchone()
        self.conn.execute('INSERT INTO facematch.audit_event (event_id, at, actor, action, detail, previous, hash, chain, seq, witness) '
                          "VALUES (%s, clock_timestamp() - %s, 'bob', 'hold_placed', '{\"about\": \"hold:1\"}', %s, '', %s, %s, %s)",
                          [number, age, previous or audit_log.NOTHING, chain, seq or 1, witness])
        self.conn.execute('UPDATE facematch.audit_event e SET hash = sha256(facematch.audit_content(e)) WHERE event_id = %s', [number])
        return f'forged {number} in chain {chain}, {age} ago, with witness {witness.hex()[:8]}'

    def backdate(self):
        """An event is added today that says it is of another day: the log alone shows it."""
        chain = self.rng.choice([e[7] for e in self.events] + [77])
        witness = self.rng.choice([self.events[0], self.events[-1], self.rng.choice(self.events)])[6]
        if witness == self.events[-1][6] and self.rng.random() < 0.5 and chain == 77:
            witness = audit_log.NOTHING
        return self.append(self.events[-1][0] + self.rng.randint(1, 1000), chain, datetime.timedelta(days=self.rng.randint(100, 400)), witness)

    def fill_gap(self):
        """A number that a failed transaction left, with a time and a witness that fit: the anchor in the log shows it."""
        there = {e[0] for e in self.events}
        mark = json.loads(self.events[-1][4])['mark']
        number = self.rng.choice([n for n in range(2, mark) if n not in there])
        before = [e for e in self.events if e[0] < number][-1]
        age = self.conn.execute('SELECT clock_timestamp() - at FROM facematch.audit_event WHERE event_id = %s', [before[0]]).fetchone()[0]
        return self.append(number, self.rng.choice([77, 78]), age - datetime.timedelta(microseconds=1), before[6])

    def receipt(self):
        """The receipts that the log speaks of."""
        what = self.rng.choice(('DELETE FROM facematch.purge_receipt WHERE receipt_id = 1',
                                'UPDATE facematch.purge_receipt SET rows_purged = rows_purged + 1 WHERE receipt_id = 2',
                                # What was NULL counts too, and numbers before the first.
                                "UPDATE facematch.purge_receipt SET retention_class = 'watchlist' WHERE retention_class IS NULL",
                                "INSERT INTO facematch.purge_receipt (cause, table_name, rows_purged) VALUES ('retention', 't', 4)",
                                "INSERT INTO facematch.purge_receipt (receipt_id, cause, table_name, rows_purged) OVERRIDING SYSTEM VALUE VALUES (-7, 'retention', 't', 4)",
                                'UPDATE facematch_internal.erasure SET complete = NOT complete', "UPDATE facematch_internal.erasure SET wal_lsn = '0/1'",
                                # Where copies may be: a place less, one more, the same in another order.
                                'UPDATE facematch_internal.erasure SET unreachable = unreachable[2:]', "UPDATE facematch_internal.erasure SET unreachable = unreachable || '{nowhere}'",
                                'UPDATE facematch_internal.erasure SET unreachable = unreachable[2:] || unreachable[1]',
                                'DELETE FROM facematch_internal.erased_receipt', 'UPDATE facematch_internal.erased_receipt SET receipt_id = -receipt_id',
                                "INSERT INTO facematch_internal.erasure (table_name, pages, pages_cleared, rows_erased, entries_erased, fading_tuples, busy_pages, complete, verified,"
                                " wal_lsn, unreachable) VALUES ('t', 0, 0, 0, 0, 0, 0, true, true, '0/0', '{}')"))
        self.conn.execute(what)
        return what


def main():
    tamperings = int(sys.argv[1]) if len(sys.argv) > 1 else TAMPERINGS
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    rng = random.Random(seed)
    write_events(rng)
    write_policy()
    with psycopg.connect() as conn:
        anchor = conn.execute('SELECT facematch.audit_anchor()').fetchone()[0]
        conn.commit()
        whole = conn.execute('SELECT intact, events, since_anchor FROM facematch.verify_audit(%s)', [anchor]).fetchall()
        events = audit_log.read(conn)
        assert whole == [(True, len(events), 0)], whole
        assert audit_log.findings(events, audit_log.read_receipts(conn), anchor) == []
        assert len({e[7] for e in events}) >= 3 and sum(e[3] == 'receipt_written' for e in events) >= 2, events
        kinds, by_anchor_only, missed = {}, 0, []
        for number in range(tamperings):
            conn.rollback()
            conn.execute('ALTER TABLE facematch.audit_event DISABLE TRIGGER ALL')
            for table, _ in audit_log.KEPT.values():
                conn.execute(f'ALTER TABLE {table} DISABLE TRIGGER ALL')
            tampering = Tampering(conn, rng)
            kind = rng.choice([k for k in vars(Tampering) if not k.startswith('_') and k not in ('last_of', 'some_field', 'append')])
            did = getattr(tampering, kind)()
            kinds[kind] = kinds.get(kind, 0) + 1
            intact, since = conn.execute('SELECT bool_and(intact), max(since_anchor) FROM facematch.verify_audit(%s)', [anchor]).fetchone()
            alone = conn.execute('SELECT bool_and(intact) FROM facematch.verify_audit()').fetchone()[0]
            read, receipts = audit_log.read(conn), audit_log.read_receipts(conn)
            # An event that continues a chain as it should is no tampering with what was: it is one event more.
            found = not intact if kind in ALONE else not intact or since != 0
            agrees = bool(audit_log.findings(read, receipts, anchor)) or since != 0
            found = found and not (kind in ALONE and alone)
            agrees_alone = (audit_log.findings(read, receipts) == []) == alone
            by_anchor_only += found and alone
            if not (found and agrees and agrees_alone):
                missed.append(f'{number}: {did}: found {found}, by the independent verifier {agrees}, alike without the anchor {agrees_alone}')
        conn.rollback()
    print(f'seed {seed}: {tamperings} tamperings, {by_anchor_only} of them shown by the anchor only:', dict(sorted(kinds.items())))
    assert not missed, '\n'.join(missed)
    assert by_anchor_only > 0, 'nothing needed the anchor: the test does not try hard enough'


if __name__ == '__main__':
    main()
