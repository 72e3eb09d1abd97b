package token

// This file is a table of dialects: how authorization servers write what kind of token
// this is, whose it is, and which client has it. The RFCs (9068, 7662) specify little
// of that, so servers use names of their own.
//
// # What kind of token
//
//	member      server                    access token      others
//	typ         Keycloak, Rauthy          Bearer            ID, Refresh, Offline, Logout, DPoP
//	token_use   Cognito                   access            id
//	token_use   Ory Hydra, Authelia       access_token      refresh_token
//	token_type  RFC 7662                  Bearer            N_A, DPoP
//	token_type  Salesforce                access_token      refresh_token
//	token_type  Django, Flask libraries   access            refresh
//	tok_type    Oracle Identity Cloud     AT                IT, RT
//	tokenName   ForgeRock AM              access_token      id_token, refresh_token
//	tokenType   Casdoor                   access-token      refresh-token, id-token
//	tty         FusionAuth                at                idt, rt
//	purpose     Curity                    access_token      id_token, refresh_token
//	type, use   various                   access            id, refresh
//
// # Whose it is
//
//	member      server                    a client's own       a user's
//	sub         RFC 9068, section 2.2     equals client_id     anything else
//	idtyp       Microsoft Entra           app                  user
//	gty         Auth0, FusionAuth         client-credentials   any other grant
//	grant_type  Cloud Foundry UAA         client_credentials   any other grant
//	sub_type    Oracle Identity Cloud     client               user
//	aut         WSO2                      APPLICATION          APPLICATION_USER
//	auth_type   LinkedIn                  2L                   3L
//	preferred_username, username  Keycloak  service-account-<client>
//
// # Which client
//
//	client_id   RFC 9068, RFC 7662
//	cid         Okta
//	appid       Microsoft Entra (1.0)
//	azp         OpenID Connect, Keycloak, Google
//
// Scopes are scope, a text or a list; else scopes; else scp, Okta's and Entra's.

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/strictjson"
)

// SubjectType says whether a token's subject is a user, or the client itself.
type SubjectType uint8

const (
	// UserSubject is a user, as far as the issuer says.
	UserSubject SubjectType = iota
	// ClientSubject is an OAuth client that acts for itself.
	ClientSubject
)

// String returns user or client.
func (t SubjectType) String() string {
	if t == ClientSubject {
		return "client"
	}
	return "user"
}

// accessKinds are what issuers call an access token, folded by [foldKind].
var accessKinds = []string{"bearer", "access", "accesstoken", "at", "atjwt", "jwt", "bearertoken"}

// otherKinds are what issuers call tokens that are none, folded likewise.
var otherKinds = []string{
	"id", "idt", "it", "idtoken", "identity", "identitytoken", "serializedid",
	"refresh", "rt", "refreshtoken", "offline", "offlinetoken",
	"logout", "logouttoken", "logoutjwt", "backchannellogout",
	"code", "authcode", "authorizationcode", "devicecode", "usercode",
	"registrationaccesstoken", "initialaccesstoken", "actiontoken", "clientassertion",
	"dpop", "dpopjwt", "oauthidjag", "oauthidjagjwt", "idjag", "secevent", "seceventjwt",
}

// foldKind returns what a spelling of a kind has in letters and digits, without
// the prefix of RFC 8693, section 3 and of media types.
func foldKind(s string) string {
	s = strings.ToLower(s)
	s = strings.TrimPrefix(s, "urn:ietf:params:oauth:token-type:")
	s = strings.TrimPrefix(s, "application/")
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == '+' || r == ' ' {
			return -1
		}
		return r
	}, s)
}

// names reads a member that names the kind of the token. Any value but the known ones
// for access tokens means another kind.
func (c *claims) names(value jsontext.Value) error {
	s, err := strictjson.String(value)
	if err != nil {
		return err
	}
	switch kind := foldKind(s); {
	case kind == "dpop":
		c.ofDPoP = true
	case !slices.Contains(accessKinds, kind):
		c.otherKind = true
	}
	return nil
}

// mayName reads a member that names the kind of the token with some issuers, and means
// something else with others: only known names of other kinds count.
func (c *claims) mayName(value jsontext.Value) {
	if s, err := strictjson.String(value); err == nil && slices.Contains(otherKinds, foldKind(s)) {
		c.otherKind = true
	}
}

// saysSomething reports whether value is neither empty nor false: otherwise the member
// might as well be absent.
func saysSomething(value jsontext.Value) bool {
	switch string(value) {
	case `""`, "[]", "{}", "false":
		return false
	}
	return true
}

// grantOf reads a member that says by which grant, or for what kind of subject, the
// token was issued. client lists its values for a client that acts for itself.
func (c *claims) grantOf(value jsontext.Value, client ...string) {
	list, err := strictjson.Strings(value)
	if s, errText := strictjson.String(value); errText == nil {
		list, err = []string{s}, nil
	}
	if err != nil {
		return
	}
	for _, s := range list {
		if slices.ContainsFunc(client, func(c string) bool { return strings.EqualFold(c, s) }) {
			c.forClient = true
		} else if s != "" {
			c.ofUser = true
		}
	}
}

// userScopes are scopes that only a user can grant (OpenID Connect Core, section
// 5.4 and 11).
var userScopes = []string{"openid", "profile", "email", "address", "phone", "offline_access"}

// speaksOfUser reports whether a claim is there that only a user's sign-in explains.
func (c *claims) speaksOfUser() bool {
	return c.ofUser || c.username != "" || c.nonce || c.idToken ||
		slices.ContainsFunc(c.scopes, func(s string) bool { return slices.Contains(userScopes, s) })
}

// isServiceAccount reports whether the user name is that of Keycloak's account for a
// client.
func (c *claims) isServiceAccount() bool {
	client, ok := strings.CutPrefix(c.username, "service-account-")
	return ok && strings.EqualFold(client, c.clientID)
}

// subjectType says what subject is. If the claims contradict each other, it is a user:
// a user must never be taken for a client.
func (c *claims) subjectType(subject string) SubjectType {
	switch {
	case c.ofUser:
		return UserSubject
	case c.forClient, c.isServiceAccount():
		return ClientSubject
	case subject == c.clientID && !c.speaksOfUser():
		return ClientSubject
	}
	return UserSubject
}

// whose returns the subject of a token whose user is called user. If that is empty, it
// is the client itself, but only if no claim speaks of a user: otherwise all users of
// a client would be the same subject (RFC 9068, section 2.2), so that is an error.
func (c *claims) whose(user string) (string, error) {
	switch {
	case user != "":
		return user, nil
	case c.ownClientID == "" && c.clientID == "":
		return "", breaks(ruleSubject, BadClaims, "neither sub nor client_id")
	case c.ownClientID == "", !c.forClient && c.speaksOfUser(), c.ofUser:
		return "", breaks(ruleSubject, BadClaims, "no sub, and not a client's own token: have the authorization server name the subject (Keycloak: give the client the scope basic)")
	}
	return c.clientID, nil
}
