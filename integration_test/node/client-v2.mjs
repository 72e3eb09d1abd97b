// A client of the TypeScript SDK, version 2:
//
//   node client-v2.mjs <mcp-url> [--era legacy|auto|modern] [options, see client.mjs]

import { Client, DpopSession, SSEClientTransport, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';
import { fail, main } from './client.mjs';

// In the auto era the SDK asks for 2026-07-28 and falls back to initialize.
const modes = { legacy: 'legacy', auto: 'auto', modern: { pin: '2026-07-28' } };

main({
  connect(url, { oauth, headers, era, sse, listChanged }) {
    if (!modes[era]) throw new Error(`unknown era ${era}`);
    const Transport = sse ? SSEClientTransport : StreamableHTTPClientTransport;
    return {
      client: new Client({ name: 'integration-test-v2', version: '1' }, { versionNegotiation: { mode: modes[era] }, listChanged }),
      transport: new Transport(url, { authProvider: oauth, requestInit: { headers } }),
    };
  },
  finish: (transport, callback) => transport.finishAuth(callback),
  call: (client, params, options) => client.callTool(params, options),
  versionOf: (client) => client.getNegotiatedProtocolVersion(),
  newDPoP: () => DpopSession.create(),
  Unauthorized: UnauthorizedError,
}).catch(fail);
