package authserver_test

import (
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/adapttest"
)

// good is a directive in whose stead a line is put, or beside which.
const good = `
	mcp_auth_server https://mcp.example.com {
		resource https://mcp.example.com/mcp
		scopes mcp:tools
		users {
			ada $2a$04$VxJ1bKKHAzTj/lJL.LkBdOc2tKJ.1HLJ0SLQsnv8xXTwCt9DPZpVu
		}
		MORE
	}`

// Whatever is wrong is said, with the cure.
func TestErrors(t *testing.T) {
	const users = "users {\n\t\t\tada $2a$04$VxJ1bKKHAzTj/lJL.LkBdOc2tKJ.1HLJ0SLQsnv8xXTwCt9DPZpVu\n\t\t}"
	more := func(text string) string { return strings.Replace(good, "MORE", text, 1) }
	instead := func(old, text string) string { return strings.Replace(more(""), old, text, 1) }
	for name, test := range map[string]struct{ site, want string }{
		"no issuer":              {instead("mcp_auth_server https://mcp.example.com", "mcp_auth_server"), "takes its issuer identifier"},
		"matcher":                {instead("mcp_auth_server ", "mcp_auth_server /x* "), "takes no matcher"},
		"slash":                  {instead("mcp_auth_server https://mcp.example.com", "mcp_auth_server https://mcp.example.com/"), "remove the slash"},
		"http":                   {instead("mcp_auth_server https://", "mcp_auth_server http://"), "not https"},
		"no resource":            {instead("resource https://mcp.example.com/mcp", ""), "needs at least one `resource"},
		"bad resource":           {instead("resource https://mcp.example.com/mcp", "resource mcp"), "not an absolute URL"},
		"no scopes":              {instead("scopes mcp:tools", ""), "needs `scopes`"},
		"scope twice":            {instead("scopes mcp:tools", "scopes a a"), "given twice"},
		"offline_access":         {instead("scopes mcp:tools", "scopes offline_access"), "can't be defined here"},
		"description unquoted":   {instead("scopes mcp:tools", "scopes {\n mcp:tools use the tools\n }"), "in quotes"},
		"unknown option":         {more("color blue"), "unrecognized option"},
		"dpop without mode":      {more("dpop"), "dpop takes one of off, accepted, required"},
		"dpop twice":             {more("dpop off\ndpop required"), "given twice"},
		"dpop off with nonce":    {more("dpop off {\nnonce\n}"), "nonce has no effect"},
		"certificates twice":     {more("client_certificates\nclient_certificates"), "given twice"},
		"nobody":                 {instead(users, ""), "nobody could sign in"},
		"unknown hash algorithm": {instead("users {", "users md5 {"), "no hash algorithm md5 (known: argon2id, bcrypt"},
		"algorithm twice":        {instead("users {", "users bcrypt argon2id {"), "takes a block"},
		"users in two blocks":    {more("users {\n bob $2a$04$VxJ1bKKHAzTj/lJL.LkBdOc2tKJ.1HLJ0SLQsnv8xXTwCt9DPZpVu\n }"), "users is given twice"},
		"users empty":            {more("users argon2id {\n }"), "users is empty"},
		"bcrypt as argon2id":     {instead("users {", "users argon2id {"), "leave argon2id out"},
		"argon2id as bcrypt":     {instead("users {\n\t\t\tada $2a$04$VxJ1bKKHAzTj/lJL.LkBdOc2tKJ.1HLJ0SLQsnv8xXTwCt9DPZpVu", "users bcrypt {\n\t\t\tada $argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$/M91eeHPN8zgTnkUZID59l/jfFKTse9nAiCk9bOPLjs"), "not with bcrypt"},
		"users without a block":  {instead(users, "users ada"), "takes a block"},
		"user without password":  {instead(users, "users {\n ada\n }"), "hashed password"},
		"password in the clear":  {instead(users, "users {\n ada secret\n }"), "caddy hash-password"},
		"costly password":        {instead("$2a$04$", "$2a$31$"), "14 is enough"},
		"user with a colon":      {instead("\t\t\tada ", "\t\t\tgithub:1 "), "spaces, colons"},
		"user twice":             {more("users {\n ada $2a$04$VxJ1bKKHAzTj/lJL.LkBdOc2tKJ.1HLJ0SLQsnv8xXTwCt9DPZpVu\n }"), "given twice"},

		"lifetime":                {more("access_token_lifetime soon"), "such as 15m"},
		"lifetime twice":          {more("session_lifetime 1h\nsession_lifetime 2h"), "given twice"},
		"long access tokens":      {more("access_token_lifetime 48h"), "let clients refresh them"},
		"short refresh tokens":    {more("refresh_token_lifetime 1m"), "must last longer"},
		"short secret":            {more("secret short"), "openssl rand"},
		"missing placeholder":     {more("secret {env.THERE_IS_NO_SUCH_VARIABLE_AT_ALL_HERE_1}"), "secret"},
		"registration":            {more("registration maybe"), "open, off, or redirect_uris"},
		"registration bare":       {more("registration"), "open, off, or redirect_uris"},
		"registration wildcard":   {more("registration redirect_uris https://*.example.com/"), "wildcard"},
		"registration off, yet":   {more("registration off\nprivate_schemes cursor"), "it is off"},
		"javascript":              {more("private_schemes javascript"), "does not belong to an application"},
		"roots that aren't":       {more("client_documents {\n trusted_roots /there/is/no/such/file\n }"), "trusted_roots"},
		"proxy of no kind":        {more("client_documents {\n proxy proxy.example.com:3128\n }"), "http://host:port"},
		"proxy by https":          {more("client_documents {\n proxy https://proxy.example.com\n }"), "http://host:port"},
		"proxy twice":             {more("client_documents {\n proxy off\n proxy off\n }"), "given twice"},
		"redirect URIs of a host": {more("registration redirect_uris https://chatgpt.com/*"), "at least one path segment"},
		"redirect URIs, query":    {more("registration redirect_uris https://chatgpt.com/x?y=/*"), "query"},
		"grace of no time":        {more("refresh_token_grace none"), "such as 15m"},
		"grace off twice":         {more("refresh_token_grace off\nrefresh_token_grace off"), "given twice"},
		"grace off and more":      {more("refresh_token_grace off 1m"), "takes a duration"},
		"documents twice":         {more("client_documents off\nclient_documents off"), "given twice"},

		"client like a user":      {more("clients {\n ada {\n redirect_uris https://a.example/\n }\n }"), "name of a user"},
		"client without URIs":     {more("clients {\n app {\n }\n }"), "no redirect_uris"},
		"client, short secret":    {more("clients {\n app {\n secret short\n introspection\n }\n }"), "openssl rand"},
		"client, public machine":  {more("clients {\n app {\n client_credentials\n }\n }"), "need a secret"},
		"client, unknown scope":   {more("clients {\n app {\n redirect_uris https://a.example/\n scopes root\n }\n }"), "not among the server's"},
		"client, keys and secret": {more("clients {\n app {\n secret 0123456789abcdef\n jwks_uri https://a.example/jwks\n introspection\n }\n }"), "keep the keys"},
		"client, keys twice":      {more("clients {\n app {\n jwks_uri https://a.example/jwks\n jwks `{\"keys\":[]}`\n introspection\n }\n }"), "keep one"},
		"client, jwks twice":      {more("clients {\n app {\n jwks `{}`\n jwks `{}`\n }\n }"), "given twice"},
		"client, no keys":         {more("clients {\n app {\n jwks `{\"keys\":[]}`\n introspection\n }\n }"), "no keys"},
		"client, no JSON":         {more("clients {\n app {\n jwks /etc/keys.json\n introspection\n }\n }"), "in backquotes"},
		"client, private key":     {more("clients {\n app {\n jwks `{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"d\":\"AA\"}]}`\n introspection\n }\n }"), "make another one"},
		"client, weak key":        {more("clients {\n app {\n jwks `{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}`\n introspection\n }\n }"), "2048 bits"},
		"client, keys by http":    {more("clients {\n app {\n jwks_uri http://a.example/jwks\n introspection\n }\n }"), "jwks_uri"},
		"client option":           {more("clients {\n app {\n color blue\n }\n }"), "unrecognized option of a client"},
		"client, flag with more":  {more("clients {\n app {\n introspection yes\n }\n }"), "takes no value"},

		"upstream":               {more("upstream"), "upstream takes oidc"},
		"upstream of no type":    {more("upstream saml https://a.example"), "upstream takes a type"},
		"grace of a day":         {more("refresh_token_grace 24h"), "at most 1h0m0s"},
		"upstream without who":   {more("upstream github {\n client_id a\n client_secret b\n }"), "allow anybody"},
		"upstream, no client":    {more("upstream github {\n allow anybody\n }"), "client_id and client_secret"},
		"upstream, odd rule":     {more("upstream github {\n client_id a\n client_secret b\n allow shoesize 42\n }"), "there is no such kind"},
		"upstream, user":         {more("upstream oidc https://accounts.example.com {\n client_id a\n client_secret b\n allow user ada\n }"), "allow subject"},
		"upstream, e-mail":       {more("upstream github {\n client_id a\n client_secret b\n allow email example.com\n }"), "*@"},
		"upstream twice":         {more("upstream github {\n client_id a\n client_secret b\n allow anybody\n }\nupstream github {\n client_id a\n client_secret b\n allow anybody\n }"), "given twice"},
		"upstream, odd name":     {more("upstream github {\n name Git/Hub\n client_id a\n client_secret b\n allow anybody\n }"), "lowercase letters"},
		"upstream in the clear":  {more("upstream oidc http://accounts.example.com {\n client_id a\n client_secret b\n allow anybody\n }"), "not https"},
		"upstream, no URL":       {more("upstream oidc accounts {\n client_id a\n client_secret b\n allow anybody\n }"), "not a URL"},
		"upstream, team":         {more("upstream github {\n client_id a\n client_secret b\n allow anybody\n groups acme/x\n }"), "not the name of an organization"},
		"upstream, no scope":     {more("upstream github {\n client_id a\n client_secret b\n allow anybody\n groups *\n scopes read:user\n }"), "read:org"},
		"upstream, oidc groups":  {more("upstream oidc https://idp.example.com {\n client_id a\n client_secret b\n allow anybody\n groups *\n }"), "allow group"},
		"upstream, enterprise":   {more("upstream github {\n client_id a\n client_secret b\n allow anybody\n enterprise\n }"), "for an OpenID provider"},
		"upstream, enterprise x": {more("upstream oidc https://idp.example.com {\n client_id a\n client_secret b\n allow anybody\n enterprise yes\n }"), "takes no value"},
		"upstream, same issuer":  {more("upstream oidc https://idp.example.com {\n client_id a\n client_secret b\n allow anybody\n enterprise\n }\nupstream oidc https://idp.example.com {\n name b\n client_id a\n client_secret b\n allow anybody\n enterprise\n }"), "given twice"},
		"upstream, ourselves":    {more("upstream oidc https://mcp.example.com {\n client_id a\n client_secret b\n allow anybody\n enterprise\n }"), "its own provider"},
		"upstream option":        {more("upstream github {\n color blue\n }"), "unrecognized option of upstream"},
		"upstream, value twice":  {more("upstream github {\n client_id a\n client_id b\n }"), "given twice"},
		"upstream, empty value":  {more("upstream github {\n client_id \"\"\n }"), "takes one value"},
		"upstream, bare allow":   {more("upstream github {\n allow\n }"), "allow takes who"},
	} {
		t.Run(name, func(t *testing.T) { adapttest.Refused(t, test.site, test.want) })
	}
}
