#!/bin/sh
# MCP Inspector's CLI without a human: browser.mjs is its browser.
#
#   ./inspector.sh <mcp-url> --protocol-era legacy|auto|modern --method tools/call --tool-name whoami
#                  [--client-metadata-url URL] [--header "Authorization: Bearer T"] [any other option of the CLI]
#
# Exits 0 when the method was answered, with the answer on stdout. BROWSER_USER
# and its like reach browser.mjs. INSPECTOR_HOME is an empty directory to use
# as HOME; a test passes its own, which goes with it, else a temporary one stays.
set -eu

here=$(cd "$(dirname "$0")" && pwd)

# The CLI opens its browser through xdg-open, which splits BROWSER at colons
# and blanks: hence a name to be found in PATH rather than a path. The CLI also
# asks for a newer Node than the tests do, so npm brings one along.
export PATH="$here:$here/node_modules/.bin:$PATH" BROWSER="${SIGNIN_BROWSER:-browser.mjs}" MCP_AUTO_OPEN_ENABLED=true

# Nothing of an earlier run may help: no saved server, no stored token.
HOME=${INSPECTOR_HOME:-$(mktemp -d)}
export HOME MCP_INSPECTOR_SECRET_STORE=memory

# A port of its own lets two of these run at a time. Left to choose one itself
# (port 0), the CLI at times sends the user to port 0. INSPECTOR_PORT fixes it.
port=${INSPECTOR_PORT:-$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')}

# exec, so that who kills this process kills the CLI.
exec mcp-inspector --cli --transport http --callback-url "http://127.0.0.1:$port/oauth/callback" "$@" </dev/null
