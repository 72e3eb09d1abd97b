// What both SDK clients need for OAuth: a provider in the SDKs' sense, with a
// loopback redirect URI of its own and browser.mjs as the user.

import { randomUUID } from 'node:crypto';
import http from 'node:http';
import * as browser from './browser.mjs';

// The user has a real browser if SIGNIN_BROWSER is chromium.mjs.
const authorize = process.env.SIGNIN_BROWSER === 'chromium.mjs'
  ? (await import('./chromium.mjs')).authorize
  : (url) => browser.authorize(url, browser.userFromEnv());

// newOAuth listens for the redirect and returns a provider that keeps
// everything in memory. clientMetadataUrl makes the client identify itself by
// that document, where the authorization server takes such; clientId is for a
// client that is registered already; redirectPort is for one whose redirect
// URI was registered with a port; newDPoP makes the key that tokens are bound to.
export async function newOAuth({ clientMetadataUrl, clientId, redirectPort = 0, newDPoP }) {
  const server = http.createServer((req, res) => res.end('You may close this window.\n'));
  await new Promise((resolve, reject) => {
    server.once('error', reject).listen(redirectPort, '127.0.0.1', resolve);
  });
  server.unref();
  return new OAuth(`http://127.0.0.1:${server.address().port}/callback`, { clientMetadataUrl, clientId, newDPoP });
}

class OAuth {
  // How often the user was asked.
  authorizations = 0;
  // The parameters that the last redirect came back with.
  callback = undefined;

  #client;
  #tokens;
  #verifier;
  #state;
  #discovery;

  constructor(redirectUrl, { clientMetadataUrl, clientId, newDPoP }) {
    this.redirectUrl = redirectUrl;
    this.clientMetadataUrl = clientMetadataUrl;
    this.clientMetadata = {
      client_name: 'integration test',
      redirect_uris: [redirectUrl],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
      application_type: 'native',
    };
    if (clientId) this.#client = { client_id: clientId };
    if (newDPoP) {
      let session;
      this.dpop = () => (session ??= newDPoP());
    }
  }

  clientInformation() { return this.#client; }
  saveClientInformation(client) { this.#client = client; }
  tokens() { return this.#tokens; }
  saveTokens(tokens) { this.#tokens = tokens; }
  codeVerifier() { return this.#verifier; }
  saveCodeVerifier(verifier) { this.#verifier = verifier; }
  discoveryState() { return this.#discovery; }
  saveDiscoveryState(state) { this.#discovery = state; }

  state() {
    this.#state = randomUUID();
    return this.#state;
  }

  invalidateCredentials(kind) {
    if (kind === 'all' || kind === 'client') this.#client = undefined;
    if (kind === 'all' || kind === 'tokens') this.#tokens = undefined;
    if (kind === 'all' || kind === 'verifier') this.#verifier = undefined;
    if (kind === 'all' || kind === 'discovery') this.#discovery = undefined;
  }

  async redirectToAuthorization(url) {
    this.authorizations++;
    const { searchParams } = await authorize(url);
    if (searchParams.get('state') !== this.#state) throw new Error('the callback has another state');
    if (searchParams.has('error')) {
      throw new Error(`authorization failed: ${searchParams.get('error')}: ${searchParams.get('error_description')}`);
    }
    this.callback = searchParams;
  }
}
