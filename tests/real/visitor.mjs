// A visitor with a cookie jar who follows redirects and fills in forms, but runs no script: quicker than a browser and more exact.
// Takes any certificate: the ones here are made for one test.

import http from 'node:http';
import https from 'node:https';

/** What a browser sends with a navigation that the person began (W3C Fetch Metadata). */
const NAVIGATION = {
  accept: 'text/html,application/xhtml+xml,*/*;q=0.8',
  'sec-fetch-mode': 'navigate',
  'sec-fetch-dest': 'document',
  'sec-fetch-user': '?1',
};

export class Visitor {
  #cookies = new Map();
  #names;

  /** `names`: hosts that stand on 127.0.0.1 although no resolver knows them. */
  constructor(names = []) {
    this.#names = names;
  }

  /** Another visitor with a copy of the jar: what somebody has who kept an old one. */
  copy() {
    const other = new Visitor(this.#names);
    for (const [key, cookie] of this.#cookies) other.#cookies.set(key, { ...cookie });
    return other;
  }

  /** Navigates to `url` and on to where it leads. */
  async open(url, options = {}) {
    const trail = [];
    let next = { url, method: 'GET', ...options };
    for (let hop = 0; hop < 25; hop += 1) {
      const answer = await this.ask(next.url, { ...next, headers: { ...NAVIGATION, 'sec-fetch-site': trail.length ? 'cross-site' : 'none', ...next.headers } });
      trail.push(answer);
      answer.trail = trail;
      const { location } = answer.headers;
      if (answer.status < 300 || answer.status > 399 || location === undefined || options.stay) return answer;
      const target = new URL(location, answer.url).href;
      if (options.stopAt?.(target)) return Object.assign(answer, { target });
      const keeps = answer.status === 307 || answer.status === 308;
      next = keeps ? { ...next, url: target } : { url: target, method: 'GET' };
    }
    throw new Error(`a loop: ${trail.map((one) => one.url).join('\n -> ')}`);
  }

  /** Sends the first form of a page, with its own fields and the given ones. */
  submit(page, fields = {}, { form: wanted = 0, ...options } = {}) {
    const form = formsOf(page.text)[wanted];
    if (!form) throw new Error(`no form on ${page.url}:\n${page.text}`);
    const target = new URL(form.action || page.url, page.url);
    const headers = {
      'content-type': 'application/x-www-form-urlencoded',
      origin: new URL(page.url).origin,
      'sec-fetch-site': new URL(page.url).origin === target.origin ? 'same-origin' : 'cross-site',
      ...options.headers,
    };
    return this.open(target.href, { ...options, method: 'POST', headers, body: new URLSearchParams({ ...form.fields, ...fields }).toString() });
  }

  /** Opens a page and signs in at the certified provider wherever it asks. */
  async signIn(url, login, options = {}) {
    let page = await this.open(url, options);
    const trail = [...page.trail];
    for (let step = 0; step < 4 && /name="prompt" value="(login|consent)"/.test(page.text); step += 1) {
      page = await this.submit(page, page.text.includes('value="login"') ? { login, password: 'any' } : {}, options);
      trail.push(...page.trail);
    }
    return Object.assign(page, { trail });
  }

  /** One request, with the jar, without following anything. */
  ask(url, { method = 'GET', headers = {}, body } = {}) {
    const target = new URL(url);
    const cookie = this.cookieHeader(target);
    const fields = { ...headers, ...(cookie && { cookie }), ...(body !== undefined && { 'content-length': Buffer.byteLength(body) }) };
    const known = this.#names.includes(target.hostname) && { hostname: '127.0.0.1', servername: target.hostname };
    if (known) fields.host = target.host;
    return new Promise((done, failed) => {
      const request = (target.protocol === 'https:' ? https : http).request(target, { method, headers: fields, agent: false, rejectUnauthorized: false, ...known }, (response) => {
        const parts = [];
        response.on('data', (part) => parts.push(part));
        response.on('error', failed);
        response.on('end', () => {
          this.#keep(target, response.headers['set-cookie'] ?? []);
          const bytes = Buffer.concat(parts);
          done({ url, method, status: response.statusCode, headers: response.headers, bytes, text: bytes.toString('utf8') });
        });
      });
      request.setTimeout(30_000, () => request.destroy(new Error(`no answer from ${url}`)));
      request.on('error', failed);
      request.end(body);
    });
  }

  /** The names and values that would go to a URL. */
  cookiesFor(url) {
    const target = new URL(url);
    return [...this.#cookies.values()].filter((cookie) => cookie.host === target.hostname && under(target.pathname, cookie.path));
  }

  cookieHeader(url) {
    return this.cookiesFor(url).map((cookie) => `${cookie.name}=${cookie.value}`).join('; ');
  }

  #keep(target, fields) {
    for (const field of fields) {
      const [pair, ...attributes] = field.split(';').map((part) => part.trim());
      const name = pair.slice(0, pair.indexOf('='));
      const value = pair.slice(pair.indexOf('=') + 1);
      const given = Object.fromEntries(attributes.map((part) => [part.split('=')[0].toLowerCase(), part.split('=').slice(1).join('=')]));
      const path = given.path?.startsWith('/') ? given.path : target.pathname.slice(0, target.pathname.lastIndexOf('/')) || '/';
      const key = `${target.hostname} ${path} ${name}`;
      const gone = given['max-age'] !== undefined ? Number(given['max-age']) <= 0 : given.expires !== undefined && Date.parse(given.expires) <= Date.now();
      if (gone) this.#cookies.delete(key);
      else this.#cookies.set(key, { host: target.hostname, path, name, value, attributes: given });
    }
  }
}

const under = (path, prefix) => path === prefix || path.startsWith(prefix.endsWith('/') ? prefix : `${prefix}/`);

function formsOf(html) {
  return [...html.matchAll(/<form\b([^>]*)>([\s\S]*?)<\/form>/gi)].map(([, attributes, inside]) => ({
    action: attribute(attributes, 'action'),
    fields: Object.fromEntries([...inside.matchAll(/<input\b([^>]*)>/gi)].map(([, input]) => [attribute(input, 'name'), attribute(input, 'value') ?? '']).filter(([name]) => name)),
  }));
}

function attribute(text, name) {
  const found = new RegExp(`\\b${name}\\s*=\\s*"([^"]*)"`, 'i').exec(text);
  return found && unescaped(found[1]);
}

/** Text out of HTML. */
export function unescaped(text) {
  const named = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };
  return text.replace(/&(#x?[0-9a-f]+|\w+);/gi, (whole, name) => {
    if (name.startsWith('#x')) return String.fromCodePoint(Number.parseInt(name.slice(2), 16));
    if (name.startsWith('#')) return String.fromCodePoint(Number(name.slice(1)));
    return named[name] ?? whole;
  });
}
