// Signing in through the certified provider, with each way that a client can prove itself.

import assert from 'node:assert/strict';
import test from 'node:test';

import { WebSocket } from 'ws';

import { LARGE, application } from './application.mjs';
import { PREFIX, gateway, place } from './house.mjs';
import { CLIENTS, provider } from './provider.mjs';
import { Visitor, unescaped } from './visitor.mjs';

const DEEP = '/deep/page.html?q=a%20b&r=%2F';

async function house(t, client, config = '', idpOptions = {}) {
  const at = await place();
  const app = await application(t);
  const idp = await provider(t, at.origin, idpOptions);
  const door = await gateway(t, at, `${config}${idp.table(client)}${app.routes}`);
  return { at, app, idp, door, url: (path) => at.origin + path };
}

for (const [name, { method }] of Object.entries(CLIENTS)) {
  test(`a person signs in and lands on the page first asked for (${method})`, async (t) => {
    const { idp, url } = await house(t, name);
    const visitor = new Visitor();

    const page = await visitor.signIn(url(DEEP), 'ada');

    assert.equal(page.url, url(DEEP));
    assert.equal(page.status, 200);
    assert.match(page.text, /The deep page/);
    const [exchange, ...others] = idp.tokens('authorization_code');
    assert.deepEqual(others, []);
    assert.equal(exchange.status, 200);
    assert.equal(exchange.basic, method === 'client_secret_basic'); // OA-12, OA-13
    assert.equal(exchange.secretInBody, method === 'client_secret_post'); // OA-14
    assert.equal(exchange.assertion, method === 'private_key_jwt');
    const asked = idp.seen.find((one) => one.path === '/auth').query;
    assert.equal(asked.response_type, 'code'); // OA-01
    assert.equal(asked.code_challenge_method, 'S256');
    assert.ok(asked.state && asked.nonce && asked.code_challenge && asked.redirect_uri);
  });
}

test('the application is told who it is, and nobody else can tell it', async (t) => {
  const { url } = await house(t, 'basic');
  const visitor = new Visitor();
  await visitor.signIn(url('/'), 'ada');

  const said = await visitor.open(url('/whoami'), {
    headers: { 'x-forwarded-user': 'mallory', X_Forwarded_Email: 'mallory@example.com', 'remote-user': 'mallory', connection: 'close, x-forwarded-user' },
  });

  assert.equal(said.status, 200);
  assert.match(said.text, /^user=ada$/m);
  assert.match(said.text, /^email=ada@example\.com$/m);
  assert.match(said.text, /^groups=staff,admins$/m);
  assert.match(said.text, /^remote=$/m);
  assert.doesNotMatch(said.text, /mallory|vestibule/i); // AT-HS-01, AT-HS-05, AT-CS-20
});

test('a script is told to sign in and is never redirected', async (t) => {
  const { url } = await house(t, 'basic');
  const visitor = new Visitor();

  const answer = await visitor.ask(url('/whoami'), { headers: { accept: 'application/json', 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty', 'sec-fetch-site': 'same-origin' } });

  assert.equal(answer.status, 401);
  assert.equal(answer.headers['content-type'], 'application/problem+json');
  assert.equal(answer.headers['set-cookie'], undefined);
  const problem = JSON.parse(answer.text);
  assert.equal(problem.status, 401);
  assert.ok(problem.login_url.startsWith(url(`${PREFIX}/login`)), problem.login_url);
  assert.ok(problem.request_id);
  const landed = await visitor.signIn(problem.login_url, 'ada');
  assert.equal(new URL(landed.url).origin, url(''));
  assert.equal(landed.status, 200);
});

test('a callback that is opened again redeems nothing', async (t) => { // OA-10, AT-LF-01
  const { idp, url } = await house(t, 'basic');
  const visitor = new Visitor();
  const page = await visitor.signIn(url(DEEP), 'ada');
  const callback = page.trail.find((one) => one.url.includes(`${PREFIX}/callback`)).url;

  const again = await visitor.open(callback);
  assert.equal(again.status, 200);
  assert.equal(new URL(again.url).origin, url(''));

  const stranger = await new Visitor().open(callback, { stay: true });
  assert.equal(stranger.status, 400);
  assert.match(stranger.text, /VB-1\d{3}/);
  assert.equal(idp.tokens('authorization_code').length, 1);
});

test('somebody who cancels gets a page and no session', async (t) => { // OA-06, OA-07
  const { idp, url } = await house(t, 'basic');
  const visitor = new Visitor();
  const page = await visitor.open(url('/'));
  const interaction = page.url;

  const end = await visitor.open(`${interaction}/abort`);

  assert.equal(end.status, 403);
  assert.match(end.text, /VB-1012/);
  assert.match(end.headers['content-security-policy'], /default-src 'none'/);
  assert.equal(idp.tokens('authorization_code').length, 0);
});

test('somebody who is signed in but not allowed is told so by name', async (t) => {
  const at = await place();
  const app = await application(t);
  const idp = await provider(t, at.origin);
  const routes = app.routes.replace('[route.files]', '[route.files]\nallow = { groups = ["admins"] }');
  await gateway(t, at, `${idp.table('basic')}${routes}`);

  const page = await new Visitor().signIn(`${at.origin}/`, 'grace');

  assert.equal(page.status, 403);
  assert.match(page.text, /Grace Example|grace@example\.com/);
  assert.match(page.text, /admins/);
  assert.match(page.text, /VB-40\d\d/);
});

test('somebody with several ways to sign in is asked which', async (t) => {
  const at = await place();
  const app = await application(t);
  const idp = await provider(t, at.origin);
  await gateway(t, at, `${idp.table('basic').replace('client_id', 'title = "Staff & friends"\nclient_id')}${idp.table('post')}${app.routes}`);
  const visitor = new Visitor();

  const chooser = await visitor.open(`${at.origin}${DEEP}`);
  assert.equal(chooser.status, 200);
  assert.match(chooser.text, /Staff &amp; friends/);
  const links = [...chooser.text.matchAll(/class="choice" href="([^"]*)"/g)].map(([, href]) => unescaped(href));
  assert.equal(links.length, 2);

  const page = await visitor.signIn(new URL(links[1], chooser.url).href, 'ada');
  assert.equal(page.url, `${at.origin}${DEEP}`);
  assert.equal(page.status, 200);
  const [exchange] = idp.tokens('authorization_code');
  assert.equal(exchange.secretInBody, true, 'the second one was chosen');
});

test('a provider that is away stops new sign-ins only', async (t) => { // DI-07
  const { idp, url } = await house(t, 'basic');
  const visitor = new Visitor();
  await visitor.signIn(url('/'), 'ada');
  await idp.stop();

  const known = await visitor.open(url(DEEP));
  assert.equal(known.status, 200);
});

test('a gateway starts while the provider is away', async (t) => { // DI-07
  const at = await place();
  const app = await application(t);
  const idp = await provider(t, at.origin);
  await idp.stop();
  await gateway(t, at, `${idp.table('basic')}${app.routes}`);

  const page = await new Visitor().open(`${at.origin}/`);

  assert.equal(page.status, 503);
  assert.ok(Number(page.headers['retry-after']) > 0);
  assert.match(page.text, /VB-2001/);
});

test('a large file and a WebSocket go through', async (t) => {
  const { app, url } = await house(t, 'basic');
  const visitor = new Visitor();
  await visitor.signIn(url('/'), 'ada');

  const file = await visitor.open(url('/large.bin'));
  assert.equal(file.bytes.length, LARGE);

  const address = url('/socket').replace('http', 'ws');
  const said = await talk(address, { cookie: visitor.cookieHeader(url('/socket')), origin: url('') }, 'hello');
  assert.equal(said, 'hello');
  assert.equal(app.handshakes.length, 1);
  assert.equal(app.handshakes[0]['x-forwarded-user'], 'ada');
  assert.doesNotMatch(app.handshakes[0].cookie ?? '', /vestibule/);

  const refusals = [{ origin: url('') }, { cookie: visitor.cookieHeader(url('/socket')), origin: 'https://evil.example' }];
  assert.match(await talk(address, refusals[0], 'x').catch(String), /401/); // AT-WS-02
  assert.match(await talk(address, refusals[1], 'x').catch(String), /403/); // AT-WS-01
  assert.equal(app.handshakes.length, 1);
});

test('nothing secret stands in the log', async (t) => { // OA-25, AT-CL-08
  const { idp, door, url } = await house(t, 'basic');
  const visitor = new Visitor();
  const page = await visitor.signIn(url(DEEP), 'ada');
  const callback = new URL(page.trail.find((one) => one.url.includes(`${PREFIX}/callback`)).url);
  await visitor.open(callback.href);

  const log = door.log();
  const sealed = visitor.cookiesFor(url('/')).filter((cookie) => !cookie.name.endsWith('.rounds')).map((cookie) => cookie.value);
  for (const secret of ['s3cret', callback.searchParams.get('code'), callback.searchParams.get('state'), ...sealed]) {
    assert.ok(secret.length > 5 && !log.includes(secret), `the log holds ${secret.slice(0, 12)}…`);
  }
  assert.ok(idp.tokens('authorization_code').length === 1);
});

function talk(address, headers, text) {
  return new Promise((done, failed) => {
    const { origin, ...others } = headers;
    const socket = new WebSocket(address, { origin, headers: others, handshakeTimeout: 10_000 });
    socket.on('open', () => socket.send(text));
    socket.on('message', (message) => { done(message.toString()); socket.close(); });
    socket.on('error', failed);
  });
}
