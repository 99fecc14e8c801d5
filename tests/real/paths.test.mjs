// A differential test of paths (PX-41): generated targets go through the gateway to real programs, which say what they read.
// Nobody is signed in, so whatever arrives was judged as public: no program may read a path there that is not.

import assert from 'node:assert/strict';
import http from 'node:http';
import test from 'node:test';

import { gateway, place } from './house.mjs';
import { provider } from './provider.mjs';
import { readers } from './readers.mjs';

/** Rules, where targets begin, and where they want to get. */
const HOUSES = {
  open: {
    rules: { '': 'public', '/admin': 'login', '/mounted/admin': 'login' },
    starts: ['', '', '/x', '/mounted', '/a/b'],
    goals: ['admin', 'admin/x', 'Admin'],
  },
  islands: {
    rules: { '': 'login', '/admin/assets': 'public', '/public': 'public' },
    starts: ['/public', '/admin/assets', '/admin/assets/x', '/public/a'],
    goals: ['admin', '', 'x', 'admin/assets/../x'],
  },
  // Another path towards the application: what its programs read is mapped back, and judged by the browser's path.
  stripped: {
    rules: { '': 'login', '/wiki': 'public', '/wiki/admin': 'login', '/wiki/admin/assets': 'public' },
    prefix: '/wiki',
    base: '',
    starts: ['/wiki', '/wiki', '/wiki/x', '/wiki/admin/assets', '/wiki/a/b', '/x/../wiki'],
    goals: ['admin', 'admin/x', 'Admin', '../admin', 'wiki/admin'],
  },
  based: {
    rules: { '': 'login', '/wiki': 'public', '/wiki/admin': 'login' },
    prefix: '/wiki',
    base: '/base',
    starts: ['/wiki', '/wiki', '/wiki/x', '/wiki/a/b'],
    goals: ['admin', 'base/admin', '../admin', '../basement', '../../x', 'Admin'],
  },
};

const TARGETS = 1000;
const SEED = Number(process.env.SEED ?? 20260101);

/** The access of the longest prefix, as the configuration says it; case does not count. */
function access(rules, read) {
  const path = read.toLowerCase();
  const prefixes = Object.keys(rules).filter((prefix) => path === prefix || path.startsWith(`${prefix}/`));
  return rules[prefixes.sort((a, b) => b.length - a.length)[0]];
}

/** The browser's path of one that an application read; nothing where it lies outside the base. */
function browserPath({ prefix = '', base = '' }, read) {
  const inside = read === base || read.startsWith(`${base}/`);
  return inside ? `${prefix}${read.slice(base.length)}` : null;
}

/** A small generator of pseudo-random numbers (mulberry32), so that a failure comes again. */
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const escaped = (text, times) => (times === 0 ? text : [...Buffer.from(text)].map((byte) => `%${'25'.repeat(times - 1)}${byte.toString(16).padStart(2, '0')}`).join(''));

function generator(seed) {
  const next = random(seed);
  const one = (list) => list[Math.floor(next() * list.length)];
  const may = (share) => next() < share;
  // Escaped never, once, or again: what is plain already can be read by most.
  const written = (text) => [...text].map((char) => (may(0.35) ? escaped(char, one([1, 1, 1, 2, 2, 3])) : char)).join('');
  const separator = () => one(['/', '/', '/', written('/'), '\\', written('\\'), '//', '/;x/', '/./', '/%20/', escaped('\uff0f', 1)]);
  const blank = () => one(['', '', '', '%20', '+', '%2520', '%2509', ';', ';x=1', '%3b', '%253b', '%00', '%2500', '%c2%a0']);
  const dots = () => blank().replace(/^.*;.*$|^%3b$/, '') + one([written('..'), written('..'), '..', '.', '...', escaped('\uff0e\uff0e', 1), '%25u002e%25u002e', '%25c0%25ae.']) + blank();
  const end = () => one(['', '', '', '/', '#', '%23', '%3f', '%2523', '%253f', ';', '.', '%20', '?', '?/../', '%2500', '::$INDEX_ALLOCATION', '%5c']);
  const authority = () => one(['//', '//', '/\\', '\\\\', '/%2f', '%5c%5c', '///', '/http://', '/http:', '/.//']) + one(['x', 'u@h', 'x:80', '[::1]', 'x%23', 'admin', '']) + separator();
  return (house) => {
    const start = one(house.starts);
    const goal = () => (may(0.3) ? written(one(house.goals)) : one(house.goals));
    const way = one([
      () => start + separator() + dots() + separator() + goal(),
      () => start + separator() + dots() + separator() + dots() + separator() + goal(),
      () => start + separator() + dots() + end(),
      () => start + separator() + 'x' + separator() + dots() + separator() + dots() + end() + goal(),
      () => authority() + goal(),
      () => start + authority() + goal(),
      () => start + separator() + goal() + end(),
      () => separator() + goal() + end() + separator() + 'public',
      () => start + end() + separator() + dots() + separator() + goal(),
      () => written(start) + separator() + goal(),
    ])();
    const target = way + (may(0.5) ? end() : '') + (may(0.2) ? '/y' : '');
    // A fragment is no part of any target.
    return (target.startsWith('/') ? target : `/${target}`).replaceAll('#', '%23');
  };
}

/** What honest clients send: names with all kinds of letters in them, escaped as browsers and libraries do. */
function harmless(seed) {
  const next = random(seed);
  const one = (list) => list[Math.floor(next() * list.length)];
  const names = ['index.html', 'a b', 'ann@example.com', 'é', '技術', 'テスト', 'c++', 'v1.2.3', '100%', 'a+b', 'x;y=z', '~user', 'group/project', 'Special:Login', 'q?', '#1', "it's", '(x)', '[id]', '{x}', '.well-known', 'a.b.c', 'a_b-c', 'a,b', 'a=b&c=d', '$x', 'x!', '*'];
  const writes = [encodeURIComponent, encodeURIComponent, (name) => encodeURI(name).replaceAll('?', '%3F').replaceAll('#', '%23')];
  const queries = ['', '', '?a=b', '?next=%2Fx%2Fy%3Fz', '?file=../x', '?q=a..b', '?u=https%3A%2F%2Fexample.com%2Fa%2Fb%3Fc%3D%252F'];
  return (start) => `${start}/${Array.from({ length: 1 + Math.floor(next() * 3) }, () => one(writes)(one(names))).join('/')}${one(['', '', '/'])}${one(queries)}`;
}

/** Asks a port for targets, some at a time, each byte for byte; gives what each was answered. */
async function ask(port, host, targets) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
  const one = (target) => new Promise((done) => {
    const request = http.request({ host: '127.0.0.1', port, path: target, headers: { host }, agent, timeout: 10_000 }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part) => { text += part; });
      answer.on('end', () => done({ target, status: answer.statusCode, text: answer.headers['x-read'] ?? text }));
      answer.on('error', () => done({ target, status: 0, text: '' }));
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => done({ target, status: 0, text: '' }));
    request.end();
  });
  const answers = await Promise.all(targets.map(one));
  agent.destroy();
  return answers;
}

/** The paths of an answer that its program read and that are not public, or not the route's at all. */
function protectedIn(house, text) {
  const reads = text.split('\n').filter((read) => read.startsWith('/'));
  return reads.filter((read) => {
    const path = browserPath(house, read);
    return path === null || access(house.rules, path) !== 'public';
  });
}

function configuration(ports) {
  const routes = [];
  for (const [house, { rules, prefix: root = '', base = '' }] of Object.entries(HOUSES)) {
    for (const [name, port] of Object.entries(ports)) {
      const paths = Object.entries(rules).filter(([prefix]) => prefix.startsWith(root) && prefix !== root).map(([prefix, rule]) => `"${prefix}" = { access = "${rule}" }`);
      const mapping = root ? `path = "${root}"\nstrip_prefix = "${root}"\n` : '';
      routes.push(`[route.${house}-${name}]\nhost = "${name}.${house}.example"\nupstream = "http://127.0.0.1:${port}${base}"\naccess = "${rules[root]}"\n${mapping}[route.${house}-${name}.paths]\n${paths.join('\n')}\n`);
    }
  }
  return routes.join('\n');
}

test('real programs, and targets that they read in different ways', async (t) => {
  const ports = await readers(t);
  const at = await place();
  const idp = await provider(t, at.origin);
  await gateway(t, at, `${idp.table('basic')}${configuration(ports)}`);

  await t.test('no program reads a path that the gateway did not judge', async (t) => {
    const generate = generator(SEED);
    const shown = [];
    const told = {};
    for (const [house, rooms] of Object.entries(HOUSES)) {
      const { prefix = '', base = '' } = rooms;
      const targets = [...new Set(Array.from({ length: TARGETS }, () => generate(rooms)))];
      // What a gateway would send on that looks at nothing but the prefix.
      const naive = targets.filter((target) => target.startsWith(`${prefix}/`)).map((target) => `${base}${target.slice(prefix.length)}`);
      for (const [name, port] of Object.entries(ports)) {
        const host = `${name}.${house}.example`;
        const forwarded = (await ask(at.port, host, targets)).filter(({ text }) => text.startsWith('/'));
        for (const { target, text } of forwarded) {
          const read = protectedIn(rooms, text);
          if (read.length > 0) shown.push(`${host}: ${target} is read as ${read.join(' and ')}`);
        }
        const direct = await ask(port, host, naive.slice(0, 300));
        told[host] = [direct.filter(({ text }) => protectedIn(rooms, text).length > 0).length, forwarded.length];
      }
    }
    t.diagnostic(`seed ${SEED}; of 300, read as protected without the gateway; of ${TARGETS}, let through by it: ${Object.entries(told).map(([host, [direct, through]]) => `${host} ${direct}, ${through}`).join('; ')}`);
    assert.deepEqual(shown, []);
    for (const [host, [direct, through]] of Object.entries(told)) {
      // Otherwise nothing was tried.
      assert.ok(direct >= 10 && through >= 10, `${host}: ${direct} and ${through}`);
    }
  });

  await t.test('what honest clients send arrives as it was sent', async () => {
    const generate = harmless(SEED);
    for (const [house, start] of [['open', ''], ['open', '/x'], ['islands', '/public'], ['islands', '/admin/assets'], ['stripped', '/wiki'], ['based', '/wiki/x']]) {
      const { prefix = '', base = '' } = HOUSES[house];
      const targets = Array.from({ length: 500 }, () => generate(start));
      const answers = await ask(at.port, `node.${house}.example`, targets);
      const lost = answers.filter(({ target, text }) => text.split('\n')[0] !== `${base}${target.split('?')[0].slice(prefix.length)}`);
      assert.deepEqual(lost.map(({ target, status }) => `${status} ${target}`), []);
    }
  });
});
