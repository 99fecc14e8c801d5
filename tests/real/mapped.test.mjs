// An application below another path: PHP's own server below /base, behind /wiki, with redirects and a session of its own, in Chromium.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';

import { browser, person } from './browser.mjs';
import { accepts, folder, freePort, gateway, place, program, until } from './house.mjs';
import { provider } from './provider.mjs';

/** It knows nothing of a prefix: each redirect and the cookie of its session speak of /base, one way or another. */
const APPLICATION = `<?php
session_set_cookie_params(['path' => '/base', 'httponly' => true]);
session_start();
$_SESSION['visits'] = ($_SESSION['visits'] ?? 0) + 1;
$steps = [
  '/base/' => '/base/one?from=root',
  '/base/one' => 'http://' . $_SERVER['HTTP_HOST'] . '/base/two',
  '/base/two' => 'http://ORIGIN/base/three',
  '/base/three' => 'four',
];
$path = strtok($_SERVER['REQUEST_URI'], '?');
if (isset($steps[$path])) { header('Location: ' . $steps[$path], true, 302); exit; }
if ($path === '/base/four') { header('Refresh: 0; url=/base/five'); exit('soon'); }
http_response_code($path === '/base/five' ? 200 : 404);
echo '<!doctype html><title>App</title><h1 id="at">' . $path . '</h1><p id="visits">' . $_SESSION['visits'] . '</p>';
`;

test('a browser is led through an application that stands below another path', async (t) => {
  const at = await place();
  const dir = folder(t);
  const port = await freePort();
  fs.writeFileSync(path.join(dir, 'index.php'), APPLICATION.replace('ORIGIN', `127.0.0.1:${port}`));
  const php = program(t, 'php', ['-S', `127.0.0.1:${port}`, '-t', dir, path.join(dir, 'index.php')]);
  await until('PHP to serve', () => accepts(port), { started: php });
  const idp = await provider(t, at.origin);
  const route = `
[route.wiki]
path = "/wiki"
strip_prefix = "/wiki"
upstream = "http://127.0.0.1:${port}/base"
`;
  await gateway(t, at, `${idp.table('basic')}${route}`);
  const { context } = await person(await browser(t));
  const page = await context.newPage();

  await page.goto(`${at.origin}/wiki/`);
  await page.fill('[name=login]', 'ada');
  await page.fill('[name=password]', 'any');
  await page.click('[type=submit]');
  // The provider's question what the application may know, where it asks.
  const consent = page.locator('[name=prompt][value=consent]');
  await page.locator('#at').or(consent).first().waitFor({ state: 'attached' });
  if (await consent.count() > 0) await page.click('[type=submit]');
  await page.waitForSelector('#at');

  assert.equal(page.url(), `${at.origin}/wiki/five`);
  assert.equal(await page.textContent('#at'), '/base/five');
  // One session of the application's from the first redirect to the last.
  assert.equal(await page.textContent('#visits'), '6');
  const cookies = await context.cookies(`${at.origin}/wiki/five`);
  assert.equal(cookies.find((cookie) => cookie.name === 'PHPSESSID').path, '/wiki');
});
