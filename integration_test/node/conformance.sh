#!/bin/sh
# The MCP conformance suite's scenarios for authorization servers.
#
#   ./conformance.sh --url <issuer> --client-id <id> --resource <url> --port <port>
#
# It prints the address that its user has to open, and waits for them.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# It asks for a newer Node than the tests do, so npm brings one along.
export PATH="$here/node_modules/.bin:$PATH"
exec conformance authorization "$@" </dev/null
