#!/usr/bin/env node
// A user with a real browser: follows an authorization URL in a headless
// Chromium, signs in, consents, and ends at the client's redirect URI. What
// browser.mjs only plays (cookies, redirects, Content-Security-Policy) is
// Chromium's own doing here.
//
//   SIGNIN_USER=ada SIGNIN_PASSWORD=secret node chromium.mjs <authorization-url>
//
//   SIGNIN_USER, SIGNIN_PASSWORD  what is typed in (default: ada, demo-password)
//   SIGNIN_UPSTREAM   sign in by the link whose text contains this, not by password
//   UPSTREAM_USER, UPSTREAM_PASSWORD  what is typed in on pages of another origin
//                     than the authorization URL's (default: as above)
//   DECISION          allow (default) or deny; or another button of that name, such
//                     as cancel. Pages of another origin are always allowed. A
//                     page to consent without that button counts as unknown
//   SCREENSHOTS       directory for <n>-<page>.png, taken before the page is acted on
//   DARK=1            and for <n>-<page>-dark.png
//   JS=1              pages may run scripts (default: they may not)
//   CHROMIUM          the browser (default: /usr/bin/chromium)
//   CHROMIUM_PROFILE  profile directory that is kept, with its lasting cookies
//                     (default: a new one that is removed)
//   CHROMIUM_REPORT   file for the report (default: stdout)
//
// The report is one line of JSON:
//
//   ended     "callback": at the redirect URI; "page": at a page that isn't known,
//             or that came back after it was acted on; "error"
//   url, status, title, text  of the last page; the status is null if there was
//             no response (a redirect URI at which nobody listens)
//   pages     titles of all pages, the last one included
//   acted     what was recognized on each page that was acted on
//   problems  what Chromium wrote to its console, such as refusals by the
//             Content-Security-Policy
//   error     only with "error": what went wrong
//
// Exits 0 when it ended at the redirect URI, whether with a code or with an
// error, else 1. The client, which would wait for ever, is then told so at its
// redirect URI, unless that isn't loopback. It takes a minute at most.
//
// It takes any certificate, and finds no host but loopback.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { mkdirSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import puppeteer from 'puppeteer-core';

const totalTimeout = 180_000;
const pageTimeout = 60_000; // from a click to the next page
const maxPages = 30;

// forms are the pages that can be acted on, by what they contain; the first
// that matches counts. submit is the button, unless the user decides on it.
const forms = [
  { name: 'signin', fields: ['input[name=username]', 'input[name=password]'], submit: 'button[name=decision][value=signin]' },
  { name: 'consent', fields: [], submit: 'button[name=decision][value=allow]' },
  { name: 'login', fields: ['input[name=login]', 'input[name=password]'], submit: 'button[type=submit], button:not([type]), input[type=submit]' },
];

// browse plays the whole flow on page and returns the report. What it has got
// of it so far is in report all the time.
async function browse(page, start, env, report) {
  const callback = start.searchParams.get('redirect_uri');
  const isCallback = (url) => callback !== null && sameTarget(url, callback);
  const seen = watch(page, isCallback, report);
  const shoot = screenshots(page, env);
  await page.setJavaScriptEnabled(env.JS === '1');

  let last;
  await settle(() => page.goto(start.href, { timeout: pageTimeout }), seen, report);
  for (;;) {
    const here = await look(page, seen);
    Object.assign(report, here);
    report.pages.push(here.title);
    if (seen.callback) {
      await shoot('callback');
      return { ...report, ended: 'callback', url: seen.callback };
    }
    const ours = new URL(here.url).origin === start.origin;
    const step = report.pages.length < maxPages && await recognize(page, env, ours);
    if (!step || step.name === last) {
      await shoot(step ? `${step.name}-again` : 'page');
      return { ...report, ended: 'page' };
    }
    last = step.name;
    await shoot(step.name);
    report.acted.push(step.name);
    await settle(() => Promise.all([page.waitForNavigation({ timeout: pageTimeout }), step.act()]), seen, report);
  }
}

// sameTarget tells whether url is the redirect URI with parameters added.
function sameTarget(url, redirectURI) {
  if (!URL.canParse(url) || !URL.canParse(redirectURI)) return false;
  const [a, b] = [new URL(url), new URL(redirectURI)];
  return a.protocol === b.protocol && a.host === b.host && a.pathname === b.pathname;
}

// watch notes where the page goes and what Chromium complains about. A
// redirect that a Content-Security-Policy forbids doesn't count as arrived.
function watch(page, isCallback, report) {
  const seen = { callback: undefined, status: null };
  const navigates = (request) => request.isNavigationRequest() && request.frame() === page.mainFrame();
  page.on('response', (response) => {
    if (!navigates(response.request())) return;
    seen.status = response.status();
    if (isCallback(response.url())) seen.callback = response.url();
    // A redirect URI with a scheme of its own, which an application would open.
    const location = response.headers().location;
    if (location && isCallback(location) && !/^https?:/.test(location)) {
      [seen.callback, seen.status] = [location, null];
    }
  });
  page.on('requestfailed', (request) => {
    if (!navigates(request)) return;
    const error = request.failure()?.errorText ?? '';
    if (isCallback(request.url()) && /ERR_(CONNECTION|EMPTY_RESPONSE|SOCKET)/.test(error)) {
      [seen.callback, seen.status] = [request.url(), null];
    }
    // A new page ends what the former one was still loading.
    if (error !== 'net::ERR_ABORTED') report.problems.push(`${request.url()}: ${error}`);
  });
  page.on('console', (message) => {
    const asked = !/\/favicon\.ico$/.test(message.location().url ?? ''); // Chromium's own idea
    if (['error', 'warn'].includes(message.type()) && asked) report.problems.push(message.text());
  });
  return seen;
}

// settle waits for a navigation, or for the client to be called back: a client
// may close the connection, and its application has no page at all. That no
// navigation came is no error: the page then is the one that was there.
async function settle(navigate, seen, report) {
  const done = new AbortController();
  const called = (async () => {
    while (!seen.callback && !done.signal.aborted) await sleep(50);
    await sleep(1000, undefined, { signal: done.signal }).catch(() => {});
  })();
  const navigation = navigate().catch((err) => {
    if (!/timeout|net::ERR_|navigat/i.test(err.message)) throw err;
    if (/timeout/i.test(err.message) && !seen.callback) report.problems.push(err.message);
  });
  await Promise.race([navigation, called]).finally(() => done.abort());
}

// look reads the page.
async function look(page, seen) {
  const read = () => page.evaluate(() => ({
    title: document.title,
    text: (document.querySelector('main') ?? document.body)?.innerText ?? '',
  }));
  // It may still be on its way to the next one.
  for (let attempt = 1; ; attempt++) {
    try {
      const { title, text } = await Promise.race([
        read(),
        sleep(20_000, undefined, { ref: false }).then(() => { throw new Error('no page'); }),
      ]);
      return { url: page.url(), status: seen.status, title, text: text.replace(/\s+/g, ' ').trim() };
    } catch (err) {
      if (attempt === 10 || err.message === 'no page') throw err;
      await sleep(200);
    }
  }
}

// recognize returns what to do on the page: a name and a function that ends
// in a click.
async function recognize(page, env, ours) {
  if (ours && env.SIGNIN_UPSTREAM) {
    for (const link of await page.$$('a[href]')) {
      if ((await link.evaluate((a) => a.textContent)).includes(env.SIGNIN_UPSTREAM)) {
        return { name: 'upstream', act: () => link.click() };
      }
    }
  }
  const user = env.SIGNIN_USER ?? 'ada';
  const password = env.SIGNIN_PASSWORD ?? 'demo-password';
  const values = ours ? [user, password] : [env.UPSTREAM_USER ?? user, env.UPSTREAM_PASSWORD ?? password];
  const decision = ours ? env.DECISION ?? 'allow' : 'allow';

  for (const { name, fields, submit } of forms) {
    const inputs = await Promise.all(fields.map((selector) => page.$(selector)));
    if (inputs.includes(null) || !await page.$(submit)) continue;
    const decided = decision === 'allow' ? null : await page.$(`button[name=decision][value=${JSON.stringify(decision)}]`);
    // To sign in is no decision: it comes before the page that asks for one.
    if (decision !== 'allow' && !decided && name === 'consent') return undefined;
    const button = decided ?? await page.$(submit);
    const act = async () => {
      for (const [i, input] of inputs.entries()) {
        if (decided) break;
        await input.evaluate((element) => { element.value = ''; });
        await input.type(values[i]);
      }
      await button.click();
    };
    return { name: ours ? name : `upstream-${name}`, act };
  }
  return undefined;
}

// screenshots returns a function that takes the next ones.
function screenshots(page, { SCREENSHOTS: dir, DARK }) {
  if (!dir) return async () => {};
  mkdirSync(dir, { recursive: true });
  let n = 0;
  const shoot = async (name, scheme) => {
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
    await page.screenshot({ path: path.join(dir, name), fullPage: true });
  };
  return async (what) => {
    n++;
    // The redirect URI of an application, or of nobody, has no page to be shot.
    const shots = async () => {
      if (DARK === '1') await shoot(`${n}-${what}-dark.png`, 'dark');
      await shoot(`${n}-${what}.png`, 'light');
    };
    await (what === 'callback' ? shots().catch(() => {}) : shots());
  };
}

const flags = [
  '--disable-dev-shm-usage',
  '--disable-quic',
  '--no-proxy-server',
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE *.localhost, EXCLUDE 127.0.0.1, EXCLUDE [::1]',
];

// withChromium calls use with a page, and ends the browser whatever happens.
export async function withChromium(env, signal, use) {
  const own = env.CHROMIUM_PROFILE ? undefined : await mkdtemp(path.join(tmpdir(), 'chromium-'));
  let browser;
  try {
    const launching = puppeteer.launch({
      executablePath: env.CHROMIUM ?? '/usr/bin/chromium',
      userDataDir: own ?? env.CHROMIUM_PROFILE,
      args: process.getuid?.() === 0 ? [...flags, '--no-sandbox'] : flags, // its sandbox refuses root
      acceptInsecureCerts: true,
      pipe: true, // and so it ends with us
      timeout: 90_000,
      defaultViewport: { width: 1024, height: 768 },
      handleSIGINT: false,
      handleSIGTERM: false,
      handleSIGHUP: false,
    });
    launching.then((launched) => { browser = launched; }, () => {});
    return await Promise.race([
      launching.then(async () => use((await browser.pages())[0] ?? await browser.newPage())),
      new Promise((_, reject) => {
        const abort = () => reject(signal.reason);
        if (signal.aborted) abort();
        else signal.addEventListener('abort', abort, { once: true });
      }),
      // A launch under way has to come to its end, or nobody ends the browser.
    ]).finally(() => Promise.race([launching.catch(() => {}), sleep(5000, undefined, { ref: false })]));
  } finally {
    await end(browser);
    if (own) await rm(own, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }
}

// end closes the browser, which writes the cookies of its profile, or kills it
// with all of its processes.
async function end(browser) {
  const process_ = browser?.process();
  if (!process_) return;
  const closed = browser.close().then(() => true, () => false);
  if (await Promise.race([closed, sleep(5000, false, { ref: false })])) return;
  try {
    process.kill(-process_.pid, 'SIGKILL');
  } catch { /* it has ended after all */ }
}

// giveUp tells the waiting client that this user doesn't come back.
async function giveUp(start, message) {
  const callback = new URL(start.searchParams.get('redirect_uri'));
  const loopback = /^(localhost|.*\.localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(callback.hostname);
  if (!loopback || !/^https?:$/.test(callback.protocol)) return;
  callback.searchParams.set('error', 'access_denied');
  callback.searchParams.set('error_description', message);
  if (start.searchParams.has('state')) callback.searchParams.set('state', start.searchParams.get('state'));
  await fetch(callback, { signal: AbortSignal.timeout(5000) });
}

// visit opens the authorization URL and returns the report.
async function visit(url, env) {
  const start = new URL(url);
  const report = { ended: 'error', url, status: null, title: '', text: '', pages: [], acted: [], problems: [] };

  const stop = new AbortController();
  const abort = (name) => stop.abort(new Error(`ended by ${name}`));
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const name of signals) process.on(name, abort);
  const timer = setTimeout(() => stop.abort(new Error(`no end after ${totalTimeout / 1000} seconds`)), totalTimeout);
  try {
    return await withChromium(env, stop.signal, (page) => browse(page, start, env, report));
  } catch (err) {
    return { ...report, ended: 'error', error: err.message };
  } finally {
    clearTimeout(timer);
    for (const name of signals) process.off(name, abort);
  }
}

const describe = (done) => `chromium: ${done.error ?? `ended at ${done.url}: ${done.title}`}`;

// authorize returns the URL at which the client was called back.
export async function authorize(url, env = process.env) {
  const done = await visit(url, env);
  if (done.ended !== 'callback') throw new Error(describe(done));
  return new URL(done.url);
}

async function main([url], env) {
  if (!url) throw new Error('usage: chromium.mjs <authorization-url>');
  const done = await visit(url, env);
  const line = `${JSON.stringify(done)}\n`;
  if (env.CHROMIUM_REPORT) await writeFile(env.CHROMIUM_REPORT, line);
  else process.stdout.write(line);
  if (done.ended === 'callback') return 0;

  console.error(describe(done));
  await giveUp(new URL(url), describe(done)).catch(() => {});
  return 1;
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  main(process.argv.slice(2), process.env).then((code) => process.exit(code), (err) => {
    console.error(`chromium: ${err.message}`);
    process.exit(1);
  });
}
