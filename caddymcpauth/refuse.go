package caddymcpauth

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/mcp"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/policy"
)

// Refusal says how a call that lacks a scope is answered. It affects only the form of
// the answer. The decision doesn't depend on the client's name, which any client can
// choose.
type Refusal struct {
	// `challenge`: 403 with the scopes to ask for, on which clients that can step
	// up sign the user in again. `error`: 200 with a JSON-RPC error, which every
	// client shows. `result`: 200 with a result of the tool that is an error and has
	// the challenge in `_meta`, on which ChatGPT asks its user to sign in, also where
	// there is no token; what isn't a call of a tool gets the challenge.
	As string `json:"as"`

	// The clients, by their User-Agent. A * stands for any run of characters; case
	// matters. Default: all.
	For []string `json:"for,omitempty"`
}

// The ways to refuse.
const (
	refuseAsChallenge = "challenge"
	refuseAsError     = "error"
	refuseAsResult    = "result"
)

// checkRefuse finds ways to refuse that no client could ever get.
func checkRefuse(list []Refusal) error {
	var seen []string
	for i, ref := range list {
		if !slices.Contains([]string{refuseAsChallenge, refuseAsError, refuseAsResult}, ref.As) {
			return fmt.Errorf("refuse takes challenge, error or result, not %q", ref.As)
		}
		if i > 0 && len(list[i-1].For) == 0 {
			return fmt.Errorf("refuse %s never gets there, for refuse %s before it is for every client: write the one without `for` last, and once", ref.As, list[i-1].As)
		}
		for _, agent := range ref.For {
			switch {
			case agent == "":
				return fmt.Errorf("refuse %s for an empty name: is an environment variable not set?", ref.As)
			case slices.Contains(seen, agent):
				return fmt.Errorf("refuse for %s is given twice: the first one decides, so keep one", agent)
			}
			seen = append(seen, agent)
		}
	}
	return nil
}

// refusesAs returns how the client that sent r is told what it lacks.
func (h *Handler) refusesAs(r *http.Request) string {
	agent := r.UserAgent()
	for _, ref := range h.Refuse {
		if len(ref.For) == 0 || slices.ContainsFunc(ref.For, func(glob string) bool { return policy.Match(glob, agent) }) {
			return ref.As
		}
	}
	return refuseAsChallenge
}

// say puts ref, which is about a missing scope or token, in the form that the
// client understands.
func (h *Handler) say(ref *refusal, r *http.Request, j *operation) {
	switch as := h.refusesAs(r); {
	case as == refuseAsResult && j.message.Method == "tools/call":
		ref.result = h.challengingResult(ref, j.message)
		ref.status, ref.rpc, ref.challenge = http.StatusOK, 0, false
	case as == refuseAsError && j.decision.Outcome == policy.LacksScope:
		ref.status, ref.challenge = http.StatusOK, false
	}
}

// challengingResult is the result of a tool that ChatGPT takes for a challenge
// (OpenAI, Apps SDK, authentication). It looks for error and error_description in
// it, also if there was no token.
func (h *Handler) challengingResult(ref *refusal, m *mcp.Message) json.RawMessage {
	said := refuseScope().about(ref.scopes)
	if ref.status == http.StatusUnauthorized {
		said.sentence = "Sign in to use this tool."
	}
	type content struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	result := struct {
		ResultType string              `json:"resultType,omitempty"`
		Content    []content           `json:"content"`
		IsError    bool                `json:"isError"`
		Meta       map[string][]string `json:"_meta"`
	}{
		Content: []content{{"text", ref.sentence}},
		IsError: true,
		Meta:    map[string][]string{"mcp/www_authenticate": {h.challenge(said)}},
	}
	if m.Version != "" {
		result.ResultType = "complete"
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(result) // only strings, which can be encoded
	return json.RawMessage(strings.TrimSpace(b.String()))
}
