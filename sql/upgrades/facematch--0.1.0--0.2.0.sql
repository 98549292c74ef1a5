/*
 * 0.1.0 to 0.2.0: what sql/upgrades/join.pl cannot read off the two scripts.
 */

--@ instead of: CREATE TABLE facematch.audit_event
-- The one chain there was goes on being verified as chain 0; new events go to others.
ALTER TABLE facematch.audit_event
	ADD COLUMN chain integer NOT NULL DEFAULT 0,
	ADD COLUMN seq bigint,
	ADD COLUMN witness bytea,
	DROP CONSTRAINT audit_event_follows_one,
	ADD CONSTRAINT audit_event_follows_one UNIQUE (chain, seq);
--@ drop: FUNCTION facematch.verify_audit()

--@ statements
