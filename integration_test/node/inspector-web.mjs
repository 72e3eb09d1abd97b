// A user of MCP Inspector's web page, in a headless Chromium: connects to its one
// server, and executes a tool for each line of stdin. Signs in and consents when
// sent to, and tries again then, as the page asks for.
//
//   SIGNIN_USER=demo node inspector-web.mjs <address of the Inspector>
//
// Prints what the page says at the end of each call, as a line of JSON. Uses no
// host but loopback, and takes any certificate.

import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import puppeteer from 'puppeteer-core';

const patience = 12_000; // for a call, and for what signing in takes

const [address] = process.argv.slice(2);
const user = process.env.SIGNIN_USER ?? 'ada';
const password = process.env.SIGNIN_PASSWORD ?? 'demo-password';

const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox', '--no-proxy-server', '--ignore-certificate-errors',
    '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE localhost , EXCLUDE 127.0.0.1',
  ],
});
const page = await browser.newPage();
await page.setViewport({ width: 1400, height: 900 });

const text = () => page.evaluate(() => document.body?.innerText ?? '');

// click clicks the first button or label with exactly that text.
const click = (label) => page.evaluate((wanted) => {
  const found = [...document.querySelectorAll('button, label, span')].find((e) => e.innerText?.trim() === wanted);
  found?.click();
  return Boolean(found);
}, label);

// attend does what the page in front of the user asks for. It returns whether
// there was something to do.
async function attend() {
  if (await page.$('input[name=password]')) {
    await page.type('input[name=username]', user);
    await page.type('input[name=password]', password);
    await page.click('button[value=signin]');
  } else if (await page.$('button[value=allow]')) {
    await page.click('button[value=allow]');
  } else if (!await click('Authorize')) {
    return false;
  }
  await sleep(500);
  return true;
}

// until waits for done, and attends to what comes between. A page that is just
// being left can't be asked.
async function until(done) {
  let attended = false;
  for (const end = Date.now() + patience; Date.now() < end; await sleep(200)) {
    try {
      if (await attend()) attended = true;
      else if (await done(attended)) return true;
    } catch (err) {
      if (!/context|detached|navigat/i.test(err.message)) throw err;
    }
  }
  return false;
}

// execute selects another tool first, which takes an earlier result away.
async function execute(tool) {
  await until(() => click('Tools'));
  await until(() => click(tool === 'table_look' ? 'table_read' : 'table_look'));
  await until(async () => !(await text()).includes(`${tool} for `));
  await until(() => click(tool));
  await until(() => click('Execute Tool'));
}

async function call(tool) {
  await execute(tool);
  let again = false;
  await until(async (attended) => {
    if (attended && !again && await click('Tools')) {
      again = true;
      await execute(tool);
    }
    return (await text()).includes(`${tool} for `);
  });
}

const print = async () => console.log(JSON.stringify({ url: page.url(), text: await text() }));

await page.goto(address);
await page.waitForSelector('input[role=switch]');
await page.click('input[role=switch]');
await until(async () => /\bConnected\b/.test(await text()));
await print();
for await (const line of createInterface({ input: process.stdin })) {
  await call(line.trim());
  await print();
}
await browser.close();
process.exit(0);
