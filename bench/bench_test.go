//go:build bench

// Package bench measures what the front door costs, as ratios within one run:
// `make bench`. See README.md.
package bench

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"text/tabwriter"
)

// row is a line of the table.
type row struct{ what, measured, goal string }

// table collects what was measured.
type table struct{ rows []row }

func (t *table) add(what, goal, format string, args ...any) {
	t.rows = append(t.rows, row{what, fmt.Sprintf(format, args...), goal})
}

func (t *table) print() {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "what\tmeasured\tgoal")
	fmt.Fprintln(w, strings.Repeat("-", 40)+"\t--------\t----")
	for _, r := range t.rows {
		fmt.Fprintf(w, "%s\t%s\t%s\n", r.what, r.measured, r.goal)
	}
	w.Flush()
}

// TestBench measures everything and prints one table. Nothing in it fails for
// being slow: machines are shared and noisy.
func TestBench(t *testing.T) {
	results := new(table)
	t.Run("verification", func(t *testing.T) { measureVerification(t, results) })
	t.Run("memory", func(t *testing.T) { measureMemory(t, results) })
	t.Run("calls", func(t *testing.T) { measureCalls(t, results) })
	t.Run("caddy", func(t *testing.T) { measureCaddy(t, results) })
	t.Run("policy", func(t *testing.T) { measurePolicy(t, results) })
	t.Run("proofs", func(t *testing.T) { measureProofs(t, results) })
	t.Run("assertion", func(t *testing.T) { measureAssertion(t, results) })
	t.Run("sessions", func(t *testing.T) { measureSessions(t, results) })
	t.Run("exchange", func(t *testing.T) { measureExchange(t, results) })
	results.print()
}
