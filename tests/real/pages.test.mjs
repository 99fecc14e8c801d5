// Every page that there is, in a real browser, with the policy that it is served with. `tests/real/run` writes them first.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { once } from 'node:events';
import test from 'node:test';

import { browser, person, picture } from './browser.mjs';
import { here } from './house.mjs';

const GALLERY = path.join(here, 'screenshots/gallery');
const LOOKS = {
  light: { colorScheme: 'light' },
  dark: { colorScheme: 'dark' },
  narrow: { viewport: { width: 320, height: 640 } },
  forced: { forcedColors: 'active' },
};

test('every page reads well in each look, under its own policy', { timeout: 180_000 }, async (t) => {
  assert.ok(fs.existsSync(GALLERY), 'cargo test --lib gallery -- --ignored writes the pages');
  const names = fs.readdirSync(GALLERY).filter((file) => file.endsWith('.html')).map((file) => file.slice(0, -5));
  assert.ok(names.length > 50, `${names.length} pages`);
  const origin = await serve(t);
  const chromium = await browser(t);
  for (const [look, options] of Object.entries(LOOKS)) {
    const { context, complaints } = await person(chromium, options);
    const page = await context.newPage();
    for (const name of names) {
      await page.goto(`${origin}/${name}`);
      const found = await page.evaluate(judge);
      assert.deepEqual({ ...found, faint: look === 'forced' ? [] : found.faint }, { headings: 1, sideways: false, small: [], faint: [], styled: true }, `${name}, ${look}`);
      if (!name.startsWith('VB-')) await picture(page, `page-${name}-${look}`);
    }
    assert.deepEqual(complaints, []);
    await context.close();
  }
});

test('the keyboard reaches the one thing to do, visibly, and all can be read from right to left', async (t) => {
  const origin = await serve(t);
  const { context } = await person(await browser(t));
  const page = await context.newPage();
  await page.goto(`${origin}/denied`);
  await page.keyboard.press('Tab');
  const focus = await page.evaluate(() => {
    const style = getComputedStyle(document.activeElement);
    return { name: document.activeElement.textContent, width: style.outlineWidth, kind: style.outlineStyle };
  });
  assert.deepEqual(focus, { name: 'Switch account', width: '3px', kind: 'solid' });

  await page.evaluate(() => { document.documentElement.dir = 'rtl'; });
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false);
  await picture(page, 'page-denied-rtl');
});

test('a notice keeps its line breaks, and the keyboard goes from it to the button', async (t) => {
  const origin = await serve(t);
  const { context, complaints } = await person(await browser(t));
  const page = await context.newPage();
  await page.goto(`${origin}/sign-in-notice`);
  const lines = await page.locator('.notice p').evaluateAll((paragraphs) => paragraphs.map((it) => it.innerText.split('\n')));
  assert.deepEqual(lines, [['For members of Example Corp <internal>.', 'Use is logged & kept for 90 days.'], ['Ask the service desk first.']]);
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Sign in with Example Corp');
  assert.deepEqual(complaints, []);
});

async function serve(t) {
  const server = http.createServer((request, response) => {
    const file = path.join(GALLERY, path.basename(request.url));
    if (!fs.existsSync(`${file}.html`)) return response.writeHead(404).end();
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': fs.readFileSync(`${file}.csp`, 'utf8') });
    return response.end(fs.readFileSync(`${file}.html`));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => { server.close(); server.closeAllConnections(); });
  return `http://127.0.0.1:${server.address().port}`;
}

/** Runs in the page: WCAG 2.2 AA as far as a program can tell (1.4.3 contrast, 1.4.10 reflow, 2.5.8 target size). */
function judge() {
  const light = (color) => {
    const [r, g, b] = color.match(/[\d.]+/g).slice(0, 3).map((part) => Number(part) / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (!/, 0\)$|transparent/.test(color)) return color;
    }
    return 'rgb(255, 255, 255)';
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim()) continue;
    const [a, b] = [light(getComputedStyle(element).color), light(ground(element))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) faint.push(`${walker.currentNode.textContent.trim().slice(0, 30)} ${ratio.toFixed(2)}`);
  }
  const small = [...document.querySelectorAll('a.button, button, a.choice')].filter((target) => {
    const box = target.getBoundingClientRect();
    return box.width < 24 || box.height < 24;
  }).map((target) => target.textContent);
  return {
    headings: document.querySelectorAll('h1').length,
    sideways: document.documentElement.scrollWidth > innerWidth,
    small,
    faint,
    styled: getComputedStyle(document.querySelector('main')).maxWidth !== 'none',
  };
}
