// The certified OpenID provider `oidc-provider`, on loopback, with one client for each way that a client can prove itself.

import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';

import Provider from 'oidc-provider';

import { PREFIX, folder } from './house.mjs';

/** Held by RFC 6749 section 2.3.1 to be form-urlencoded before Basic (OA-12). */
const SECRET = 's3cret: 100% + "quotes" & more / than = enough?';

/** Every way of client authentication, and what its table in the configuration says. */
export const CLIENTS = {
  basic: { method: 'client_secret_basic', config: (dir) => `client_secret = { file = "${dir}/secret" }` },
  post: { method: 'client_secret_post', config: (dir) => `client_secret = { file = "${dir}/secret" }\nclient_auth = "client_secret_post"` },
  public: { method: 'none', config: () => 'client_auth = "none"' },
  key: { method: 'private_key_jwt', config: (dir) => `client_auth = "private_key_jwt"\nclient_key = { file = "${dir}/client.pem" }\nclient_key_id = "client-key"` },
};

/**
 * Starts the provider for a gateway at `origin`.
 * `tls` makes it `https://NAME` of a certificate's name: `{ name, cert, key }`.
 * `seen` holds each request to an endpoint of interest; `events` the provider's own words about grants.
 */
export async function provider(t, origin, { accessLife = 300, port = 0, tls } = {}) {
  const dir = folder(t);
  const server = tls ? https.createServer({ cert: tls.cert, key: tls.key }) : http.createServer();
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const issuer = tls ? `https://${tls.name}:${server.address().port}` : `http://127.0.0.1:${server.address().port}`;

  const signing = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const client = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  fs.writeFileSync(path.join(dir, 'secret'), `${SECRET}\n`, { mode: 0o600 });
  fs.writeFileSync(path.join(dir, 'client.pem'), client.privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  const clientJwk = { ...client.publicKey.export({ format: 'jwk' }), kid: 'client-key', alg: 'ES256', use: 'sig' };

  const clients = Object.entries(CLIENTS).map(([name, { method }]) => ({
    client_id: name,
    token_endpoint_auth_method: method,
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    redirect_uris: [`${origin}${PREFIX}/callback`, `${origin}${PREFIX}/callback/${name}`],
    post_logout_redirect_uris: [`${origin}${PREFIX}/signed-out`],
    ...(method.startsWith('client_secret') ? { client_secret: SECRET } : {}),
    ...(method === 'private_key_jwt' ? { jwks: { keys: [clientJwk] }, token_endpoint_auth_signing_alg: 'ES256' } : {}),
  }));

  const oidc = new Provider(issuer, {
    clients,
    jwks: { keys: [{ ...signing.privateKey.export({ format: 'jwk' }), kid: 'provider-key', alg: 'RS256', use: 'sig' }] },
    cookies: { keys: ['only for these tests'] },
    scopes: ['openid', 'profile', 'email', 'groups', 'offline_access'],
    claims: { openid: ['sub'], profile: ['name', 'preferred_username'], email: ['email', 'email_verified'], groups: ['groups'] },
    findAccount: (_, id) => ({ accountId: id, claims: () => person(id) }),
    issueRefreshToken: (_, asking) => asking.grantTypeAllowed('refresh_token'),
    rotateRefreshToken: true,
    pkce: { required: () => true },
    features: { devInteractions: { enabled: true }, revocation: { enabled: true }, rpInitiatedLogout: { enabled: true } },
    ttl: { AccessToken: accessLife, IdToken: 300, RefreshToken: 3600, AuthorizationCode: 60, Interaction: 600, Session: 3600, Grant: 3600 },
  });

  const seen = [];
  const events = [];
  oidc.use(async (ctx, next) => {
    await next();
    const asked = ctx.oidc?.params ?? {};
    const body = ctx.oidc?.body ?? {};
    seen.push({
      path: ctx.path,
      query: { ...ctx.query },
      status: ctx.status,
      grant: asked.grant_type ?? body.grant_type,
      basic: (ctx.get('authorization') || '').startsWith('Basic '),
      secretInBody: 'client_secret' in body,
      assertion: 'client_assertion' in body,
    });
  });
  for (const name of ['grant.success', 'grant.error', 'grant.revoked', 'refresh_token.consumed', 'refresh_token.destroyed', 'server_error']) {
    oidc.on(name, (...args) => events.push({ name, error: args.find((arg) => arg instanceof Error)?.message }));
  }

  server.on('request', oidc.callback());
  const stop = () => new Promise((done) => {
    if (!server.listening) return done();
    server.close(done);
    server.closeAllConnections();
  });
  t.after(stop);
  const grants = new Set();
  oidc.on('grant.success', (ctx) => grants.add(ctx.oidc.entities.Grant?.jti));
  /** Ends every grant, as an administrator would: the next refresh is `invalid_grant`. */
  const endGrants = async () => {
    for (const id of grants) await (await oidc.Grant.find(id))?.destroy();
  };
  const tokens = (grant) => seen.filter((one) => one.path === '/token' && one.grant === grant);
  return { issuer, oidc, dir, seen, events, tokens, endGrants, stop, table: (name) => table(issuer, dir, name) };
}

/** The configuration's table for one of the clients. */
function table(issuer, dir, name) {
  return `
[provider.${name}]
issuer = "${issuer}"
client_id = "${name}"
scopes = ["openid", "profile", "email", "groups"]
${CLIENTS[name].config(dir)}
`;
}

function person(login) {
  const name = `${login.charAt(0).toUpperCase()}${login.slice(1)} Example`;
  return { sub: login, name, preferred_username: login, email: `${login}@example.com`, email_verified: true, groups: login === 'ada' ? ['staff', 'admins'] : ['staff'] };
}

// `node provider.mjs ORIGIN` serves it for trying things by hand.
if (process.argv[1] === new URL(import.meta.url).pathname) {
  const started = await provider({ after() {} }, process.argv[2] ?? 'http://localhost:4180', { port: Number(process.argv[3] ?? 0) });
  console.log(`issuer ${started.issuer}; secret and key in ${started.dir}`);
}
