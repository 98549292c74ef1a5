#!/usr/bin/env node
// A gate: stages travelers, compares who stands at the camera, and records who declines.
//
//	gate.cjs stage FLIGHT COUNTRY/KIND/NUMBER CLASS PICTURE.jpg
//	gate.cjs board FLIGHT PORT PICTURE.jpg
//	gate.cjs inspect FLIGHT PORT COUNTRY/KIND/NUMBER	no picture: an officer looks at the document
//	gate.cjs decline COUNTRY/KIND/NUMBER [CLASS [PORT]]	what the document says, and where it was asked
//	gate.cjs queue	travelers whom an officer has to look at; stays, and shows them again as they come and go
//	gate.cjs resolve ENCOUNTER COUNTRY/KIND/NUMBER CLASS REASON
//
// The database is the one that PGHOST, PGDATABASE, PGUSER… lead to; a role made by facematch.grant_operator() has the rights.
'use strict';

const crypto = require('node:crypto');
const { Client } = require('pg');
const face = require('./face.cjs');

// Templates go as parameters, never into the text of a statement: a statement that fails is logged.
const actions = {
	async stage(db, flight, document, retentionClass, picture) {
		const template = await face.template(picture);

		if (template === null)
			throw new Error('there is no face in the picture');
		const { rows } = await db.query(`SELECT facematch.enrol($1, facematch.subject_id($2, $3, $4), $6::face_embedding, $5, 'passport') AS reference_id`,
			[flight, ...document.split('/'), retentionClass, template]);

		return rows[0];
	},

	// The key makes a retry after a broken connection find the first answer.
	async board(db, flight, port, picture, key = crypto.randomUUID()) {
		const { rows } = await db.query(`SELECT outcome, subject_id, similarity, threshold, purge_after
			FROM facematch.record_encounter(gallery => $1, probe => $2::face_embedding, port => $3, direction => 'exit', mode => 'air', idempotency_key => $4)`,
			[flight, await face.template(picture), port, key]);

		return rows[0];
	},

	async inspect(db, flight, port, document) {
		const { rows } = await db.query(`SELECT outcome, reason, subject_id, purge_after
			FROM facematch.record_encounter(gallery => $1, port => $2, direction => 'exit', mode => 'air', subject_id => facematch.subject_id($3, $4, $5))`,
			[flight, port, ...document.split('/')]);

		return rows[0];
	},

	// Whether the law gives it is in the answer; without_right, the rule says why not.
	async decline(db, document, retentionClass = null, port = null) {
		const { rows } = await db.query(`WITH filed AS (INSERT INTO facematch.opt_out (subject_id, retention_class, port)
				VALUES (facematch.subject_id($1, $2, $3), $4, $5) RETURNING opt_out_id, scope, alternative, answer, rule)
			SELECT f.opt_out_id, f.scope, f.alternative, f.answer, r.citation FROM filed f LEFT JOIN facematch.decline_rule r ON r.name = f.rule`,
			[...document.split('/'), retentionClass, port]);

		return rows[0];
	},

	// Shows the queue, and again whenever an alert wakes it: the alert itself says nothing.
	async queue(db, show = (rows) => console.table(rows)) {
		const look = async () => show((await db.query('SELECT encounter_id, port, lane, cause, age::text FROM facematch.open_referral ORDER BY occurred_at')).rows);

		db.on('notification', look);
		for (const { channel } of (await db.query('SELECT channel FROM facematch.alert_channel')).rows)
			await db.query(`LISTEN ${db.escapeIdentifier(channel)}`);
		await look();
	},

	async resolve(db, encounter, document, retentionClass, reason) {
		const { rows } = await db.query(`SELECT outcome, subject_id, purge_after
			FROM facematch.resolve_encounter($1, facematch.subject_id($2, $3, $4), $5, $6)`, [encounter, ...document.split('/'), retentionClass, reason]);

		return rows[0];
	},
};

async function main([action, ...rest]) {
	if (!Object.hasOwn(actions, action ?? '')) {
		console.error('usage: gate.cjs stage FLIGHT DOCUMENT CLASS PICTURE | board FLIGHT PORT PICTURE | inspect FLIGHT PORT DOCUMENT | decline DOCUMENT [CLASS [PORT]]'
			+ ' | queue | resolve ENCOUNTER DOCUMENT CLASS REASON');
		process.exit(2);
	}
	const db = new Client();

	await db.connect();
	try {
		if (action === 'stage' || action === 'board')
			await face.start();
		if (action === 'queue') {
			await actions.queue(db);
			await new Promise((resolve) => process.once('SIGINT', resolve));
			return;
		}
		console.log(JSON.stringify(await actions[action](db, ...rest), null, '\t'));
	} finally {
		await db.end();
	}
}

module.exports = { actions };
if (require.main === module)
	main(process.argv.slice(2)).catch((e) => {
		// A refusal has a name, which a program tells apart without reading English: ../refusals says what to do for each.
		console.error(e.constraint ? `${e.constraint}: ${e.message}` : e.message);
		process.exit(1);
	});
