// What the user sees: a login form and a consent form. They are real forms,
// because what drives them (browser.mjs) is meant to work like a browser.

const escapes = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const escape = (text) => String(text).replace(/[&<>"']/g, (c) => escapes[c]);

const page = (title, body) => `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>${escape(title)}</title></head>
<body>
<h1>${escape(title)}</h1>
${body}
</body>
</html>
`;

const loginPage = (action, problem) => page('Sign in', `
${problem ? `<p role="alert">${escape(problem)}</p>` : ''}
<form method="post" action="${escape(action)}">
<label>Login <input type="text" name="login" autocomplete="username"></label>
<label>Password <input type="password" name="password" autocomplete="current-password"></label>
<button type="submit">Sign in</button>
</form>`);

const consentPage = (action, { client, redirectHost, user, scopes }) => page('Allow access?', `
<p><strong>${escape(client)}</strong> (answers go to ${escape(redirectHost)}) asks to act for
<strong>${escape(user)}</strong>:</p>
<ul>${scopes.map((scope) => `<li>${escape(scope)}</li>`).join('')}</ul>
<form method="post" action="${escape(action)}">
<button type="submit" name="decision" value="allow">Allow</button>
<button type="submit" name="decision" value="deny">Deny</button>
</form>`);

// newPages returns a handler for /interaction/<uid>, the form's page, and
// /interaction/<uid>/<prompt>, the form's target. base is the issuer's path.
export function newPages({ password, base }) {
  return async function handle(provider, req, res) {
    const [, uid, submitted] = new URL(req.url, 'http://localhost').pathname
      .match(/^\/interaction\/([^/]+)(?:\/(login|consent))?$/) ?? [];
    const interaction = await provider.interactionDetails(req, res);
    const { prompt } = interaction;
    if (uid !== interaction.uid || (submitted && submitted !== prompt.name)) {
      return send(res, 400, page('Not the sign-in that this browser began', ''));
    }
    const action = `${base}/interaction/${uid}/${prompt.name}`;

    if (!submitted || req.method !== 'POST') {
      return send(res, 200, prompt.name === 'login'
        ? loginPage(action)
        : consentPage(action, await consentDetails(provider, interaction)));
    }
    const form = await readForm(req);
    if (prompt.name === 'login') {
      if (!form.get('login') || form.get('password') !== password) {
        return send(res, 401, loginPage(action, 'Wrong login or password.'));
      }
      return provider.interactionFinished(req, res, { login: { accountId: form.get('login') } });
    }
    const result = form.get('decision') === 'allow'
      ? { consent: { grantId: await grant(provider, interaction) } }
      : { error: 'access_denied', error_description: 'the user refused' };
    return provider.interactionFinished(req, res, result);
  };
}

async function consentDetails(provider, { params, session }) {
  const client = await provider.Client.find(params.client_id);
  return {
    client: client.clientName ?? client.clientId,
    redirectHost: new URL(params.redirect_uri).host,
    user: session.accountId,
    scopes: (params.scope ?? '').split(' '),
  };
}

// grant adds what the prompt misses to the grant that the client already has
// from this user, or to a new one, and returns its id.
async function grant(provider, { grantId, params, session, prompt: { details } }) {
  const granted = (grantId && await provider.Grant.find(grantId))
    ?? new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  if (details.missingOIDCScope) granted.addOIDCScope(details.missingOIDCScope.join(' '));
  if (details.missingOIDCClaims) granted.addOIDCClaims(details.missingOIDCClaims);
  for (const [resource, scopes] of Object.entries(details.missingResourceScopes ?? {})) {
    granted.addResourceScope(resource, scopes.join(' '));
  }
  return granted.save();
}

async function readForm(req) {
  let body = '';
  for await (const chunk of req) {
    body += chunk;
    if (body.length > 10_000) throw new Error('form too large');
  }
  return new URLSearchParams(body);
}

function send(res, status, html) {
  res.writeHead(status, { 'Content-Type': 'text/html; charset=utf-8', 'Cache-Control': 'no-store' });
  res.end(html);
}
