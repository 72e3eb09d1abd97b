package token

import "sync/atomic"

// A Selection is what a caller takes from the claims of every token, such as the
// values of headers. Where a verdict is remembered, so is what was selected: a client
// sends the same token with each of its requests.
type Selection struct{ read func(*Reader) []string }

// NewSelection returns the selection that read makes. The result must depend on the
// token alone.
func NewSelection(read func(*Reader) []string) *Selection { return &Selection{read} }

// Select returns what s takes from the token. It must not be changed.
func (r *Reader) Select(s *Selection) []string {
	if r.judged.kept == nil {
		return s.read(r)
	}
	return r.judged.kept.of(s, r)
}

// Kept is what was selected from a token, for its next request. It belongs to one
// verdict and ends with it. Where several selections are made from the tokens of one
// cache, it has the last of them.
type Kept struct{ last atomic.Pointer[selected] }

// selected are the texts of a selection.
type selected struct {
	by    *Selection
	texts []string
}

// maxKept is how many bytes are kept for one verdict. Claims may be much larger, and
// there are many verdicts.
const maxKept = 1 << 10

func (k *Kept) of(s *Selection, r *Reader) []string {
	if have := k.last.Load(); have != nil && have.by == s {
		return have.texts
	}
	texts := s.read(r)
	size := 0
	for _, text := range texts {
		size += len(text)
	}
	if size <= maxKept {
		k.last.Store(&selected{s, texts})
	}
	return texts
}
