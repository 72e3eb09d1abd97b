// The authorization server's memory. oidc-provider brings a store of its own,
// but it forgets after 1,000 entries (a load test issues more tokens), and a
// provider instance doesn't share it with its successor (see /test/rotate).

// newStore returns an adapter factory for oidc-provider. Every adapter it
// makes looks at the same entries.
//
// Unless pinScopes is set, the scope of a client's registration is forgotten:
// clients register with the scopes of their first challenge, and oidc-provider
// would refuse them any other scope later, which makes every step-up fail.
export function newStore({ pinScopes = false } = {}) {
  const entries = new Map();
  const live = (key) => {
    const entry = entries.get(key);
    if (entry && entry.expires <= Date.now()) {
      entries.delete(key);
      return undefined;
    }
    return entry?.payload;
  };
  const findBy = (model, field, value) => {
    for (const key of entries.keys()) {
      if (!key.startsWith(`${model}:`)) continue;
      const payload = live(key);
      if (payload?.[field] === value) return payload;
    }
    return undefined;
  };

  return (model) => ({
    async upsert(id, payload, expiresIn) {
      const kept = { ...payload };
      if (model === 'Client' && !pinScopes) delete kept.scope;
      const expires = expiresIn ? Date.now() + expiresIn * 1000 : Infinity;
      entries.set(`${model}:${id}`, { payload: kept, expires });
    },
    async find(id) {
      return live(`${model}:${id}`);
    },
    async findByUid(uid) {
      return findBy(model, 'uid', uid);
    },
    async findByUserCode(code) {
      return findBy(model, 'userCode', code);
    },
    async consume(id) {
      live(`${model}:${id}`).consumed = Math.floor(Date.now() / 1000);
    },
    async destroy(id) {
      entries.delete(`${model}:${id}`);
    },
    async revokeByGrantId(grantId) {
      for (const [key, { payload }] of entries) {
        if (payload.grantId === grantId) entries.delete(key);
      }
    },
  });
}
