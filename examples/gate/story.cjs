#!/usr/bin/env node
// A flight boards, from pictures: run as an operator in a database where the flight STORY-1 is staged (README.md).
// Says what happens, and fails if it is not what should.
'use strict';

const assert = require('node:assert');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { Client } = require('pg');
const face = require('./face.cjs');
const pictures = require('./pictures.cjs');
const { actions } = require('./gate.cjs');

const flight = process.env.FLIGHT ?? 'STORY-1';
const document = (n) => `UTO/passport/E${1000 + n}`;

async function main() {
	const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'gate-'));
	const db = new Client();

	await db.connect();
	try {
		await face.start();
		const people = await pictures.draw(dir, pictures.shipped('sample1.jpg', 'sample5.jpg'), 5);
		const strangers = 2; // the last two are on no list
		const passengers = people - strangers;

		console.log(`${people} people in the photographs that face-api ships: ${passengers} travel`);
		assert.ok(passengers >= 3, 'too few faces to tell a story with');
		const subjects = [];
		for (let n = 1; n <= passengers; n++) {
			const staged = await actions.stage(db, flight, document(n), n % 2 ? 'us_citizen' : 'noncitizen', path.join(dir, `${n}-passport.jpg`));

			subjects[n] = (await db.query('SELECT subject_id FROM facematch.reference WHERE reference_id = $1', [staged.reference_id])).rows[0].subject_id;
		}

		for (let n = 1; n < passengers; n++) {
			const answer = await actions.board(db, flight, 'JFK', path.join(dir, `${n}-gate.jpg`));

			console.log(`traveler ${n}: ${answer.outcome}, similarity ${Number(answer.similarity).toFixed(3)}, threshold ${answer.threshold}`);
			assert.strictEqual(answer.outcome, 'match');
			assert.strictEqual(answer.subject_id, subjects[n], 'the right person');
		}
		for (let n = passengers + 1; n <= people; n++) {
			const answer = await actions.board(db, flight, 'JFK', path.join(dir, `${n}-gate.jpg`));

			console.log(`a stranger: ${answer.outcome}`);
			assert.strictEqual(answer.outcome, 'no_match');
		}

		// The last traveler declines: the template goes, the face is found no more, and an officer looks at the document.
		const declined = await actions.decline(db, document(passengers), 'us_citizen', 'JFK');
		assert.strictEqual(declined.answer, 'by_right');
		// A noncitizen asks without a right: recorded, answered with the law, and still found.
		const refused = await actions.decline(db, document(2), 'noncitizen', 'JFK');
		console.log(`traveler 2 asked too: ${refused.answer}, ${refused.citation.split(',')[0]}`);
		assert.strictEqual(refused.answer, 'without_right');
		assert.strictEqual((await actions.board(db, flight, 'JFK', path.join(dir, '2-gate.jpg'))).outcome, 'match');
		assert.strictEqual((await actions.board(db, flight, 'JFK', path.join(dir, `${passengers}-gate.jpg`))).outcome, 'no_match');
		const inspected = await actions.inspect(db, flight, 'JFK', document(passengers));
		console.log(`traveler ${passengers} declined: ${inspected.outcome} (${inspected.reason})`);
		assert.deepStrictEqual([inspected.outcome, inspected.reason], ['manual_inspection', 'opted_out']);
		await assert.rejects(actions.stage(db, flight, document(passengers), 'us_citizen', path.join(dir, `${passengers}-passport.jpg`)),
			{ code: '23000', constraint: 'subject_has_not_opted_out' });
		// Other refusals by their names: no such flight, no such class, an encounter nobody was referred for.
		const again = path.join(dir, '1-passport.jpg');
		await assert.rejects(actions.stage(db, 'NO-SUCH', document(1), 'us_citizen', again), { code: 'P0002', constraint: 'gallery_exists' });
		await assert.rejects(actions.board(db, 'NO-SUCH', 'JFK', again), { code: 'P0002', constraint: 'gallery_exists' });
		await assert.rejects(actions.stage(db, flight, document(1), 'no_such_class', again), { code: '23503', constraint: 'retention_rule_is_in_force' });
		await assert.rejects(actions.board(db, flight, null, again), { code: '23514', constraint: 'encounter_names_its_port' });
		console.log('what is refused, is refused by name');

		// An officer's screen: woken by an alert, it shows who waits; resolved, the traveler is gone from it.
		let shown = [];
		let woken = 0;
		const screen = new Client();
		await screen.connect();
		await actions.queue(screen, (queue) => { shown = queue; woken++; });
		const waiting = shown.find((r) => r.cause === 'no_match');
		const resolved = await actions.resolve(db, waiting.encounter_id, 'UTO/passport/E1', 'noncitizen', 'passport inspected');
		assert.strictEqual(resolved.outcome, 'match');
		for (let tries = 0; tries < 100 && woken < 2; tries++)
			await new Promise((wake) => setTimeout(wake, 50));
		assert.ok(woken >= 2 && !shown.some((r) => r.encounter_id === waiting.encounter_id), 'the alert woke the screen');
		console.log(`an officer resolved referral ${waiting.encounter_id}: ${shown.length} are left in the queue`);
		await screen.end();

		// A gate that lost its connection asks again and gets the first answer.
		const key = `story-${process.pid}-${Date.now()}`;
		const first = await actions.board(db, flight, 'JFK', path.join(dir, '1-gate.jpg'), key);
		assert.deepStrictEqual(await actions.board(db, flight, 'JFK', path.join(dir, '1-gate.jpg'), key), first);
		console.log('all as it should be');
	} finally {
		await db.end();
		fs.rmSync(dir, { recursive: true, force: true });
	}
}

main().catch((e) => {
	console.error(e);
	process.exit(1);
});
