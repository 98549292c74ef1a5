#!/usr/bin/env node
// facematch.report_html() in headless Chromium: nothing is fetched, nothing complains, every chart has the table of its
// numbers, hostile names stay text, and it can be read at a desk, on a phone, in grey and on paper.
// SCREENSHOTS=DIR keeps the pictures.
import assert from 'node:assert';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Browser } from './devtools.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const chromium = process.env.CHROMIUM ?? 'chromium';

if (spawnSync(chromium, ['--version']).status !== 0) {
	console.log('chromium is not installed (script/bootstrap)');
	process.exit(77);
}

const title = 'Gates of <script>alert("title")</script> "Utopia" & co';
const hostile = [title, '<script>alert("class")</script>', '</style><script>alert("citation")</script> & "quoted"', '{{constructor}} ${x} <!-- --> ]]>',
	'"><script>document.title="broken"</script>', '"><img src=x onerror=alert(1)>', 'model "one" & <b>two</b>', "visitor's <i>class</i>",
	'pictures of "volunteers" <script>alert("note")</script>', 'Air <script>alert("partner")</script> Utopia', 'officer\'s desk "A" <script>alert(2)</script>', 'court order <script>alert("hold")</script> 26-114', 'es<script>',
	'[U+202E]evil[U+202C] \u{1F6C2} O\'Hare & co', '\u05D0\u05D9\u05DC\u05EA', '\u0627\u0644\u0645\u064A\u0646\u0627\u0621', '[U+202E]desrever[U+202C]'];

function psql(...args) {
	return execFileSync('psql', ['-XqAt', '-v', 'ON_ERROR_STOP=1', ...args], { encoding: 'utf8', maxBuffer: 1 << 28, env: { ...process.env, PGCLIENTENCODING: 'UTF8' } });
}

// What is wrong with the document, read in the page.
function faults(hostile) {
	const found = [];
	const check = (right, what) => right || found.push(what);
	const text = document.body.textContent;
	const number = (cell) => Number(cell.textContent.replace(/[,\s%]/g, '')) || 0;

	check(document.querySelectorAll('script, img, iframe, object, embed, link, form, input, base, video, audio').length === 0, 'an element that could fetch or run');
	for (const element of document.querySelectorAll('*'))
		for (const a of element.attributes) {
			check(!/^on/i.test(a.name), `${element.tagName} has ${a.name}`);
			check(a.name !== 'href' || /^#/.test(a.value), `${element.tagName} leads to ${a.value}`);
		}
	for (const name of hostile)
		check(text.includes(name), `not shown as text: ${name}`);
	check(document.documentElement.lang === 'en', 'no language');
	check(document.querySelectorAll('h1').length === 1, 'one h1');
	const levels = [...document.querySelectorAll('h1, h2, h3, h4')].map((h) => Number(h.tagName[1]));
	check(levels.every((l, i) => i === 0 || l <= levels[i - 1] + 1), 'a level of headings is left out');
	const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
	check(new Set(ids).size === ids.length, 'an id twice');
	for (const a of document.querySelectorAll('a'))
		check(ids.includes(a.getAttribute('href').slice(1)), `nothing at ${a.getAttribute('href')}`);
	for (const table of document.querySelectorAll('table')) {
		const columns = table.tHead.rows[0].cells.length;
		check(table.caption.textContent.length > 5, 'a table without a caption');
		check([...table.tBodies[0].rows].every((r) => r.cells.length === columns && r.cells[0].scope === 'row'), `cells of: ${table.caption.textContent}`);
	}

	// Every chart is a picture with a name, and what it draws is what its table says.
	const charts = [...document.querySelectorAll('figure.chart')];
	check(charts.length >= 5, `${charts.length} charts`);
	check(document.querySelectorAll('svg[role=img]').length === charts.length, 'a chart outside of a figure');
	for (const figure of charts) {
		const svg = figure.querySelector('svg[role=img]');
		const rows = [...(figure.querySelector('table')?.tBodies[0].rows ?? [])];
		const names = svg.getAttribute('aria-labelledby').split(' ').map((id) => document.getElementById(id)?.textContent ?? '');
		const rects = svg.querySelectorAll('rect').length;
		const lines = [...svg.querySelectorAll('polyline')];
		check(rows.length > 0, `${figure.id}: no table`);
		check(names.length === 2 && names.every((n) => n.length > 5), `${figure.id}: no name and description`);
		check(rects + lines.length > 0, `${figure.id}: nothing is drawn`);
		if (rects > 0) {
			const series = Math.max(1, figure.querySelectorAll('.legend li').length);
			const drawn = rows.flatMap((r) => [...r.cells].slice(1, 1 + series)).filter((c) => number(c) > 0).length;
			check(rects === drawn, `${figure.id}: ${rects} columns, ${drawn} numbers`);
		}
		for (const line of lines) {
			const points = line.getAttribute('points').split(' ').length;
			check(points === rows.length || points === 2 * rows.length, `${figure.id}: ${points} points, ${rows.length} rows`);
		}
		for (const shape of svg.querySelectorAll('rect, polyline')) {
			const box = shape.getBBox();
			check(box.x >= 75 && box.y >= 13 && box.x + box.width <= 549 && box.y + box.height <= 247, `${figure.id}: drawn outside of the frame`);
		}
	}
	return found;
}

// What is wrong with how it looks at this width.
function misfits() {
	const found = [];
	const apart = (a, b) => a.right <= b.left + 0.5 || b.right <= a.left + 0.5 || a.bottom <= b.top + 0.5 || b.bottom <= a.top + 0.5;
	const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
	const luminance = (colour) => { const [r, g, b] = colour.match(/[\d.]+/g).map(Number); return 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b); };
	const background = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (!/, 0\)$|transparent/.test(c)) return c; } return 'rgb(255,255,255)'; };

	if (document.documentElement.scrollWidth > innerWidth)
		found.push(`the page is ${document.documentElement.scrollWidth} wide`);
	for (const svg of document.querySelectorAll('svg[role=img]')) {
		const frame = svg.getBoundingClientRect();
		const labels = [...svg.querySelectorAll('text')].map((t) => ({ text: t.textContent, box: t.getBoundingClientRect() }));

		labels.forEach(({ text, box }, i) => {
			if (box.height < 9)
				found.push(`${svg.parentNode.parentNode.parentNode.id}: "${text}" is ${box.height} high`);
			if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1)
				found.push(`"${text}" leaves its chart`);
			labels.slice(i + 1).filter((other) => !apart(box, other.box)).forEach((other) => found.push(`"${text}" is on "${other.text}"`));
		});
	}
	for (const e of document.querySelectorAll('p, td, th, dt, dd, h1, h2, h3, a, small, svg text, li')) {
		const style = getComputedStyle(e);
		const [light, dark] = [luminance(e.closest('svg') ? style.fill : style.color), luminance(background(e))].sort((a, b) => b - a);

		if ((light + 0.05) / (dark + 0.05) < 4.5)
			found.push(`contrast of ${e.tagName} "${e.textContent.slice(0, 30)}"`);
	}
	// In grey, the series of a chart are still as far apart as light from dark.
	const greys = ['.s1', '.s2', '.s3'].map((c) => document.querySelector(`svg rect${c}`)).filter(Boolean).map((r) => luminance(getComputedStyle(r).fill));
	for (let i = 1; i < greys.length; i++)
		if ((greys[i] + 0.05) / (greys[i - 1] + 0.05) < 1.8)
			found.push(`series ${i} and ${i + 1} are one grey`);
	return [...new Set(found)];
}

async function main() {
	const dir = mkdtempSync(join(tmpdir(), 'report-'));
	const file = join(dir, 'report.html');
	const browser = await Browser.start(chromium);

	try {
		// The watch sees what it watches for.
		const bad = join(dir, 'bad.html');
		writeFileSync(bad, '<title>bad</title><img src="file:///nowhere.png"><script>console.error("seen"); alert("seen too")</script>');
		const watched = await browser.page();
		await watched.open(pathToFileURL(bad).href, 800, 600);
		assert.ok(watched.complaints.some((c) => /console.error: seen/.test(c)) && watched.complaints.some((c) => /dialog: seen too/.test(c)), 'complaints are seen');
		assert.ok(watched.requests.some((r) => /nowhere/.test(r)), 'requests are seen');
		assert.ok((await watched.evaluate(faults, hostile)).length > 5, 'faults are seen');

		psql('-f', join(here, '..', 'lib', 'report_fixture.sql'));
		writeFileSync(file, psql('-v', `title=${title}`, '-f', join(here, '..', 'lib', 'report_page.sql')));
		const page = await browser.page();
		const url = pathToFileURL(file).href;
		for (const [name, width, height] of [['desktop', 1280, 900], ['phone', 390, 844]]) {
			await page.open(url, width, height);
			assert.strictEqual(await page.evaluate(() => document.title), title);
			assert.deepStrictEqual(await page.evaluate(faults, hostile), [], name);
			assert.deepStrictEqual(await page.evaluate(misfits), [], name);
			const picture = await page.screenshot();
			assert.ok(picture.length > 100000, `${name}: an empty picture`);
			if (process.env.SCREENSHOTS)
				writeFileSync(join(process.env.SCREENSHOTS, `report-${name}.png`), picture);
		}

		// On paper nothing is cut off by a box that scrolls on a screen.
		await page.open(url, 794, 1123);
		await page.send('Emulation.setEmulatedMedia', { media: 'print' });
		assert.deepStrictEqual(await page.evaluate(() => [...document.querySelectorAll('.data')].filter((d) => d.scrollHeight > d.clientHeight + 1).map((d) => d.getAttribute('aria-label'))), [], 'cut off on paper');
		const pdf = Buffer.from((await page.send('Page.printToPDF', { preferCSSPageSize: true, printBackground: true })).data, 'base64');
		assert.ok(pdf.subarray(0, 5).toString() === '%PDF-' && pdf.length > 50000, 'prints');
		if (process.env.SCREENSHOTS)
			writeFileSync(join(process.env.SCREENSHOTS, 'report.pdf'), pdf);

		assert.deepStrictEqual(page.complaints, [], 'the console is silent');
		assert.deepStrictEqual([...new Set(page.requests)], [url], 'nothing but the page is fetched');
	} finally {
		await browser.stop();
		rmSync(dir, { recursive: true, force: true });
	}
}

main().catch((e) => {
	console.error(e);
	process.exit(1);
});
