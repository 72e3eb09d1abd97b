// What Logto has besides its engine, which is oidc-provider too: third-party
// applications, made through the Management API, that get no more than the
// scopes that were set for them to be consented to.

import { createPublicKey, randomBytes, verify } from 'node:crypto';

const types = ['Native', 'SPA', 'Traditional'];

const knownUserScopes = ['profile', 'email', 'phone', 'address', 'custom_data', 'identities', 'roles'];

const alphabet = 'abcdefghijklmnopqrstuvwxyz0123456789';
const randomText = (length) => Array.from(randomBytes(length), (b) => alphabet[b % alphabet.length]).join('');

const isStrings = (value) => Array.isArray(value) && value.every((v) => typeof v === 'string');
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

// What a proxy says in Logto's place.
const unavailable = '<html><body><h1>503 Service Unavailable</h1></body></html>\n';

class Refusal extends Error {
  constructor(statusCode, code, message = code) {
    super(message);
    Object.assign(this, { statusCode, code });
  }
}

// newManagement returns the applications and their API. issuer() and keys()
// are the server's, private keys included.
export function newManagement(config, { adapter, issuer, keys }) {
  const { clientId, resource, scopeIds } = config.management;
  const applications = new Map();
  const clients = adapter('Client');
  let down = false;

  // authorize refuses whoever isn't the machine that was given the API.
  function authorize({ headers }) {
    const [, token] = headers.authorization?.match(/^Bearer ([\w-]+\.[\w-]+\.[\w-]+)$/i) ?? [];
    const claims = token && verified(token, keys());
    if (claims?.iss !== issuer() || claims.aud !== resource || claims.client_id !== clientId
      || claims.exp * 1000 <= Date.now() || !claims.scope?.split(' ').includes('all')) {
      throw new Refusal(401, 'auth.unauthorized', 'Unauthorized.');
    }
  }

  function find(id) {
    const app = applications.get(id);
    if (!app) throw new Refusal(404, 'entity.not_found', `no application ${id}`);
    return app;
  }

  async function create(body) {
    checkApplication(body);
    const { name, type, description = null, customData = {} } = body;
    const { redirectUris, postLogoutRedirectUris } = body.oidcClientMetadata;
    const shown = {
      id: randomText(21),
      name,
      description,
      type,
      // As in Logto, a secret of no use: the client's are at /secrets.
      secret: `internal:${randomText(32)}`,
      isThirdParty: true,
      oidcClientMetadata: { redirectUris, postLogoutRedirectUris },
      customClientMetadata: {},
      customData,
      createdAt: Date.now(),
    };
    const secret = type === 'Traditional' ? randomText(32) : undefined;
    // Nobody looks at the metadata now: oidc-provider does when it is asked
    // about the client, and refuses what Logto would take.
    await clients.upsert(shown.id, {
      client_id: shown.id,
      client_name: name,
      application_type: type === 'Native' ? 'native' : 'web',
      redirect_uris: redirectUris,
      response_types: ['code'],
      grant_types: ['authorization_code', 'refresh_token'],
      ...(secret
        ? { token_endpoint_auth_method: 'client_secret_basic', client_secret: secret } // client_secret_post passes as well
        : { token_endpoint_auth_method: 'none' }),
    });
    applications.set(shown.id, {
      shown,
      secret,
      scopes: { userScopes: new Set(), resourceScopes: new Set(), organizationScopes: new Set() },
    });
    return [200, shown];
  }

  function list({ searchParams }) {
    const page = Number(searchParams.get('page') ?? 1);
    const size = Number(searchParams.get('page_size') ?? 20);
    if (!(Number.isInteger(page) && page > 0 && Number.isInteger(size) && size > 0 && size <= 100)) {
      throw new Refusal(400, 'guard.invalid_pagination');
    }
    const all = [...applications.values()].map(({ shown }) => shown).reverse(); // the newest first
    return [200, all.slice((page - 1) * size, page * size), { 'Total-Number': all.length }];
  }

  async function remove(id) {
    find(id);
    applications.delete(id);
    await clients.destroy(id);
    return [204];
  }

  function secrets(id) {
    const { secret, shown: { createdAt } } = find(id);
    return [200, secret ? [{ name: 'Default secret', value: secret, createdAt, expiresAt: null }] : []];
  }

  // addScopes adds to those that are set already.
  function addScopes(id, body) {
    const { scopes } = find(id);
    const given = Object.entries(scopes).map(([kind, set]) => [set, body[kind] ?? []]);
    if (!given.every(([, names]) => isStrings(names))
      || body.userScopes?.some((name) => !knownUserScopes.includes(name))) {
      throw new Refusal(400, 'guard.invalid_input');
    }
    if (body.resourceScopes?.some((scope) => !Object.hasOwn(scopeIds, scope))) {
      throw new Refusal(422, 'application.user_consent_scopes_not_found');
    }
    for (const [set, names] of given) for (const name of names) set.add(name);
    return [201];
  }

  const setScopes = (id) => Object.fromEntries(
    Object.entries(find(id).scopes).map(([kind, set]) => [kind, [...set]]),
  );

  async function answer(req) {
    authorize(req);
    const url = new URL(req.url, 'http://localhost');
    const [, id, rest = ''] = url.pathname.match(/^\/api\/applications(?:\/([^/]+)(\/.*)?)?$/) ?? [];
    switch (id ? `${req.method} /api/applications/:id${rest}` : `${req.method} ${url.pathname}`) {
      case 'POST /api/applications':
        return create(await readJSON(req));
      case 'GET /api/applications':
        return list(url);
      case 'GET /api/applications/:id':
        return [200, find(id).shown];
      case 'DELETE /api/applications/:id':
        return remove(id);
      case 'GET /api/applications/:id/secrets':
        return secrets(id);
      case 'POST /api/applications/:id/user-consent-scopes':
        return addScopes(id, await readJSON(req));
      case 'GET /api/applications/:id/user-consent-scopes':
        return [200, setScopes(id)];
      default:
        throw new Refusal(404, 'entity.not_found', `no ${req.method} ${url.pathname}`);
    }
  }

  return {
    // handle answers what is asked below /api.
    async handle(req, res) {
      if (down) {
        return res.writeHead(503, { 'Content-Type': 'text/html' }).end(unavailable);
      }
      const [status, value, headers] = await answer(req).catch((err) => {
        if (!(err instanceof Refusal)) throw err;
        return [err.statusCode, { code: err.code, message: err.message }];
      });
      if (value === undefined) return res.writeHead(status).end();
      return res
        .writeHead(status, { ...headers, 'Content-Type': 'application/json; charset=utf-8' })
        .end(JSON.stringify(value));
    },

    // setDown takes the API away, or gives it back, by a test's {down}.
    async setDown(req) {
      ({ down } = await readJSON(req));
      return { down };
    },

    // state is what tests are told.
    state: () => ({
      applications: [...applications.values()].map(({ shown }) => {
        const { id, name, type, isThirdParty, oidcClientMetadata: { redirectUris } } = shown;
        const { userScopes, resourceScopes } = setScopes(id);
        return { id, name, type, isThirdParty, redirectUris, userScopes, resourceScopes };
      }),
    }),

    // narrow drops from a requested scope what users can't consent to for an
    // application. A client that isn't one keeps everything.
    narrow(client, scope) {
      const app = applications.get(client);
      if (!app || !scope) return scope;
      const allowed = new Set([
        'openid',
        'offline_access',
        ...app.scopes.userScopes,
        ...[...app.scopes.resourceScopes].map((id) => scopeIds[id]),
      ]);
      return scope.split(' ').filter((name) => allowed.has(name)).join(' ') || undefined;
    },
  };
}

function checkApplication({ name, type, isThirdParty, description, customData, oidcClientMetadata }) {
  const { redirectUris, postLogoutRedirectUris } = oidcClientMetadata ?? {};
  const ok = typeof name === 'string' && name !== '' && name.length <= 256
    && types.includes(type)
    && isThirdParty === true // nobody here makes others
    && typeof (description ?? '') === 'string'
    && (customData === undefined || isObject(customData))
    && [redirectUris, postLogoutRedirectUris].every((uris) =>
      isStrings(uris) && uris.every((uri) => URL.canParse(uri)));
  if (!ok) throw new Refusal(400, 'guard.invalid_input', 'Invalid body.');
}

// verified returns the claims of a JWT that one of the keys has signed.
function verified(token, keys) {
  const [header, claims, signature] = token.split('.');
  try {
    const { kid } = decode(header);
    const jwk = keys.find((key) => key.kid === kid && key.alg === managementAlg);
    const key = createPublicKey({ key: jwk, format: 'jwk' });
    const signed = Buffer.from(`${header}.${claims}`);
    const ok = verify('sha384', signed, { key, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url'));
    return ok ? decode(claims) : undefined;
  } catch {
    return undefined;
  }
}

// managementAlg is what access tokens for the API are signed with.
export const managementAlg = 'ES384';

const decode = (part) => JSON.parse(Buffer.from(part, 'base64url'));

async function readJSON(req) {
  let body = '';
  for await (const chunk of req) {
    body += chunk;
    if (body.length > 100_000) throw new Refusal(413, 'request.too_large');
  }
  try {
    const value = JSON.parse(body);
    if (isObject(value)) return value;
  } catch {
    // the same answer
  }
  throw new Refusal(400, 'guard.invalid_input', 'Invalid body.');
}
