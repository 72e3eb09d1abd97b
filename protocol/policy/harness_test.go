package policy_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/policy"
)

// words splits a rule as a Caddyfile does: at blanks, but not inside quotes.
func words(text string) (list []policy.Word) {
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		if q := text[0]; q == '`' || q == '"' {
			word, rest, _ := strings.Cut(text[1:], string(q))
			list, text = append(list, policy.Word{Text: word, Quoted: true}), rest
			continue
		}
		word, rest, _ := strings.Cut(text, " ")
		list, text = append(list, policy.Word{Text: word}), rest
	}
	return list
}

// parse reads rules, one a line.
func parse(text string) (rules policy.Rules, err error) {
	for rule := range strings.Lines(text) {
		if rule = strings.TrimSpace(rule); rule == "" {
			continue
		}
		kind, rest, _ := strings.Cut(rule, " ")
		if kind == "require" {
			need, err := policy.ParseNeed(words(rest))
			if err != nil {
				return rules, err
			}
			rules.Require = append(rules.Require, need)
			continue
		}
		line, err := policy.ParseLine(words(rest))
		if err != nil {
			return rules, err
		}
		list := map[string]*[]policy.Line{"tools": &rules.Tools, "prompts": &rules.Prompts, "resources": &rules.Resources, "methods": &rules.Methods}[kind]
		*list = append(*list, line)
	}
	return rules, nil
}

func compile(tb testing.TB, text string) *policy.Policy {
	tb.Helper()
	rules, err := parse(text)
	if err != nil {
		tb.Fatalf("parsing %s: %v", text, err)
	}
	p, _, err := policy.Compile(rules)
	if err != nil {
		tb.Fatalf("compiling %s: %v", text, err)
	}
	return p
}

// claims are a JSON object.
type claims string

func (c claims) Object() []byte { return []byte(c) }

func (c claims) Claim(name string) []byte {
	var object map[string]json.RawMessage
	_ = json.Unmarshal([]byte(c), &object)
	return object[name]
}

// The callers of the tables.
func user(scopes ...string) *policy.Caller {
	return &policy.Caller{
		Subject: "alice", Issuer: "https://auth.example.com",
		ClientID: func() string { return "https://claude.ai/oauth/client" },
		Scopes:   scopes,
		Claims:   claims(`{"sub":"alice","tenant":"acme","groups":["staff","admins"],"level":9007199254740993,"big":5.0,"on":true,"nothing":null,"empty":[],"odd":[{"a":1},"x"],"object":{"a":1}}`),
	}
}

// bare is a user whose token says nothing but who it is.
func bare(scopes ...string) *policy.Caller {
	return &policy.Caller{Subject: "bob", Issuer: "https://auth.example.com", Scopes: scopes, Claims: claims(`{"sub":"bob"}`)}
}

func key(scopes ...string) *policy.Caller {
	return &policy.Caller{
		Key: "ci", Subject: "ci", Issuer: "https://mcp.example.com/mcp",
		ClientID: func() string { return "ci" },
		Scopes:   scopes,
		Claims:   claims(`{"sub":"ci","team":"build"}`),
	}
}

func nobody() *policy.Caller { return &policy.Caller{Anonymous: true} }

// The messages of the tables.
func call(name string) *mcp.Message { return callWith(name, "") }

func callWith(name, arguments string) *mcp.Message {
	m := &mcp.Message{Method: "tools/call", Kind: mcp.Tool, Name: name}
	if arguments != "" {
		m.Arguments = json.RawMessage(arguments)
	}
	return m
}

func read(uri string) *mcp.Message {
	return &mcp.Message{Method: "resources/read", Kind: mcp.Resource, Name: uri}
}

func prompt(name string) *mcp.Message {
	return &mcp.Message{Method: "prompts/get", Kind: mcp.Prompt, Name: name}
}

func complete(kind mcp.Kind, name string) *mcp.Message {
	return &mcp.Message{Method: "completion/complete", Kind: kind, Name: name, Completes: true}
}

func listen(uris ...string) *mcp.Message {
	return &mcp.Message{Method: "subscriptions/listen", URIs: uris}
}

func method(name string) *mcp.Message {
	m := &mcp.Message{Method: name}
	if strings.HasPrefix(name, "notifications/") {
		m.Form = mcp.Notification
	}
	if strings.HasPrefix(name, "tasks/") {
		m.Kind, m.Name = mcp.Task, "7"
	}
	return m
}

// result is what the tables expect of a decision: the outcome, the reason, and what
// is needed.
func result(d policy.Decision) string {
	s := d.Outcome.String() + " " + string(d.Reason)
	if d.Need != nil {
		s += " [" + strings.Join(d.Need, " ") + "]"
	}
	return s
}
