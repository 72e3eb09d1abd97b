// Package mcp reads messages of the Model Context Protocol over HTTP: it reads one
// message of a client, strictly, and filters the lists in a server's answers. It
// covers the revisions from 2024-11-05 to 2026-07-28, and knows nothing of Caddy.
//
// The server acts on the same message that is judged here, so a message that two
// readers could understand differently is an error. Batches (JSON-RPC arrays, which
// only 2025-03-26 has) are not supported.
package mcp

import "encoding/json"

// A Kind says what a message or an entry of a list names.
type Kind uint8

// The kinds. A resource template is a Resource.
const (
	NoKind Kind = iota
	Tool
	Prompt
	Resource
	Task
)

// String returns the kind's name in lower case, "" for NoKind.
func (k Kind) String() string {
	return [...]string{"", "tool", "prompt", "resource", "task"}[k]
}

// A Form is one of the three forms of a JSON-RPC message.
type Form uint8

// The forms.
const (
	Request      Form = iota // has a method and an id
	Notification             // has a method, which begins with "notifications/", and no id
	Response                 // has an id, and a result or an error: a client answers its server
)

// Message has the parts of a client's message that are judged.
type Message struct {
	// Form is request, notification or response.
	Form Form
	// ID is the id as it came, a JSON string or integer. A notification has none.
	ID json.RawMessage
	// Method is the method; a response has none.
	Method string
	// Kind and Name say what the message is about: the name of a tool or prompt, the
	// URI of a resource, the id of a task. Completions name the prompt, or the
	// template's text, that they complete.
	Kind Kind
	Name string
	// Completes is set for completion/complete.
	Completes bool
	// URIs are the resources of subscriptions/listen, for which Kind is NoKind.
	URIs []string
	// Arguments is the object params.arguments as it came; nil if it is absent or
	// null.
	Arguments json.RawMessage
	// Version is the protocol version in params._meta, which clients send since
	// 2026-07-28.
	Version string
}

// A Rule is what a message or an answer broke. The set is closed, so that a rule may
// be the label of a metric.
type Rule string

// The rules.
const (
	Syntax    Rule = "syntax"    // not JSON, or data after it
	Encoding  Rule = "encoding"  // not UTF-8, a byte order mark, a lone surrogate
	Depth     Rule = "depth"     // nested too deep
	Duplicate Rule = "duplicate" // an object has a name twice
	Variant   Rule = "variant"   // a name that another reader could take for one that is read
	Batch     Rule = "batch"     // an array of messages
	Envelope  Rule = "envelope"  // not a JSON-RPC 2.0 message
	ID        Rule = "id"        // no id, or one that isn't a string or an integer
	Params    Rule = "params"    // params that don't fit the method
	Header    Rule = "header"    // Mcp-Method, Mcp-Name or MCP-Protocol-Version doesn't agree with the body
	Argument  Rule = "argument"  // Mcp-Param-* doesn't agree with the arguments
	Size      Rule = "size"      // an answer is larger than may be judged
)

// The codes of JSON-RPC errors in this package.
const (
	CodeParse          = -32700
	CodeInvalidRequest = -32600
	CodeInvalidParams  = -32602
	CodeInternal       = -32603
	CodeHeaderMismatch = -32020
)

// Error says why a message or an answer can't be judged. Its text is a fixed sentence
// that quotes nothing.
type Error struct {
	// Status is the status of the HTTP answer: 400 for a message, 502 for an answer.
	Status int
	// Code is the code of the JSON-RPC error.
	Code int
	// Rule is the rule that was broken.
	Rule Rule
	// ID is the message's id as it came; nil if it couldn't be read.
	ID json.RawMessage

	text string
}

func (e *Error) Error() string { return e.text }
