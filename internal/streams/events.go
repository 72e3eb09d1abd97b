package streams

// events knows where an event stream has got to (HTML Standard, section 9.2.5):
// lines end in CR, LF or both; an empty line ends an event; a line that begins
// with a colon is a comment and belongs to none.
type events struct {
	inLine  bool // something of a line is there
	inEvent bool // so are fields, and no empty line yet
	afterCR bool // an LF would belong to the line before
}

// between reports whether the stream may end here: no event has begun.
func (e *events) between() bool { return !e.inLine && !e.inEvent }

// pass takes in what went through.
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

// rest returns how many bytes of p belong to the event that has begun; all, if it
// doesn't end in p.
func (e events) rest(p []byte) int {
	for i, b := range p {
		if e.between() && !(e.afterCR && b == '\n') {
			return i
		}
		e.next(b)
	}
	return len(p)
}
