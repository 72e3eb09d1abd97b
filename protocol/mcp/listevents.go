package mcp

import (
	"bytes"
	"errors"
	"io"
)

// Events filters what is written to it and writes it to w. An event passes unchanged
// unless its data is JSON with a list in its result. A message that isn't JSON, or a
// list that can't be checked, is an [*Error].
func (l *Lists) Events(w io.Writer) *Events {
	return NewEvents(w, l.Max, &listEditor{lists: l})
}

// listEditor filters the lists in events.
type listEditor struct {
	lists *Lists
	// passage is that of a large event, which passes because no list has begun in it.
	passage Passage
}

// Large implements [EventEditor].
func (l *listEditor) Large(part []byte, first bool) ([]byte, error) {
	if first {
		l.passage = Passage{}
	}
	return part, l.passage.Check(part)
}

// Event implements [EventEditor].
func (l *listEditor) Event(text []byte) (filtered []byte, changed bool, err error) {
	may := mayHoldList(text)
	if !may && beginsAsJSON(text) {
		return text, false, nil
	}
	data, isMessage := fieldsOf(text, may)
	first := bytes.TrimLeft(data, " \t\r\n")
	if len(first) == 0 {
		return text, false, nil
	}
	if !may {
		if isMessage && !l.lists.Loose && first[0] != '{' && first[0] != '[' {
			return nil, false, unfit(Syntax)
		}
		return text, false, nil
	}
	list, changed, err := l.lists.Filter(data)
	if err != nil {
		var refused *Error
		if !isMessage && errors.As(err, &refused) && (refused.Rule == Syntax || refused.Rule == Envelope) {
			return text, false, nil
		}
		return nil, false, err
	}
	if !changed {
		return text, false, nil
	}
	return replaceData(text, list), true, nil
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

// replaceData returns the event with its first line of data replaced.
func replaceData(text, data []byte) []byte {
	to := make([]byte, 0, len(text)+len(data))
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
