package token_test

import (
	"maps"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// A token's subject is a user unless its issuer says, in one of the ways in which
// issuers do, that it is the client's own.
func TestSubjectType(t *testing.T) {
	t.Parallel()
	none := oauthtest.Absent
	type set = map[string]any
	tests := []struct {
		name            string
		claims          set
		subject, client string
		want            token.SubjectType
	}{
		{"a user", nil, "user-1", "client-1", token.UserSubject},
		{"sub is the client (RFC 9068)", set{"sub": "client-1"}, "client-1", "client-1", token.ClientSubject},
		{"a user who is called like the client", set{"sub": "client-1", "sid": "s"}, "client-1", "client-1", token.UserSubject},
		{"the same, by scope", set{"sub": "client-1", "scope": "openid"}, "client-1", "client-1", token.UserSubject},
		{"no sub", set{"sub": none}, "client-1", "client-1", token.ClientSubject},
		{"Okta", set{"client_id": none, "cid": "0oa1"}, "user-1", "0oa1", token.UserSubject},
		{"Okta, a service", set{"client_id": none, "cid": "0oa1", "sub": "0oa1"}, "0oa1", "0oa1", token.ClientSubject},
		{"Entra, an application", set{"client_id": none, "azp": "app", "idtyp": "app", "sub": "object"}, "object", "app", token.ClientSubject},
		{"Entra, a user", set{"client_id": none, "azp": "app", "idtyp": "user"}, "user-1", "app", token.UserSubject},
		{"Entra 1.0", set{"client_id": none, "appid": "app"}, "user-1", "app", token.UserSubject},
		{"Auth0, a machine", set{"client_id": none, "azp": "m2m", "sub": "m2m@clients", "gty": "client-credentials"}, "m2m@clients", "m2m", token.ClientSubject},
		{"Auth0, a user", set{"client_id": none, "azp": "m2m", "gty": "password"}, "user-1", "m2m", token.UserSubject},
		{"FusionAuth, several grants", set{"gty": []string{"client_credentials", "refresh_token"}}, "user-1", "client-1", token.UserSubject},
		{"Keycloak, a service account", set{"client_id": none, "azp": "ci", "sub": "uuid", "preferred_username": "service-account-ci"}, "uuid", "ci", token.ClientSubject},
		{"Keycloak, a service account of another client", set{"client_id": none, "azp": "ci", "preferred_username": "service-account-cd"}, "user-1", "ci", token.UserSubject},
		{"Keycloak, a user", set{"client_id": none, "azp": "ci", "sid": "s", "preferred_username": "ada"}, "user-1", "ci", token.UserSubject},
		{"UAA, a client", set{"cid": "app", "client_id": "app", "sub": "app", "grant_type": "client_credentials"}, "app", "app", token.ClientSubject},
		{"Oracle, a client", set{"sub_type": "client"}, "user-1", "client-1", token.ClientSubject},
		{"WSO2, a client", set{"aut": "APPLICATION"}, "user-1", "client-1", token.ClientSubject},
		{"both at once", set{"idtyp": "app", "gty": "password"}, "user-1", "client-1", token.UserSubject},
		{"no client", set{"client_id": none}, "user-1", "", token.UserSubject},
	}
	srv := oauthtest.New(t, oauthtest.Options{Audience: mcpResource})
	jwt := newJWT(t, srv, nil, nil)
	introspection := newIntrospection(t, srv, nil)
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			all := set{"sub": "user-1", "client_id": "client-1", "scope": "read"}
			for name, value := range tc.claims {
				all[name] = value
			}
			plain := maps.Clone(all)
			for _, name := range []string{"username", "name", "email", "email_verified"} {
				plain[name] = none // what the fake says about every user
			}
			for verifier, judged := range map[string]func() (*token.Token, error){
				"jwt":           func() (*token.Token, error) { return judge(t.Context(), jwt, srv.Mint(all)) },
				"introspection": func() (*token.Token, error) { return judge(t.Context(), introspection, srv.Opaque(plain)) },
			} {
				tok, err := judged()
				if err != nil {
					t.Errorf("%s: %v", verifier, err)
					continue
				}
				if tok.Subject != tc.subject || tok.ClientID != tc.client || tok.Type != tc.want {
					t.Errorf("%s: got %s %q of client %q, want %s %q of %q", verifier, tok.Type, tok.Subject, tok.ClientID, tc.want, tc.subject, tc.client)
				}
			}
		})
	}
}

// An answer without a user is about the client only if nothing in it speaks of a
// user: otherwise all users would be one.
func TestIntrospectionNoUser(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		members string
		want    string
		subject string
		noUser  int
	}{
		"client only":            {`"client_id":"c1"`, "verified", "c1", 1},
		"nulls":                  {`"client_id":"c1","sub":null,"username":null,"email":null,"exp":null,"aud2":null`, "verified", "c1", 1},
		"empty texts":            {`"client_id":"c1","email":"","uid":""`, "verified", "c1", 1},
		"a client, says Auth0":   {`"client_id":"c1","gty":"client-credentials"`, "verified", "c1", 1},
		"username":               {`"client_id":"c1","username":"ada"`, "verified", "ada", 0},
		"sub":                    {`"client_id":"c1","sub":"u1","username":"ada"`, "verified", "u1", 0},
		"preferred_username":     {`"client_id":"c1","preferred_username":"ada"`, "bad_claims", "", 0},
		"uid":                    {`"client_id":"c1","uid":"00u1"`, "bad_claims", "", 0},
		"email":                  {`"client_id":"c1","email":"ada@example.com"`, "bad_claims", "", 0},
		"openid":                 {`"client_id":"c1","scope":"openid read"`, "bad_claims", "", 0},
		"LinkedIn, three legs":   {`"client_id":"c1","auth_type":"3L"`, "bad_claims", "", 0},
		"LinkedIn, two legs":     {`"client_id":"c1","auth_type":"2L"`, "verified", "c1", 1},
		"azp alone":              {`"azp":"c1"`, "bad_claims", "", 0},
		"nobody":                 {`"scope":"read"`, "bad_claims", "", 0},
		"Hydra":                  {`"client_id":"c1","sub":"u1","token_use":"access_token","token_type":"Bearer"`, "verified", "u1", 0},
		"Hydra, refresh token":   {`"client_id":"c1","sub":"u1","token_use":"refresh_token","token_type":"Bearer"`, "wrong_type", "", 0},
		"Salesforce":             {`"client_id":"c1","sub":"u1","token_type":"access_token"`, "verified", "u1", 0},
		"a refresh token":        {`"client_id":"c1","sub":"u1","token_type":"refresh_token"`, "wrong_type", "", 0},
		"Keycloak, refresh":      {`"client_id":"c1","sub":"u1","typ":"Refresh"`, "wrong_type", "", 0},
		"bound by DPoP":          {`"client_id":"c1","sub":"u1","token_type":"DPoP"`, "sender_constrained", "", 0},
		"username with a blank":  {`"client_id":"c1","username":" ada"`, "bad_claims", "", 0},
		"username of two values": {`"client_id":"c1","username":["ada"]`, "unavailable", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := oauthtest.New(t, oauthtest.Options{Audience: mcpResource})
			noUser := 0
			v := newIntrospection(t, srv, func(c *token.IntrospectionConfig) { c.OnNoUser = func() { noUser++ } })
			srv.SetFault(oauthtest.Introspection, oauthtest.Answer(200, "application/json", `{"active":true,"aud":"`+mcpResource+`",`+tc.members+`}`))
			tok, err := judge(t.Context(), v, "opaque")
			if got := outcome(tok, err); got != tc.want {
				t.Fatalf("got %s (%v), want %s", got, err, tc.want)
			}
			if tok != nil && tok.Subject != tc.subject {
				t.Errorf("got the subject %q, want %q", tok.Subject, tc.subject)
			}
			if noUser != tc.noUser {
				t.Errorf("told %d times that there is no user, want %d", noUser, tc.noUser)
			}
		})
	}
}
