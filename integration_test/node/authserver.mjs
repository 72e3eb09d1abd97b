// An OAuth 2.1 / OpenID Connect authorization server for the tests:
//
//   node authserver.mjs '{"resources":{"https://mcp.localhost/mcp":{"scopes":["mcp:tools"]}}}'
//
// The words of the JSON are in authserver-config.mjs. When it listens (on
// loopback), it prints one line: {"issuer":"…","port":N}. It ends on SIGTERM
// and when its stdin closes.
//
// Tests look behind it through, on the same port:
//
//   GET  /test/requests         how often each "METHOD /path" was asked for;
//                               ids in paths read ":id", as in "GET /auth/:id"
//   POST /test/token?sub&aud&scope  an access token of a user, without a sign-in
//   POST /test/rotate[?keep=1]  new signing keys; keep=1 still publishes the old ones
//
// and, where it stands in for Logto (which has the Management API below /api):
//
//   GET  /test/management       {applications, calls}: what there is, how often the API was asked
//   POST /test/management/down  {"down":true}: the API answers 503, until {"down":false}

import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { Provider } from 'oidc-provider';
import { parseConfig, providerConfig } from './authserver-config.mjs';
import { newKeys } from './authserver-keys.mjs';
import { newManagement } from './authserver-management.mjs';
import { newPages } from './authserver-pages.mjs';
import { newStore } from './authserver-store.mjs';
import { addTokenExchange, userToken } from './authserver-exchange.mjs';
import { endWithParent } from './lifeline.mjs';

const config = parseConfig(process.argv[2]);
const adapter = newStore(config);
const cookieKey = randomUUID();
const counts = {};
let keys = newKeys(config.algs);
let issuer, base, pages, provider;
const management = config.management
  && newManagement(config, { adapter, issuer: () => issuer.given, keys: () => keys });

// A provider's keys are fixed, so a rotation makes a new provider over the
// same store: clients, sessions, and tokens stay.
function newProvider() {
  provider = new Provider(issuer.given, providerConfig(config, { adapter, keys, cookieKey, base, management }));
  addTokenExchange(provider, config, keys);
  provider.proxy = true; // the headers are ours, see pinOrigin
  provider.on('server_error', (ctx, err) => console.error(err));
}

// pinOrigin makes the issuer's origin the one that oidc-provider believes to
// be asked under, whichever way the request came.
function pinOrigin(req) {
  req.headers.host = issuer.host;
  req.headers['x-forwarded-host'] = issuer.host;
  req.headers['x-forwarded-proto'] = issuer.protocol.slice(0, -1);
}

// stripBase takes the issuer's path off the URL, in both places where
// well-known documents have it (RFC 8414: behind the name; OpenID: before).
// It answers false for a path that isn't the issuer's.
function stripBase(req) {
  if (!base) return true;
  const [path, ...query] = req.url.split(/(?=\?)/);
  let stripped;
  if (path.startsWith(`${base}/`)) stripped = path.slice(base.length);
  else if (path.startsWith('/.well-known/') && path.endsWith(base)) stripped = path.slice(0, -base.length);
  else return false;
  req.url = [stripped, ...query].join('');
  req.originalUrl = `${base}${req.url}`; // where oidc-provider finds the path again
  return true;
}

// isHidden says whether an address is of metadata that Logto has elsewhere: it
// knows OpenID's place only.
function isHidden({ url }) {
  const [path] = url.split('?');
  return management && path.includes('/.well-known/') && path !== `${base}/.well-known/openid-configuration`;
}

// allowRegistrationCORS lets browser clients register: the one endpoint that
// oidc-provider has no CORS for. It answers true when the request is done.
function allowRegistrationCORS(req, res) {
  if (!req.headers.origin) return false;
  res.setHeader('Access-Control-Allow-Origin', req.headers.origin);
  res.setHeader('Vary', 'Origin');
  if (req.method !== 'OPTIONS') return false;
  res.writeHead(204, {
    'Access-Control-Allow-Methods': 'POST',
    'Access-Control-Allow-Headers': 'content-type, mcp-protocol-version',
  }).end();
  return true;
}

function count({ method, url }) {
  const path = url.split('?')[0].replace(/\/(auth|interaction|reg|applications)\/[^/]+/, '/$1/:id');
  const name = `${method} ${path}`;
  counts[name] = (counts[name] ?? 0) + 1;
}

async function handleTest(req, res) {
  const { pathname, searchParams } = new URL(req.url, 'http://localhost');
  const answer = (status, value) => res
    .writeHead(status, { 'Content-Type': 'application/json' })
    .end(JSON.stringify(value));
  switch (`${req.method} ${pathname}`) {
    case 'GET /test/requests':
      return answer(200, counts);
    case 'POST /test/token':
      return answer(200, { token: await userToken(issuer.given, keys, Object.fromEntries(searchParams)) });
    case 'POST /test/rotate': {
      const retired = searchParams.get('keep') === '1' ? keys : [];
      keys = [...newKeys(config.algs), ...retired];
      newProvider();
      return answer(200, { keys: keys.map(({ kid, alg }) => ({ kid, alg })) });
    }
    case 'GET /test/management': {
      if (!management) break;
      const calls = Object.fromEntries(Object.entries(counts).filter(([name]) => name.includes(' /api/')));
      return answer(200, { ...management.state(), calls });
    }
    case 'POST /test/management/down':
      if (!management) break;
      return answer(200, await management.setDown(req));
    default:
  }
  return answer(404, { error: `no ${req.method} ${pathname}` });
}

async function handle(req, res) {
  if (req.url.startsWith('/test/')) return handleTest(req, res);
  count(req);
  if (management && req.url.startsWith('/api/')) return management.handle(req, res);
  pinOrigin(req);
  if (isHidden(req) || !stripBase(req)) return res.writeHead(404).end();
  if (req.url.startsWith('/interaction/')) return pages(provider, req, res);
  if (req.url === '/reg' && allowRegistrationCORS(req, res)) return undefined;
  return provider.callback()(req, res);
}

endWithParent();
const server = http.createServer((req, res) => {
  handle(req, res).catch((err) => {
    console.error(err);
    res.writeHead(err.statusCode ?? 500, { 'Content-Type': 'text/plain' }).end(`${err.message}\n`);
  });
});
server.listen(config.port, '127.0.0.1', () => {
  const { port } = server.address();
  const given = config.issuer ?? `http://127.0.0.1:${port}${management ? '/oidc' : ''}`;
  const { host, protocol, pathname } = new URL(given);
  issuer = { given, host, protocol };
  base = pathname.replace(/\/$/, '');
  pages = newPages({ password: config.password, base });
  newProvider();
  console.log(JSON.stringify({ issuer: given, port }));
});
