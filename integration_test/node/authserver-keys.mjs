// Signing keys of the authorization server: one for each algorithm in use, so
// that the algorithm decides the key and a rotation replaces all of them.

import { generateKeyPairSync, randomUUID } from 'node:crypto';

const generators = {
  RS: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  PS: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  ES384: () => generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  ES512: () => generateKeyPairSync('ec', { namedCurve: 'P-521' }),
  EdDSA: () => generateKeyPairSync('ed25519'),
};

// newKeys returns a private JWK for each algorithm.
export function newKeys(algs) {
  return [...new Set(algs)].map((alg) => {
    const generate = generators[alg] ?? generators[alg.slice(0, 2)];
    if (!generate) throw new Error(`no key type for algorithm ${alg}`);
    const { privateKey } = generate();
    return { ...privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: randomUUID() };
  });
}
