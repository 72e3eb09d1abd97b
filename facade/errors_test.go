package facade_test

import (
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/adapttest"
)

// Whatever is wrong is said, with the cure.
func TestErrors(t *testing.T) {
	facade := func(text string) string {
		return "mcp_auth_facade https://mcp.example.com/o {\n" + text + "\n}"
	}
	const off = "discovery off\nmetadata authorization_endpoint https://mcp.example.com/o/a\nmetadata token_endpoint https://mcp.example.com/o/t\nmetadata code_challenge_methods_supported S256\n"
	for name, test := range map[string]struct{ site, want string }{
		"no issuer":          {"mcp_auth_facade", "takes the issuer identifier"},
		"matcher":            {"mcp_auth_facade /x* https://mcp.example.com", "takes no matcher"},
		"http":               {"mcp_auth_facade http://mcp.example.com {\n" + off + "}", "not https"},
		"unknown option":     {facade("color blue"), "unrecognized option"},
		"where":              {facade(""), "where is the authorization server?"},
		"itself":             {facade("discovery https://mcp.example.com/.well-known/oauth-authorization-server/o"), "serves its own metadata"},
		"bad upstream":       {facade("upstream auth"), "not an absolute URL"},
		"no preset":          {facade("preset hydra"), "there are auth0"},
		"preset twice":       {facade("preset logto\npreset auth0"), "given twice"},
		"nothing known":      {facade("discovery off"), "metadata authorization_endpoint <url>"},
		"no PKCE":            {facade("discovery off\nmetadata authorization_endpoint https://a.example/a\nmetadata token_endpoint https://a.example/t"), "code_challenge_methods_supported S256"},
		"issuer by hand":     {facade("metadata issuer https://a.example"), "set by the directive itself"},
		"upstream twice":     {facade("upstream https://a.example\nupstream https://b.example"), "given twice"},
		"discovery twice":    {facade("discovery off\ndiscovery https://a.example"), "given twice"},
		"remove twice":       {facade("remove jwks_uri\nremove scopes_supported"), "given twice"},
		"strip twice":        {facade("strip resource\nstrip audience"), "given twice"},
		"schemes twice":      {facade("private_schemes cursor\nprivate_schemes vscode"), "given twice"},
		"consent twice":      {facade("consent upstream\nconsent upstream"), "given twice"},
		"scope twice":        {facade("scope map a b\nscope map a c"), "given twice"},
		"other registrar":    {facade("register forward\nregister static app {\n redirect_uris https://a.example/cb\n }"), "given twice"},
		"static twice":       {facade("register static app {\n redirect_uris https://a.example/cb\n redirect_uris https://b.example/cb\n }"), "given twice"},
		"static, unset":      {facade("register static \"\" {\n redirect_uris https://a.example/cb\n }"), "unset"},
		"logto twice":        {facade("register logto {\n endpoint https://a.example\n endpoint https://b.example\n }"), "given twice"},
		"logto scopes twice": {facade("register logto {\n user_scopes a\n user_scopes b\n }"), "given twice"},
		"pushed requests":    {facade(off + "metadata pushed_authorization_request_endpoint https://a.example"), "for requests that this facade refuses"},
		"request_uri":        {facade(off + "metadata request_uri_parameter_supported true"), "for requests that this facade refuses"},
		"registration":       {facade(off + "metadata registration_endpoint https://a.example\nregister static app {\n redirect_uris https://a.example/cb\n }"), "set by the directive itself"},
		"add a request":      {facade(off + "add request_uri urn:x"), "for the client to choose"},
		"field twice":        {facade("metadata jwks_uri https://a.example\nmetadata jwks_uri https://b.example"), "given twice"},
		"field without":      {facade("metadata jwks_uri"), "a field and its value"},
		"two values":         {facade("metadata jwks_uri https://a.example https://b.example"), "takes one value"},
		"consent":            {facade("consent never"), "consent takes `upstream`"},
		"scope":              {facade("scope mcp:tools"), "scope takes `map`"},
		"scope map":          {facade("scope map mcp:tools"), "what the server calls it"},
		"add":                {facade("add audience"), "add audience https://"},
		"add twice":          {facade("add audience a\nadd audience b"), "given twice"},
		"add essential":      {facade(off + "add client_id x"), "for the client to choose"},
		"strip essential":    {facade(off + "strip code_challenge"), "part of the sign-in itself"},
		"javascript":         {facade(off + "private_schemes javascript"), "does not belong to an application"},
		"register":           {facade("register"), "register takes a registrar"},
		"register twice":     {facade("register forward\nregister forward"), "given twice"},
		"no such registrar":  {facade("register telepathy"), "telepathy"},
		"static without":     {facade(off + "register static"), "client identifier"},
		"static, no URIs":    {facade(off + "register static app"), "redirect_uris is missing"},
		"static, javascript": {facade(off + "register static app {\n redirect_uris javascript:alert(1)\n }"), "does not belong to an application"},
		"static, remote":     {facade(off + "register static app {\n redirect_uris http://a.example/\n }"), "neither https nor on loopback"},
		"static, option":     {facade("register static app {\n color blue\n }"), "unrecognized option of static"},
		"forward with more":  {facade("register forward now"), "takes nothing"},
		"logto without":      {facade(off + "register logto {\n endpoint https://t.logto.app\n }"), "machine-to-machine"},
		"logto, no endpoint": {facade(off + "register logto {\n client_id a\n client_secret b\n }"), "endpoint"},
		"logto, option":      {facade("register logto {\n color blue\n }"), "unrecognized option of logto"},
		"logto in the clear": {facade(off + "register logto {\n endpoint http://logto.example\n client_id a\n client_secret b\n }"), "not https"},
	} {
		t.Run(name, func(t *testing.T) { adapttest.Refused(t, test.site, test.want) })
	}
}
