package reading

// The parameters in IANA's OAuth registry and of OpenID Connect. A name that only
// folds to one of them is refused where a server could read it as that one.
var (
	authorizationParameters = []string{
		// RFC 6749, 7636, 8707, 9396, 9449
		"client_id", "client_secret", "response_type", "redirect_uri", "scope", "state",
		"code_challenge", "code_challenge_method", "resource", "audience", "authorization_details", "dpop_jkt",
		// OpenID Connect, RFC 9101
		"nonce", "display", "prompt", "max_age", "ui_locales", "claims_locales", "id_token_hint", "login_hint", "acr_values", "claims", "registration",
		"request", "request_uri", "response_mode",
	}
	tokenParameters = append([]string{
		// RFC 6749, 7636
		"grant_type", "code", "code_verifier", "refresh_token", "access_token", "username", "password",
		// RFC 7521, 7523, 8693, 8628, and OpenID Connect's backchannel
		"assertion", "client_assertion", "client_assertion_type", "requested_token_type", "subject_token", "subject_token_type",
		"actor_token", "actor_token_type", "device_code", "auth_req_id",
		// RFC 7009, 7662
		"token", "token_type_hint",
	}, authorizationParameters...)
)

// overrideParameters are the folded names of parameters that stand for another
// method to some servers.
var overrideParameters = map[string]bool{"xhttpmethodoverride": true, "httpmethodoverride": true, "xhttpmethod": true, "xmethodoverride": true}
