//go:build clients && unix

package integration_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The table stands between these lines.
const tableBegin, tableEnd = "<!-- make test-clients: begin -->\n", "<!-- make test-clients: end -->\n"

func splitTable(t *testing.T, text string) (before, after string) {
	t.Helper()
	begin, end := strings.Index(text, tableBegin), strings.Index(text, tableEnd)
	if begin < 0 || end < begin {
		t.Fatal("docs/clients.md has no place for the table")
	}
	return text[:begin+len(tableBegin)], text[end:]
}

var rowName = regexp.MustCompile(`^(.*?)(?: \d[\w.]*)?$`)

// readTable returns the cells by row and column.
func readTable(t *testing.T, text string) map[string]map[string]string {
	t.Helper()
	before, after := splitTable(t, text)
	rows := make(map[string]map[string]string)
	var head []string
	for line := range strings.Lines(text[len(before) : len(text)-len(after)]) {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if head == nil {
			head = cells
			continue
		}
		row := make(map[string]string)
		for i := 1; i < min(len(cells), len(head)); i++ {
			row[head[i]] = cells[i]
		}
		rows[rowName.FindStringSubmatch(cells[0])[1]] = row
	}
	return rows
}

// replaceTable writes the table into the file, which may have been edited since it
// was read.
func replaceTable(t *testing.T, file, table string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, after := splitTable(t, string(text))
	if err := os.WriteFile(file, []byte(before+table+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

func writeTable(t *testing.T, seen map[string]map[string]string) string {
	t.Helper()
	var b strings.Builder
	names := []string{"client"}
	for _, column := range columns {
		names = append(names, column.name)
	}
	fmt.Fprintf(&b, "\nRun on %s.\n\n", time.Now().UTC().Format("2006-01-02"))
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(names, " | "), strings.Repeat("---|", len(names)))
	for _, c := range tableClients {
		cells := []string{strings.TrimSpace(c.name + " " + clientVersion(t, c))}
		for _, column := range columns {
			cells = append(cells, seen[c.name][column.name])
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
	}
	b.WriteString("\n")
	return b.String()
}

var pinned = regexp.MustCompile(`(?m)^\s*"?([^"\s]+)"?:? "?v?(\d[\w.]*)`)

// clientVersion returns the version of the client that is installed here.
func clientVersion(t *testing.T, c tableClient) string {
	t.Helper()
	for _, file := range []string{filepath.Join(clientsDir, "package.json"), filepath.Join(nodeDir, "package.json"), filepath.Join("..", "go.mod")} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range pinned.FindAllStringSubmatch(string(text), -1) {
			if match[1] == c.pkg {
				return match[2]
			}
		}
	}
	t.Errorf("nothing says which version of %s is installed", c.name)
	return ""
}
