package mcp

import "strings"

// methods are the methods of clients in every revision, and what they name.
var methods = map[string]struct {
	kind Kind
	// named is the place of the name in params; -1 for none.
	named int
	// optional means that the name may be absent.
	optional bool
}{
	"initialize":               {named: -1},
	"server/discover":          {named: -1},
	"ping":                     {named: -1},
	"logging/setLevel":         {named: -1},
	"roots/list":               {named: -1},
	"tools/list":               {named: -1},
	"tools/call":               {kind: Tool, named: paramsName},
	"prompts/list":             {named: -1},
	"prompts/get":              {kind: Prompt, named: paramsName},
	"resources/list":           {named: -1},
	"resources/templates/list": {named: -1},
	"resources/read":           {kind: Resource, named: paramsURI},
	"resources/subscribe":      {kind: Resource, named: paramsURI, optional: true},
	"resources/unsubscribe":    {kind: Resource, named: paramsURI, optional: true},
	"completion/complete":      {named: paramsRef},
	"subscriptions/listen":     {named: paramsNotifications},
	"tasks/get":                {kind: Task, named: paramsTask},
	"tasks/result":             {kind: Task, named: paramsTask},
	"tasks/update":             {kind: Task, named: paramsTask},
	"tasks/cancel":             {kind: Task, named: paramsTask},
	"tasks/list":               {kind: Task, named: paramsTask, optional: true},
}

// Known reports whether a method is a client's in some revision. The known methods
// are a closed set without notifications.
func Known(method string) bool {
	_, known := methods[method]
	return known
}

// folded has the folded form of every method, to find names that another reader could
// take for a method.
var folded = func() map[string]bool {
	names := make(map[string]bool, len(methods))
	for name := range methods {
		names[Fold(name)] = true
	}
	return names
}()

const notificationPrefix = "notifications/"

// isNotification reports whether a method is a notification's, and whether a
// reader that isn't as exact could take it for another method.
func isNotification(method string) (notification, variant bool) {
	if strings.HasPrefix(method, notificationPrefix) {
		return true, false
	}
	if _, known := methods[method]; known {
		return false, false
	}
	f := Fold(method)
	return false, folded[f] || strings.HasPrefix(f, notificationPrefix)
}

// judged reads what a request names.
func (m *message) judged(msg *Message) Rule {
	method, known := methods[msg.Method]
	if !known {
		method.named = -1
		if strings.HasPrefix(msg.Method, "tasks/") {
			method.kind, method.named, method.optional = Task, paramsTask, true
		}
	}
	for place, f := range m.params {
		if f.variant && (place == method.named || place == paramsArguments || place == paramsMeta) {
			return Variant
		}
	}
	if rule := m.common(msg); rule != "" {
		return rule
	}
	msg.Kind = method.kind
	switch method.named {
	case -1:
		return ""
	case paramsRef:
		return m.reference(msg)
	case paramsNotifications:
		return m.subscriptions(msg)
	}
	f := m.params[method.named]
	if method.optional && f.at == 0 {
		if method.kind == Resource {
			// It names nothing. 2026-07-28 no longer has these methods. The server must
			// say so, whatever is in params.
			msg.Kind = NoKind
		}
		return ""
	}
	return m.name(msg, f)
}

// common reads the params that requests of any method may have.
func (m *message) common(msg *Message) Rule {
	if arguments := m.params[paramsArguments]; m.first(arguments.at) == '{' && arguments.at > 0 {
		msg.Arguments = m.raw(arguments)
	} else if !m.isNull(arguments) && (msg.Method == "tools/call" || msg.Method == "prompts/get") {
		return Params
	}
	meta := m.params[paramsMeta]
	if meta.at > 0 && m.b[meta.at] != '{' && !m.isNull(meta) {
		return Params
	}
	if m.meta[0].variant {
		return Variant
	}
	if m.isNull(m.meta[0]) {
		return ""
	}
	version, ok := m.string(m.meta[0])
	if !ok {
		return Params
	}
	msg.Version = version
	return ""
}

// name reads the name of what a request is about. It must not have control
// characters: programs written in C end a name at NUL.
func (m *message) name(msg *Message, f field) Rule {
	name, ok := m.string(f)
	if !ok || len(name) > maxName || hasControl(name) {
		return Params
	}
	msg.Name = name
	return ""
}

// reference reads what a completion completes.
func (m *message) reference(msg *Message) Rule {
	msg.Completes = true
	for _, f := range m.ref {
		if f.variant {
			return Variant
		}
	}
	if m.first(m.params[paramsRef].at) != '{' || m.params[paramsRef].at == 0 {
		return Params
	}
	switch kind, _ := m.string(m.ref[refType]); kind {
	case "ref/prompt":
		msg.Kind = Prompt
		return m.name(msg, m.ref[refName])
	case "ref/resource":
		msg.Kind = Resource
		return m.name(msg, m.ref[refURI])
	}
	return Params
}

// subscriptions reads the resources that a subscription asks for.
func (m *message) subscriptions(msg *Message) Rule {
	if n := m.params[paramsNotifications]; m.isNull(n) {
		return ""
	} else if m.b[n.at] != '{' {
		return Params
	}
	list := m.notifications[0]
	switch {
	case list.variant:
		return Variant
	case m.isNull(list):
		return ""
	case m.b[list.at] != '[':
		return Params
	}
	_, rule := m.array(list.at, 0, func(at int) (int, Rule) {
		end, rule := m.value(at, 1)
		uri, ok := m.string(field{at: at, end: end})
		if rule != "" || !ok || len(uri) > maxName || hasControl(uri) || len(msg.URIs) == maxURIs {
			return at, Params
		}
		msg.URIs = append(msg.URIs, uri)
		return end, ""
	})
	return rule
}
