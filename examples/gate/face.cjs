// A picture's template: face-api's detector, landmarks and 128-dimensional recognition network, whose weights come in its
// npm package, on TensorFlow.js compiled to WebAssembly.  Nothing is fetched.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const tf = require('@tensorflow/tfjs');
const wasm = require('@tensorflow/tfjs-backend-wasm');
const faceapi = require('@vladmandic/face-api/dist/face-api.node-wasm.js');
const jpeg = require('jpeg-js');

const packageDir = path.dirname(require.resolve('@vladmandic/face-api/package.json'));

// What a site enters into facematch.model.  Templates of this network have a large common part, so even those of different
// people are similar: on the dlib templates that the tests of this repository know, distance 0.478 is FMR 1:10,000, which
// is a cosine similarity of about 0.944.  Calibrate with pictures of your own: facematch.calibrate().
const model = { name: 'face-api 1.7.15', dims: 128, minSimilarity: 0.944 };

async function start() {
	wasm.setWasmPaths(path.dirname(require.resolve('@tensorflow/tfjs-backend-wasm')) + path.sep);
	if (!await tf.setBackend('wasm'))
		throw new Error('TensorFlow.js has no WebAssembly here');
	for (const net of ['ssdMobilenetv1', 'faceLandmark68Net', 'faceRecognitionNet'])
		await faceapi.nets[net].loadFromDisk(path.join(packageDir, 'model'));
}

function read(file) {
	return jpeg.decode(fs.readFileSync(file), { useTArray: true, formatAsRGBA: false, maxMemoryUsageInMB: 256 });
}

// The faces in a picture, the largest first: { box, score, template }.
async function faces(picture) {
	const pixels = tf.tensor3d(picture.data, [picture.height, picture.width, 3], 'int32');

	try {
		const found = await faceapi.detectAllFaces(pixels, new faceapi.SsdMobilenetv1Options({ minConfidence: 0.5 }))
			.withFaceLandmarks().withFaceDescriptors();

		return found.map(({ detection, descriptor }) => ({ box: detection.box, score: detection.score, template: `[${Array.from(descriptor).join(',')}]` }))
			.sort((a, b) => b.box.area - a.box.area);
	} finally {
		pixels.dispose();
	}
}

// The template of the person who stands at the camera, as a parameter for facematch; null: no face was found.
async function template(file) {
	const [nearest] = await faces(read(file));

	return nearest?.template ?? null;
}

module.exports = { model, packageDir, start, read, faces, template };
