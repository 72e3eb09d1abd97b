package pages_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pages"
)

func TestWhatIsSaid(t *testing.T) {
	t.Parallel()
	const (
		notVerified = "The name is not verified."
		byOperator  = "The operator of this server set up this application."
		hint        = "Other programs on this computer could pose as it."
		question    = "Do you know this web site?"
		letters     = "letters of another alphabet"
		stays       = "while you are away"
		noScopes    = "asks for no particular permission"
	)
	server := pages.Server{URL: "https://mcp.example/files"}
	consent := func(c pages.Client) pages.Consent {
		return pages.Consent{Site: "auth.example", Client: c, User: "Alice", Email: "alice@example.com", Server: server, Scopes: scopes}
	}
	with := func(change func(*pages.Client)) pages.Consent {
		c := honest
		change(&c)
		return consent(c)
	}
	unknown := consent(honest)
	unknown.New = true
	all := everyPage()
	tests := []struct {
		name    string
		page    writer
		want    []string
		without []string
	}{
		{"a published client", consent(honest), []string{"Claude", "The application calls itself that, as published at claude.ai. " + notVerified, "You will be sent back to claude.ai", "mcp.example/files", "Alice", "(alice@example.com)", "is told your name and e-mail address"}, []string{byOperator, hint, question, stays, noScopes, letters}},
		{"a web site that the user doesn't know yet", unknown, []string{question, "You have not allowed it access before."}, []string{hint}},
		{"a client of the operator", with(func(c *pages.Client) { c.Trusted = true }), []string{byOperator}, []string{notVerified, "as published"}},
		{"a client that registered itself", with(func(c *pages.Client) { c.IDHost = "" }), []string{notVerified}, []string{"as published"}},
		{"a client without a name", with(func(c *pages.Client) { c.Name = "\u200b" }), []string{"An unnamed application", "gave no name. It is published at claude.ai."}, []string{"calls itself", notVerified}},
		{"a client with nothing", with(func(c *pages.Client) { *c = pages.Client{RedirectHost: "claude.ai"} }), []string{"An unnamed application", "The application gave no name. You"}, []string{"calls itself", "published"}},
		{"a client on this computer", with(func(c *pages.Client) { c.Loopback, c.RedirectHost = true, "127.0.0.1" }), []string{hint, "sent back to a program on this computer (127.0.0.1)", "Continue only if you just started"}, []string{question}},
		{"one of the operator's, too", with(func(c *pages.Client) { c.Loopback, c.Trusted = true, true }), []string{hint}, nil},
		{"a private-use scheme", with(func(c *pages.Client) { c.RedirectHost, c.PrivateScheme = "com.example.app:", true }), []string{hint, "an application on this device (the one that opens com.example.app: links)"}, []string{question}},
		{"other letters", with(func(c *pages.Client) { c.RedirectHost = "login.xn--pple-43d.com" }), []string{"login.xn--pple-43d.com", letters}, nil},
		{"a server with a name", all["consent"], []string{"MCP server Files https://mcp.example/files"}, nil},
		{"a server without one", consent(honest), []string{"MCP server mcp.example/files What"}, []string{"https://mcp.example/files"}},
		{"permissions", consent(honest), []string{"Read your files files:read", "files:write"}, nil},
		{"not offline", pages.Consent{Client: honest, Ends: "15 minutes"}, []string{"Its access ends after 15 minutes, unless you sign in from it again."}, []string{stays}},
		{"offline", all["consent"], []string{stays, "Files"}, nil},
		{"allowed before", all["consent, again"], []string{"Continue to Editor?", "You allowed this before.", hint, "The MCP server is told your name."}, []string{"If you allow", notVerified}},
		{"an empty consent", all["consent, empty"], []string{"An unnamed application", noScopes, "is told your name."}, []string{"()", "e-mail"}},
		{"sign in for a client", all["sign in"], []string{"Claude asks you to sign in, to use Files https://mcp.example/files.", notVerified, "sent back to claude.ai", "Wrong password.", "Continue with Example ID", "Continue with Other"}, nil},
		{"sign in to the account", all["sign in to the account"], []string{"which applications may act for you"}, []string{"sent back", "An unnamed application", "Continue with", "Cancel", "MCP server"}},
		{"sign in, upstream only", all["sign in, upstream only"], []string{"That failed.", "Cancel"}, []string{"Password"}},
		{"leaving for a web site", all["leave"], []string{"sent back to claude.ai", question}, []string{hint}},
		{"leaving for a program", all["leave, here"], []string{"a program on this computer (127.0.0.1)", hint}, []string{question}},
		{"an account", all["account"], []string{"Removed.", "Alice", "told your name and e-mail address", "Claude", "An unnamed application", "4 March 2026", "Read your files files:read", "None in particular", "Sign out everywhere", "Applications keep their access"}, []string{"No application"}},
		{"an empty account", all["account, empty"], []string{"No application may act for you", "told your name."}, []string{"Remove access", "e-mail", "()"}},
		{"days never known", pages.Account{Site: "s", Access: []pages.Access{{Client: honest}}}, nil, []string{"Allowed on", "Last used", "0001"}},
		{"days in UTC", pages.Account{Site: "s", Access: []pages.Access{{Client: honest, Since: time.Date(2026, 1, 1, 0, 30, 0, 0, time.FixedZone("", 3600))}}}, []string{"31 December 2025"}, nil},
		{"a message", all["message"], []string{"The request has expired.", "Start again.", "invalid_request: expired", "Your account"}, nil},
		{"an empty message", all["message, empty"], []string{"You are signed out."}, []string{"Detail", "Continue"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := get(t, tt.page, http.StatusOK).text()
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("got %q, want %q in it", got, want)
				}
			}
			for _, unwanted := range tt.without {
				if strings.Contains(got, unwanted) {
					t.Errorf("got %q, want no %q in it", got, unwanted)
				}
			}
		})
	}
}

func TestSignInFields(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		page   pages.SignIn
		focus  string // the field that has it
		failed bool
		user   string
	}{
		{name: "first", page: pages.SignIn{Local: true}, focus: "username"},
		{name: "again", page: pages.SignIn{Local: true, Username: "alice", Error: "Wrong."}, focus: "password", failed: true, user: "alice"},
		{name: "again, without a name", page: pages.SignIn{Local: true, Error: "Wrong."}, focus: "username", failed: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.page.Site, tt.page.Client = "auth.example", &honest
			got := get(t, tt.page, http.StatusOK)
			focus := got.with("autofocus", "")
			if len(focus) != 1 {
				t.Fatalf("%d fields have the focus, want 1", len(focus))
			}
			if name, _ := attr(focus[0], "name"); name != tt.focus {
				t.Errorf("got the focus on %s, want %s", name, tt.focus)
			}
			user, password := got.with("name", "username")[0], got.with("name", "password")[0]
			if value, _ := attr(user, "value"); value != tt.user {
				t.Errorf("got user name %q, want %q", value, tt.user)
			}
			if kind, _ := attr(password, "type"); kind != "password" {
				t.Errorf("got type %q of the password", kind)
			}
			if _, ok := attr(password, "value"); ok {
				t.Error("the password has a value")
			}
			for n, want := range map[string]string{"username": "username", "password": "current-password"} {
				field := got.with("name", n)[0]
				if complete, _ := attr(field, "autocomplete"); complete != want {
					t.Errorf("got autocomplete %q of %s, want %q", complete, n, want)
				}
				if by, _ := attr(field, "aria-describedby"); (by == "error") != tt.failed {
					t.Errorf("%s is described by %q", n, by)
				}
			}
			if alerts := got.with("role", "alert"); (len(alerts) == 1) != tt.failed {
				t.Errorf("got %d alerts", len(alerts))
			}
			// Who gives up need not fill in the form.
			if _, ok := attr(got.with("value", "cancel")[0], "formnovalidate"); !ok {
				t.Error("canceling needs the fields filled in")
			}
		})
	}
}

func TestRolesOfNotes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		page   writer
		status int
		role   string
		want   int
	}{
		{"an error is an alert", pages.Message{Title: "T", Text: "x"}, 400, "alert", 1},
		{"a plain message is none", pages.Message{Title: "T", Text: "x"}, 200, "alert", 0},
		{"what was done is a status", pages.Account{Done: "x"}, 200, "status", 1},
		{"nothing was done", pages.Account{}, 200, "status", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := get(t, tt.page, tt.status).with("role", tt.role); len(got) != tt.want {
				t.Errorf("got %d elements of role %s, want %d", len(got), tt.role, tt.want)
			}
		})
	}
}

func TestRevokeButtonNamesTheClient(t *testing.T) {
	t.Parallel()
	got := get(t, everyPage()["account"], http.StatusOK)
	for id, want := range map[string]string{"a1": "Remove access of Claude", "a2": "Remove access of An unnamed application"} {
		if label, _ := attr(got.with("value", id)[0], "aria-label"); label != want {
			t.Errorf("got label %q, want %q", label, want)
		}
	}
}
