package integration_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/oauth2"
)

// Every query of the dashboard asks for metrics that there are, by labels that they
// have.
func TestDashboard(t *testing.T) {
	t.Parallel()
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Mcp-Session-Id", "one")
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{"content":[]}}`)
	}))
	t.Cleanup(behind.Close)
	f := startFakeIssuer(t)
	c := startEmbedded(t, strings.Replace(embedded, `	mcp_auth /mcp* SITE/mcp {
		issuer SITE
		scopes mcp:tools
	}
	mcp_whoami /mcp*
`, `	mcp_auth /mcp* SITE/mcp {
		issuer SITE
		issuer `+f.Issuer()+`
		tools *
	}
	reverse_proxy /mcp* `+behind.Listener.Addr().String()+`
`, 1))
	p := c.person(t)
	verifier := oauth2.GenerateVerifier()
	config := oauth2.Config{ClientID: "desk", RedirectURL: "http://127.0.0.1/callback", Endpoint: oauth2.Endpoint{AuthURL: c.URL + "/oauth/authorize"}, Scopes: []string{"mcp:tools"}}
	if q := p.allow(config.AuthCodeURL("s", oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("resource", c.URL+"/mcp")), "ada"); q.Get("code") == "" {
		t.Fatalf("got %v", q)
	}
	c.do("POST", "/oauth/token", "grant_type=x", "Content-Type", "application/x-www-form-urlencoded")
	c.do("POST", "/mcp", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}`, "Authorization", "Bearer "+f.token(c, nil), "Content-Type", "application/json", "Accept", "application/json")

	text, err := os.ReadFile(filepath.Join("..", "docs", "grafana.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil || len(dashboard.Panels) < 5 {
		t.Fatalf("got %d panels, %v", len(dashboard.Panels), err)
	}
	metrics := c.scrape()
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			names := metricName.FindAllString(target.Expr, -1)
			if len(names) == 0 {
				t.Errorf("%s: no metric in %s", panel.Title, target.Expr)
			}
			for _, name := range names {
				labels, found := metrics[name]
				if !found {
					t.Errorf("%s: there is no %s", panel.Title, name)
				}
				for _, group := range grouping.FindAllStringSubmatch(target.Expr, -1) {
					for label := range strings.SplitSeq(group[1], ", ") {
						if found && !slices.Contains(labels, label) {
							t.Errorf("%s: %s has no label %s, only %v", panel.Title, name, label, labels)
						}
					}
				}
			}
		}
	}
}

var (
	metricName = regexp.MustCompile(`caddy_[a-z_]+`)
	grouping   = regexp.MustCompile(`by \(([^)]*)\)`)
	sample     = regexp.MustCompile(`(?m)^(caddy_[a-z_]+)\{([^}]*)\}`)
	labelName  = regexp.MustCompile(`([a-z_]+)="`)
)

// scrape returns the labels of every metric, by its name.
func (c *caddyServer) scrape() map[string][]string {
	c.t.Helper()
	resp, err := http.Get("http://" + c.admin + "/metrics")
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	metrics := make(map[string][]string)
	for _, match := range sample.FindAllStringSubmatch(string(text), -1) {
		for _, label := range labelName.FindAllStringSubmatch(match[2], -1) {
			if !slices.Contains(metrics[match[1]], label[1]) {
				metrics[match[1]] = append(metrics[match[1]], label[1])
			}
		}
	}
	return metrics
}
