// A page in headless Chromium, by the DevTools protocol over a pipe: no package, no port.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const patience = 60000; // milliseconds for one answer

export class Browser {
	static async start(program) {
		const browser = new Browser();

		browser.home = mkdtempSync(join(tmpdir(), 'chromium-'));
		browser.process = spawn(program, ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
			'--disable-background-networking', '--disable-component-update', '--hide-scrollbars', '--remote-debugging-pipe',
			`--user-data-dir=${browser.home}`, 'about:blank'],
			{ stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'], env: { ...process.env, HOME: browser.home } });
		browser.waiting = new Map();
		browser.listeners = [];
		browser.number = 0;
		let rest = '';
		browser.process.stdio[4].on('data', (bytes) => {
			const parts = (rest + bytes).split('\0');

			rest = parts.pop();
			parts.forEach((part) => browser.receive(JSON.parse(part)));
		});
		browser.process.on('error', (e) => { throw e; });
		return browser;
	}

	receive(message) {
		if (message.id === undefined) {
			this.listeners.forEach((listener) => listener(message));
			return;
		}
		const { resolve, reject, timer, method } = this.waiting.get(message.id);

		clearTimeout(timer);
		this.waiting.delete(message.id);
		message.error ? reject(new Error(`${method}: ${message.error.message}`)) : resolve(message.result);
	}

	send(method, params = {}, sessionId = undefined) {
		const id = ++this.number;

		return new Promise((resolve, reject) => {
			const timer = setTimeout(() => reject(new Error(`${method}: no answer`)), patience);

			this.waiting.set(id, { resolve, reject, timer, method });
			this.process.stdio[3].write(JSON.stringify({ id, method, params, sessionId }) + '\0');
		});
	}

	// A page of its own, which remembers what it complained of and what it asked the network for.
	async page() {
		const { targetId } = await this.send('Target.createTarget', { url: 'about:blank' });
		const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
		const page = new Page(this, sessionId);

		this.listeners.push((message) => message.sessionId === sessionId && page.happened(message));
		for (const domain of ['Page', 'Runtime', 'Log', 'Network'])
			await page.send(`${domain}.enable`);
		return page;
	}

	async stop() {
		await this.send('Browser.close').catch(() => {});
		await new Promise((resolve) => this.process.exitCode !== null ? resolve() : this.process.once('exit', resolve));
		rmSync(this.home, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
	}
}

class Page {
	constructor(browser, sessionId) {
		Object.assign(this, { browser, sessionId, complaints: [], requests: [], loaded: () => {} });
	}

	send(method, params) {
		return this.browser.send(method, params, this.sessionId);
	}

	happened({ method, params }) {
		if (method === 'Page.loadEventFired')
			this.loaded();
		else if (method === 'Runtime.consoleAPICalled')
			this.complaints.push(`console.${params.type}: ${params.args.map((a) => a.value ?? a.description).join(' ')}`);
		else if (method === 'Runtime.exceptionThrown')
			this.complaints.push(`exception: ${params.exceptionDetails.text}`);
		else if (method === 'Log.entryAdded')
			this.complaints.push(`log ${params.entry.level}: ${params.entry.text}`);
		else if (method === 'Page.javascriptDialogOpening') {
			this.complaints.push(`dialog: ${params.message}`);
			this.send('Page.handleJavaScriptDialog', { accept: false }).catch(() => {});
		} else if (method === 'Network.requestWillBeSent')
			this.requests.push(params.request.url);
	}

	async open(url, width, height) {
		await this.send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: width < 600 });
		const loaded = new Promise((resolve, reject) => {
			const timer = setTimeout(() => reject(new Error(`${url} does not load`)), patience);

			this.loaded = () => { clearTimeout(timer); resolve(); };
		});

		await this.send('Page.navigate', { url });
		await loaded;
	}

	// The value of a function in the page.
	async evaluate(f, ...args) {
		const { result, exceptionDetails } = await this.send('Runtime.evaluate',
			{ expression: `(${f})(...${JSON.stringify(args)})`, returnByValue: true, awaitPromise: true });

		if (exceptionDetails)
			throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
		return result.value;
	}

	async screenshot() {
		const { data } = await this.send('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true });

		return Buffer.from(data, 'base64');
	}
}
