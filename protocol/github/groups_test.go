package github

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// pagesOf answers with pages of so many elements each.
func pagesOf(element string, sizes ...int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var page int
		_, _ = fmt.Sscan(r.URL.Query().Get("page"), &page)
		if page < 1 || page > len(sizes) || r.URL.Query().Get("per_page") != "100" {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return
		}
		var elements []string
		for i := range sizes[page-1] {
			elements = append(elements, strings.ReplaceAll(element, "N", fmt.Sprintf("%d-%d", page, i)))
		}
		_, _ = w.Write([]byte("[" + strings.Join(elements, ",") + "]"))
	}
}

func body(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func TestGroups(t *testing.T) {
	t.Parallel()
	const team = `{"slug":"tN","name":"Team","organization":{"login":"Acme","id":1},"parent":{"slug":"x"}}`
	full := slices.Repeat([]int{100}, 12)
	for _, test := range []struct {
		name        string
		orgs, teams http.HandlerFunc
		want        []string // the first and the last; nil: an error
		count       int
		err         any // what kind of
	}{
		{"none", body(`[]`), body(`[]`), []string{}, 0, nil},
		{"organization and team", body(`[{"login":"Acme"}]`), body(`[{"slug":"maintainers","organization":{"login":"ACME"}}]`), []string{"acme", "acme/maintainers"}, 2, nil},
		{"each once", body(`[{"login":"Acme"},{"login":"acme"}]`), body(`[{"slug":"a","organization":{"login":"acme"}},{"slug":"A","organization":{"login":"Acme"}}]`), []string{"acme", "acme/a"}, 2, nil},
		{"no folding beyond ASCII", body(`[{"login":"\u212Aelvin"},{"login":"kelvin"}]`), body(`[]`), []string{"\u212Aelvin", "kelvin"}, 2, nil},
		{"pages", pagesOf(`{"login":"oN"}`, 100, 1), pagesOf(team, 100, 100, 3), []string{"o1-0", "acme/t3-2"}, 304, nil},
		{"more organizations than are read", pagesOf(`{"login":"oN"}`, full...), body(`[]`), nil, 0, new(*TooManyError)},
		{"more teams than are read", body(`[]`), pagesOf(team, full...), nil, 0, new(*TooManyError)},
		{"without the scope", status(403), body(`[]`), nil, 0, new(*StatusError)},
		{"teams without the scope", body(`[{"login":"acme"}]`), status(403), nil, 0, new(*StatusError)},
		{"teams not found", body(`[{"login":"acme"}]`), status(404), nil, 0, new(*StatusError)},
		{"a later page fails", pagesOf(`{"login":"oN"}`, 100), body(`[]`), nil, 0, new(*StatusError)},
		{"away", body(`[{"login":"acme"}]`), status(502), nil, 0, new(*StatusError)},
		{"no list", body(`[{"login":"acme"}]`), body(`{}`), nil, 0, new(*AnswerError)},
		{"cut off", body(`[{"login":"acme"}]`), body(`[{"slug":"a","organization":{"login":"acme"}}`), nil, 0, new(*AnswerError)},
		{"no login", body(`[{"id":1}]`), body(`[]`), nil, 0, new(*AnswerError)},
		{"a team without organization", body(`[]`), body(`[{"slug":"a"}]`), nil, 0, new(*AnswerError)},
		{"an organization that looks like a team", body(`[{"login":"acme/maintainers"}]`), body(`[]`), nil, 0, new(*AnswerError)},
		{"a team that looks like another's", body(`[]`), body(`[{"slug":"b/c","organization":{"login":"a"}}]`), nil, 0, new(*AnswerError)},
		{"a line break", body(`[{"login":"a\nb"}]`), body(`[]`), nil, 0, new(*AnswerError)},
	} {
		asked := 0
		client := serve(t, func(w http.ResponseWriter, r *http.Request) {
			asked++
			switch {
			case r.Header.Get("Authorization") != "Bearer gho_1" || r.Method != http.MethodGet:
				w.WriteHeader(http.StatusUnauthorized)
			case r.URL.Path == "/user/orgs":
				test.orgs(w, r)
			case r.URL.Path == "/user/teams":
				test.teams(w, r)
			default:
				w.WriteHeader(http.StatusNotFound)
			}
		})
		groups, err := client.Groups(t.Context(), "gho_1")
		switch {
		case test.want == nil:
			if err == nil || !errors.As(err, test.err) || groups != nil {
				t.Errorf("%s: got %q, %v, want an error of type %T", test.name, groups, err, test.err)
			}
			if s, ok := errors.AsType[*StatusError](err); ok && !s.IsGroups() {
				t.Errorf("%s: %v is not about groups", test.name, err)
			}
		case err != nil || len(groups) != test.count:
			t.Errorf("%s: got %d groups, %v, want %d", test.name, len(groups), err, test.count)
		case test.count > 0 && (groups[0] != test.want[0] || groups[len(groups)-1] != test.want[1]):
			t.Errorf("%s: got %q to %q, want %q", test.name, groups[0], groups[len(groups)-1], test.want)
		}
		if asked > 20 {
			t.Errorf("%s: %d requests", test.name, asked)
		}
	}
}

func TestGroupsOf(t *testing.T) {
	t.Parallel()
	groups := []string{"acme", "acme/a", "acmecorp", "other", "other/acme", "other/a"}
	for _, test := range []struct {
		of, want []string
	}{
		{[]string{"*"}, groups},
		{[]string{"Acme"}, []string{"acme", "acme/a"}},
		{[]string{"other", "none"}, []string{"other", "other/acme", "other/a"}},
		{[]string{"a"}, nil},
		{nil, nil},
	} {
		if got := GroupsOf(groups, test.of); !slices.Equal(got, test.want) {
			t.Errorf("of %q: got %q, want %q", test.of, got, test.want)
		}
	}
}

func TestCheckOrganizations(t *testing.T) {
	t.Parallel()
	for _, good := range [][]string{nil, {"*"}, {"acme"}, {"acme", "Other-1"}} {
		if err := CheckOrganizations(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range [][]string{{""}, {"*", "acme"}, {"acme/maintainers"}, {"acme*"}, {"a b"}, {"acme\n"}} {
		if CheckOrganizations(bad) == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}
