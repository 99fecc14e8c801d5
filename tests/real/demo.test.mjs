// The whole of `vestibule demo` as a person sees it, in Chromium, with a picture of each page in `screenshots/`.

import assert from 'node:assert/strict';
import test from 'node:test';

import { browser, person, picture } from './browser.mjs';
import { PREFIX, demo } from './house.mjs';

async function opened(t, options) {
  const shown = await demo(t);
  const { context, complaints } = await person(await browser(t), options);
  t.after(() => assert.deepEqual(complaints, [], 'the browser refused nothing'));
  return { shown, context, page: await context.newPage(), origin: new URL(shown.url).origin, at: (path) => new URL(path, shown.url).href };
}

/** Chooses somebody at the demo's provider. */
const choose = (page, name) => page.getByRole('button', { name: new RegExp(name) }).click();
const greeting = (page) => page.getByRole('heading', { level: 1 }).textContent();
const atProvider = (page, origin) => page.waitForURL((url) => url.origin !== origin);

test('somebody opens the printed URL, signs in, looks round, and signs out', async (t) => {
  const { page, shown, origin, at } = await opened(t);

  await page.goto(shown.url);
  await atProvider(page, origin);
  await picture(page, 'demo-1-provider');
  await choose(page, 'Ada Lovelace');
  await page.waitForURL((url) => url.origin === origin);
  assert.equal(await greeting(page), 'Hello, Ada Lovelace');
  await page.locator('#token').waitFor();
  await picture(page, 'demo-2-application');

  await page.goto(at('socket'));
  await page.getByRole('button', { name: 'Send' }).waitFor();
  await page.waitForFunction(() => document.getElementById('state').textContent === 'open');
  await page.getByRole('button', { name: 'Send' }).click();
  await page.locator('#log li').first().waitFor();
  assert.equal(await page.locator('#log li').first().textContent(), 'hello');
  await picture(page, 'demo-3-websocket');

  await page.goto(at('stream'));
  await page.locator('#log li').nth(2).waitFor();
  await picture(page, 'demo-4-events');

  await page.goto(at(`${PREFIX}/session`));
  assert.equal(await greeting(page), 'Your session');
  assert.match(await page.textContent('body'), /Ada Lovelace/);
  await picture(page, 'demo-5-session');

  await page.goto(at(`${PREFIX}/logout`));
  assert.equal(await greeting(page), 'Sign out?');
  await picture(page, 'demo-6-sign-out');
  await page.getByRole('button', { name: 'Sign out' }).click();
  await leaveProvider(page, origin);
  assert.equal(await greeting(page), 'You are signed out');
  await picture(page, 'demo-7-signed-out');
  assert.equal(await page.title().then((title) => title.startsWith('You are signed out')), true);

  await page.goto(shown.url);
  await atProvider(page, origin);
  assert.match(await page.textContent('body'), /Grace Hopper/, 'nobody is signed in again by itself');
});

test('signing out by the application\'s own button leads to the same place', async (t) => {
  const { page, shown, origin } = await opened(t);
  await signIn(page, shown.url, origin, 'Grace Hopper');

  await page.getByRole('button', { name: 'Sign out' }).click();
  await leaveProvider(page, origin);

  assert.equal(await greeting(page), 'You are signed out');
});

test('ten tabs that were opened at once all end on their own page', async (t) => { // AT-LF-19
  const { context, origin, at } = await opened(t);
  const tabs = await Promise.all(Array.from({ length: 10 }, () => context.newPage()));
  const wanted = tabs.map((_, n) => at(`tab-${n}?n=${n}&x=%2F`));
  await Promise.all(tabs.map((tab, n) => tab.goto(wanted[n])));
  await Promise.all(tabs.map((tab) => atProvider(tab, origin)));

  for (const [n, tab] of tabs.entries()) {
    await choose(tab, 'Ada Lovelace');
    await tab.waitForURL((url) => url.href === wanted[n]);
    assert.match(await greeting(tab), /Ada/i);
  }
});

test('the back button after a sign-in does not end on an error', async (t) => {
  const { page, shown, origin, at } = await opened(t);
  await signIn(page, at('first'), origin, 'Ada Lovelace');
  await page.goto(at('second'));

  await page.goBack();
  assert.equal(page.url(), at('first'));
  // Before that lies the provider's page, which knows the person by now and answers the old request once more, with another code.
  const again = page.waitForRequest((request) => request.url().startsWith(at(`${PREFIX}/callback?`)));
  await page.goBack();
  await again;
  await page.waitForURL((url) => url.href === at('first'));
  assert.match(await greeting(page), /Ada/i);

  await page.goto(shown.url);
  assert.match(await greeting(page), /Ada/i);
});

test('cancelling at the provider gives a page with one way on', async (t) => {
  const { page, shown, origin } = await opened(t);
  await page.goto(shown.url);
  await atProvider(page, origin);
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.waitForURL((url) => url.origin === origin);

  assert.match(await page.textContent('body'), /VB-1012/);
  assert.equal(await page.locator('.button').count(), 1);
  await picture(page, 'demo-8-cancelled');
  await page.locator('.button').click();
  await atProvider(page, origin);
});

test('a bookmarked callback is explained, not accused', async (t) => {
  const { page, at } = await opened(t);
  const answer = await page.goto(at(`${PREFIX}/callback?code=old&state=old`));

  assert.equal(answer.status(), 400);
  assert.match(await page.textContent('body'), /VB-10\d\d/);
  await picture(page, 'demo-9-old-callback');
});

test('somebody who may not is told why, and comes in as somebody else', async (t) => {
  const { page, shown, origin } = await opened(t);
  await signIn(page, shown.url, origin, 'Grace Hopper');

  await page.getByRole('link', { name: 'Admins only' }).click();
  assert.equal(await greeting(page), 'You do not have access');
  const said = await page.textContent('body');
  assert.match(said, /Grace Hopper/);
  assert.match(said, /admins/);
  await picture(page, 'demo-11-denied');

  await page.getByRole('button', { name: 'Switch account' }).click();
  await atProvider(page, origin);
  await choose(page, 'Ada Lovelace');
  await page.waitForURL((url) => url.origin === origin);
  assert.equal(new URL(page.url()).pathname, '/admins');
  assert.equal(await greeting(page), 'Hello, Ada Lovelace');
});

test('a form that comes after the session ended is not submitted, and says so', async (t) => {
  const { page, at, origin, context } = await opened(t);
  await signIn(page, at('socket'), origin, 'Ada Lovelace');
  await page.evaluate(() => {
    document.body.innerHTML = '<form method="post" action="/save"><input name="text" value="an hour of work"><button>Save</button></form>';
  });
  await context.clearCookies();

  const answer = page.waitForResponse((response) => response.request().method() === 'POST');
  await page.getByRole('button', { name: 'Save' }).click();
  assert.equal((await answer).status(), 401);
  assert.equal(await greeting(page), 'Your form was not submitted');
  await picture(page, 'demo-12-form');

  await page.locator('.button').click();
  await atProvider(page, origin);
  await choose(page, 'Ada Lovelace');
  await page.waitForURL((url) => url.href === at('socket'));
});

test('the refresh happens behind the person\'s back, and can be watched', { timeout: 120_000 }, async (t) => {
  const { page, shown, origin } = await opened(t);
  await signIn(page, shown.url, origin, 'Ada Lovelace');
  const token = page.locator('tr', { hasText: 'x-forwarded-access-token' }).locator('td');
  await page.locator('#renewed', { hasText: '0 times' }).waitFor();
  const before = await token.textContent();

  await page.locator('#renewed', { hasText: 'once' }).waitFor({ timeout: 75_000 });

  assert.notEqual(await token.textContent(), before);
  assert.equal(new URL(page.url()).origin, origin, 'the person never left the page');
  await picture(page, 'demo-10-after-refresh');
  await page.reload();
  assert.equal(await greeting(page), 'Hello, Ada Lovelace');
});

for (const [name, options] of Object.entries({ dark: { colorScheme: 'dark' }, narrow: { viewport: { width: 340, height: 700 } } })) {
  test(`every page of the demo, ${name}`, async (t) => {
    const { page, shown, origin, at } = await opened(t, options);
    await page.goto(shown.url);
    await atProvider(page, origin);
    await seen('provider');
    await choose(page, 'Ada Lovelace');
    await page.waitForURL((url) => url.origin === origin);
    await page.locator('#token').waitFor();
    await seen('application');
    for (const path of ['socket', 'stream', `${PREFIX}/session`, `${PREFIX}/logout`, `${PREFIX}/no-such-page`]) {
      await page.goto(at(path));
      await seen(path.split('/').at(-1));
    }

    async function seen(what) {
      await picture(page, `demo-${name}-${what}`);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
      assert.equal(wide, false, `${what} scrolls sideways`);
    }
  });
}

async function signIn(page, url, origin, name) {
  await page.goto(url);
  await atProvider(page, origin);
  await choose(page, name);
  await page.waitForURL((now) => now.origin === origin);
}

/** The provider may ask whether to sign out there too. */
async function leaveProvider(page, origin) {
  await page.waitForLoadState();
  if (new URL(page.url()).origin !== origin) await page.getByRole('button', { name: /sign out/i }).click();
  await page.waitForURL((url) => url.origin === origin);
}
