#!/usr/bin/env node
// Stands in for the user and the browser: follows an authorization URL, fills
// in the login form and the consent form, and ends at the client's redirect
// URI, which it asks for as a browser does.
//
//   BROWSER_USER=ada node browser.mjs <authorization-url>
//
// BROWSER_USER (default "ada"), BROWSER_PASSWORD (default "demo-password") and
// BROWSER_DECISION ("allow", the default, or "deny") say what the user does.
// Prints the URL that it ended at. Exits 1 when that carries an error, or when
// anything unexpected comes up; the client is then told so at its redirect URI.
//
// It never asks anything of a host that isn't loopback.

import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const maxSteps = 30;

// authorize plays the whole flow and returns the URL (with code, or with
// error) at which the client was called back.
export async function authorize(authorizationURL, user = {}) {
  const start = onLoopback(new URL(authorizationURL));
  if (!start.searchParams.has('redirect_uri')) throw new Error('the authorization URL names no redirect_uri');
  const callback = onLoopback(new URL(start.searchParams.get('redirect_uri')));
  const jar = new CookieJar();
  let answer = await ask(jar, start);

  for (let step = 0; step < maxSteps; step++) {
    const location = answer.headers.get('location');
    if (answer.status >= 300 && answer.status < 400 && location) {
      const next = onLoopback(new URL(location, answer.url));
      if (next.origin === callback.origin && next.pathname === callback.pathname) {
        await visitCallback(next);
        return next;
      }
      answer = await ask(jar, next);
      continue;
    }
    const html = await answer.text();
    const form = parseForm(html);
    if (answer.status !== 200 || !form) {
      throw new Error(`${answer.url} answered ${answer.status}: ${textOf(html)}`);
    }
    answer = await submit(jar, form, answer.url, user);
  }
  throw new Error(`no end after ${maxSteps} steps`);
}

function onLoopback(url) {
  const host = url.hostname;
  const loopback = host === 'localhost' || host.endsWith('.localhost') || host === '[::1]'
    || /^127\.\d+\.\d+\.\d+$/.test(host);
  if (!loopback || !/^https?:$/.test(url.protocol)) throw new Error(`refusing to go to ${url.origin}: not loopback`);
  return url;
}

async function ask(jar, url, init = {}) {
  const headers = { ...init.headers, accept: 'text/html', cookie: jar.header(url) };
  const answer = await fetch(url, { ...init, headers, redirect: 'manual', signal: AbortSignal.timeout(60_000) });
  jar.store(url, answer.headers.getSetCookie());
  return answer;
}

async function visitCallback(url) {
  const answer = await fetch(url, { signal: AbortSignal.timeout(60_000) });
  const text = await answer.text();
  // A client answers an error at its redirect URI as it likes.
  if (!answer.ok && !url.searchParams.has('error')) {
    throw new Error(`the client's redirect URI answered ${answer.status}: ${textOf(text)}`);
  }
}

async function submit(jar, form, page, user) {
  const fields = new URLSearchParams();
  for (const { type, name, value, checked } of form.inputs) {
    if (!name || (['checkbox', 'radio'].includes(type) && !checked)) continue;
    if (type === 'password') fields.append(name, user.password ?? 'demo-password');
    else if (['text', 'email'].includes(type) && !value) fields.append(name, user.name ?? 'ada');
    else if (!['submit', 'button', 'reset'].includes(type)) fields.append(name, value);
  }
  const decision = user.decision ?? 'allow';
  const button = form.buttons.find(({ value }) => value === decision) ?? form.buttons[0];
  if (button?.name) fields.append(button.name, button.value);

  const target = onLoopback(new URL(form.action || page, page));
  if (form.method !== 'post') {
    target.search = fields;
    return ask(jar, target);
  }
  return ask(jar, target, {
    method: 'POST',
    body: fields.toString(),
    headers: { 'content-type': 'application/x-www-form-urlencoded', origin: new URL(page).origin, referer: page },
  });
}

// parseForm reads the page's first form, with expressions rather than a
// parser: the pages are ours.
export function parseForm(html) {
  const [, open, body] = html.match(/<form\b([^>]*)>([\s\S]*?)<\/form>/i) ?? [];
  if (body === undefined) return undefined;
  const { action = '', method = 'get' } = attributes(open);
  const inputs = [...body.matchAll(/<input\b([^>]*)>/gi)].map(([, text]) => {
    const { type = 'text', name, value = '', checked } = attributes(text);
    return { type: type.toLowerCase(), name, value, checked: checked !== undefined };
  });
  const buttons = [...body.matchAll(/<button\b([^>]*)>/gi)].map(([, text]) => attributes(text));
  buttons.push(...inputs.filter(({ type }) => type === 'submit'));
  return { action, method: method.toLowerCase(), inputs, buttons };
}

function attributes(text) {
  const found = {};
  for (const [, name, a, b, c] of text.matchAll(/([\w-]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?/g)) {
    found[name.toLowerCase()] = unescape(a ?? b ?? c ?? '');
  }
  return found;
}

const entities = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", '#39': "'", '#x27': "'", '#34': '"' };
const unescape = (text) => text.replace(/&([#\w]+);/g, (all, name) => entities[name.toLowerCase()] ?? all);
const textOf = (html) => unescape(html.replace(/<[^>]*>/g, ' ')).replace(/\s+/g, ' ').trim().slice(0, 300);

// CookieJar keeps cookies by host, name and path. Ports don't separate
// cookies (RFC 6265 section 8.5).
class CookieJar {
  #cookies = new Map();

  store(url, setCookies) {
    for (const line of setCookies) {
      const [pair, ...parts] = line.split(';').map((part) => part.trim());
      const [name, value] = split(pair);
      const given = Object.fromEntries(parts.map((part) => split(part)).map(([k, v]) => [k.toLowerCase(), v]));
      const path = given.path?.startsWith('/') ? given.path : '/';
      const key = JSON.stringify([url.hostname, name, path]);
      if (new Date(given.expires) < new Date() || given['max-age'] === '0') this.#cookies.delete(key);
      else this.#cookies.set(key, { host: url.hostname, name, value, path, secure: 'secure' in given });
    }
  }

  header(url) {
    const sent = [...this.#cookies.values()].filter(({ host, path, secure }) => host === url.hostname
      && (!secure || url.protocol === 'https:')
      && (url.pathname === path || url.pathname.startsWith(path.endsWith('/') ? path : `${path}/`)));
    return sent.map(({ name, value }) => `${name}=${value}`).join('; ');
  }
}

function split(pair) {
  const at = pair.indexOf('=');
  return at < 0 ? [pair, ''] : [pair.slice(0, at), pair.slice(at + 1)];
}

// userFromEnv is the user whom the environment describes.
export function userFromEnv({ BROWSER_USER, BROWSER_PASSWORD, BROWSER_DECISION } = process.env) {
  return { name: BROWSER_USER, password: BROWSER_PASSWORD, decision: BROWSER_DECISION };
}

async function main([url]) {
  if (!url) throw new Error('usage: browser.mjs <authorization-url>');
  const end = await authorize(url, userFromEnv()).catch(async (err) => {
    await giveUp(url, describe(err)).catch(() => {});
    throw err;
  });
  console.log(String(end));
  if (end.searchParams.has('error')) {
    throw new Error(`${end.searchParams.get('error')}: ${end.searchParams.get('error_description') ?? ''}`);
  }
}

const describe = (err) => `browser: ${err.message}${err.cause ? `: ${err.cause.message}` : ''}`;

// giveUp tells the waiting client, which would otherwise wait for ever: this
// user doesn't come back and try again.
async function giveUp(authorizationURL, message) {
  const { searchParams } = new URL(authorizationURL);
  const callback = onLoopback(new URL(searchParams.get('redirect_uri')));
  callback.searchParams.set('error', 'access_denied');
  callback.searchParams.set('error_description', message);
  if (searchParams.has('state')) callback.searchParams.set('state', searchParams.get('state'));
  await visitCallback(callback);
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  main(process.argv.slice(2)).catch((err) => {
    console.error(describe(err));
    process.exit(1);
  });
}
