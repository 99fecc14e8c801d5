// `vestibule check` against the certified provider: silent where everything is right, and naming what keeps people out.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';

import { application } from './application.mjs';
import { check, place } from './house.mjs';
import { CLIENTS, provider } from './provider.mjs';

/** Checks with the table of one client, changed by `change`; gives the exit code and what is not as it should be. */
async function checked(t, client, change = (table) => table, { registered } = {}) {
  const at = await place();
  const app = await application(t);
  const idp = await provider(t, registered ?? at.origin);
  const report = await check(t, at, `${change(idp.table(client), idp)}${app.routes}`);
  return { ...report, idp, bad: report.probes?.filter((probe) => probe.verdict !== 'ok') };
}

for (const client of Object.keys(CLIENTS)) {
  test(`a right set-up has nothing to warn of, and nothing is left at the provider (${client})`, async (t) => {
    const { code, bad, idp, diagnostics } = await checked(t, client);
    assert.deepEqual({ code, bad, diagnostics }, { code: 0, bad: [], diagnostics: [] });
    assert.ok(!idp.events.some((event) => event.name === 'grant.success'));
    const asked = idp.seen.find((one) => one.path === '/auth');
    assert.equal(asked.query.prompt, 'none');
    assert.ok(asked.query.state && asked.query.nonce && asked.query.code_challenge);
  });
}

test('an unknown client is found', async (t) => {
  const { code, bad } = await checked(t, 'basic', (table) => table.replace('client_id = "basic"', 'client_id = "nobody"'));
  assert.equal(code, 69);
  assert.match(bad.find((probe) => probe.code === 'authorization_endpoint').message, /nobody is unknown or disabled/);
});

test('a wrong secret is found', async (t) => {
  const { code, bad } = await checked(t, 'basic', (table, idp) => {
    fs.writeFileSync(path.join(idp.dir, 'secret'), 'another secret');
    return table;
  });
  assert.equal(code, 69);
  assert.deepEqual(bad.map((probe) => probe.code), ['token_endpoint']);
  assert.match(bad[0].message, /client_secret/);
});

test('a redirect URI and a post-logout redirect URI that are not registered are found', async (t) => {
  const { code, bad } = await checked(t, 'basic', undefined, { registered: 'http://localhost:1' });
  assert.equal(code, 69);
  assert.deepEqual(bad.map((probe) => probe.code), ['authorization_endpoint', 'end_session_endpoint']);
  for (const probe of bad) assert.match(probe.message, /is not registered/);
});

test('PKCE that the provider requires is named', async (t) => {
  const { code, bad } = await checked(t, 'basic', (table) => `${table}pkce = false\n`);
  assert.equal(code, 69);
  assert.match(bad.find((probe) => probe.code === 'authorization_endpoint').message, /invalid_request.*PKCE/);
});
