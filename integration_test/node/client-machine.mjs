// Clients of the TypeScript SDKs that need no browser:
//
//   node client-machine.mjs <mcp-url> v1|v2 key|secret|enterprise <client-id>
//
// CLIENT_SECRET or CLIENT_KEY (a private JWK with its alg) are the client's, IDP and
// SUBJECT the enterprise's provider and user, AS the authorization server that the client
// expects. Prints what whoami said, as client-v1.mjs does.

import * as v2 from '@modelcontextprotocol/client';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import * as extensionsV1 from '@modelcontextprotocol/sdk/client/auth-extensions.js';
import { fail } from './client.mjs';

const { CLIENT_SECRET: clientSecret, CLIENT_KEY: clientKey, IDP: idpUrl, SUBJECT: sub, AS: expectedIssuer } = process.env;

async function main([url, version, kind, clientId]) {
  const sdk = { v1: { ...extensionsV1, Client: ClientV1, Transport: TransportV1 }, v2: { ...v2, Transport: v2.StreamableHTTPClientTransport } }[version];
  const authProvider = await provider(sdk, kind, clientId);
  const client = new sdk.Client({ name: `machine-${version}`, version: '1' });
  const transport = new sdk.Transport(new URL(url), { authProvider });
  await client.connect(transport);
  const { tools } = await client.listTools();
  const result = await client.callTool({ name: 'whoami', arguments: {} });
  const tokens = await authProvider.tokens();
  console.log(JSON.stringify({ tools: tools.map(({ name }) => name), result, scope: tokens.scope, refreshToken: Boolean(tokens.refresh_token) }));
  process.exit(0);
}

async function provider(sdk, kind, clientId) {
  switch (kind) {
    case 'key': {
      const privateKey = JSON.parse(clientKey);
      return new sdk.PrivateKeyJwtProvider({ clientId, privateKey, algorithm: privateKey.alg, expectedIssuer });
    }
    case 'secret':
      return new sdk.ClientCredentialsProvider({ clientId, clientSecret, expectedIssuer });
    case 'enterprise': {
      const answer = await fetch(`${idpUrl}/test/id-token`, { method: 'POST', body: JSON.stringify({ sub, aud: clientId }) });
      const { id_token: idToken } = await answer.json();
      return new sdk.CrossAppAccessProvider({
        clientId,
        clientSecret,
        expectedIssuer,
        assertion: async ({ authorizationServerUrl, resourceUrl, scope, fetchFn }) => (await sdk.discoverAndRequestJwtAuthGrant({
          idpUrl, audience: authorizationServerUrl, resource: resourceUrl, idToken, clientId, scope, fetchFn,
        })).jwtAuthGrant,
      });
    }
  }
  throw new Error(`unknown kind ${kind}`);
}

main(process.argv.slice(2)).catch(fail);
