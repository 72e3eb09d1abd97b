// A client of the TypeScript SDK, version 1:
//
//   node client-v1.mjs <mcp-url> [options, see client.mjs]

import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { fail, main } from './client.mjs';

main({
  connect(url, { oauth, headers, sse, listChanged }) {
    const Transport = sse ? SSEClientTransport : StreamableHTTPClientTransport;
    return {
      client: new Client({ name: 'integration-test-v1', version: '1' }, { listChanged }),
      transport: new Transport(url, { authProvider: oauth, requestInit: { headers } }),
    };
  },
  finish: (transport, callback) => transport.finishAuth(callback.get('code')),
  call: (client, params, options) => client.callTool(params, undefined, options),
  versionOf: (client, transport) => transport.protocolVersion ?? transport._protocolVersion,
  Unauthorized: UnauthorizedError,
}).catch(fail);
