package sealed

import "slices"

// Purpose is what something is sealed or hashed for. All purposes are listed
// here, so that the tests can try each of them against every other server and
// every other purpose.
type Purpose struct {
	name          string
	deterministic bool
}

// What the authorization server seals.
var (
	// SigningKey is a private key in the storage.
	SigningKey = add("signing key")
	// SignIn is a sign-in under way, in a page's form.
	SignIn = add("sign-in")
	// Consent is a question to a user, in a page's form.
	Consent = add("consent")
	// Session is a browser that is signed in, in a cookie.
	Session = add("session")
	// KnownBrowser is a browser in which users have signed in before, in a
	// cookie.
	KnownBrowser = add("known browser")
	// AwayAtUpstream is a sign-in at an upstream under way, in a cookie.
	AwayAtUpstream = add("away at an upstream")
	// AccountForm is in the forms of the user's own page.
	AccountForm = add("account form")
	// ClientID is the metadata of a client that registered itself. Clients with
	// the same metadata get the same identifier, so that users don't have many
	// consents for one client.
	ClientID = addDeterministic("client id")
)

// What the authorization server hashes with a key.
var (
	// ClientSecret is the secret of a client that registered itself.
	ClientSecret = add("client secret")
	// RefreshToken distinguishes a refresh token of this server from an invented
	// one.
	RefreshToken = add("refresh token")
	// ProofNonce is the nonce that DPoP proofs must have.
	ProofNonce = add("proof nonce")
	// NextRefreshToken derives the refresh token that replaces another.
	NextRefreshToken = add("next refresh token")
)

// What the front door seals.
var (
	// AssertionKey is a private key in the storage.
	AssertionKey = add("assertion key")
)

// What the façade seals.
var (
	// Question is an authorization request that waits for the user, in a page's
	// form.
	Question = add("question")
	// Answers are what the user has allowed, in a cookie.
	Answers = add("answers")
)

// What the front door hashes with a key.
var (
	// SessionTag derives the key of the tags that bind sessions to users.
	SessionTag = add("session tag")
)

var purposes []Purpose

func add(name string) Purpose { return register(Purpose{name: name}) }

func addDeterministic(name string) Purpose { return register(Purpose{name, true}) }

func register(p Purpose) Purpose {
	if slices.ContainsFunc(purposes, func(other Purpose) bool { return other.name == p.name }) {
		panic("sealed: two purposes " + p.name)
	}
	purposes = append(purposes, p)
	return p
}

// Purposes returns all purposes.
func Purposes() []Purpose { return slices.Clone(purposes) }

// String returns the purpose's name.
func (p Purpose) String() string { return p.name }
