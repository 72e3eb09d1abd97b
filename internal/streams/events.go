package streams

// events tracks the position in an event stream (HTML Standard, section 9.2.5):
// lines end in CR, LF or both; an empty line ends an event; a line that begins
// with a colon is a comment outside of any event.
type events struct {
	inLine  bool // part of a line has passed
	inEvent bool // fields have passed, but no empty line yet
	afterCR bool // an LF would belong to the line before
}

// between reports whether the stream may end here: no event has begun.
func (e *events) between() bool { return !e.inLine && !e.inEvent }

// pass updates the position after p has passed.
func (e *events) pass(p []byte) {
	for _, b := range p {
		e.next(b)
	}
}

func (e *events) next(b byte) {
	cr := e.afterCR
	e.afterCR = b == '\r'
	switch {
	case b == '\n' && cr:
	case b == '\n', b == '\r':
		if !e.inLine {
			e.inEvent = false
		}
		e.inLine = false
	case !e.inLine:
		e.inLine = true
		e.inEvent = e.inEvent || b != ':'
	}
}

// rest returns how many bytes of p belong to the current event. If the event
// doesn't end in p, that is all of them.
func (e events) rest(p []byte) int {
	for i, b := range p {
		if e.between() && !(e.afterCR && b == '\n') {
			return i
		}
		e.next(b)
	}
	return len(p)
}
