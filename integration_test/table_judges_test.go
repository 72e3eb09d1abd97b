//go:build clients && unix

package integration_test

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

// perform has the client do the steps in one session and returns what it told of
// each.
func perform(s *seat, d driver, steps ...step) *play {
	s.t.Helper()
	p := newPlay(steps...)
	s.model.start(p)
	d.session(p)
	for _, tools := range p.offered {
		for _, tool := range tools {
			if strings.HasSuffix(tool, "table_secret") {
				s.t.Errorf("the client was shown %s", tool)
			}
		}
	}
	return p
}

// did reports whether step i was done for the user.
func (p *play) did(i int, user string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.results) > i && strings.Contains(p.results[i], p.steps[i].tool+" for "+user)
}

func (p *play) result(i int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.results) > i {
		return p.results[i]
	}
	return "(not done)"
}

var clientID = regexp.MustCompile(`/oauth/authorize\?[^"]*client_id=([^&"]*)`)

// judgeIdentity has a server that takes documents and can't fetch them: it says so
// to the user, and the client registers at the next try.
func judgeIdentity(t *testing.T, _ tableClient, s *seat, d driver) string {
	d.signIn()
	first := perform(s, d, step{tool: "table_read"})
	match := clientID.FindStringSubmatch(s.log.String())
	if match == nil {
		return no
	}
	if !strings.HasPrefix(match[1], "https") {
		if !first.did(0, "demo") {
			t.Errorf("the call: %s", first.result(0))
		}
		return "registration"
	}
	t.Logf("its document: %s", match[1])
	if f, ok := d.(forgetful); ok {
		f.forget()
	}
	d.signIn()
	if second := perform(s, d, step{tool: "table_read"}); !second.did(0, "demo") {
		t.Errorf("the call, when the document can't be had: %s", second.result(0))
	}
	return "document"
}

func judgeSignIn(t *testing.T, _ tableClient, s *seat, d driver) string {
	d.signIn()
	p := perform(s, d, step{tool: "table_read"})
	if !p.did(0, "demo") {
		t.Logf("the call: %s", p.result(0))
		return no
	}
	if s.asked("/oauth/register") == 0 {
		t.Error("it didn't register")
	}
	return yes
}

func judgeRefresh(t *testing.T, _ tableClient, s *seat, d driver) string {
	d.signIn()
	var signIns, tokens int
	p := perform(s, d, step{tool: "table_read"}, step{tool: "table_read", before: func() {
		signIns, tokens = s.signIns(), s.tokenRequests()
		time.Sleep(short + time.Second)
	}})
	if !p.did(0, "demo") || !p.did(1, "demo") || s.signIns() != signIns || s.tokenRequests() <= tokens {
		t.Logf("the calls: %s, %s; %d sign-ins, then %d", p.result(0), p.result(1), signIns, s.signIns())
		return no
	}
	return yes
}

// afterwards says what the user can do when a session didn't do step i.
func afterwards(t *testing.T, c tableClient, s *seat, d driver, p *play, i int, scopes ...string) string {
	t.Logf("the call: %s", p.result(i))
	if i > 0 && !p.did(i-1, "demo") {
		t.Errorf("the call before: %s", p.result(i-1))
	}
	if p.did(i, "demo") {
		return inSession
	}
	again := step{tool: p.steps[i].tool}
	d.signIn()
	if perform(s, d, again).did(0, "demo") {
		return signsIn
	}
	if c.scopes && len(scopes) > 0 {
		d.signIn(scopes...)
		if perform(s, d, again).did(0, "demo") {
			return named
		}
	}
	return no
}

func judgeStepUp(t *testing.T, c tableClient, s *seat, d driver) string {
	d.signIn()
	p := perform(s, d, step{tool: "table_read"}, step{tool: "table_read", before: func() {
		s.set("scopes mcp:tools", "scopes mcp:tools mcp:admin")
	}})
	return afterwards(t, c, s, d, p, 1, "mcp:tools", "mcp:admin")
}

func judgeToolStepUp(t *testing.T, c tableClient, s *seat, d driver) string {
	d.signIn()
	p := perform(s, d, step{tool: "table_read"}, step{tool: "table_delete"})
	return afterwards(t, c, s, d, p, 1, "mcp:tools", "mcp:delete")
}

func judgeOffer(t *testing.T, _ tableClient, s *seat, d driver) string {
	d.signIn()
	p := perform(s, d, step{tool: "table_delete"})
	if !p.did(0, "demo") {
		t.Logf("the call: %s", p.result(0))
		return no
	}
	return yes
}

func judgeLazy(t *testing.T, c tableClient, s *seat, d driver) string {
	p := perform(s, d, step{tool: "table_look"}, step{tool: "table_read"})
	if !p.did(0, "nobody") {
		t.Logf("the first call: %s", p.result(0))
	}
	t.Logf("the call: %s", p.result(1))
	if p.did(1, "demo") {
		return inSession
	}
	d.signIn()
	if perform(s, d, step{tool: "table_read"}).did(0, "demo") {
		return signsIn
	}
	return no
}

func judgeNewTool(t *testing.T, _ tableClient, s *seat, d driver) string {
	d.signIn()
	p := perform(s, d, step{tool: "table_read"},
		step{tool: "table_read", before: s.tools.grow}, step{tool: "table_later"})
	if p.did(2, "demo") {
		return inSession
	}
	if !p.did(1, "demo") {
		t.Errorf("the call: %s", p.result(1))
	}
	if perform(s, d, step{tool: "table_later"}).did(0, "demo") {
		return nextTime
	}
	return no
}

func judgeRestart(t *testing.T, c tableClient, s *seat, d driver) string {
	if c.memory {
		return dash
	}
	d.signIn()
	first := perform(s, d, step{tool: "table_read"})
	signIns := s.signIns()
	second := perform(s, d, step{tool: "table_read"})
	if !first.did(0, "demo") || !second.did(0, "demo") || s.signIns() != signIns {
		t.Logf("the calls: %s, %s; %d sign-ins, then %d", first.result(0), second.result(0), signIns, s.signIns())
		return no
	}
	return yes
}

func judgeServerRestart(t *testing.T, _ tableClient, s *seat, d driver) string {
	d.signIn()
	var signIns int
	p := perform(s, d, step{tool: "table_read"}, step{tool: "table_read", before: func() {
		signIns = s.signIns()
		s.restart()
	}})
	if s.signIns() != signIns {
		t.Errorf("%d sign-ins, then %d", signIns, s.signIns())
	}
	if p.did(1, "demo") {
		return yes
	}
	t.Logf("the call: %s", p.result(1))
	if perform(s, d, step{tool: "table_read"}).did(0, "demo") && s.signIns() == signIns {
		return nextTime
	}
	return no
}

func judgeRevoked(t *testing.T, c tableClient, s *seat, d driver) string {
	d.signIn()
	p := perform(s, d, step{tool: "table_read"}, step{tool: "table_read", before: func() {
		s.revoke()
		time.Sleep(short + time.Second)
	}})
	return afterwards(t, c, s, d, p, 1)
}
