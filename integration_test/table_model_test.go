//go:build clients && unix

package integration_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// A step is one call in a session of a client: of a tool, after before was done.
type step struct {
	tool   string
	before func()
}

// play is what a client is to do in one session, and what came of it.
type play struct {
	mu    sync.Mutex
	steps []step
	begun int

	// offered are the tools that the client had at each of its questions to the
	// model, and results what it told of each call.
	offered [][]string
	results []string
	// missed says that the client doesn't have the tool, perhaps because it is still
	// connecting; over is closed when the model has said that it is done.
	missed chan struct{}
	over   chan struct{}
	misses int
	ended  bool
}

// mostMisses is how often a client may be without a tool.
const mostMisses = 4

func newPlay(steps ...step) *play {
	return &play{steps: steps, missed: make(chan struct{}, mostMisses), over: make(chan struct{})}
}

// begin does what comes before step i, once.
func (p *play) begin(i int) {
	for p.begun <= i {
		if before := p.steps[p.begun].before; before != nil {
			before()
		}
		p.begun++
	}
}

// next returns the tool to call, by the name that the client has for it; none at
// the end.
func (p *play) next(offered, results []string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.results = results
	p.offered = append(p.offered, offered)
	if len(results) >= len(p.steps) {
		p.end()
		return ""
	}
	p.begin(len(results))
	for _, name := range offered {
		if strings.HasSuffix(name, p.steps[len(results)].tool) {
			return name
		}
	}
	if p.misses++; p.misses < mostMisses {
		p.missed <- struct{}{}
	} else {
		p.end()
	}
	return ""
}

func (p *play) end() {
	if !p.ended {
		p.ended = true
		close(p.over)
	}
}

// model stands for the models that clients talk to. It speaks the APIs of three
// vendors, calls the tools of the play, one at each turn, and then says "done".
type model struct {
	*httptest.Server
	t    *testing.T
	mu   sync.Mutex
	play *play
	// asked has what it was asked.
	asked *logBuffer
}

func startModel(t *testing.T) *model {
	m := &model{t: t, play: newPlay(), asked: new(logBuffer)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/messages", m.anthropic)
	mux.HandleFunc("POST /v1/responses", m.responses)
	mux.HandleFunc("POST /v1/chat/completions", m.completions)
	mux.HandleFunc("POST /v1beta/models/{call}", m.gemini)
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"object":"list","data":[{"id":"mock","object":"model"}],"models":[]}`)
	})
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(m.asked, "%s %s\n", r.Method, r.URL.Path)
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(m.Close)
	return m
}

// start makes p the play of the next session.
func (m *model) start(p *play) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.play = p
}

// turn returns the tool to call, unless the client asks for something else than a
// turn, such as a title for the session. Such questions have no tools.
func (m *model) turn(offered, results []string) string {
	m.mu.Lock()
	p := m.play
	m.mu.Unlock()
	if len(offered) == 0 {
		return ""
	}
	return p.next(offered, results)
}

// read decodes a question.
func (m *model) read(w http.ResponseWriter, r *http.Request, into any) bool {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		m.t.Errorf("the model was asked something strange: %v", err)
		http.Error(w, "bad request", http.StatusBadRequest)
		return false
	}
	return true
}

type object = map[string]any

// events writes server-sent events; named ones are named by their type.
func events(w http.ResponseWriter, named bool, list ...object) {
	w.Header().Set("Content-Type", "text/event-stream")
	for _, event := range list {
		b, _ := json.Marshal(event)
		if named {
			fmt.Fprintf(w, "event: %s\n", event["type"])
		}
		fmt.Fprintf(w, "data: %s\n\n", b)
	}
}

func answerJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// anthropic is the Messages API.
func (m *model) anthropic(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Model    string
		Stream   bool
		Tools    []struct{ Name string }
		Messages []struct{ Content json.RawMessage }
	}
	if !m.read(w, r, &q) {
		return
	}
	var offered, results []string
	for _, tool := range q.Tools {
		offered = append(offered, tool.Name)
	}
	for _, message := range q.Messages {
		var parts []struct {
			Type    string
			Content json.RawMessage
		}
		_ = json.Unmarshal(message.Content, &parts) // else it is a text
		for _, part := range parts {
			if part.Type == "tool_result" {
				results = append(results, string(part.Content))
			}
		}
	}
	block, delta, reason := object{"type": "text", "text": ""}, object{"type": "text_delta", "text": "done"}, "end_turn"
	whole := object{"type": "text", "text": "done"}
	if tool := m.turn(offered, results); tool != "" {
		id := fmt.Sprintf("toolu_%d", len(results))
		block = object{"type": "tool_use", "id": id, "name": tool, "input": object{}}
		delta, reason, whole = object{"type": "input_json_delta", "partial_json": "{}"}, "tool_use", block
	}
	usage := object{"input_tokens": 1, "output_tokens": 1}
	message := object{"id": "msg_1", "type": "message", "role": "assistant", "model": q.Model, "content": []any{}, "stop_reason": nil, "stop_sequence": nil, "usage": usage}
	if !q.Stream {
		message["content"], message["stop_reason"] = []any{whole}, reason
		answerJSON(w, message)
		return
	}
	events(w, true,
		object{"type": "message_start", "message": message},
		object{"type": "content_block_start", "index": 0, "content_block": block},
		object{"type": "content_block_delta", "index": 0, "delta": delta},
		object{"type": "content_block_stop", "index": 0},
		object{"type": "message_delta", "delta": object{"stop_reason": reason, "stop_sequence": nil}, "usage": usage},
		object{"type": "message_stop"},
	)
}

// responses is OpenAI's Responses API. A tool may be in a namespace, and is then
// called as such.
func (m *model) responses(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Tools []struct {
			Type, Name string
			Tools      []struct{ Name string }
		}
		Input []struct {
			Type   string
			Output json.RawMessage
		}
	}
	if !m.read(w, r, &q) {
		return
	}
	var offered, results []string
	namespaces := make(map[string]string)
	for _, tool := range q.Tools {
		if tool.Type == "function" {
			offered = append(offered, tool.Name)
		}
		for _, inner := range tool.Tools {
			offered = append(offered, inner.Name)
			namespaces[inner.Name] = tool.Name
		}
	}
	for _, item := range q.Input {
		if item.Type == "function_call_output" {
			results = append(results, string(item.Output))
		}
	}
	item := object{"type": "message", "role": "assistant", "id": "msg_1", "content": []any{object{"type": "output_text", "text": "done"}}}
	if tool := m.turn(offered, results); tool != "" {
		id := fmt.Sprintf("call_%d", len(results))
		item = object{"type": "function_call", "id": "fc_" + id, "call_id": id, "name": tool, "arguments": "{}"}
		if namespace := namespaces[tool]; namespace != "" {
			item["namespace"] = namespace
		}
	}
	usage := object{"input_tokens": 1, "output_tokens": 1, "total_tokens": 2, "input_tokens_details": nil, "output_tokens_details": nil}
	events(w, true,
		object{"type": "response.created", "response": object{"id": "resp_1"}},
		object{"type": "response.output_item.done", "output_index": 0, "item": item},
		object{"type": "response.completed", "response": object{"id": "resp_1", "output": []any{item}, "usage": usage}},
	)
}

// completions is OpenAI's older API, which many others speak.
func (m *model) completions(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Model  string
		Stream bool
		Tools  []struct {
			Function struct{ Name string }
		}
		Messages []struct {
			Role    string
			Content json.RawMessage
		}
	}
	if !m.read(w, r, &q) {
		return
	}
	var offered, results []string
	for _, tool := range q.Tools {
		offered = append(offered, tool.Function.Name)
	}
	for _, message := range q.Messages {
		if message.Role == "tool" {
			results = append(results, string(message.Content))
		}
	}
	message, reason := object{"role": "assistant", "content": "done"}, "stop"
	if tool := m.turn(offered, results); tool != "" {
		message["content"] = nil
		message["tool_calls"] = []any{object{
			"index": 0, "id": fmt.Sprintf("call_%d", len(results)), "type": "function",
			"function": object{"name": tool, "arguments": "{}"},
		}}
		reason = "tool_calls"
	}
	answer := func(kind string, choice object) object {
		return object{
			"id": "chatcmpl-1", "object": kind, "created": 1, "model": q.Model, "choices": []any{choice},
			"usage": object{"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
		}
	}
	if !q.Stream {
		answerJSON(w, answer("chat.completion", object{"index": 0, "message": message, "finish_reason": reason}))
		return
	}
	events(w, false,
		answer("chat.completion.chunk", object{"index": 0, "delta": message, "finish_reason": nil}),
		answer("chat.completion.chunk", object{"index": 0, "delta": object{}, "finish_reason": reason}),
	)
	_, _ = io.WriteString(w, "data: [DONE]\n\n")
}

// gemini is Google's API.
func (m *model) gemini(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Tools []struct {
			FunctionDeclarations []struct{ Name string }
		}
		Contents []struct {
			Parts []struct {
				FunctionResponse *struct{ Response json.RawMessage }
			}
		}
	}
	if !m.read(w, r, &q) {
		return
	}
	var offered, results []string
	for _, tool := range q.Tools {
		for _, function := range tool.FunctionDeclarations {
			offered = append(offered, function.Name)
		}
	}
	for _, content := range q.Contents {
		for _, part := range content.Parts {
			if part.FunctionResponse != nil {
				results = append(results, string(part.FunctionResponse.Response))
			}
		}
	}
	part := object{"text": "done"}
	if tool := m.turn(offered, results); tool != "" {
		part = object{"functionCall": object{"name": tool, "args": object{}}}
	}
	answer := object{
		"candidates":    []any{object{"index": 0, "finishReason": "STOP", "content": object{"role": "model", "parts": []any{part}}}},
		"usageMetadata": object{"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
	}
	if strings.HasSuffix(r.PathValue("call"), ":streamGenerateContent") {
		events(w, false, answer)
		return
	}
	answerJSON(w, answer)
}
