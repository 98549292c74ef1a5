#!/usr/bin/env python3
"""What a desk and a gate do when facematch refuses: decided by SQLSTATE and constraint name, never by a message."""
import dataclasses

# What is done for the person who stands there.
DOCUMENT = 'look at the document'           # the law or the person says: no comparison
CORRECT = 'correct the request'             # this request will never be accepted, another may be
LATER = 'ask again later'                   # the same request may be accepted
OPERATOR = 'tell the operator'              # the system is not set up for it

BY_NAME = {
    # who may be compared
    'subject_has_not_opted_out': DOCUMENT,
    'subject_attempts_are_left': DOCUMENT,
    'subject_is_enrolled': DOCUMENT,
    'encounter_match_was_compared': DOCUMENT,
    # galleries
    'gallery_exists': CORRECT,
    'reference_gallery_exists': CORRECT,
    'gallery_is_open': CORRECT,
    'gallery_has_not_departed': CORRECT,
    'gallery_name_key': CORRECT,
    'gallery_may_be_staged': OPERATOR,
    'gallery_is_for_an_event': CORRECT,
    'gallery_anchor_is_near': CORRECT,
    # templates
    'reference_is_of_its_gallerys_model': CORRECT,
    'reference_is_of_its_gallerys_quality': CORRECT,
    'reference_is_whole': CORRECT,
    'probe_is_of_its_gallerys_model': CORRECT,
    'probe_is_given': CORRECT,
    # searches and encounters
    'subject_is_given': CORRECT,
    'manifest_is_whole': CORRECT,
    'max_candidates_range': CORRECT,
    'min_similarity_range': CORRECT,
    'min_similarity_is_not_below': CORRECT,
    'search_is_by_subject_or_reference': CORRECT,
    'search_has_a_purpose': CORRECT,
    'search_purpose_length': CORRECT,
    'search_is_accounted': LATER,           # on a standby: ask the primary
    'encounter_names_its_port': CORRECT,
    'encounter_is_whole': CORRECT,
    'encounter_is_recent': CORRECT,
    'encounter_is_recorded_once': LATER,
    'encounter_is_recorded': OPERATOR,      # a trigger of the site's
    'encounter_is_referred': CORRECT,
    'encounter_is_not_due': CORRECT,
    'encounter_is_a_record': CORRECT,
    'encounter_match_names_its_subject': CORRECT,
    'idempotency_key_names_one_call': CORRECT,
    # what is kept
    'row_is_not_held': LATER,
    'purge_after_only_comes_nearer': CORRECT,
    'opt_out_stands': CORRECT,
    'opt_out_is_only_revoked': CORRECT,
    'retention_rule_is_in_force': OPERATOR,
    'model_is_calibrated': OPERATOR,
    # partners
    'partner_budget_is_left': LATER,
    'partner_gallery_may_be_asked': CORRECT,
    'session_is_of_one_partner': OPERATOR,
    'own_transaction': CORRECT,
    'document_part_is_given': CORRECT,
    'document_part_is_ascii': CORRECT,
    'pseudonym_key_exists': OPERATOR,
}

# What PostgreSQL itself refuses, and values that are no template: class of the SQLSTATE.
BY_CLASS = {
    '22': CORRECT,
    '23': CORRECT,
    '40': LATER,
    '53': LATER,
    '57': LATER,
    '08': LATER,
}


@dataclasses.dataclass
class Answer:
    value: object = None
    action: str = ''
    why: str = ''               # for the program's log: a name, no sentence

    @property
    def refused(self):
        return self.action != ''


def what_to_do(sqlstate, name):
    """The action for a refusal."""
    return BY_NAME.get(name) or BY_CLASS.get((sqlstate or '')[:2]) or OPERATOR


class Desk:
    def __init__(self, connection):
        self.connection = connection

    def call(self, query, *arguments):
        import psycopg
        try:
            row = self.connection.execute(query, arguments).fetchone()
            return Answer(row and row[0])
        except psycopg.Error as error:
            if not self.connection.autocommit:
                self.connection.rollback()
            name = error.diag.constraint_name
            return Answer(action=what_to_do(error.sqlstate, name), why=name or error.sqlstate or 'no connection')

    def enrol(self, gallery, subject, template, retention_class, source, quality=None):
        return self.call('SELECT facematch.enrol(%s, %s, %s::face_embedding, %s, %s, %s)',
                         gallery, subject, template, retention_class, source, quality)

    def search(self, gallery, probe, purpose=None):
        return self.call('SELECT array_agg(subject_id ORDER BY rank) FROM facematch.identify(%s::face_embedding, %s, purpose => %s)',
                         probe, gallery, purpose)

    def verify(self, gallery, probe, subject):
        """True, False, or why there was nothing to compare with."""
        return self.call('SELECT coalesce(reason, match::text) FROM facematch.verify(probe => %s::face_embedding, gallery => %s,'
                         ' subject_id => %s)', probe, gallery, subject)

    def board(self, gallery, probe, port, subject=None, quality=None):
        """The outcome of an encounter; beside match, the document is looked at."""
        return self.call('SELECT CASE outcome WHEN $$match$$ THEN outcome ELSE concat_ws($$: $$, outcome, reason) END'
                         ' FROM facematch.record_encounter(%s, %s::face_embedding, %s, subject_id => %s, quality => %s)',
                         gallery, probe, port, subject, quality)

    def remove(self, reference):
        return self.call('DELETE FROM facematch.reference WHERE reference_id = %s RETURNING reference_id', reference)


if __name__ == '__main__':
    for name, action in BY_NAME.items():
        print(f'{name:40} {action}')
