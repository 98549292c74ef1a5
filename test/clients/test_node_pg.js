#!/usr/bin/env node
// face_embedding through node-postgres: parameters in text and in binary; and the text that pgvector's own
// node client makes (its toSql) is read, and what the server writes is read by its fromSql.
'use strict';

function need(name) {
	try {
		return require(name);
	} catch (e) {
		console.log(`the node module ${name} is not installed (npm install pg pgvector, NODE_PATH)`);
		process.exit(77);
	}
}

const assert = require('node:assert');
const { Client } = need('pg');
const pgvector = need('pgvector');

const values = [1, -2.5, 0.125, 0.0625];

function binary(components, tag) {
	const b = Buffer.alloc(4 + 4 * components.length);

	b.writeInt16BE(components.length, 0);
	b.writeInt16BE(tag, 2);
	components.forEach((v, i) => b.writeFloatBE(v, 4 + 4 * i));
	return b;
}

async function main() {
	const client = new Client();

	await client.connect();
	await client.query('CREATE TABLE face (id int, embedding face_embedding(4, 7))');
	await client.query('INSERT INTO face VALUES (1, $1)', [pgvector.toSql(values)]);
	await client.query({ text: 'INSERT INTO face VALUES (2, $1)', values: [binary(values, 7)] });
	await client.query('INSERT INTO face VALUES (3, $1)', ['7:' + pgvector.toSql(values)]);

	const text = await client.query('SELECT embedding FROM face ORDER BY id');
	for (const row of text.rows) {
		assert.ok(row.embedding.startsWith('7:'));
		assert.deepStrictEqual(pgvector.fromSql(row.embedding.slice(2)), values);
	}
	// the driver decodes binary results as UTF-8, so the bytes come as a bytea
	const bytes = await client.query('SELECT face_embedding_send(embedding) AS embedding FROM face ORDER BY id');
	assert.strictEqual(bytes.rows.length, 3);
	for (const row of bytes.rows)
		assert.ok(binary(values, 7).equals(row.embedding));

	// an array goes as text without a type: {1,-2.5,...}
	const near = await client.query('SELECT embedding <=> $1::real[]::face_embedding AS d FROM face WHERE id = 1', [values]);
	assert.ok(near.rows[0].d < 1e-6);

	await assert.rejects(client.query('INSERT INTO face VALUES (4, $1)', [pgvector.toSql([0.123456, 1])]), (e) => {
		assert.strictEqual(e.code.slice(0, 2), '22');
		assert.ok(!JSON.stringify(e).includes('0.123'), 'a component in the message');
		return true;
	});
	await client.end();
}

main().catch((e) => {
	console.error(e);
	process.exit(1);
});
