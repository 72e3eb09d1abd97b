#!/bin/sh
# The MCP conformance suite's scenarios for servers.
#
#   ./conformance-server.sh --url <mcp-url> [any other option of the suite]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# It asks for a newer Node than the tests do, so npm brings one along.
export PATH="$here/node_modules/.bin:$PATH"
exec conformance server "$@" </dev/null
