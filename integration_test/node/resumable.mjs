// An MCP server of the TypeScript SDK, version 1, with sessions and streams that can be
// resumed, over streamable HTTP at /mcp:
//
//   PORT=0 node resumable.mjs
//
// Its tool `count` reports progress every half a second, and `hello` answers at once. When it listens, it prints one
// line: {"url":"http://127.0.0.1:N/mcp","port":N}. It ends on SIGTERM and when its stdin
// closes.

import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { InMemoryEventStore } from '@modelcontextprotocol/sdk/examples/shared/inMemoryEventStore.js';
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';
import { endWithParent } from './lifeline.mjs';

const transports = new Map();

async function begin() {
  const server = new McpServer({ name: 'resumable', version: '1' });
  server.registerTool('count', {}, async (extra) => {
    const { progressToken } = extra._meta ?? {};
    for (let progress = 1; progress <= 6; progress += 1) {
      await wait(500);
      await extra.sendNotification({ method: 'notifications/progress', params: { progress, total: 6, progressToken } });
    }
    return { content: [{ type: 'text', text: 'completed' }] };
  });
  server.registerTool('hello', {}, () => ({ content: [{ type: 'text', text: 'hello' }] }));
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    eventStore: new InMemoryEventStore(),
    onsessioninitialized: (id) => transports.set(id, transport),
  });
  await server.connect(transport);
  return transport;
}

const http = createServer(async (req, res) => {
  const id = req.headers['mcp-session-id'];
  const transport = id ? transports.get(id) : await begin();
  if (!transport) return res.writeHead(404).end();
  return transport.handleRequest(req, res);
});
http.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => {
  const { port } = http.address();
  console.log(JSON.stringify({ url: `http://127.0.0.1:${port}/mcp`, port }));
});
endWithParent();
