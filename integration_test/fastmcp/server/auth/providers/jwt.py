"""What FastMCP's JWTVerifier does with a token, with PyJWT.

FastMCP itself isn't in Debian. It checks the signature by the keys at jwks_uri,
exp, iss and aud, and takes what fails any of these for no token.
"""

import jwt


class AccessToken:
    def __init__(self, token, claims):
        self.token, self.claims = token, claims
        self.client_id = claims.get("client_id") or claims.get("azp") or claims.get("sub")
        self.scopes = claims.get("scope", "").split()
        self.expires_at = claims.get("exp")


class JWTVerifier:
    def __init__(self, *, jwks_uri, issuer, audience, algorithm="RS256"):
        self.keys = jwt.PyJWKClient(jwks_uri)
        self.issuer, self.audience, self.algorithm = issuer, audience, algorithm

    async def verify_token(self, token):
        try:
            key = self.keys.get_signing_key_from_jwt(token).key
            claims = jwt.decode(
                token, key, algorithms=[self.algorithm], issuer=self.issuer, audience=self.audience, options={"require": ["exp"]}
            )
        except jwt.PyJWTError:
            return None
        return AccessToken(token, claims)
