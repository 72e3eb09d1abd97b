// A small identity provider of an enterprise: it signs people in without asking, and
// issues identity assertions (ID-JAG).
//
//   node idp.mjs
//
// It prints its issuer as a line of JSON, and listens on loopback. /test/assertion signs
// whatever JWT it is sent, as {claims, header}, with times and a jti unless the claims
// have some; a claim that is null is left out. It trusts everyone: use it in tests only.

import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { exportJWK, generateKeyPair, SignJWT, jwtVerify } from 'jose';
import { endWithParent } from './lifeline.mjs';

const kid = 'idp-1';
const { publicKey, privateKey } = await generateKeyPair('RS256', { extractable: true });
const jwk = { ...await exportJWK(publicKey), kid, alg: 'RS256', use: 'sig' };
const codes = new Map();

const server = http.createServer((req, res) => {
  serve(req, res).catch((err) => {
    res.writeHead(400, { 'content-type': 'application/json' });
    res.end(JSON.stringify({ error: 'invalid_request', error_description: err.message }));
  });
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;

function sign(claims, header = {}) {
  const now = Math.floor(Date.now() / 1000);
  const all = { iss: issuer, iat: now, exp: now + 300, jti: randomUUID(), ...claims };
  for (const name of Object.keys(all)) if (all[name] === null) delete all[name];
  return new SignJWT(all).setProtectedHeader({ alg: 'RS256', kid, ...header }).sign(privateKey);
}

async function serve(req, res) {
  const url = new URL(req.url, issuer);
  let body = '';
  for await (const chunk of req) body += chunk;
  const answer = (value) => {
    res.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' });
    res.end(JSON.stringify(value));
  };
  switch (url.pathname) {
    case '/.well-known/openid-configuration':
    case '/.well-known/oauth-authorization-server':
      return answer({
        issuer,
        authorization_endpoint: `${issuer}/authorize`,
        token_endpoint: `${issuer}/token`,
        jwks_uri: `${issuer}/jwks`,
        response_types_supported: ['code'],
        subject_types_supported: ['public'],
        id_token_signing_alg_values_supported: ['RS256'],
        code_challenge_methods_supported: ['S256'],
        grant_types_supported: ['authorization_code', 'urn:ietf:params:oauth:grant-type:token-exchange'],
        identity_chaining_requested_token_types_supported: ['urn:ietf:params:oauth:token-type:id-jag'],
      });
    case '/jwks':
      return answer({ keys: [jwk] });
    case '/authorize': {
      const q = url.searchParams;
      const code = randomUUID();
      codes.set(code, { nonce: q.get('nonce'), aud: q.get('client_id'), sub: q.get('login_hint') ?? 'ada' });
      const to = new URL(q.get('redirect_uri'));
      to.searchParams.set('code', code);
      to.searchParams.set('state', q.get('state'));
      res.writeHead(302, { location: to.href });
      return res.end();
    }
    case '/token':
      return answer(await token(new URLSearchParams(body)));
    case '/test/id-token':
      return answer({ id_token: await sign({ groups: ['staff'], ...JSON.parse(body) }) });
    case '/test/assertion': {
      const { claims, header } = JSON.parse(body);
      return answer({ assertion: await sign(claims, { typ: 'oauth-id-jag+jwt', ...header }) });
    }
  }
  res.writeHead(404);
  res.end();
}

async function token(form) {
  if (form.get('grant_type') === 'authorization_code') {
    const { nonce, aud, sub } = codes.get(form.get('code'));
    codes.delete(form.get('code'));
    const idToken = await sign({ sub, aud, nonce, groups: ['staff'], name: 'Ada Lovelace' });
    return { access_token: 'nothing', token_type: 'Bearer', id_token: idToken };
  }
  if (form.get('requested_token_type') !== 'urn:ietf:params:oauth:token-type:id-jag') throw new Error('not for an ID-JAG');
  // The client at this provider and the client at the MCP server are the same here.
  const { payload } = await jwtVerify(form.get('subject_token'), publicKey, { issuer, audience: form.get('client_id') });
  const assertion = await sign({
    sub: payload.sub,
    groups: payload.groups,
    aud: form.get('audience'),
    resource: form.get('resource'),
    client_id: form.get('client_id'),
    scope: form.get('scope') ?? 'mcp:tools mcp:admin',
  }, { typ: 'oauth-id-jag+jwt' });
  return {
    access_token: assertion,
    issued_token_type: 'urn:ietf:params:oauth:token-type:id-jag',
    token_type: 'N_A',
    expires_in: 300,
  };
}

console.log(JSON.stringify({ issuer }));
endWithParent();
