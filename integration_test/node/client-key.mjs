// A client with a key, made with oauth4webapi, that knows nothing of MCP but how to call
// whoami:
//
//   node client-key.mjs <mcp-url> <authorization-server> browser|enterprise [<client-id>]
//
// CLIENT_KEY is its private JWK, with alg and kid. In a browser, it registers itself if
// it has no identifier, refreshes its token before the call, and revokes it afterwards. For an enterprise,
// ASSERTION is the identity assertion. Prints what whoami said.

import http from 'node:http';
import * as oauth from 'oauth4webapi';
import { authorize, userFromEnv } from './browser.mjs';
import { fail } from './client.mjs';

const jwk = JSON.parse(process.env.CLIENT_KEY);
const insecure = { [oauth.allowInsecureRequests]: true };

async function main([mcp, issuer, kind, clientId]) {
  const url = new URL(issuer);
  const as = await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, { algorithm: 'oauth2', ...insecure }));
  const { d, ...publicJWK } = jwk;
  const hash = { RS256: 'SHA-256', ES256: undefined }[jwk.alg];
  const algorithm = hash ? { name: 'RSASSA-PKCS1-v1_5', hash } : { name: 'ECDSA', namedCurve: jwk.crv };
  const key = await crypto.subtle.importKey('jwk', jwk, algorithm, false, ['sign']);
  const auth = oauth.PrivateKeyJwt({ key, kid: jwk.kid });

  const callbacks = http.createServer((req, res) => res.end('You may close this window.\n'));
  await new Promise((resolve) => callbacks.listen(0, '127.0.0.1', resolve));
  callbacks.unref();
  const redirectURI = `http://127.0.0.1:${callbacks.address().port}/callback`;

  const client = clientId ? { client_id: clientId } : await oauth.processDynamicClientRegistrationResponse(
    await oauth.dynamicClientRegistrationRequest(as, {
      client_name: 'A client with a key',
      redirect_uris: [redirectURI],
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_signing_alg: jwk.alg,
      jwks: { keys: [publicJWK] },
    }, insecure),
  );
  const tokens = kind === 'browser' ? await withBrowser(as, client, auth, redirectURI, `${mcp}`) : await oauth.processGenericTokenEndpointResponse(as, client,
    await oauth.genericTokenEndpointRequest(as, client, auth, 'urn:ietf:params:oauth:grant-type:jwt-bearer', { assertion: process.env.ASSERTION }, insecure));
  const answer = await fetch(mcp, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${tokens.access_token}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': '2025-06-18',
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'whoami', arguments: {} } }),
  });
  const { result } = await answer.json();
  if (tokens.refresh_token) {
    const revoked = await oauth.revocationRequest(as, client, auth, tokens.refresh_token, insecure);
    if (revoked.status !== 200) throw new Error(`revoking answered ${revoked.status}`);
  }
  console.log(JSON.stringify({ result, registered: client.client_id, scope: tokens.scope, refreshToken: Boolean(tokens.refresh_token) }));
  process.exit(0);
}

async function withBrowser(as, client, auth, redirectURI, resource) {
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const to = new URL(as.authorization_endpoint);
  to.search = new URLSearchParams({
    response_type: 'code',
    client_id: client.client_id,
    redirect_uri: redirectURI,
    scope: 'mcp:tools offline_access',
    resource,
    state,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
  });
  const parameters = oauth.validateAuthResponse(as, client, await authorize(to, userFromEnv()), state);
  const first = await oauth.processAuthorizationCodeResponse(as, client,
    await oauth.authorizationCodeGrantRequest(as, client, auth, parameters, redirectURI, verifier, insecure));
  return oauth.processRefreshTokenResponse(as, client,
    await oauth.refreshTokenGrantRequest(as, client, auth, first.refresh_token, insecure));
}

main(process.argv.slice(2)).catch(fail);
