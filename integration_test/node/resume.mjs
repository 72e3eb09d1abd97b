// A client of the TypeScript SDK, version 1, that loses its connection in the middle of
// a call and resumes it with another:
//
//   node resume.mjs <mcp-url> <token> <token of another user>
//
// The server is resumable.mjs. After two steps of the call it prints {"lost": true} and waits for a line on stdin.
// Then the other user tries to resume, and after that the first.

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { CallToolResultSchema } from '@modelcontextprotocol/sdk/types.js';
import { createInterface } from 'node:readline';
import { fail } from './client.mjs';

const [url, token, other] = process.argv.slice(2);
const print = (value) => console.log(JSON.stringify(value));

const transportOf = (bearer, sessionId) => new StreamableHTTPClientTransport(new URL(url), {
  requestInit: { headers: { Authorization: `Bearer ${bearer}` } },
  sessionId,
  reconnectionOptions: { maxRetries: 0, initialReconnectionDelay: 1, maxReconnectionDelay: 1, reconnectionDelayGrowFactor: 1 },
});
const newClient = () => new Client({ name: 'integration-test-resume', version: '1' });
const call = {
  method: 'tools/call',
  params: { name: 'count', arguments: {} },
};

async function main() {
  const first = newClient();
  const transport = transportOf(token);
  await first.connect(transport);
  let event;
  await new Promise((resolve) => {
    let steps = 0;
    first.request(call, CallToolResultSchema, {
      onresumptiontoken: (id) => { event = id; },
      onprogress: () => { if (++steps === 2) resolve(); },
    }).catch(() => {});
  });
  await transport.close();
  print({ lost: true });
  const lines = createInterface({ input: process.stdin });
  await new Promise((resolve) => lines.once('line', resolve));

  let refused;
  do { // without a status, it has met a connection that Caddy has just closed
    refused = await transportOf(other, transport.sessionId).resumeStream(event).then(() => 200, (err) => err.code);
  } while (typeof refused !== 'number');

  const second = newClient();
  await second.connect(transportOf(token, transport.sessionId)); // without another initialize
  const result = await second.request(call, CallToolResultSchema, {
    resumptionToken: event,
    onresumptiontoken: () => {},
  });
  print({ session: transport.sessionId, event, refused, text: result.content[0].text });
  process.exit(0); // a stream that reconnects would keep us
}

main().catch(fail);
