// Debian's squid as the proxy on the way out, with a user name and a password: it alone knows where the provider is.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';

import { application } from './application.mjs';
import { accepts, check, folder, freePort, gateway, place, program, until } from './house.mjs';
import { provider } from './provider.mjs';
import { Visitor } from './visitor.mjs';

const NAME = 'login.corp.test';
const [USER, PASSWORD] = ['svc', 'p@ss:w0rd'];

/** squid with one user; it finds `NAME` by a hosts file of its own, and lets nobody go anywhere else but to 127.0.0.1 and `other.corp.test`. */
async function squid(t) {
  const dir = folder(t);
  const port = await freePort();
  fs.chmodSync(dir, 0o777); // As root, squid becomes the user `proxy`.
  const at = (name) => path.join(dir, name);
  fs.writeFileSync(at('passwd'), `${USER}:${execFileSync('openssl', ['passwd', '-apr1', PASSWORD], { encoding: 'utf8' })}`, { mode: 0o644 });
  fs.writeFileSync(at('hosts'), `127.0.0.1 ${NAME}\n`);
  fs.writeFileSync(at('squid.conf'), `
http_port 127.0.0.1:${port}
hosts_file ${at('hosts')}
dns_nameservers 127.0.0.1
dns_timeout 2 seconds
dns_retransmit_interval 1 second
auth_param basic program /usr/lib/squid/basic_ncsa_auth ${at('passwd')}
acl people proxy_auth REQUIRED
acl ours dstdomain ${NAME} 127.0.0.1 other.corp.test
http_access deny !people
http_access allow people ours
http_access deny all
logformat told %rm %ru %un %>Hs
access_log stdio:${at('access.log')} told
cache_log ${at('cache.log')}
cache deny all
pid_filename none
coredump_dir none
shutdown_lifetime 0 seconds
`);
  const binary = fs.existsSync('/usr/sbin/squid') ? '/usr/sbin/squid' : 'squid';
  const started = program(t, binary, ['-N', '-f', at('squid.conf')]);
  await until('squid to serve', () => accepts(port), { started });
  const lines = () => (fs.existsSync(at('access.log')) ? fs.readFileSync(at('access.log'), 'utf8').trim().split('\n').filter((line) => line && !line.includes('error:')) : []);
  return { url: `http://127.0.0.1:${port}`, lines };
}

/** A certificate of an authority of its own. */
function certificate(t) {
  const dir = folder(t);
  const at = (name) => path.join(dir, name);
  const made = (name, subject, ...more) => execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', `/CN=${subject}`, '-keyout', at(`${name}.key`), '-out', at(`${name}.pem`), ...more], { stdio: 'ignore' });
  made('ca', 'An authority of the company');
  made('leaf', NAME, '-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-addext', 'basicConstraints=critical,CA:FALSE', '-addext', `subjectAltName=DNS:${NAME}`);
  return { ca: at('ca.pem'), tls: { name: NAME, cert: fs.readFileSync(at('leaf.pem')), key: fs.readFileSync(at('leaf.key')) } };
}

/** The lines of the provider's table that name the proxy; the password stands in a file. */
function through(t, proxy, password = PASSWORD) {
  const file = path.join(folder(t), 'password');
  fs.writeFileSync(file, `${password}\n`, { mode: 0o600 });
  return `outgoing_proxy = { url = "${proxy.url}", user = "${USER}", password = { file = "${file}" } }\n`;
}

async function house(t, certified) {
  const at = await place();
  return { at, app: await application(t), idp: await provider(t, at.origin, { tls: certified?.tls }), proxy: await squid(t) };
}

test('a person signs in at a provider that squid alone can find, by tunnels that it cannot look into', async (t) => {
  const certified = certificate(t);
  const { at, app, idp, proxy } = await house(t, certified);
  const door = await gateway(t, at, `${idp.table('basic')}ca = "${certified.ca}"\n${through(t, proxy)}${app.routes}`);
  const page = await new Visitor([NAME]).signIn(`${at.origin}/deep/page.html`, 'ada');
  assert.equal(page.status, 200, page.text);
  assert.match(page.text, /The deep page/);
  assert.equal(idp.tokens('authorization_code')[0].status, 200);
  const { host } = new URL(idp.issuer);
  await until('squid to write its log', () => proxy.lines().length > 0);
  // A tunnel is written down when it ends; each has the provider's name, and nothing else of what was asked.
  for (const line of proxy.lines()) assert.match(line, new RegExp(`^CONNECT ${host} ${USER} 200$`), proxy.lines().join('\n'));
  assert.ok(!door.log().includes(PASSWORD));
});

test('a provider in clear text is asked in absolute form, and the applications are not asked through squid', async (t) => {
  const { at, app, idp, proxy } = await house(t);
  const url = proxy.url.replace('://', `://${USER}:${encodeURIComponent(PASSWORD)}@`);
  const door = await gateway(t, at, `${idp.table('basic')}outgoing_proxy = "${url}"\n${app.routes}`);
  const page = await new Visitor().signIn(`${at.origin}/deep/page.html`, 'ada');
  assert.equal(page.status, 200, page.text);
  const lines = await until('squid to write its log', () => proxy.lines().length >= 3 && proxy.lines());
  assert.ok(lines.includes(`GET ${idp.issuer}/.well-known/openid-configuration ${USER} 200`), lines.join('\n'));
  assert.ok(lines.includes(`POST ${idp.issuer}/token ${USER} 200`), lines.join('\n'));
  assert.ok(lines.every((line) => line.includes(idp.issuer)), lines.join('\n'));
  assert.ok(!door.log().includes(PASSWORD));
});

test('check finds nothing wrong through squid, and says which proxy it was and who named it', async (t) => {
  const certified = certificate(t);
  const { at, app, idp, proxy } = await house(t, certified);
  const { code, probes } = await check(t, at, `${idp.table('basic')}ca = "${certified.ca}"\n${through(t, proxy)}${app.routes}`);
  assert.deepEqual(probes.filter((probe) => probe.verdict !== 'ok'), []);
  assert.equal(code, 0);
  const told = probes.find((probe) => probe.code === 'outgoing_proxy').message;
  assert.ok(told.startsWith(`asked through the proxy ${proxy.url} (provider.basic.outgoing_proxy at `), told);
});

const FAILURES = {
  'a wrong password': ['proxy_authentication', /refused the user name and password \(status 407\)/, (table, t, proxy) => table + through(t, proxy, 'another')],
  'no password': ['proxy_authentication', /none are configured \(status 407\)/, (table, t, proxy) => `${table}outgoing_proxy = "${proxy.url}"\n`],
  'a provider that squid has a rule against': ['proxy_refused', /with status 403 Forbidden/, (table, t, proxy) => table.replaceAll(NAME, 'elsewhere.corp.test') + through(t, proxy)],
  'a provider that squid cannot find': ['proxy_refused', /with status 50[0-9] .*could not reach or resolve/, (table, t, proxy) => table.replaceAll(NAME, 'other.corp.test') + through(t, proxy)],
  'a certificate of an authority that nobody named': ['proxy_certificate', /`provider\.basic\.ca`/, (table, t, proxy) => table.replace(/^ca = .*\n/m, '') + through(t, proxy)],
  'a proxy that is not there': ['proxy_unreachable', /Connection refused/, (table, t) => table + through(t, { url: 'http://127.0.0.1:9' })],
};

for (const [name, [code, words, change]] of Object.entries(FAILURES)) {
  test(`check tells ${name} from the other failures`, async (t) => {
    const certified = certificate(t);
    const { at, app, idp, proxy } = await house(t, certified);
    const table = change(`${idp.table('basic')}ca = "${certified.ca}"\ntimeout = "20s"\n`, t, proxy);
    const report = await check(t, at, `${table}${app.routes}`);
    const failed = report.probes.filter((probe) => probe.verdict === 'fail');
    assert.deepEqual([report.code, ...failed.map((probe) => probe.code)], [69, code], JSON.stringify(report, null, 1));
    assert.match(failed[0].message, words);
    assert.ok(!JSON.stringify(report).includes(PASSWORD));
    assert.equal(idp.seen.length, 0);
  });
}
