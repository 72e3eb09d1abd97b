// The official "everything" MCP server, over streamable HTTP at /mcp or over
// the HTTP+SSE transport of 2024-11-05 at /sse:
//
//   PORT=0 node everything.mjs [streamableHttp|sse]
//
// PORT 0, or none, takes any free port. When it listens, it prints one line:
// {"url":"http://127.0.0.1:N/mcp","port":N}. It ends on SIGTERM and when its
// stdin closes.
//
// Left alone, that server listens on every interface and logs to stdout.

import { Server } from 'node:net';
import { endWithParent } from './lifeline.mjs';

const paths = { streamableHttp: '/mcp', sse: '/sse' };
const transport = process.argv[2] ?? 'streamableHttp';
if (!paths[transport]) throw new Error(`unknown transport ${transport}`);

const listen = Server.prototype.listen;
Server.prototype.listen = function listenOnLoopback(port, ...rest) {
  this.once('listening', () => {
    const { port: bound } = this.address();
    process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${bound}${paths[transport]}`, port: bound })}\n`);
  });
  return listen.call(this, Number(port), '127.0.0.1', ...rest.filter((arg) => typeof arg === 'function'));
};

console.log = console.error;
// "0", not 0: the server takes a falsy PORT for none, and then uses 3001.
process.env.PORT ||= '0';
endWithParent();
await import(`@modelcontextprotocol/server-everything/dist/transports/${transport}.js`);
