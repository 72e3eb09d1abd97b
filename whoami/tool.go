package whoami

import (
	"context"
	"reflect"
	"runtime/debug"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// notAuthenticated is the tool's answer to a caller who is not verified. It is a
// plain result, not a tool error, because it answers the question.
var notAuthenticated = map[string]any{"error": "Not authenticated"}

// newServer returns the MCP server with its one tool.
func newServer(name string) *mcp.Server {
	server := mcp.NewServer(
		&mcp.Implementation{Name: name, Title: "Who am I", Version: version()},
		&mcp.ServerOptions{
			// The list of tools never changes. Because this says so, clients
			// don't open a stream to wait for changes, and the SDK immediately
			// ends those that are opened.
			Capabilities: &mcp.ServerCapabilities{Tools: new(mcp.ToolCapabilities)},
		})
	server.AddTool(&mcp.Tool{
		Name:  "whoami",
		Title: "Who am I",
		Description: "Returns who is calling, as verified from the access token: the user (sub), " +
			"the authorization server that vouches for them (iss), and everything else the token says, " +
			"such as the client that acts for them and its scopes. Takes no arguments. " +
			`Without authentication it returns {"error":"Not authenticated"}.`,
		Annotations: &mcp.ToolAnnotations{
			ReadOnlyHint:    true,
			IdempotentHint:  true,
			DestructiveHint: new(bool),
			OpenWorldHint:   new(bool),
		},
		InputSchema: inputSchema,
		// The authorization server decides which claims there are, and their
		// types. With a narrower schema, clients that validate would refuse a
		// correct answer.
		OutputSchema: outputSchema,
	}, whoami)
	return server
}

// The properties member of inputSchema is there, though empty, because some
// models' function calling refuses an object schema without it.
var (
	inputSchema  = jsontext.Value(`{"type":"object","properties":{}}`)
	outputSchema = jsontext.Value(`{
	"type": "object",
	"description": "The verified claims of the caller, or an error.",
	"properties": {
		"iss": {"description": "The authorization server that vouches for the caller."},
		"sub": {"description": "The user, or a client acting on its own behalf. Unique per iss."},
		"client_id": {"description": "The OAuth client that the token was issued to."},
		"scope": {"description": "The scopes that were granted."},
		"aud": {"description": "The resources that the token was issued for."},
		"exp": {"description": "When the token expires, in seconds since the Unix epoch."},
		"error": {"description": "Why there are no claims: Not authenticated."}
	},
	"additionalProperties": true
}`)
)

// whoami is the tool. It reads what identify attaches to the request. It doesn't
// read the context, because in a session that is the context of the first
// request. Arguments are ignored, because some models pass some to a tool that
// takes none.
func whoami(_ context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	answer := notAuthenticated
	if req.Extra != nil && req.Extra.TokenInfo != nil {
		answer = req.Extra.TokenInfo.Extra
	}
	text, err := json.Marshal(answer, json.Deterministic(true))
	if err != nil {
		return nil, err
	}
	return &mcp.CallToolResult{
		Content:           []mcp.Content{&mcp.TextContent{Text: string(text)}},
		StructuredContent: jsontext.Value(text),
	}, nil
}

// version returns the version of this module, if the build knows it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	self := reflect.TypeFor[Handler]().PkgPath()
	for _, module := range append(info.Deps, &info.Main) {
		if module.Path == "" || !strings.HasPrefix(self, module.Path+"/") {
			continue
		}
		if module.Replace != nil && module.Replace.Version != "" {
			module = module.Replace
		}
		if module.Version != "" {
			return module.Version
		}
	}
	return "unknown"
}
