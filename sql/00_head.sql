\echo Use "CREATE EXTENSION facematch CASCADE" to load this file. \quit

/*
 * The extension script is joined from sql/NN_*.sql in the order of their numbers:
 *   00      this head
 *   1x      the type face_embedding, its operators and operator classes (in @extschema@)
 *   2x      the access method (in @extschema@)
 *   4x      models, galleries and references
 *   5x      pseudonyms and matching
 *   6x      retention, opt-outs, encounters and purges
 *   8x      roles and their rights, partners, disclosures
 *   9x      accuracy and reports; last, what closes every object to PUBLIC
 */

CREATE SCHEMA facematch;
COMMENT ON SCHEMA facematch IS
	'facematch: galleries of face templates, 1:1 and 1:N matching, opt-outs, retention and purges. Nothing in it is granted to PUBLIC.';
