#!/usr/bin/env node
// A person who opens the address of an MCP server in a browser: a headless
// Chromium, with scripts. It presses every button that copies.
//
//   node landing.mjs <url>
//
//   SCREENSHOTS   directory for light.png, dark.png and narrow.png (380 pixels)
//
// It prints one line of JSON:
//
//   url, status, title, text  of the page
//   vary, challenge  headers of the response
//   copied    what was in the clipboard after each button, by the text's id
//   wide      whether the page is wider than a window of 380 pixels
//   problems  what Chromium wrote to its console, other than the status

import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { withChromium } from './chromium.mjs';

async function land(page, url, env) {
  const report = { copied: {}, problems: [] };
  page.on('console', (message) => {
    if (['error', 'warn'].includes(message.type()) && !/status of 401|favicon/.test(message.text() + message.location().url)) report.problems.push(message.text());
  });
  page.on('pageerror', (err) => report.problems.push(err.message));
  await page.browserContext().overridePermissions(new URL(url).origin, ['clipboard-read', 'clipboard-write', 'clipboard-sanitized-write']);
  const response = await page.goto(url);
  report.url = page.url();
  report.status = response.status();
  report.vary = response.headers().vary;
  report.challenge = response.headers()['www-authenticate'];
  report.title = await page.title();
  report.text = (await page.evaluate(() => document.querySelector('main').innerText)).replace(/\s+/g, ' ').trim();

  const shoot = async (name, scheme, width) => {
    await page.setViewport({ width, height: 768 });
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
    if (!env.SCREENSHOTS) return;
    mkdirSync(env.SCREENSHOTS, { recursive: true });
    await page.screenshot({ path: path.join(env.SCREENSHOTS, name), fullPage: true });
  };
  await shoot('light.png', 'light', 1024);
  await shoot('dark.png', 'dark', 1024);
  await shoot('narrow.png', 'light', 380);
  report.wide = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);

  await page.bringToFront();
  for (const button of await page.$$('button[data-copy]')) {
    const id = await button.evaluate((b) => b.dataset.copy);
    await button.click();
    await page.waitForFunction((b) => b.textContent === 'Copied', { timeout: 10_000 }, button);
    report.copied[id] = await page.evaluate(() => navigator.clipboard.readText());
  }
  return report;
}

const stop = AbortSignal.timeout(60_000);
const report = await withChromium(process.env, stop, (page) => land(page, process.argv[2], process.env));
process.stdout.write(`${JSON.stringify(report)}\n`);
