//go:build bench

package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// TestBenchAuthServer measures what the embedded authorization server costs, and
// what it leaves to the front door beside it.
func TestBenchAuthServer(t *testing.T) {
	results := new(table)
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
	}))
	defer behind.Close()
	hash, err := bcrypt.GenerateFromPassword([]byte("demo-password"), 14) // as caddy hash-password does
	if err != nil {
		t.Fatal(err)
	}
	c := startEmbedded(t, strings.TrimPrefix(behind.URL, "http://"), string(hash))
	s := &signIn{t: t, c: c, verifier: rand.Text() + rand.Text()}
	s.register()

	bare := perOp(func() { _ = bcrypt.CompareHashAndPassword(hash, []byte("demo-password")) })
	began := time.Now()
	s.password()
	results.add("signing in with a password / bcrypt of cost 14 alone", "", "%.2f x  (%.0f ms)", float64(time.Since(began))/bare, bare/1e6)

	tokens := s.tokens()
	const n = 200
	cpu, began := c.cpu(t), time.Now()
	for range n {
		tokens = s.tokens()
	}
	results.add("authorization and code, consent remembered, to tokens", "", "%.1f ms, %.1f ms CPU", ms(time.Since(began))/n, ms(c.cpu(t)-cpu)/n)

	cpu, began = c.cpu(t), time.Now()
	for range n {
		tokens = s.refresh(tokens)
	}
	wall, used := time.Since(began), c.cpu(t)-cpu
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("x"))
	sign := perOp(func() { _, _ = ecdsa.SignASN1(rand.Reader, key, digest[:]) })
	results.add("a refresh", "", "%.1f ms, %.2f ms CPU  (an ES256 signature alone: %.3f ms)", ms(wall)/n, ms(used)/n, sign/1e6)

	// Bearer checking beside guesses, by strangers who never stop.
	quiet, one, many := new(turn), new(turn), new(turn)
	known := []string{tokens.Access}
	c.warm(t, "embedded", known)
	// The first guesses of an address are free, as for people who mistype.
	for range 25 {
		s.guess(t.Context(), 0)
	}
	for range rounds {
		quiet.add(c.load(t, "embedded", known))
		one.add(s.beside(1, func() *turn { return c.load(t, "embedded", known) }))
		many.add(s.beside(200, func() *turn { return c.load(t, "embedded", known) }))
	}
	results.add("bearer requests per second beside 20 password guesses a second from one address", ">= 0.90 x", "%.2f x", one.rate()/quiet.rate())
	results.add("the same from 200 addresses: one processor of these two is busy with bcrypt", "", "%.2f x", many.rate()/quiet.rate())
	results.add("p99 then", "", "%.2f x, %.2f x", one.quantile(0.99)/quiet.quantile(0.99), many.quantile(0.99)/quiet.quantile(0.99))
	results.print()
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func startEmbedded(t *testing.T, upstream, hash string) *caddyProcess {
	t.Helper()
	c := buildCaddy(t)
	c.text = fmt.Sprintf(`{
		admin %[1]s
		default_bind 127.0.0.1
	}
	%[2]s {
		mcp_auth_server %[2]s {
			resource %[2]s/mcp
			scopes mcp:tools
			users {
				demo %[3]s
			}
		}
		mcp_auth /mcp* %[2]s/mcp {
			issuer %[2]s
			scopes mcp:tools
		}
		reverse_proxy %[4]s
	}
	`, c.admin, c.url, hash, upstream)
	c.start(t)
	return c
}

// signIn is a client and its user.
type signIn struct {
	t        *testing.T
	c        *caddyProcess
	browser  *http.Client
	id       string
	verifier string
}

// redirectURI leads to a web site: a program on the user's computer is asked about each time.
const redirectURI = "https://client.example/callback"

func (s *signIn) register() {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.browser = &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	body := `{"redirect_uris":["` + redirectURI + `"],"token_endpoint_auth_method":"none"}`
	resp, err := http.Post(s.c.url+"/oauth/register", "application/json", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		ID string `json:"client_id"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.ID == "" {
		s.t.Fatalf("registering: %d %v", resp.StatusCode, err)
	}
	s.id = answer.ID
}

func (s *signIn) authorizationURL() string {
	sum := sha256.Sum256([]byte(s.verifier))
	return s.c.url + "/oauth/authorize?" + url.Values{
		"response_type":         {"code"},
		"client_id":             {s.id},
		"redirect_uri":          {redirectURI},
		"code_challenge":        {base64.RawURLEncoding.EncodeToString(sum[:])},
		"code_challenge_method": {"S256"},
	}.Encode()
}

var requestField = regexp.MustCompile(`name="request" value="([^"]+)"`)

// ask returns the page, its sealed field, and where it redirects to.
func (s *signIn) ask(req *http.Request) (field, location string) {
	resp, err := s.browser.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if match := requestField.FindSubmatch(body); match != nil {
		field = string(match[1])
	}
	return field, resp.Header.Get("Location")
}

func (s *signIn) get(address string) (string, string) {
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.ask(req)
}

func (s *signIn) post(path string, form url.Values) (string, string) {
	req, err := http.NewRequest(http.MethodPost, s.c.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return s.ask(req)
}

// password signs the user in and has them consent.
func (s *signIn) password() {
	field, _ := s.get(s.authorizationURL())
	_, location := s.post("/oauth/signin", url.Values{"request": {field}, "decision": {"signin"}, "username": {"demo"}, "password": {"demo-password"}})
	field, _ = s.get(s.c.url + location)
	if _, location = s.post("/oauth/consent", url.Values{"request": {field}, "decision": {"allow"}}); !strings.Contains(location, "code=") {
		s.t.Fatalf("signing in ended at %q", location)
	}
}

type tokenPair struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

func (s *signIn) token(form url.Values) tokenPair {
	form.Set("client_id", s.id)
	resp, err := s.c.client.PostForm(s.c.url+"/oauth/token", form)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var pair tokenPair
	if err := json.NewDecoder(resp.Body).Decode(&pair); err != nil || pair.Refresh == "" {
		s.t.Fatalf("the token endpoint answered %d, %v", resp.StatusCode, err)
	}
	return pair
}

// tokens gets tokens for the user, who is signed in and has consented.
func (s *signIn) tokens() tokenPair {
	_, location := s.get(s.authorizationURL())
	u, err := url.Parse(location)
	if err != nil || u.Query().Get("code") == "" {
		s.t.Fatalf("authorization ended at %q", location)
	}
	return s.token(url.Values{"grant_type": {"authorization_code"}, "code": {u.Query().Get("code")}, "code_verifier": {s.verifier}})
}

func (s *signIn) refresh(pair tokenPair) tokenPair {
	return s.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {pair.Refresh}})
}

// beside measures while passwords are guessed from a number of addresses, 20 a
// second: faster, and the guesses as such would be what is measured, which share
// the processors with the server.
func (s *signIn) beside(addresses int, measure func() *turn) *turn {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var next atomic.Int64
	for range 20 {
		wg.Go(func() {
			for tick := time.NewTicker(time.Second); ; {
				s.guess(ctx, int(next.Add(1))%addresses)
				select {
				case <-tick.C:
				case <-ctx.Done():
					tick.Stop()
					return
				}
			}
		})
	}
	result := measure()
	cancel()
	wg.Wait()
	return result
}

// guess tries a password from 127.0.1.x, as a stranger with a browser.
func (s *signIn) guess(ctx context.Context, i int) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i))}}
	transport := &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return
	}
	browser := &http.Client{Transport: transport, Jar: jar}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.authorizationURL(), nil)
	if err != nil {
		return
	}
	resp, err := browser.Do(req)
	if err != nil {
		return
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	match := requestField.FindSubmatch(body)
	if match == nil {
		return
	}
	form := url.Values{"request": {string(match[1])}, "decision": {"signin"}, "username": {rand.Text()}, "password": {"guess"}}
	req, err = http.NewRequestWithContext(ctx, http.MethodPost, s.c.url+"/oauth/signin", strings.NewReader(form.Encode()))
	if err != nil {
		return
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if resp, err = browser.Do(req); err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}
