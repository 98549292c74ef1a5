#!/usr/bin/env node
// A gate: stages travelers, compares who stands at the camera, and records who declines.
//
//	gate.cjs stage FLIGHT COUNTRY/KIND/NUMBER CLASS PICTURE.jpg
//	gate.cjs board FLIGHT PORT PICTURE.jpg
//	gate.cjs inspect FLIGHT PORT COUNTRY/KIND/NUMBER	no picture: an officer looks at the document
//	gate.cjs decline COUNTRY/KIND/NUMBER
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
		const { rows } = await db.query(`INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
			SELECT g.gallery_id, facematch.subject_id($2, $3, $4), $5, $6::face_embedding, 'passport' FROM facematch.gallery g WHERE g.name = $1
			RETURNING reference_id, purge_after`, [flight, ...document.split('/'), retentionClass, template]);

		if (rows.length === 0)
			throw new Error(`there is no flight ${flight}`);
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

	async decline(db, document) {
		const { rows } = await db.query(`INSERT INTO facematch.opt_out (subject_id, noticed_at) VALUES (facematch.subject_id($1, $2, $3), now())
			RETURNING opt_out_id, scope, alternative`, document.split('/'));

		return rows[0];
	},
};

async function main([action, ...rest]) {
	if (!Object.hasOwn(actions, action ?? '')) {
		console.error('usage: gate.cjs stage FLIGHT DOCUMENT CLASS PICTURE | board FLIGHT PORT PICTURE | inspect FLIGHT PORT DOCUMENT | decline DOCUMENT');
		process.exit(2);
	}
	const db = new Client();

	await db.connect();
	try {
		if (action === 'stage' || action === 'board')
			await face.start();
		console.log(JSON.stringify(await actions[action](db, ...rest), null, '\t'));
	} finally {
		await db.end();
	}
}

module.exports = { actions };
if (require.main === module)
	main(process.argv.slice(2)).catch((e) => {
		console.error(e.message);
		process.exit(1);
	});
