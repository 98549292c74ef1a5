// Pictures to try the gate with, drawn from the photographs that face-api's package ships: of each face a "passport
// picture", and a "gate picture" of the same person as another camera might take it: smaller, darker, noisy, compressed.
// It is the same photograph underneath, so this says nothing about how well the model does on people who aged.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const jpeg = require('jpeg-js');
const face = require('./face.cjs');

const leastFace = 70; // pixels; smaller ones in the background make poor passports

// A square around a face, scaled to so many pixels; change(value, x, y) is done to each sample.
function cut(picture, box, margin, size, change) {
	const side = Math.max(box.width, box.height) * margin;
	const left = box.x + box.width / 2 - side / 2;
	const top = box.y + box.height / 2 - side / 2;
	const data = Buffer.alloc(size * size * 4, 255);
	const sample = (x, y, c) => picture.data[(Math.min(picture.height - 1, Math.max(0, y)) * picture.width + Math.min(picture.width - 1, Math.max(0, x))) * 3 + c];

	for (let y = 0; y < size; y++)
		for (let x = 0; x < size; x++) {
			const [u, v] = [left + (x + 0.5) * side / size - 0.5, top + (y + 0.5) * side / size - 0.5];
			const [x0, y0] = [Math.floor(u), Math.floor(v)];

			for (let c = 0; c < 3; c++) {
				const above = sample(x0, y0, c) * (1 - u + x0) + sample(x0 + 1, y0, c) * (u - x0);
				const below = sample(x0, y0 + 1, c) * (1 - u + x0) + sample(x0 + 1, y0 + 1, c) * (u - x0);

				data[(y * size + x) * 4 + c] = Math.min(255, Math.max(0, Math.round(change(above * (1 - v + y0) + below * (v - y0), x, y))));
			}
		}
	return { data, width: size, height: size };
}

// Writes N-passport.jpg and N-gate.jpg into a folder for up to "most" faces; returns how many.
async function draw(dir, sources, most) {
	let n = 0;

	for (const source of sources) {
		const picture = face.read(source);

		for (const { box, score } of await face.faces(picture)) {
			if (n === most || Math.min(box.width, box.height) < leastFace || score < 0.9)
				continue;
			const files = ['passport', 'gate'].map((kind) => path.join(dir, `${n + 1}-${kind}.jpg`));

			fs.writeFileSync(files[0], jpeg.encode(cut(picture, box, 1.8, 320, (s) => s), 92).data);
			fs.writeFileSync(files[1], jpeg.encode(cut(picture, box, 1.9, 256, (s, x, y) => s * 0.8 + ((x * 7919 + y * 104729) % 17 - 8)), 60).data);
			// A face that the detector loses in the worse picture is a failure to acquire, and no traveler of this story.
			if (await face.template(files[0]) !== null && await face.template(files[1]) !== null)
				n++;
		}
	}
	return n;
}

const shipped = (...names) => names.map((name) => path.join(face.packageDir, 'demo', name));

module.exports = { draw, shipped };
