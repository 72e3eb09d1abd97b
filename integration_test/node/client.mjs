// The part of a test client that doesn't depend on the SDK's version; see
// client-v1.mjs and client-v2.mjs for the SDKs. All output is JSON lines.

import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { newOAuth } from './oauth.mjs';

const options = {
  tool: { type: 'string', default: 'whoami' }, // what to call
  args: { type: 'string', default: '{}' }, // its arguments, JSON
  era: { type: 'string', default: 'auto' }, // SDK v2: legacy, auto, modern
  transport: { type: 'string', default: 'http' }, // http, or sse (HTTP+SSE of 2024-11-05)
  progress: { type: 'boolean', default: false }, // a line per progress notification
  repl: { type: 'boolean', default: false }, // stdin has lines: call [tool], or changes
  changes: { type: 'boolean', default: false }, // listen for changes of the list
  'header-token': { type: 'string' }, // this bearer token, no OAuth
  'client-id': { type: 'string' }, // a client that is registered already
  'client-metadata-url': { type: 'string' }, // a Client ID Metadata Document
  'redirect-port': { type: 'string', default: '0' },
  dpop: { type: 'boolean', default: false }, // SDK v2: tokens are bound to a key
};

const print = (value) => console.log(JSON.stringify(value));

// main runs a client. connect(url, {oauth, headers, ...}) returns an SDK
// client and its transport before connecting; finish(transport, callback)
// redeems the authorization code; the other functions paper over the SDKs'
// different signatures.
export async function main({ connect, finish, call, versionOf, newDPoP, Unauthorized }) {
  const { values, positionals: [url] } = parseArgs({ options, allowPositionals: true });
  if (!url) throw new Error('usage: client <mcp-url> [options]');
  const token = values['header-token'];
  const oauth = token ? undefined : await newOAuth({
    clientMetadataUrl: values['client-metadata-url'],
    clientId: values['client-id'],
    redirectPort: Number(values['redirect-port']),
    newDPoP: values.dpop ? newDPoP : undefined,
  });
  const changed = []; // the lists of tools that came with notifications
  const settings = {
    oauth,
    headers: token ? { Authorization: `Bearer ${token}` } : {},
    era: values.era,
    sse: values.transport === 'sse',
    listChanged: values.changes
      ? { tools: { debounceMs: 0, onChanged: (err, tools) => changed.push(tools?.map(({ name }) => name) ?? []) } }
      : undefined,
  };

  // withUser retries once, after the user has authorized the client.
  async function withUser(transport, action, retry = action) {
    try {
      return await action();
    } catch (err) {
      if (!oauth?.callback || !(err instanceof Unauthorized)) throw err;
      const { callback } = oauth;
      oauth.callback = undefined;
      await finish(transport, callback);
      return retry();
    }
  }

  let { client, transport } = connect(new URL(url), settings);
  // A transport that failed to connect can redeem the code, but not start again.
  await withUser(transport, () => client.connect(transport), () => {
    ({ client, transport } = connect(new URL(url), settings));
    return client.connect(transport);
  });

  const onprogress = values.progress ? (progress) => print({ progress }) : undefined;
  const callTool = (name = values.tool) => withUser(transport, () => call(client, {
    name,
    arguments: JSON.parse(values.args),
  }, { onprogress }));
  const state = async () => ({
    registered: (await oauth?.clientInformation())?.client_id,
    scope: (await oauth?.tokens())?.scope,
    refreshToken: Boolean((await oauth?.tokens())?.refresh_token),
    authorizations: oauth?.authorizations ?? 0,
    tokenType: (await oauth?.tokens())?.token_type,
  });

  const { tools } = await withUser(transport, () => client.listTools());
  const beforeCall = oauth?.authorizations ?? 0;
  const result = await callTool();
  print({
    protocolVersion: versionOf(client, transport),
    tools: tools.map(({ name }) => name),
    result,
    beforeCall, // how often the user was asked until then
    ...await state(),
  });

  if (values.repl) {
    for await (const line of createInterface({ input: process.stdin })) {
      if (line.trim() === 'quit') break;
      const [command, tool] = line.trim().split(' ');
      if (command === 'changes') {
        for (let i = 0; i < 100 && !changed.length; i++) await sleep(50);
        print({ tools: changed.shift() ?? [] });
        continue;
      }
      if (command !== 'call') {
        print({ error: { message: `unknown command ${line}` } });
        continue;
      }
      try {
        print({ result: await callTool(tool), ...await state() });
      } catch (err) {
        print({ error: describe(err), ...await state() });
      }
    }
  }
  await client.close();
  process.exit(0); // a stream that reconnects would keep us
}

function describe(err) {
  const { name, message, code, status, cause } = err;
  return { name: err.constructor?.name ?? name, message, code, status, cause: cause && describe(cause) };
}

// fail is for main's promise: it prints the error as a line, too.
export function fail(err) {
  print({ error: describe(err) });
  process.exit(1);
}
