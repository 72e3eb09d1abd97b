// From the test's JSON to oidc-provider's configuration.

import { errors } from 'oidc-provider';

const defaults = {
  port: 0, // 0: any free port
  issuer: undefined, // default: http://127.0.0.1:<port>
  resources: {}, // RFC 8707: {"<resource>": {scopes, format: "jwt"|"opaque", alg}}
  scopes: ['openid', 'profile', 'email', 'offline_access'], // the resources' scopes are added
  accessTokenTTL: 600, // seconds
  registration: true, // RFC 7591, open to anybody
  cimd: true, // Client ID Metadata Documents
  resourceIndicators: true, // false: "resource" is ignored, every token is opaque
  pinScopes: false, // true: a client never gets a scope that it didn't register with
  alwaysRefreshToken: false, // true: a refresh token even without offline_access
  tokenClaims: [], // claims of the user that JWT access tokens carry too, such as "email"
  clients: [], // static clients, in the words of RFC 7591
  password: 'demo-password', // every user's
};

// parseConfig reads the test's JSON. An unknown word is a misspelt one.
export function parseConfig(text = '{}') {
  const given = JSON.parse(text);
  const unknown = Object.keys(given).filter((key) => !(key in defaults));
  if (unknown.length) throw new Error(`unknown configuration: ${unknown.join(', ')}`);
  const config = { ...defaults, ...given };
  const resources = Object.values(config.resources);
  config.scopes = [...new Set([...config.scopes, ...resources.flatMap((r) => r.scopes ?? [])])];
  // RS256 is always there: ID tokens are signed with it.
  config.algs = ['RS256', ...resources.map((r) => r.alg ?? 'RS256')];
  return config;
}

const userClaims = {
  openid: ['sub'],
  profile: ['name', 'preferred_username'],
  email: ['email', 'email_verified'],
};

// user returns the claims of the account called login. Every login exists.
function user(login) {
  return {
    sub: login,
    name: login,
    preferred_username: login,
    email: `${login}@example.test`,
    email_verified: true,
  };
}

// providerConfig returns what oidc-provider is configured with. base is the
// path of the issuer, without a trailing slash.
export function providerConfig(config, { adapter, keys, cookieKey, base }) {
  return {
    adapter,
    jwks: { keys },
    cookies: { keys: [cookieKey] },
    clients: config.clients.map(asMachine),
    scopes: config.scopes,
    claims: userClaims,
    findAccount: (ctx, id) => ({ accountId: id, claims: () => user(id) }),
    pkce: { required: () => true },
    responseTypes: ['code'],
    // Any web page may be a client: MCP clients run in browsers too.
    clientBasedCORS: () => true,
    interactions: { url: (ctx, { uid }) => `${base}/interaction/${uid}` },
    ttl: { AccessToken: config.accessTokenTTL, ClientCredentials: config.accessTokenTTL },
    renderError: (ctx, out) => {
      ctx.type = 'text';
      ctx.body = `${out.error}: ${out.error_description ?? ''}\n`;
    },
    issueRefreshToken: (ctx, client, code) =>
      client.grantTypeAllowed('refresh_token') &&
      (config.alwaysRefreshToken || code.scopes.has('offline_access')),
    extraTokenClaims: (ctx, token) => {
      const claims = token.accountId ? user(token.accountId) : {};
      return Object.fromEntries(config.tokenClaims.map((name) => [name, claims[name]]));
    },
    // A metadata document of a test is served on loopback, which oidc-provider's
    // guard against server-side request forgery refuses: leave its dispatcher out.
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
    features: {
      devInteractions: { enabled: false },
      rpInitiatedLogout: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      registration: { enabled: config.registration },
      ...(config.cimd && {
        clientIdMetadataDocument: { enabled: true, ack: 'draft-02' },
      }),
      resourceIndicators: {
        enabled: config.resourceIndicators,
        getResourceServerInfo: (ctx, resource) => resourceServer(config, keys, resource),
      },
    },
  };
}

function resourceServer(config, keys, resource) {
  const known = Object.hasOwn(config.resources, resource) && config.resources[resource];
  if (!known) throw new errors.InvalidTarget();
  const alg = known.alg ?? 'RS256';
  return {
    audience: resource,
    scope: (known.scopes ?? []).join(' '),
    accessTokenTTL: config.accessTokenTTL,
    accessTokenFormat: known.format ?? 'jwt',
    // The first key of an algorithm is the current one; a second one is a
    // retired key that is still published.
    jwt: { sign: { alg, kid: keys.find((key) => key.alg === alg).kid } },
  };
}

// asMachine completes a static client that has no redirect URI: it can only
// use its own credentials.
function asMachine(client) {
  if (client.redirect_uris) return client;
  return {
    redirect_uris: [],
    response_types: [],
    grant_types: ['client_credentials'],
    ...client,
  };
}
