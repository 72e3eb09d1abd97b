// Token exchange (RFC 8693), which oidc-provider leaves to its users: a client that may
// exchanges a user's access token, a JWT of this server, for one for another resource.
// The new token has no more scopes than the first, and doesn't last longer.

import { randomUUID } from 'node:crypto';
import { SignJWT, createLocalJWKSet, importJWK, jwtVerify } from 'jose';
import { errors } from 'oidc-provider';

export const tokenExchange = 'urn:ietf:params:oauth:grant-type:token-exchange';
const accessToken = 'urn:ietf:params:oauth:token-type:access_token';

export function addTokenExchange(provider, config, keys) {
  if (!config.exchangers.length) return;
  provider.registerGrantType(tokenExchange, async (ctx) => {
    const { params, client } = ctx.oidc;
    if (!config.exchangers.includes(client.clientId)) throw new errors.UnauthorizedClient('it may not exchange tokens');
    if (params.subject_token_type !== accessToken) throw new errors.InvalidRequest('it is not an access token');
    const subject = await verify(provider, keys, params.subject_token);
    const info = config.resources[params.resource];
    if (!info) throw new errors.InvalidTarget();
    const had = subject.scope?.split(' ') ?? [];
    const scopes = params.scope?.split(' ') ?? had.filter((scope) => info.scopes.includes(scope));
    const missing = scopes.filter((scope) => !had.includes(scope) || !info.scopes.includes(scope));
    if (missing.length) throw new errors.InvalidScope('it would be more than the user has allowed', missing.join(' '));
    const token = new provider.AccessToken({ client, accountId: subject.sub, scope: scopes.join(' '), gty: tokenExchange });
    token.resourceServer = new provider.ResourceServer(params.resource, {
      scope: info.scopes.join(' '), audience: params.resource, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256', kid: keys.find((key) => key.alg === 'RS256').kid } },
    });
    token.expiresIn = Math.min(config.accessTokenTTL, subject.exp - Math.floor(Date.now() / 1000));
    const value = await token.save();
    ctx.body = { access_token: value, issued_token_type: accessToken, token_type: 'Bearer', expires_in: token.expiration, scope: token.scope };
  }, ['subject_token', 'subject_token_type', 'requested_token_type', 'resource', 'audience', 'scope'], ['resource']);
}

// verify returns the claims of one of our own access tokens.
async function verify(provider, keys, text) {
  const set = createLocalJWKSet({ keys: keys.map(({ kty, n, e, crv, x, y, alg, use, kid }) => ({ kty, n, e, crv, x, y, alg, use, kid })) });
  try {
    return (await jwtVerify(text, set, { issuer: provider.issuer, typ: 'at+jwt' })).payload;
  } catch {
    throw new errors.InvalidRequest('it is not a token of this server');
  }
}

// userToken returns an access token as oidc-provider writes it, for a user who has signed
// in at a client that isn't there.
export async function userToken(issuer, keys, claims) {
  const key = keys.find(({ alg }) => alg === 'RS256');
  return new SignJWT({ client_id: 'a-client', jti: randomUUID(), ...claims })
    .setProtectedHeader({ alg: 'RS256', typ: 'at+jwt', kid: key.kid })
    .setIssuer(issuer).setIssuedAt().setExpirationTime('10m')
    .sign(await importJWK(key, 'RS256'));
}
