// What a client does with DPoP (RFC 9449), right and wrong: the checks of the scenario
// for servers in MCP's conformance suite, with proofs by the packages dpop and jose.
//
//   node dpop.mjs '{"url": …, "key": <private JWK>, "token": …, "foreign": …, "elsewhere": …, "plain": …}'
//
// token is bound to the key, foreign to another one, elsewhere to the key but for
// another resource, plain to none. For each check it prints a line of JSON with its
// name, the status and the headers of the answer that matter.

import { createHash, randomUUID } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import * as dpop from 'dpop';
import * as jose from 'jose';

const { url, key, token, foreign, elsewhere, plain } = JSON.parse(process.argv[2]);
const { d, ...publicKey } = key;
const privateKey = await jose.importJWK(key, 'ES256');
const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
const pair = {
  privateKey: await crypto.subtle.importKey('jwk', key, algorithm, false, ['sign']),
  publicKey: await crypto.subtle.importKey('jwk', publicKey, algorithm, true, ['verify']),
};

// good makes a proof as clients do.
const good = ({ nonce, accessToken = token, method = 'POST' } = {}) => dpop.generateProof(pair, url, method, nonce, accessToken);

// bent makes a proof that differs from a good one.
async function bent({ header = {}, claims = {}, omit = [], sign = privateKey } = {}) {
  const all = {
    jti: randomUUID(), htm: 'POST', htu: url, iat: Math.floor(Date.now() / 1000),
    ath: createHash('sha256').update(token).digest('base64url'), ...claims,
  };
  const head = { typ: 'dpop+jwt', alg: 'ES256', jwk: publicKey, ...header };
  for (const name of omit) {
    delete all[name];
    delete head[name];
  }
  return new jose.SignJWT(all).setProtectedHeader(head).sign(sign);
}

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

// unsigned has no signature.
async function unsigned() {
  const [, payload] = (await bent()).split('.');
  return `${encode({ typ: 'dpop+jwt', alg: 'none', jwk: publicKey })}.${payload}.`;
}

async function tampered() {
  const [header, payload, signature] = (await good()).split('.');
  const bytes = Buffer.from(signature, 'base64url');
  bytes[7] ^= 1;
  return `${header}.${payload}.${bytes.toString('base64url')}`;
}

const body = JSON.stringify({
  jsonrpc: '2.0', id: 1, method: 'initialize',
  params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'dpop', version: '1' } },
});

// send returns the status and headers of the answer. A list of proofs is sent as so many
// headers, which fetch would join.
function send(authorization, proof, { method = 'POST', headers: more } = {}) {
  const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...more };
  if (authorization) headers.authorization = authorization;
  if (proof !== undefined) headers.dpop = proof;
  return new Promise((resolve, reject) => {
    const req = (url.startsWith('https') ? https : http).request(url, { method, headers }, (res) => {
      res.resume();
      res.on('end', () => resolve(res));
    });
    req.on('error', reject);
    req.end(method === 'POST' ? body : undefined);
  });
}

function print(name, { statusCode, headers }) {
  console.log(JSON.stringify({ name, status: statusCode, challenge: headers['www-authenticate'] ?? '', nonce: headers['dpop-nonce'] ?? '' }));
}

const now = Math.floor(Date.now() / 1000);
const used = await good();
const checks = {
  'no token': () => [undefined],
  valid: () => [`DPoP ${token}`, used],
  'used again': () => [`DPoP ${token}`, used],
  'another valid': async () => [`DPoP ${token}`, await good()],
  'four minutes old': async () => [`DPoP ${token}`, await bent({ claims: { iat: now - 240 } })],
  'plain, Bearer': () => [`Bearer ${plain}`],
  'plain, DPoP': async () => [`DPoP ${plain}`, await good({ accessToken: plain })],
  'bound, Bearer': async () => [`Bearer ${token}`, await good()],
  'tampered signature': async () => [`DPoP ${token}`, await tampered()],
  'missing jti': async () => [`DPoP ${token}`, await bent({ omit: ['jti'] })],
  'missing htm': async () => [`DPoP ${token}`, await bent({ omit: ['htm'] })],
  'missing htu': async () => [`DPoP ${token}`, await bent({ omit: ['htu'] })],
  'missing iat': async () => [`DPoP ${token}`, await bent({ omit: ['iat'] })],
  'missing jwk': async () => [`DPoP ${token}`, await bent({ omit: ['jwk'] })],
  'missing ath': async () => [`DPoP ${token}`, await bent({ omit: ['ath'] })],
  'wrong typ': async () => [`DPoP ${token}`, await bent({ header: { typ: 'jwt' } })],
  'wrong htu': async () => [`DPoP ${token}`, await bent({ claims: { htu: 'https://wrong.example.com/mcp' } })],
  'wrong htm': async () => [`DPoP ${token}`, await good({ method: 'GET' })],
  'wrong ath': async () => [`DPoP ${token}`, await bent({ claims: { ath: 'not-the-right-hash' } })],
  'ath of another token': async () => [`DPoP ${token}`, await good({ accessToken: plain })],
  'private key in jwk': async () => [`DPoP ${token}`, await bent({ header: { jwk: key } })],
  'two headers': async () => [`DPoP ${token}`, [await good(), await good()]],
  'no header': () => [`DPoP ${token}`],
  malformed: () => [`DPoP ${token}`, 'this-is-not-a-jwt'],
  'another key': async () => [`DPoP ${foreign}`, await good({ accessToken: foreign })],
  'iat 303 s old': async () => [`DPoP ${token}`, await bent({ claims: { iat: now - 303 } })],
  'iat 303 s ahead': async () => [`DPoP ${token}`, await bent({ claims: { iat: Math.floor(Date.now() / 1000) + 303 } })],
  'alg none': async () => [`DPoP ${token}`, await unsigned()],
  'alg symmetric': async () => [`DPoP ${token}`, await bent({ header: { alg: 'HS256' }, sign: new TextEncoder().encode('a secret of more than thirty-two bytes') })],
  'wrong audience': async () => [`DPoP ${elsewhere}`, await good({ accessToken: elsewhere })],
};
for (const [name, prepare] of Object.entries(checks)) {
  const [authorization, proof] = await prepare();
  print(name, await send(authorization, proof));
}

// The nonce, if the server asks for one.
const first = await send(`DPoP ${token}`, await good());
print('nonce: none', first);
const nonce = first.headers['dpop-nonce'];
print('nonce: the server\'s', await send(`DPoP ${token}`, await good({ nonce })));
print('nonce: another', await send(`DPoP ${token}`, await good({ nonce: 'definitely-not-the-server-nonce' })));
