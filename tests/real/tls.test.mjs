// TLS that ends at the gateway, with HTTP/2 by ALPN, and Chromium at the certified provider.

import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import http2 from 'node:http2';
import path from 'node:path';
import test from 'node:test';

import { application } from './application.mjs';
import { browser, person, picture } from './browser.mjs';
import { accepts, check, folder, gateway, place, until } from './house.mjs';
import { provider } from './provider.mjs';
import { Visitor } from './visitor.mjs';

/** A certificate for localhost that is its own authority, and its key. */
function certificate(cert, key) {
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-addext', 'basicConstraints=critical,CA:FALSE', '-keyout', key, '-out', cert], { stdio: 'ignore' });
}

async function house(t, tls = '') {
  const at = await place('https');
  const app = await application(t);
  const idp = await provider(t, at.origin);
  const dir = folder(t);
  const [cert, key] = [path.join(dir, 'cert.pem'), path.join(dir, 'key.pem')];
  certificate(cert, key);
  const server = `[server.tls]\ncert = "${cert}"\nkey = "${key}"\n${tls}`;
  await gateway(t, at, `${idp.table('basic')}${app.routes}`, { server });
  return { at, app, idp, url: (name) => at.origin + name };
}

test('over https the session cookie is bound to the host', async (t) => { // AT-CS-18
  const { idp, url } = await house(t);
  const visitor = new Visitor();

  const page = await visitor.signIn(url('/deep/page.html'), 'ada');

  assert.equal(page.status, 200);
  const cookies = page.trail.filter((answer) => answer.url.startsWith(url(''))).flatMap((answer) => answer.headers['set-cookie'] ?? []);
  assert.ok(cookies.some((cookie) => cookie.startsWith('__Host-vestibule=')), cookies.join('\n'));
  for (const cookie of cookies) {
    assert.match(cookie, /^__Host-/);
    for (const attribute of [/;\s*Secure/i, /;\s*HttpOnly/i, /;\s*SameSite=Lax/i, /;\s*Path=\/(;|$)/i]) assert.match(cookie, attribute);
    assert.doesNotMatch(cookie, /;\s*Domain/i);
    assert.ok(Buffer.byteLength(cookie) < 4096);
  }
  assert.equal(idp.tokens('authorization_code').length, 1);
});

test('HTTP/2 is spoken by those who ask for it', async (t) => {
  const { at, url } = await house(t);
  const visitor = new Visitor();
  await visitor.signIn(url('/'), 'ada');

  const session = http2.connect(at.origin, { rejectUnauthorized: false });
  t.after(() => session.destroy());
  const answer = await new Promise((done, failed) => {
    session.on('error', failed);
    const stream = session.request({ ':path': '/whoami', cookie: visitor.cookieHeader(url('/whoami')), 'x-forwarded-user': 'mallory' });
    let text = '';
    let status;
    stream.on('response', (headers) => { status = headers[':status']; });
    stream.setEncoding('utf8').on('data', (part) => { text += part; });
    stream.on('error', failed);
    stream.on('end', () => done({ status, text, protocol: session.alpnProtocol }));
    stream.end();
  });

  assert.equal(answer.protocol, 'h2');
  assert.equal(answer.status, 200);
  assert.match(answer.text, /^user=ada$/m);
});

test('OpenSSL with an older version of TLS than min_version gets no session', async (t) => {
  const { at } = await house(t, 'min_version = "1.3"\n');
  const handshake = (version) => spawnSync('openssl', ['s_client', '-connect', `localhost:${at.port}`, version], { input: '', encoding: 'utf8' });

  const [older, newer] = [handshake('-tls1_2'), handshake('-tls1_3')];

  assert.notEqual(older.status, 0);
  assert.match(older.stderr, /protocol version/);
  assert.match(older.stdout, /no peer certificate available/);
  assert.equal(newer.status, 0, newer.stderr);
  assert.match(newer.stdout, /New, TLSv1\.3, /);
});

test('a server of OpenSSL that speaks TLS 1.2 only is taken or refused as tls.min_version says, and check says why', async (t) => {
  const dir = folder(t);
  const [cert, key] = [path.join(dir, 'cert.pem'), path.join(dir, 'key.pem')];
  certificate(cert, key);
  const { port } = await place('https');
  const server = spawn('openssl', ['s_server', '-accept', `${port}`, '-tls1_2', '-www', '-cert', cert, '-key', key], { stdio: 'ignore' });
  t.after(() => server.kill());
  await until('openssl to listen', () => accepts(port));
  const idp = await provider(t, 'http://localhost:1');

  for (const [version, grade, said] of [['1.2', 'ok', /can be reached/], ['1.3', 'fail', /does not speak TLS 1\.3, which the route's `tls\.min_version` demands/]]) {
    const route = `[route.app]\nupstream = "https://localhost:${port}"\naccess = "public"\n[route.app.tls]\nca = "${cert}"\nmin_version = "${version}"\n`;
    const { probes } = await check(t, await place('http'), `${idp.table('basic')}${route}`);
    const found = probes.find((probe) => probe.subject === 'route app');
    assert.equal(found.verdict, grade, found.message);
    assert.match(found.message, said);
  }
});

test('Chromium signs in at the certified provider, talks over a WebSocket, and signs out', async (t) => {
  const { idp, url } = await house(t);
  const { context, complaints } = await person(await browser(t), { ignoreHTTPSErrors: true });
  const page = await context.newPage();

  await page.goto(url('/deep/page.html?x=1'));
  await page.getByPlaceholder('Enter any login').fill('ada');
  await page.getByPlaceholder('and password').fill('any');
  await page.getByRole('button', { name: 'Sign-in' }).click();
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.waitForURL((now) => now.href === url('/deep/page.html?x=1'));
  assert.equal(await page.textContent('h1'), 'The deep page');
  await picture(page, 'real-1-application');

  const echoed = await page.evaluate((address) => new Promise((done, failed) => {
    const socket = new WebSocket(address);
    socket.onopen = () => socket.send('hello');
    socket.onmessage = (event) => done(event.data);
    socket.onerror = () => failed(new Error('the WebSocket failed'));
  }), url('/socket').replace('https', 'wss'));
  assert.equal(echoed, 'hello');

  await page.goto(url('/_vestibule/logout'));
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.waitForURL((now) => now.origin === idp.issuer);
  await page.getByRole('button', { name: 'Yes, sign me out' }).click();
  await page.waitForURL((now) => now.origin === url(''));
  assert.equal(await page.textContent('h1'), 'You are signed out');
  await picture(page, 'real-2-signed-out');
  assert.deepEqual(complaints.filter((text) => !text.includes(idp.issuer)), []);
});
