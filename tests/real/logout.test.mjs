// Signing out: here, and at the certified provider (OpenID Connect RP-Initiated Logout 1.0).

import assert from 'node:assert/strict';
import test from 'node:test';

import { application } from './application.mjs';
import { PREFIX, gateway, place } from './house.mjs';
import { provider } from './provider.mjs';
import { Visitor } from './visitor.mjs';

async function house(t, client = 'basic') {
  const at = await place();
  const app = await application(t);
  const idp = await provider(t, at.origin);
  await gateway(t, at, `${idp.table(client)}${app.routes}`);
  const visitor = new Visitor();
  await visitor.signIn(`${at.origin}/`, 'ada');
  return { idp, visitor, url: (path) => at.origin + path };
}

for (const client of ['basic', 'public']) {
  test(`signing out ends the session here and at the provider (${client})`, async (t) => { // LO-01, LO-02, LO-07
    const { idp, visitor, url } = await house(t, client);
    const before = visitor.copy();

    const asks = await visitor.open(url(`${PREFIX}/logout`));
    assert.equal(asks.status, 200);
    assert.match(asks.text, /<form method="post"/);
    assert.equal((await visitor.open(url('/whoami'))).status, 200, 'looking at the question ends nothing');

    const atProvider = await visitor.submit(asks);
    const sent = idp.seen.filter((one) => one.path === '/session/end').at(-1);
    assert.ok(sent, `${atProvider.url} is not the provider's`);
    assert.equal(sent.query.client_id, client);
    assert.ok(sent.query.id_token_hint && sent.query.state && sent.query.post_logout_redirect_uri);

    const signedOut = await visitor.submit(atProvider, { logout: 'yes' });
    assert.equal(new URL(signedOut.url).origin, url(''));
    assert.equal(signedOut.status, 200);
    assert.match(signedOut.text, /You are signed out/);
    assert.equal(signedOut.headers['cache-control'], 'no-store');

    const after = await visitor.open(url('/whoami'));
    assert.equal(new URL(after.url).origin, idp.issuer);
    assert.match(after.text, /value="login"/, 'the provider asks again, because its own session ended too');
    const old = await before.ask(url('/whoami'), { headers: { 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' } });
    assert.equal(old.status, 401, 'the old cookie opens nothing'); // AT-CS-05
    assert.ok(idp.seen.some((one) => one.path === '/token/revocation' && one.status === 200), 'the refresh token is revoked');
  });
}

test('another site can sign nobody out', async (t) => { // AT-LG-01, LO-05
  const { visitor, url } = await house(t);
  const foreign = { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document', 'content-type': 'application/x-www-form-urlencoded' };

  const posted = await visitor.ask(url(`${PREFIX}/logout`), { method: 'POST', headers: foreign, body: '' });
  const image = await visitor.ask(url(`${PREFIX}/logout`), { headers: { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' } });

  assert.equal(posted.status, 403);
  assert.equal(image.status, 200, 'it asks');
  assert.match((await visitor.open(url('/whoami'))).text, /user=ada/);
});

test('coming back from a sign-out that nobody began ends nothing', async (t) => { // AT-LG-03, LO-03
  const { idp, visitor, url } = await house(t);
  const asks = await visitor.open(url(`${PREFIX}/logout`));
  const other = visitor.copy();
  await other.submit(asks);
  const after = idp.seen.filter((one) => one.path === '/session/end').at(-1).query.post_logout_redirect_uri;

  const stranger = new Visitor();
  await stranger.signIn(url('/'), 'grace');
  const page = await stranger.open(`${after}?state=forged`);

  assert.ok(page.status < 500, `${page.status}`);
  assert.match((await stranger.open(url('/whoami'))).text, /user=grace/);
});

test('the session page says who, and never a token', async (t) => {
  const { visitor, url } = await house(t);

  const page = await visitor.open(url(`${PREFIX}/session`));
  const script = await visitor.ask(url(`${PREFIX}/session`), { headers: { accept: 'application/json', 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' } });

  assert.equal(page.status, 200);
  assert.match(page.text, /ada@example\.com/);
  assert.equal(script.status, 200);
  assert.match(script.headers['content-type'], /^application\/json/);
  JSON.parse(script.text);
  for (const said of [page.text, script.text]) assert.doesNotMatch(said, /access_token|refresh_token|id_token|eyJ/);
});
