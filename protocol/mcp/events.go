package mcp

import (
	"bytes"
	"errors"
	"io"
)

// Events is a stream of server-sent events (WHATWG HTML, section 9.2), filtered. An
// event passes unchanged unless its data is JSON with a list in its result. It passes
// as soon as it is complete, so that no client waits for an event that it could act
// on.
type Events struct {
	lists *Lists
	w     io.Writer
	// held is the event that has begun. line is where its current line begins.
	// searched is how much of it has been searched for the end of that line.
	held           []byte
	line, searched int
	// begun is set after the first event, which a byte order mark may precede.
	begun bool
	// cr is set if the bytes that have passed end in a carriage return: a line feed
	// that follows belongs to it.
	cr bool
	// passing is set within an event that is larger than Max and passes because no
	// list has begun in it. tail holds the last bytes that have passed.
	passing bool
	tail    []byte
	err     error
}

// maxTail is longer than the name of a list, or an escape.
const maxTail = 32

// keptSpace is how much space is kept for the next event.
const keptSpace = 64 << 10

// Events filters what is written to it and writes it to w.
func (l *Lists) Events(w io.Writer) *Events { return &Events{lists: l, w: w} }

// Write filters p. A message that isn't JSON, or a list that can't be checked, is an
// [*Error]. The stream ends after that, and after an error of the underlying writer.
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
			if err := e.pass(text[written:next]); err != nil {
				return err
			}
			written, block = next, next
			e.passing, e.tail = false, nil
		case blank:
			filtered, changed, err := e.event(text[block:next])
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
				if err := e.output(filtered); err != nil {
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
	if !e.passing && len(rest) <= e.lists.Max {
		if cap(e.held) > keptSpace && len(rest) < keptSpace {
			e.held = nil
		}
		e.held = append(e.held[:0], rest...)
		return nil
	}
	if !e.passing && mayHoldList(rest) {
		return unfit(Size)
	}
	e.passing, e.held = true, nil
	err := e.pass(rest)
	// The next text begins within the current line, or with a new one.
	e.line, e.searched = min(e.line-len(rest), 0), 0
	return err
}

// pass lets a part of a large event through.
func (e *Events) pass(part []byte) error {
	e.tail = append(e.tail, part...)
	if hasListName(e.tail) || hasEscapedLetter(e.tail) {
		return unfit(Size)
	}
	e.tail = append(e.tail[:0], e.tail[max(0, len(e.tail)-maxTail):]...)
	return e.output(part)
}

func (e *Events) output(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	_, err := e.w.Write(text)
	return err
}

// event filters an event.
func (e *Events) event(block []byte) (filtered []byte, changed bool, err error) {
	var mark []byte
	if !e.begun {
		e.begun = true
		// Clients have layers that each take one off.
		mark = block[:len(block)-len(bytes.TrimLeft(block, "\ufeff"))]
	}
	text := block[len(mark):]
	may := mayHoldList(text)
	if !may && beginsAsJSON(text) {
		return block, false, nil
	}
	data, isMessage := fieldsOf(text, may)
	first := bytes.TrimLeft(data, " \t\r\n")
	if len(first) == 0 {
		return block, false, nil
	}
	if !may {
		if isMessage && first[0] != '{' && first[0] != '[' {
			return nil, false, unfit(Syntax)
		}
		return block, false, nil
	}
	list, changed, err := e.lists.filter(data)
	if err != nil {
		var refused *Error
		if !isMessage && errors.As(err, &refused) && (refused.Rule == Syntax || refused.Rule == Envelope) {
			return block, false, nil
		}
		return nil, false, err
	}
	if !changed {
		return block, false, nil
	}
	return replaceData(mark, text, list), true, nil
}

// beginsAsJSON reports whether the data of an event begins as an object or array.
func beginsAsJSON(text []byte) bool {
	for len(text) > 0 {
		if rest, ok := bytes.CutPrefix(text, []byte("data:")); ok {
			rest = bytes.TrimPrefix(rest, []byte(" "))
			return len(rest) > 0 && (rest[0] == '{' || rest[0] == '[')
		}
		_, next := endOfLine(text, 0)
		if next < 0 {
			return false
		}
		text = text[next:]
	}
	return false
}

// fieldsOf returns the data of an event, or only its first line that isn't blank,
// and whether the event is a message.
func fieldsOf(text []byte, all bool) (data []byte, isMessage bool) {
	isMessage = true
	any := false
	for at := 0; at < len(text); {
		end, next := endOfLine(text, at)
		if next < 0 {
			next = len(text)
		}
		name, value := fieldOf(text[at:end])
		switch string(name) {
		case "event":
			isMessage = len(value) == 0 || string(value) == "message"
		case "data":
			if all {
				if any {
					data = append(data, '\n')
				}
				data = append(data, value...)
			} else if len(bytes.TrimLeft(data, " \t\r\n")) == 0 {
				data = value
			}
			any = true
		}
		at = next
	}
	return data, isMessage
}

// fieldOf splits a line into the name and the value of a field.
func fieldOf(line []byte) (name, value []byte) {
	name, value, _ = bytes.Cut(line, []byte(":"))
	return name, bytes.TrimPrefix(value, []byte(" "))
}

// replaceData returns the event with its first line of data replaced.
func replaceData(mark, text, data []byte) []byte {
	to := append(make([]byte, 0, len(text)+len(data)), mark...)
	for at := 0; at < len(text); {
		end, next := endOfLine(text, at)
		if next < 0 {
			next = len(text)
		}
		if name, _ := fieldOf(text[at:end]); string(name) != "data" {
			to = append(to, text[at:next]...)
			at = next
			continue
		}
		for len(data) > 0 {
			line, rest, _ := bytes.Cut(data, []byte("\n"))
			to = append(append(append(to, "data: "...), line...), text[end:next]...)
			data = rest
		}
		at = next
	}
	return to
}
