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
		byOperator  = "set up by the operator"
		warning     = "any program on it could pose as this application"
		stays       = "when you are away"
		noScopes    = "asks for no particular permission"
	)
	consent := func(c pages.Client) pages.Consent {
		return pages.Consent{Site: "auth.example", Client: c, User: "Alice", Email: "alice@example.com", Resource: "https://mcp.example/", Scopes: scopes}
	}
	with := func(change func(*pages.Client)) pages.Consent {
		c := honest
		change(&c)
		return consent(c)
	}
	all := everyPage()
	tests := []struct {
		name    string
		page    writer
		want    []string
		without []string
	}{
		{"a published client", consent(honest), []string{"Claude", notVerified, "as published at claude.ai", "You will be sent back to claude.ai", "https://mcp.example/", "Alice", "(alice@example.com)", "is told your name and e-mail address"}, []string{byOperator, warning, stays, noScopes}},
		{"a client of the operator", with(func(c *pages.Client) { c.Trusted = true }), []string{byOperator}, []string{notVerified, "as published"}},
		{"a client that registered itself", with(func(c *pages.Client) { c.IDHost = "" }), []string{notVerified}, []string{"as published"}},
		{"its id is never shown", with(func(c *pages.Client) { c.ID = "secret-looking-id" }), nil, []string{"secret-looking-id"}},
		{"a client on this computer", with(func(c *pages.Client) { c.Loopback, c.RedirectHost = true, "127.0.0.1:3000" }), []string{warning, "sent back to 127.0.0.1:3000", "Continue only if you just started"}, nil},
		{"a trusted one, too", with(func(c *pages.Client) { c.Loopback, c.Trusted = true, true }), []string{warning}, nil},
		{"a private-use scheme", with(func(c *pages.Client) { c.RedirectHost = "com.example.app" }), []string{"sent back to com.example.app"}, nil},
		{"permissions", consent(honest), []string{"Read your files files:read", "files:write"}, nil},
		{"offline", all["consent"], []string{stays, "Files"}, nil},
		{"an empty consent", all["consent, empty"], []string{"An unnamed application", noScopes, "is told your name."}, []string{"()", "e-mail"}},
		{"sign in for a client", all["sign in"], []string{"Claude", notVerified, "sent back to claude.ai", "Wrong password.", "Continue with Example ID", "Continue with Other"}, nil},
		{"sign in to the account", all["sign in to the account"], []string{"which applications have access"}, []string{"sent back", "An unnamed application", "Continue with", "Cancel"}},
		{"sign in, upstream only", all["sign in, upstream only"], []string{"That failed.", "Cancel"}, []string{"Password"}},
		{"an account", all["account"], []string{"Removed.", "Alice", "told your name and e-mail address", "Claude", "An unnamed application", "4 March 2026", "Read your files files:read", "None in particular"}, []string{"No application"}},
		{"an empty account", all["account, empty"], []string{"No application has access", "told your name."}, []string{"Remove access", "e-mail", "()"}},
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
				t.Error("cancelling needs the fields filled in")
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
