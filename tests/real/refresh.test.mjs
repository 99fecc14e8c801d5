// Renewing tokens at the certified provider, which rotates refresh tokens and ends the whole grant when an old one comes again.

import assert from 'node:assert/strict';
import test from 'node:test';

import { application } from './application.mjs';
import { gateway, pause, place } from './house.mjs';
import { provider } from './provider.mjs';
import { Visitor } from './visitor.mjs';

async function house(t) {
  const at = await place();
  const app = await application(t);
  const idp = await provider(t, at.origin, { accessLife: 8 });
  const open = (options) => gateway(t, at, `[session]\nrefresh_before = "4s"\n${idp.table('basic')}${app.routes}`, options);
  const door = await open();
  const restart = async () => {
    await door.started.stop();
    await open({ key: door.key });
  };
  return { at, idp, restart, url: (path) => at.origin + path };
}

/** Until the access token of 8 s is due: 4 s ahead, half of its life. */
const DUE = 4600;

test('twenty requests at once make one refresh, and the old cookie still works', async (t) => { // AT-TP-23, AT-CS-23
  const { idp, url } = await house(t);
  const visitor = new Visitor();
  await visitor.signIn(url('/'), 'ada');
  const late = visitor.copy();
  await pause(DUE);

  const answers = await Promise.all(Array.from({ length: 20 }, () => visitor.open(url('/whoami'))));

  assert.deepEqual(new Set(answers.map((answer) => answer.status)), new Set([200]));
  assert.ok(answers.every((answer) => answer.text.includes('user=ada')));
  assert.deepEqual(idp.tokens('refresh_token').map((one) => one.status), [200]);

  const behind = await late.open(url('/whoami'));
  assert.equal(behind.status, 200);
  assert.match(behind.text, /user=ada/);
  assert.equal(idp.tokens('refresh_token').length, 1);
});

test('the rotated token is used next, and an old one never', async (t) => {
  const { idp, url } = await house(t);
  const visitor = new Visitor();
  await visitor.signIn(url('/'), 'ada');

  for (let round = 1; round <= 3; round += 1) {
    await pause(DUE);
    const answer = await visitor.open(url('/whoami'));
    assert.equal(answer.status, 200);
    assert.match(answer.text, /user=ada/);
    assert.equal(idp.tokens('refresh_token').length, round);
  }

  assert.deepEqual(idp.tokens('refresh_token').map((one) => one.status), [200, 200, 200]);
  assert.deepEqual(idp.events.filter((event) => event.name === 'grant.revoked' || event.name === 'grant.error'), []);
});

test('a session ends when the provider has ended the grant', async (t) => {
  const { idp, url } = await house(t);
  const visitor = new Visitor();
  await visitor.signIn(url('/'), 'ada');
  await idp.endGrants();
  await pause(DUE);

  const page = await visitor.open(url('/whoami'));

  assert.equal(new URL(page.url).origin, idp.issuer, 'a navigation goes to sign in again');
  assert.deepEqual(idp.tokens('refresh_token').map((one) => one.status), [400]);
  const script = await visitor.ask(url('/whoami'), { headers: { 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' } });
  assert.equal(script.status, 401);
  assert.equal(idp.tokens('refresh_token').length, 1, 'what was refused is not sent again');
});

test('a spent token that comes again ends the grant at the provider, and every copy of the session', async (t) => { // RF-03, RFC 9700 section 4.14.2
  const { idp, url, restart } = await house(t);
  const visitor = new Visitor();
  await visitor.signIn(url('/'), 'ada');
  const stolen = visitor.copy();
  await pause(DUE);
  assert.equal((await visitor.open(url('/whoami'))).status, 200);
  // What was renewed is remembered in the process only: now nothing but the provider can tell that the copy is an old one.
  await restart();

  const thief = await stolen.open(url('/whoami'));

  assert.equal(new URL(thief.url).origin, idp.issuer);
  assert.deepEqual(idp.tokens('refresh_token').map((one) => one.status), [200, 400]);
  assert.ok(idp.events.some((event) => event.name === 'grant.revoked'), 'the provider saw the reuse');
  await pause(DUE);
  const owner = await visitor.open(url('/whoami'));
  assert.equal(new URL(owner.url).origin, idp.issuer, 'the owner has to sign in again, and so notices');
});

test('a provider that is away ends the session only when the token does', async (t) => {
  const { idp, url } = await house(t);
  const visitor = new Visitor();
  await visitor.signIn(url('/'), 'ada');
  await idp.stop();
  await pause(DUE);

  const answer = await visitor.open(url('/whoami'));

  assert.equal(answer.status, 200);
  assert.match(answer.text, /user=ada/);
});
