/*
 * Encounters at a gate, their candidate lists, and the privacy notices that were
 * posted there.
 */

---------------------------------------------------------------- notices

CREATE TABLE facematch.notice (
	notice_id	bigint GENERATED ALWAYS AS IDENTITY,
	title		text NOT NULL CONSTRAINT notice_has_a_title CHECK (title <> ''),
	language	text NOT NULL DEFAULT 'en' CONSTRAINT notice_language_is_named CHECK (language <> ''),
	body		text NOT NULL CONSTRAINT notice_has_a_body CHECK (body <> ''),
	valid_from	timestamptz NOT NULL DEFAULT now(),
	valid_to	timestamptz NOT NULL DEFAULT 'infinity',
	CONSTRAINT notice_pkey PRIMARY KEY (notice_id),
	CONSTRAINT notice_validity CHECK (valid_from < valid_to)
);
COMMENT ON TABLE facematch.notice IS 'privacy notices: what travelers are told, in the words of the day';
COMMENT ON COLUMN facematch.notice.notice_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch.notice.title IS 'what it is called';
COMMENT ON COLUMN facematch.notice.language IS 'language of the text, as BCP 47 has it';
COMMENT ON COLUMN facematch.notice.body IS 'the text';
COMMENT ON COLUMN facematch.notice.valid_from IS 'from when the text is right';
COMMENT ON COLUMN facematch.notice.valid_to IS 'until when the text was right';

CREATE TABLE facematch.notice_posting (
	posting_id	bigint GENERATED ALWAYS AS IDENTITY,
	notice_id	bigint NOT NULL,
	port		text NOT NULL CONSTRAINT notice_posting_port_is_a_name CHECK (facematch_internal.is_name(port)),
	lane		text CONSTRAINT notice_posting_lane_is_a_name CHECK (facematch_internal.is_name(lane)),
	posted_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	removed_at	timestamptz,
	CONSTRAINT notice_posting_pkey PRIMARY KEY (posting_id),
	CONSTRAINT notice_posting_notice_exists FOREIGN KEY (notice_id) REFERENCES facematch.notice,
	CONSTRAINT notice_posting_times CHECK (removed_at >= posted_at)
);
COMMENT ON TABLE facematch.notice_posting IS 'where and when a notice was shown';
COMMENT ON COLUMN facematch.notice_posting.posting_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch.notice_posting.notice_id IS 'the notice';
COMMENT ON COLUMN facematch.notice_posting.port IS 'the port';
COMMENT ON COLUMN facematch.notice_posting.lane IS 'the lane; NULL: all lanes of the port';
COMMENT ON COLUMN facematch.notice_posting.posted_at IS 'when it was put up';
COMMENT ON COLUMN facematch.notice_posting.removed_at IS 'when it was taken down; NULL while it hangs';
CREATE INDEX notice_posting_port_idx ON facematch.notice_posting (port, lane);
CREATE INDEX notice_posting_notice_idx ON facematch.notice_posting (notice_id);

SELECT pg_catalog.pg_extension_config_dump('facematch.notice', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.notice_notice_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.notice_posting', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.notice_posting_posting_id_seq', '');
