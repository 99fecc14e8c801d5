// What every test here needs: free ports, a folder that goes away, programs that are started and surely stopped, and the gateway.

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const here = path.dirname(fileURLToPath(import.meta.url));
export const PREFIX = '/_vestibule';
const root = path.resolve(here, '../..');
// `run` says where cargo put it; without that, for trying one file by hand, it is looked for where cargo puts it by default.
const binary = process.env.VESTIBULE ?? path.join(process.env.CARGO_TARGET_DIR ?? path.join(root, 'target'), 'release/vestibule');

// Providers are on loopback, and asked directly unless a test says otherwise.
for (const name of ['http_proxy', 'https_proxy', 'no_proxy']) {
  delete process.env[name];
  delete process.env[name.toUpperCase()];
}

const given = new Set();

/**
 * A port that is free and stays so until it is used: never given twice, and below the range from which the system itself takes
 * ports for whoever asks for any.
 */
export async function freePort() {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 22_000);
    if (given.has(port)) continue;
    given.add(port);
    const server = net.createServer();
    const free = await new Promise((answer) => {
      server.once('error', () => answer(false)).listen(port, '127.0.0.1', () => answer(true));
    });
    if (!free) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
}

/** A folder for one test; removed by `t.after`. */
export function folder(t) {
  const made = fs.mkdtempSync(path.join(os.tmpdir(), 'vestibule-'));
  t.after(() => fs.rmSync(made, { recursive: true, force: true }));
  return made;
}

/** Starts a program; its output is kept for the message of a failing test. It is ended by its own id after the test. */
export function program(t, command, args, options = {}) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  const said = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => { said.out += text; });
  child.stderr.setEncoding('utf8').on('data', (text) => { said.err += text; });
  let failure;
  child.on('error', (error) => { failure = error; });
  const running = () => failure === undefined && child.exitCode === null && child.signalCode === null;
  const stop = async () => {
    if (!running()) return;
    const gone = once(child, 'exit');
    child.kill('SIGTERM');
    const hard = setTimeout(() => child.kill('SIGKILL'), 10_000);
    await gone;
    clearTimeout(hard);
  };
  t.after(stop);
  return { child, said, stop, running, describe: () => `${command} ${args.join(' ')}: ${failure ?? ''}\n${said.out}\n${said.err}` };
}

/** Waits until `check` gives something; fails with what the program said when it takes too long or the program ended. */
export async function until(what, check, { within = 20_000, started } = {}) {
  const end = Date.now() + within;
  for (;;) {
    const found = await check();
    if (found) return found;
    if (started && !started.running()) throw new Error(`${what}: the program ended\n${started.describe()}`);
    if (Date.now() > end) throw new Error(`${what}: not within ${within} ms\n${started?.describe() ?? ''}`);
    await pause(50);
  }
}

export const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });

/** Whether something accepts connections on the port. */
export function accepts(port) {
  return new Promise((answer) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => { socket.destroy(); answer(true); });
    socket.once('error', () => answer(false));
  });
}

/** The address under which a gateway will be reached. `localhost`, so that its cookies and the provider's (on 127.0.0.1) are apart: ports do not part cookies. */
export async function place(scheme = 'http') {
  const port = await freePort();
  return { port, origin: `${scheme}://localhost:${port}` };
}

/**
 * Runs `vestibule run -c FILE` at `at`; `config` is everything but the addresses and the session key, `server` more lines of
 * `[server]`, `key` the session key of one that ran before.
 */
export async function gateway(t, at, config, { server = '', key = randomBytes(32).toString('base64') } = {}) {
  requireBinary();
  const dir = folder(t);
  const admin = await freePort();
  fs.writeFileSync(path.join(dir, 'session_key'), key, { mode: 0o600 });
  const file = path.join(dir, 'vestibule.toml');
  const text = `
[server]
listen = "127.0.0.1:${at.port}"
public_url = "${at.origin}"
${server}
[admin]
listen = "127.0.0.1:${admin}"

[log]
format = "json"
level = "debug"
access = "stderr"
${withKey(config, path.join(dir, 'session_key'))}
`;
  fs.writeFileSync(file, text);
  const started = program(t, binary, ['run', '-c', file], { env: { ...process.env, RUST_BACKTRACE: '1' } });
  await until('the gateway to be ready', async () => {
    const answer = await fetch(`http://127.0.0.1:${admin}/readyz`).catch(() => null);
    return answer?.ok && await accepts(at.port);
  }, { started });
  return { ...at, started, key, admin: `http://127.0.0.1:${admin}`, log: () => started.said.out + started.said.err };
}

/** Runs `vestibule check` for a gateway that would stand at `at`: its exit code, and what it says as data. */
export async function check(t, at, config) {
  requireBinary();
  const dir = folder(t);
  fs.writeFileSync(path.join(dir, 'session_key'), randomBytes(32).toString('base64'), { mode: 0o600 });
  const file = path.join(dir, 'vestibule.toml');
  fs.writeFileSync(file, `[server]\nlisten = "127.0.0.1:${at.port}"\npublic_url = "${at.origin}"\n${withKey(config, path.join(dir, 'session_key'))}`);
  const { child, said } = program(t, binary, ['check', '--deny-warnings', '--format', 'json', '-c', file]);
  await once(child, 'close');
  return { code: child.exitCode, ...JSON.parse(said.out), errors: said.err };
}

/** Runs `vestibule demo` and gives the URL that it prints. */
export async function demo(t) {
  requireBinary();
  const started = program(t, binary, ['demo', '--port', '0']);
  const url = await until('the demo to print its URL', () => started.said.out.match(/http:\/\/127\.0\.0\.1:\d+\/?/)?.[0], { started });
  await until('the demo to accept connections', () => accepts(Number(new URL(url).port)), { started });
  return { url: url.endsWith('/') ? url : `${url}/`, started, log: () => started.said.out + started.said.err };
}

/** Puts the session key into the test's own `[session]`, or writes that table. */
function withKey(config, key) {
  const table = `[session]\nkeys = [{ file = "${key}" }]\n`;
  return config.includes('[session]\n') ? config.replace('[session]\n', table) : `${table}${config}`;
}

function requireBinary() {
  if (!fs.existsSync(binary)) throw new Error(`${binary} is missing: run tests/real/run, or cargo build --release`);
}
