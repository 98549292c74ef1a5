"""The log, verified without any code of the extension: hashlib and json over the rows of facematch.audit_event.

What is looked for, and how the bytes under a hash are put together, is docs/audit.md put into other words.
"""
import decimal
import hashlib
import json

NOTHING = bytes(32)
COLUMNS = ('event_id, extract(epoch FROM at)::text, actor, action, detail::text, previous, hash, chain, seq, witness')


def read(conn):
    """The events, as tuples in the order of COLUMNS."""
    return conn.execute(f'SELECT {COLUMNS} FROM facematch.audit_event').fetchall()


# What the log has the rows of: the event's word for one, its table and key.
KEPT = {'receipt': ('facematch.purge_receipt', 'receipt_id'), 'erasure': ('facematch_internal.erasure', 'erasure_id'),
        'settlement': ('facematch_internal.erased_receipt', 'receipt_id')}


def read_receipts(conn):
    """Receipts, erasures and what was settled by which, each row as the log writes it: {(what, key): row}."""
    with conn.transaction():
        conn.execute("SET LOCAL timezone = 'UTC'")
        return {(what, row[key]): row for what, (table, key) in KEPT.items()
                for row, in conn.execute(f'SELECT to_jsonb(p) FROM {table} p').fetchall()}


def content(event):
    """The bytes that an event's hash is of."""
    number, at, actor, action, detail, previous, _, chain, seq, witness = event
    # detail is JSON already, as PostgreSQL writes it.
    said = ', '.join([str(number), json.dumps(at), json.dumps(actor, ensure_ascii=False), json.dumps(action, ensure_ascii=False), detail])
    return previous + witness + f'[{chain}, {seq}, {said}]'.encode()


def heads(event):
    """What an anchor names: (chain, place, hash)."""
    return [(chain, place, bytes.fromhex(value)) for chain, place, value in json.loads(event[4]).get('heads', [])]


def order_findings(chains, numbers):
    """Events that say they are earlier than what they follow; numbers: the least number and time of each hash."""
    found = []
    for chain, members in chains.items():
        before = None
        for event in members:
            at, seen = decimal.Decimal(event[1]), numbers.get(event[9])
            if event[9] == NOTHING and event[8] != 1:
                found.append(f'{event[0]}: says that it is the first')
            if before and (event[0] <= before[0] or at < before[1] or seen and before[2] and seen[0] < before[2][0]) or seen and at < seen[1]:
                found.append(f'{event[0]}: earlier than what it follows')
            before = (event[0], at, seen)
    return found


def mark_findings(chains, anchors, numbers):
    """Events that are not in the heads of an anchor, and do not come after it."""
    found = []
    for anchor in anchors:
        detail = json.loads(anchor[4])
        if not isinstance(detail.get('mark'), int):
            continue
        covered = {chain: place for chain, place, _ in heads(anchor)}
        for chain, members in chains.items():
            for event in members:
                if event[8] != covered.get(chain, 0) + 1:
                    continue
                if event[0] <= detail['mark']:
                    wrong = chain not in detail['open']
                else:
                    wrong = detail['newest'] is not None and numbers.get(event[9], (0,))[0] < detail['newest']
                if wrong:
                    found.append(f'{event[0]}: not after anchor {anchor[0]}')
    return found


def receipt_findings(events, there):
    """Receipts and erasures that the log has otherwise, or one of the two has not at all."""
    written = {}
    for event in events:
        what = event[3].removesuffix('_written')
        if event[3].endswith('_written') and what in KEPT:
            row = json.loads(event[4])['row']
            written[what, row[KEPT[what][1]]] = row
    found = [f'{number}: the log says otherwise' for number, row in written.items()
             if number not in there or any(there[number].get(name, NOTHING) != value for name, value in row.items())]
    return found + [f'{number}: not in the log' for number in there if number not in written]


def findings(events, receipts, anchor=None):
    """What is wrong, as texts; nothing if the log is whole."""
    found = []
    chains, numbers = {}, {}
    for event in events:
        chains.setdefault(event[7], []).append(event)
        seen = numbers.get(event[6], (event[0], decimal.Decimal(event[1])))
        numbers[event[6]] = (min(seen[0], event[0]), min(seen[1], decimal.Decimal(event[1])))
    at_place = {}
    for chain, members in chains.items():
        members.sort(key=lambda e: (e[8], e[0]))
        before = NOTHING
        for expected, event in enumerate(members, 1):
            try:
                computed = hashlib.sha256(content(event)).digest()
            except TypeError:       # something is NULL
                computed = None
            if computed != event[6]:
                found.append(f'{event[0]}: hash')
            if event[8] != expected:
                found.append(f'{event[0]}: place')
            if event[5] != before:
                found.append(f'{event[0]}: previous')
            if event[9] != NOTHING and not numbers.get(event[9], event)[0] < event[0]:
                found.append(f'{event[0]}: witness')
            before = event[6]
            at_place[chain, event[8]] = event[6]
    anchors = [e for e in events if e[3] == 'anchored']
    for event in anchors:
        for chain, place, value in heads(event):
            if at_place.get((chain, place)) != value:
                found.append(f'{event[0]}: anchored head of chain {chain}')
    found += order_findings(chains, numbers) + mark_findings(chains, anchors, numbers)
    found += receipt_findings(events, receipts)
    if anchor is not None and bytes.fromhex(anchor) not in [e[6] for e in anchors]:
        found.append('the anchor is gone')
    return found
