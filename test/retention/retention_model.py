"""The retention rules as a small model in Python, written from the documentation and not from the extension's code.

A row is what the database must have: its deadline, whether its template is there, what holds it.  The functions take the
same events as the database; `visible`, `matchable` and `kept` are what it must then show.
"""
import copy
from datetime import datetime, timedelta, timezone

NEVER = datetime.max.replace(tzinfo=timezone.utc)
LONG_AGO = datetime.min.replace(tzinfo=timezone.utc)


class Refused(Exception):
    """The database must refuse with this SQLSTATE."""

    def __init__(self, sqlstate):
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


class Rule:
    def __init__(self, name, cls, what, terms, fallback=None, take='earliest', follows=False, lengthens=False,
                 since=LONG_AGO, until=NEVER):
        self.name, self.cls, self.what, self.terms, self.fallback = name, cls, what, terms, fallback
        self.take, self.follows, self.lengthens, self.since, self.until = take, follows, lengthens, since, until

    def deadline(self, facts):
        known = [facts[anchor] + keep for anchor, keep in self.terms if facts.get(anchor) is not None]
        if self.take == 'latest' and len(known) < len(self.terms):
            known = []
        if known:
            return min(known) if self.take == 'earliest' else max(known)
        if self.fallback and facts.get(self.fallback[0]) is not None:
            return facts[self.fallback[0]] + self.fallback[1]
        return NEVER


class Row:
    def __init__(self, what, id, gallery, subject, cls, recorded, verified=None, template=True):
        self.what, self.id, self.gallery, self.subject, self.cls = what, id, gallery, subject, cls
        self.recorded, self.verified, self.template, self.due = recorded, verified, template, None


class Model:
    def __init__(self, rules):
        self.rules, self.sorted = list(rules), {}
        self.galleries, self.references, self.encounters = {}, {}, {}
        self.opt_outs, self.holds, self.events = {}, {}, {}
        self.anchors = {}

    def copy(self):
        """The model as it is, to come back to after a rollback."""
        other = copy.copy(self)
        other.rules, other.sorted, other.anchors = [copy.copy(r) for r in self.rules], {}, dict(self.anchors)
        for name in ('galleries', 'references', 'encounters', 'opt_outs', 'holds', 'events'):
            setattr(other, name, {k: copy.copy(v) for k, v in getattr(self, name).items()})
        return other

    # ------------------------------------------------------------ deadlines

    def rules_of(self, cls, what):
        """The rules of a class and kind of row, in order of their dates."""
        if (cls, what) not in self.sorted:
            self.sorted[cls, what] = sorted((r for r in self.rules if (r.cls, r.what) == (cls, what)), key=lambda r: (r.since, r.name))
        return self.sorted[cls, what]

    def facts(self, row):
        facts = {'recorded': row.recorded, 'verification': row.verified, 'gallery_anchor': self.anchors.get(row.gallery)}
        facts.update(self.events.get(row.subject, {}))
        return facts

    def by_rules(self, row):
        """(deadline, the rule that gives it, whether a later rule made it longer)"""
        facts, rules = self.facts(row), self.rules_of(row.cls, row.what)
        at_recording = [r for r in rules if r.since <= row.recorded < r.until]
        first = at_recording[-1] if at_recording else next((r for r in rules if r.since > row.recorded), None)
        if first is None:
            raise Refused('23503')
        due, rule, longer = first.deadline(facts), first, False
        for later in rules:
            if later.since <= row.recorded or later is first or later.since >= due or \
                    (later.since, later.name) < (first.since, first.name):
                continue
            then = max(later.deadline(facts), later.since)
            if then < due:
                due, rule = then, later
            elif then > due and later.lengthens:
                due, rule, longer = then, later, True
        ceiling = self.galleries[row.gallery].due if row.what != 'gallery' and row.gallery in self.galleries else NEVER
        return min(due, ceiling), rule, longer

    def settle(self, row, before, now, cause='event'):
        """Nearer always; farther only where the cause allows it, the row is not due, and nothing else had brought it nearer."""
        due, rule, longer = self.by_rules(row)
        allowed = {'event': rule.follows, 'new rule': longer or rule.lengthens, 'rule ended': False}[cause]
        if due < row.due or (allowed and row.due >= before and row.due > now):
            row.due = due

    def rows(self):
        return list(self.references.values()) + list(self.encounters.values())

    # ------------------------------------------------------------ what the law says of a subject or row

    def opted_out(self, subject, gallery, now):
        return subject is not None and any(
            o['subject'] == subject and not o['revoked'] and (o['until'] is None or o['until'] > now) and
            (o['gallery'] is None or o['gallery'] == gallery) for o in self.opt_outs.values())

    def held(self, row, now):
        return any(not h['released'] and (h['until'] is None or h['until'] > now) and
                   (h['row'] == (row.what, row.id) or (h['subject'] is not None and h['subject'] == row.subject))
                   for h in self.holds.values())

    # ------------------------------------------------------------ events

    def add_gallery(self, id, anchor, now):
        row = Row('gallery', id, id, None, 'gallery', now)
        self.anchors[id] = anchor
        row.due = self.by_rules(row)[0]
        self.galleries[id] = row

    def check_stage(self, gallery, subject, now):
        if self.opted_out(subject, gallery, now):
            raise Refused('23000')

    def stage(self, row):
        row.due = self.by_rules(row)[0]
        self.references[row.id] = row

    def move_departure(self, gallery, anchor, now):
        staged = [(r, self.by_rules(r)[0]) for r in self.rows() if r.gallery == gallery]
        own = self.galleries[gallery]
        before = self.by_rules(own)[0]
        self.anchors[gallery] = anchor
        self.settle(own, before, now)
        for row, was in staged:
            self.settle(row, was, now)

    def happen(self, subject, event, at, now):
        mine = [(r, self.by_rules(r)[0]) for r in self.rows() if r.subject == subject]
        events = self.events.get(subject, {})
        self.events[subject] = {**events, event: max(at, events.get(event, LONG_AGO))}
        for row, was in mine:
            self.settle(row, was, now)

    def change_rules(self, change, concerned, now, cause):
        """Rules of the classes and kinds of row concerned come, or go, together."""
        rows = [(r, self.by_rules(r)[0]) for r in self.rows() if (r.cls, r.what) in concerned]
        change()
        self.sorted = {}
        for row, was in rows:
            self.settle(row, was, now, cause)

    def add_rules(self, rules, now):
        self.change_rules(lambda: self.rules.extend(rules), {(r.cls, r.what) for r in rules}, now, 'new rule')

    def end_rule(self, rule, now):
        """Rows recorded from now on fall under another one; what is there keeps its deadline, or comes nearer."""
        self.change_rules(lambda: setattr(rule, 'until', now), {(rule.cls, rule.what)}, now, 'rule ended')

    def withdraw_rule(self, rule, now):
        """A rule that was to come does not: what it had brought nearer stays there."""
        self.change_rules(lambda: self.rules.remove(rule), {(rule.cls, rule.what)}, now, 'rule ended')

    def encounter(self, gallery, probe, named, now):
        """(outcome, reference): what record_encounter() must decide; templates of different subjects never match."""
        if self.opted_out(named, gallery, now) or probe is None:
            return 'manual_inspection', None
        found = [r for r in self.references.values() if r.gallery == gallery and r.subject == probe and r.due > now]
        best = min(found, key=lambda r: r.id, default=None)
        if best is None or (named is not None and named != best.subject):
            return 'no_match', None
        return 'match', best

    def record(self, row):
        row.due = self.by_rules(row)[0]
        self.encounters[row.id] = row

    def opt_out(self, id, subject, gallery, until, now):
        self.opt_outs[id] = {'subject': subject, 'gallery': gallery, 'until': until, 'revoked': False}
        if until is not None and until <= now:
            return
        for row in self.rows():
            if row.subject != subject or not row.template or (gallery is not None and row.gallery != gallery):
                continue
            if self.held(row, now):
                row.due = min(row.due, now)
            elif row.what == 'encounter':
                row.template = False
            else:
                del self.references[row.id]

    def delete(self, row, now):
        if self.held(row, now):
            raise Refused('23000')
        del (self.references if row.what == 'reference' else self.encounters)[row.id]

    def purge(self, now):
        for row in self.rows():
            if row.due <= now and not self.held(row, now):
                self.delete(row, now)
        for gallery in list(self.galleries.values()):
            if gallery.due <= now and not any(r.gallery == gallery.id for r in self.references.values()):
                del self.galleries[gallery.id]
                for row in self.encounters.values():
                    if row.gallery == gallery.id:
                        row.gallery = None
                        row.due = min(row.due, self.by_rules(row)[0])

    # ------------------------------------------------------------ what must be seen

    def visible(self, what, now):
        return sorted(r.id for r in self.rows() if r.what == what and r.due > now)

    def matchable(self, gallery, now):
        return sorted(r.id for r in self.references.values() if r.gallery == gallery and r.due > now)
