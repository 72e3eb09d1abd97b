// From the test's JSON to oidc-provider's configuration.

import { errors } from 'oidc-provider';
import { tokenExchange } from './authserver-exchange.mjs';
import { managementAlg } from './authserver-management.mjs';

const defaults = {
  port: 0, // 0: any free port
  issuer: undefined, // default: http://127.0.0.1:<port>, with /oidc behind it for Logto
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
  exchangers: [], // ids of clients that may exchange users' tokens (RFC 8693)
  password: 'demo-password', // every user's
  // Stand in for Logto: {clientId, clientSecret, resource, scopeIds: {"<id>": "<scope>"}},
  // the machine that may use the Management API, the API's resource, and the
  // ids under which applications are given the scopes of the other resources.
  management: undefined,
};

// What Logto doesn't have.
const withoutRegistration = { registration: false, cimd: false };

// parseConfig reads the test's JSON. An unknown word is a misspelt one.
export function parseConfig(text = '{}') {
  const given = JSON.parse(text);
  const unknown = Object.keys(given).filter((key) => !(key in defaults));
  if (unknown.length) throw new Error(`unknown configuration: ${unknown.join(', ')}`);
  const config = { ...defaults, ...(given.management && withoutRegistration), ...given };
  if (config.management) addManagement(config);
  const resources = Object.values(config.resources);
  // Logto doesn't publish the scopes of resources.
  const published = config.management ? [] : resources;
  config.scopes = [...new Set([...config.scopes, ...published.flatMap((r) => r.scopes ?? [])])];
  // RS256 is always there: ID tokens are signed with it.
  config.algs = ['RS256', ...resources.map((r) => r.alg ?? 'RS256')];
  return config;
}

function addManagement(config) {
  const { clientId, clientSecret, resource, scopeIds = {} } = config.management;
  if (!clientId || !clientSecret || !resource) throw new Error('management needs clientId, clientSecret and resource');
  config.management = { clientId, clientSecret, resource, scopeIds };
  config.clients = [...config.clients, { client_id: clientId, client_secret: clientSecret }];
  config.resources = { ...config.resources, [resource]: { scopes: ['all'], alg: managementAlg } };
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
// path of the issuer, without a trailing slash; management is there or not.
export function providerConfig(config, { adapter, keys, cookieKey, base, management }) {
  return {
    adapter,
    jwks: { keys },
    cookies: { keys: [cookieKey] },
    clients: config.clients.map((client) => asMachine(client, config.exchangers)),
    scopes: config.scopes,
    claims: userClaims,
    findAccount: (ctx, id) => ({ accountId: id, claims: () => user(id) }),
    pkce: { required: () => true },
    responseTypes: ['code'],
    // Any web page may be a client: MCP clients run in browsers too.
    clientBasedCORS: () => true,
    interactions: { url: (ctx, { uid }) => `${base}/interaction/${uid}` },
    // One of Logto's own parameters. Its check runs whether it is sent or not,
    // and is the place where oidc-provider lets others be changed.
    ...(management && {
      extraParams: {
        first_screen({ oidc: { params, client } }) {
          params.scope = management.narrow(client.clientId, params.scope);
        },
      },
    }),
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
        getResourceServerInfo: (ctx, resource, client) => {
          const { management: own } = config;
          if (resource === own?.resource && client.clientId !== own.clientId) throw new errors.InvalidTarget();
          return resourceServer(config, keys, resource);
        },
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
function asMachine(client, exchangers) {
  if (client.redirect_uris) return client;
  return {
    redirect_uris: [],
    response_types: [],
    grant_types: ['client_credentials', ...(exchangers.includes(client.client_id) ? [tokenExchange] : [])],
    ...client,
  };
}
