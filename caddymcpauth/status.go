package caddymcpauth

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/inprocess"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/pool"
)

// doors are the front doors of the running configurations.
var doors pool.Registry[*Handler]

const allDoors = ""

// status is what the front doors of a process do, without a secret.
type status struct {
	Doors   []doorStatus   `json:"doors"`
	Issuers []issuerStatus `json:"issuers"`
}

// doorStatus is a front door.
type doorStatus struct {
	Resource string   `json:"resource"`
	Issuers  []string `json:"issuers"`
	Scopes   []string `json:"scopes,omitempty"`
	// SignIn is who may sign in.
	SignIn []string `json:"sign_in"`
	// Require is what else a user has to meet, and Rules the number of other rules.
	Require   []string `json:"require,omitempty"`
	Rules     int      `json:"rules"`
	Anonymous bool     `json:"anonymous,omitempty"`
}

// issuerStatus is an authorization server, with the settings of one or more doors.
type issuerStatus struct {
	Issuer   string        `json:"issuer"`
	Metadata fetchedStatus `json:"metadata"`
	Keys     keysStatus    `json:"keys"`
	// Caches are the verdicts on its tokens.
	Caches cachesStatus `json:"caches"`
	// Down is why the issuer isn't asked about tokens now; empty if it is.
	Down string `json:"down,omitempty"`
}

// fetchedStatus is a document of an issuer.
type fetchedStatus struct {
	// Fetched is when it was last fetched. Nil means never, which is right as long as
	// nothing has needed it.
	Fetched *time.Time `json:"fetched,omitempty"`
	// Failures is how many fetches have failed since, and Error is why.
	Failures int    `json:"failures,omitempty"`
	Error    string `json:"error,omitempty"`
}

type keysStatus struct {
	fetchedStatus
	Count int `json:"count"`
}

// cachesStatus are the caches of an issuer together.
type cachesStatus struct {
	Entries int    `json:"entries"`
	Max     int    `json:"max"`
	Hits    uint64 `json:"hits"`
	Misses  uint64 `json:"misses"`
}

func (adminAPI) status(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: errors.New("use GET")}
	}
	w.Header().Set("Content-Type", "application/json")
	return json.MarshalWrite(w, currentStatus())
}

// currentStatus returns what the front doors do now. During a reload, the doors of
// two configurations may be there; the latest of a resource counts.
func currentStatus() status {
	now := status{Doors: []doorStatus{}, Issuers: []issuerStatus{}}
	for _, h := range slices.Backward(doors.All(allDoors)) {
		door := h.status()
		if !slices.ContainsFunc(now.Doors, func(other doorStatus) bool { return other.Resource == door.Resource }) {
			now.Doors = append(now.Doors, door)
		}
	}
	slices.SortFunc(now.Doors, func(a, b doorStatus) int { return strings.Compare(a.Resource, b.Resource) })
	issuerPool.Range(func(s issuerState) bool {
		known := s.Status()
		now.Issuers = append(now.Issuers, issuerStatus{
			Issuer:   s.name,
			Metadata: fetchedOf(known.Metadata.At, known.Metadata.Failures, known.Metadata.Err),
			Keys:     keysStatus{fetchedOf(known.Keys.At, known.Keys.Failures, known.Keys.Err), known.KeyCount},
		})
		return true
	})
	slices.SortFunc(now.Issuers, func(a, b issuerStatus) int { return strings.Compare(a.Issuer, b.Issuer) })
	cachePool.Range(func(s cacheState) bool {
		i := slices.IndexFunc(now.Issuers, func(iss issuerStatus) bool { return iss.Issuer == s.issuer })
		if i < 0 {
			return true // its issuer has just been released
		}
		one, all := s.Status(), &now.Issuers[i].Caches
		all.Entries += one.Entries
		all.Max += one.Max
		all.Hits += one.Hits
		all.Misses += one.Misses
		if one.Down {
			now.Issuers[i].Down = one.Err.Error()
		}
		return true
	})
	return now
}

func fetchedOf(at time.Time, failures int, err error) fetchedStatus {
	s := fetchedStatus{Failures: failures}
	if !at.IsZero() {
		s.Fetched = &at
	}
	if err != nil {
		s.Error = err.Error()
	}
	return s
}

func (h *Handler) status() doorStatus {
	return doorStatus{
		Resource:  h.Resource,
		Issuers:   h.issuerNames(),
		Scopes:    h.Scopes,
		SignIn:    h.signIn(),
		Anonymous: h.Anonymous,
		Rules:     len(h.Tools) + len(h.Prompts) + len(h.Resources) + len(h.Methods),
		Require:   h.requirements(),
	}
}

// requirements are the lines of require, in words.
func (h *Handler) requirements() (lines []string) {
	for _, need := range h.Require {
		lines = append(lines, need.String())
	}
	return lines
}

// signIn says who may sign in at the door's issuers.
func (h *Handler) signIn() []string {
	var who []string
	for _, iss := range h.Issuers {
		ways := inprocess.SignIn(iss.Issuer)
		if ways == nil {
			ways = []string{"users of " + iss.Issuer}
		}
		who = append(who, ways...)
	}
	return who
}
