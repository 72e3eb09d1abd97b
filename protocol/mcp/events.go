package mcp

import (
	"bytes"
	"errors"
	"io"
)

// Events is a stream of server-sent events (WHATWG HTML, section 9.2), of which an
// [EventEditor] changes some. An event passes as soon as it is complete, so that no
// client waits for an event that it could act on.
type Events struct {
	w      io.Writer
	max    int
	editor EventEditor
	// held is the event that has begun. line is where its current line begins.
	// searched is how much of it has been searched for the end of that line.
	held           []byte
	line, searched int
	// begun is set after the first event, which a byte order mark may precede.
	begun bool
	// cr is set if the bytes that have passed end in a carriage return: a line feed
	// that follows belongs to it.
	cr bool
	// passing is set within an event that is larger than max and passes in parts.
	passing bool
	err     error
}

// EventEditor changes the events of a stream. An error ends the stream.
type EventEditor interface {
	// Event returns what is sent instead of an event, and whether that differs. The
	// event has all its line breaks, unless the stream ended within it. It is valid
	// during the call only.
	Event(event []byte) (edited []byte, changed bool, err error)
	// Large returns what is sent instead of a part of an event that is too large to be
	// held. first is true for the first part.
	Large(part []byte, first bool) ([]byte, error)
}

// NewEvents returns a stream that writes to w. It holds an event of at most limit
// bytes.
func NewEvents(w io.Writer, limit int, editor EventEditor) *Events {
	return &Events{w: w, max: limit, editor: editor}
}

// keptSpace is how much space is kept for the next event.
const keptSpace = 64 << 10

// Write passes p on. The stream ends after an error, be it of the editor or of the
// underlying writer.
func (e *Events) Write(p []byte) (int, error) {
	if e.err == nil && len(p) > 0 {
		e.err = e.write(p)
	}
	if e.err != nil {
		return 0, e.err
	}
	return len(p), nil
}

// Close passes on an event that the end of the stream cut off, for clients that take
// it for complete.
func (e *Events) Close() error {
	if e.err != nil || len(e.held) == 0 {
		return e.err
	}
	text, _, err := e.event(e.held)
	e.held = nil
	if err == nil {
		_, err = e.w.Write(text)
	}
	e.err = errors.Join(err, io.ErrClosedPipe)
	return err
}

func (e *Events) write(p []byte) error {
	text := p
	if len(e.held) > 0 {
		e.held = append(e.held, p...)
		text = e.held
	}
	// Everything before written has been written, and block is where the event begins.
	written, block := 0, 0
	if at := len(text) - len(p); e.cr && text[at] == '\n' {
		e.line, e.searched = at+1, at+1
		if at == 0 {
			block = 1
		}
	}
	e.cr = false
	for {
		end, next := endOfLine(text, e.searched)
		if next < 0 {
			e.searched = end
			break
		}
		blank := end == e.line
		switch {
		case blank && e.passing:
			if err := e.pass(text[written:next], false); err != nil {
				return err
			}
			written, block = next, next
			e.passing = false
		case blank:
			edited, changed, err := e.event(text[block:next])
			if err != nil || changed {
				if err := e.output(text[written:block]); err != nil {
					return err
				}
				written = next
			}
			if err != nil {
				return err
			}
			if changed {
				if err := e.output(edited); err != nil {
					return err
				}
			}
			block = next
		case e.line == block && text[block] == ':' && !e.passing:
			// Comments keep connections alive, even without a blank line.
			block = next
		}
		e.line, e.searched = next, next
		if next == len(text) && text[next-1] == '\r' {
			e.cr = true
			break
		}
	}
	if err := e.output(text[written:block]); err != nil {
		return err
	}
	return e.hold(text[block:], block)
}

// endOfLine returns where the next line ends and the one after it begins. next is
// -1 if there is none, and end where to go on searching.
func endOfLine(text []byte, from int) (end, next int) {
	n := bytes.IndexByte(text[from:], '\n')
	line := text[from:]
	if n >= 0 {
		line = line[:n]
	}
	if r := bytes.IndexByte(line, '\r'); r >= 0 {
		if r+1 == n {
			return from + r, from + n + 1
		}
		return from + r, from + r + 1
	}
	if n < 0 {
		return len(text), -1
	}
	return from + n, from + n + 1
}

// hold keeps rest, the beginning of an event. The bytes before it, behind in number,
// have been written.
func (e *Events) hold(rest []byte, behind int) error {
	e.line -= behind
	e.searched -= behind
	if !e.passing && len(rest) <= e.max {
		if cap(e.held) > keptSpace && len(rest) < keptSpace {
			e.held = nil
		}
		e.held = append(e.held[:0], rest...)
		return nil
	}
	first := !e.passing
	e.passing, e.held = true, nil
	err := e.pass(rest, first)
	// The next text begins within the current line, or with a new one.
	e.line, e.searched = min(e.line-len(rest), 0), 0
	return err
}

// pass lets a part of a large event through.
func (e *Events) pass(part []byte, first bool) error {
	edited, err := e.editor.Large(part, first)
	if err != nil {
		return err
	}
	return e.output(edited)
}

func (e *Events) output(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	_, err := e.w.Write(text)
	return err
}

// event edits an event.
func (e *Events) event(block []byte) (edited []byte, changed bool, err error) {
	var mark []byte
	if !e.begun {
		e.begun = true
		// Clients have layers that each take one off.
		mark = block[:len(block)-len(bytes.TrimLeft(block, "\ufeff"))]
	}
	edited, changed, err = e.editor.Event(block[len(mark):])
	if err != nil || !changed {
		return block, false, err
	}
	if len(mark) > 0 {
		edited = append(bytes.Clone(mark), edited...)
	}
	return edited, true, nil
}

// fieldOf splits a line into the name and the value of a field.
func fieldOf(line []byte) (name, value []byte) {
	name, value, _ = bytes.Cut(line, []byte(":"))
	return name, bytes.TrimPrefix(value, []byte(" "))
}

// EditFields returns an event with the values of some fields replaced, and whether
// there are any. edit returns the value that takes the place of a field's value, which
// must not have line breaks; or false if the field stays as it is.
func EditFields(event []byte, edit func(name, value []byte) ([]byte, bool)) (edited []byte, changed bool) {
	written := 0
	for at := 0; at < len(event); {
		end, next := endOfLine(event, at)
		if next < 0 {
			next = len(event)
		}
		name, value := fieldOf(event[at:end])
		if value, ok := edit(name, value); ok {
			edited = append(append(edited, event[written:at]...), name...)
			edited = append(append(edited, ": "...), value...)
			written, changed = end, true
		}
		at = next
	}
	if !changed {
		return event, false
	}
	return append(edited, event[written:]...), true
}
