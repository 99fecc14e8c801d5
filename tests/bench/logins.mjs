// Certified providers and visitors for the comparison: one command a line on standard input, one JSON answer a line on standard output.
//
// {"do": "provider", "name", "origin", "accessLife"} -> {"issuer", "secret", "tables"}    a provider for the gateway at `origin`
// {"do": "signIn", "url"}                            -> {"status", "cookie"}              the Cookie header of somebody who signed in
// {"do": "refreshes", "name"}                        -> {"statuses"}                      what became of its refresh requests

import fs from 'node:fs';
import path from 'node:path';
import readline from 'node:readline';

import { CLIENTS, provider } from '../real/provider.mjs';
import { Visitor } from '../real/visitor.mjs';

const ending = [];
const t = { after: (end) => ending.push(end) };
const providers = new Map();

async function finish() {
  for (const end of ending.reverse()) await end();
  process.exit(0);
}
process.on('SIGTERM', finish);

const commands = {
  async provider({ name, origin, accessLife }) {
    const started = await provider(t, origin, { accessLife });
    providers.set(name, started);
    const tables = Object.fromEntries(Object.keys(CLIENTS).map((client) => [client, started.table(client)]));
    return { issuer: started.issuer, secret: fs.readFileSync(path.join(started.dir, 'secret'), 'utf8').trim(), tables };
  },
  async signIn({ url }) {
    const visitor = new Visitor();
    const page = await visitor.signIn(url, 'ada');
    return { status: page.status, cookie: visitor.cookieHeader(url), text: page.status === 200 ? '' : page.text.slice(0, 400) };
  },
  async refreshes({ name }) {
    return { statuses: providers.get(name).tokens('refresh_token').map((one) => one.status) };
  },
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  const answer = await commands[command.do](command).catch((error) => ({ failed: String(error.stack) }));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await finish();
