// Debian's Chromium, driven by playwright-core, kept off any network but this machine's own.

import fs from 'node:fs';
import path from 'node:path';

import { chromium } from 'playwright-core';

import { here } from './house.mjs';

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const SHOTS = path.join(here, 'screenshots');

/** Starts the browser; it is closed after the test. */
export async function browser(t) {
  if (!fs.existsSync(CHROMIUM)) throw new Error(`${CHROMIUM} is missing: apt-get update && apt-get install -y chromium`);
  const started = await chromium.launch({
    executablePath: CHROMIUM,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  t.after(() => started.close());
  return started;
}

/** A person: an own profile. What a page may not do (its policy, its console) is kept in `complaints`. */
export async function person(of, options = {}) {
  const context = await of.newContext({ colorScheme: 'light', ...options });
  context.setDefaultTimeout(15_000);
  const complaints = [];
  // Pages here must work without the network: whatever asks for it is told so at once.
  await context.route((url) => !['127.0.0.1', 'localhost'].includes(url.hostname) && url.protocol.startsWith('http'), (route) => route.abort());
  context.on('console', (message) => {
    if (/Content Security Policy|Refused to/i.test(message.text())) complaints.push(message.text());
  });
  context.on('weberror', (error) => complaints.push(String(error.error())));
  return { context, complaints };
}

/** Keeps a picture of the page under a name. */
export async function picture(page, name) {
  fs.mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: path.join(SHOTS, `${name}.png`), fullPage: true });
}
