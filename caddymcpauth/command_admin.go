package caddymcpauth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/discovery"
)

// adminHelp is what the commands that ask the running Caddy have in common.
const adminHelp = `
--address
    The address of the admin API, if it is not the default and --config isn't used.

--config, --adapter
    A configuration that says where the admin API is, and the name of its adapter.

--json
    Prints the answer as JSON.
`

func adminFlags(cmd *cobra.Command) {
	cmd.Flags().String("address", "", "Address of the administration API listener (if --config is not used)")
	cmd.Flags().StringP("config", "c", "", "Configuration file (if --address is not used)")
	cmd.Flags().StringP("adapter", "a", "", "Name of config adapter to apply (if --config is used)")
	cmd.Flags().Bool("json", false, "Print the answer as JSON")
	cmd.SetFlagErrorFunc(usageError)
}

// maxAdminAnswer bounds an answer of the admin API.
const maxAdminAnswer = 64 << 20

// askAdmin sends a request to the admin API of the running Caddy. body may be nil.
func askAdmin(cmd *cobra.Command, method, path string, body, answer any) error {
	address, _ := cmd.Flags().GetString("address")
	config, _ := cmd.Flags().GetString("config")
	adapter, _ := cmd.Flags().GetString("adapter")
	address, err := caddycmd.DetermineAdminAPIAddress(address, nil, config, adapter)
	if err != nil {
		return fmt.Errorf("couldn't determine admin API address: %w", err)
	}
	var sent io.Reader
	header := make(http.Header)
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		sent = bytes.NewReader(b)
		header.Set("Content-Type", "application/json")
	}
	resp, err := caddycmd.AdminAPIRequest(address, method, path, header, sent)
	if err != nil {
		return fmt.Errorf("asking the admin API of the running Caddy: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAdminAnswer))
	if err != nil {
		return err
	}
	return json.Unmarshal(b, answer)
}

// printJSON prints an answer for programs.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// maxCell bounds a cell of a table. The identifiers of clients that registered
// themselves are long.
const maxCell = 40

// cell returns s as it is shown in a table. Names of clients are anyone's choice, and
// must not control the terminal.
func cell(s string) string {
	quoted := discovery.Quote(s)
	if quoted == `"`+s+`"` {
		quoted = s
	}
	if runes := []rune(quoted); len(runes) > maxCell {
		return string(runes[:maxCell-1]) + "…"
	}
	return quoted
}

// table prints rows in columns.
func (p *printer) table(rows [][]string) {
	var widths []int
	for _, row := range rows {
		for i, text := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], len([]rune(text)))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, text := range row {
			line.WriteString(text + strings.Repeat(" ", widths[i]-len([]rune(text))+2))
		}
		p.printf("%s\n", strings.TrimRight(line.String(), " "))
	}
}

// ago says how long ago t was.
func ago(t *time.Time, now time.Time) string {
	if t == nil || t.IsZero() {
		return "never"
	}
	return now.Sub(*t).Round(time.Second).String() + " ago"
}
