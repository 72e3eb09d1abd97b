//go:build clients && unix

package integration_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// write writes a file of the client's home.
func (s *seat) write(name string, v any) {
	s.t.Helper()
	b, ok := v.(string)
	if !ok {
		text, err := json.MarshalIndent(v, "", "\t")
		if err != nil {
			s.t.Fatal(err)
		}
		b = string(text)
	}
	file := filepath.Join(s.home, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(b), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// each makes the calls of a play one by one.
func (p *play) each(call func(tool string) string) {
	for i, step := range p.steps {
		p.begin(i)
		p.results = append(p.results, call(step.tool))
	}
}

// mcporter starts again for each call.
type mcporter struct{ *seat }

func sitMCPorter(s *seat) driver {
	s.write("work/config/mcporter.json", object{"imports": []string{}, "mcpServers": object{"table": object{"baseUrl": s.URL + "/mcp"}}})
	return mcporter{s}
}

func (m mcporter) signIn(...string) { m.run(nil, "mcporter", "auth", "table") }

func (m mcporter) session(p *play) {
	p.each(func(tool string) string { return m.run(nil, "mcporter", "call", "table."+tool) })
}

// mcpc has a process that keeps the session.
type mcpc struct{ *seat }

func sitMCPC(s *seat) driver { return mcpc{s} }

func (m mcpc) signIn(scopes ...string) {
	args := []string{"login", m.URL + "/mcp"}
	if len(scopes) > 0 {
		args = append(args, "--scope", strings.Join(scopes, " "))
	}
	m.run(nil, "mcpc", args...)
}

func (m mcpc) session(p *play) {
	m.run(nil, "mcpc", "connect", m.URL+"/mcp", "@table")
	p.each(func(tool string) string { return m.run(nil, "mcpc", "@table", "tools-call", tool) })
	m.run(nil, "mcpc", "close", "@table")
	if log, err := os.ReadFile(filepath.Join(m.home, ".mcpc", "logs", "bridge-@table.log")); err == nil {
		fmt.Fprintf(m.printed, "its log:\n%s\n", log)
	}
}
