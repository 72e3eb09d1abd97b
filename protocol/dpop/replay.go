package dpop

import (
	"crypto/sha256"
	"sync"
	"time"
)

const (
	// MaxOfKey is how many proofs of one key are remembered: a hundred requests a
	// second, for the five minutes in which a proof counts.
	MaxOfKey = 30_000

	// MaxRemembered is how many proofs of all keys are. Each takes less than 100 bytes.
	MaxRemembered = 600_000

	// share is by how much the room that is left exceeds what one key may fill. As
	// memory fills, the keys that have filled it are stopped first, and a key that sends
	// little finds room to the end.
	share = 8

	// minutes is how many there can be with proofs that count: iat may lie one [Window]
	// in the future, and the proof counts for one more.
	minutes = int64(2*Window/time.Minute) + 1
)

// FullError means that a proof can't be remembered, so it can't be accepted either: it
// could be used again. Nothing is forgotten early to make room.
type FullError struct {
	// Own says that the key has used up what it may have. Otherwise all keys together
	// have.
	Own bool
	// RetryAfter is when the first proofs are forgotten.
	RetryAfter time.Duration
}

func (e *FullError) Error() string {
	if e.Own {
		return "too many DPoP proofs of this key"
	}
	return "too many DPoP proofs"
}

// ReplayConfig bounds a [Replay].
type ReplayConfig struct {
	// MaxOfKey and Max are how many proofs of one key, and of all, are remembered. Zero
	// means [MaxOfKey] and [MaxRemembered].
	MaxOfKey, Max int
}

// Replay remembers the proofs that were used, as long as they count (RFC 9449, section
// 11.1). It keeps hashes, by the minute in which they are forgotten. It is safe for
// concurrent use.
type Replay struct {
	config ReplayConfig

	mu    sync.Mutex
	kept  [minutes]minute
	total int
}

// minute has the proofs that are forgotten at the beginning of a minute.
type minute struct {
	number int64 // see minuteOf
	proofs map[proofHash]struct{}
	// ofKey says how many of them each key made.
	ofKey map[keyHash]uint32
}

// proofHash and keyHash are the first half of a SHA-256. To find two proofs
// with the same hash, one has to make both, and gains a refusal.
type (
	proofHash [16]byte
	keyHash   [16]byte
)

// NewReplay returns an empty memory.
func NewReplay(config ReplayConfig) *Replay {
	if config.MaxOfKey == 0 {
		config.MaxOfKey = MaxOfKey
	}
	if config.Max == 0 {
		config.Max = MaxRemembered
	}
	return &Replay{config: config}
}

// Use remembers p, which [Check] has accepted, as used. Its error is an [*Error] if it
// was used before, or a [*FullError]. Call it when nothing else speaks against the
// request, so that only who has the token and the key can fill the memory.
func (m *Replay) Use(p *Proof, now time.Time) error {
	return m.use(p.Thumbprint(), p.id, p.issuedAt, now)
}

func (m *Replay) use(thumbprint, id string, issuedAt, now time.Time) error {
	key, hash := keyHash(half(thumbprint)), proofHash(half(thumbprint+"."+id))
	number := minuteOf(issuedAt.Add(Window)) + 1 // at whose beginning it no longer counts
	if current := minuteOf(now); number <= current || number > current+minutes {
		return breaks(RuleTime, "iat is out of range") // not after Check
	}

	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(now)
	ofKey, oldest := 0, number
	for i := range m.kept {
		kept := &m.kept[i]
		if _, used := kept.proofs[hash]; used {
			return breaks(RuleOnce, "used before")
		}
		if n := kept.ofKey[key]; n > 0 {
			ofKey += int(n)
			oldest = min(oldest, kept.number)
		}
	}
	left := m.config.Max - m.total
	if left <= 0 || ofKey >= min(m.config.MaxOfKey, left/share+1) {
		return &FullError{
			Own:        ofKey >= m.config.MaxOfKey || left > 0,
			RetryAfter: max(time.Unix(60*oldest, 0).Sub(now), time.Second),
		}
	}
	kept := &m.kept[number%minutes]
	if kept.proofs == nil {
		*kept = minute{number: number, proofs: make(map[proofHash]struct{}), ofKey: make(map[keyHash]uint32)}
	}
	kept.proofs[hash] = struct{}{}
	kept.ofKey[key]++
	m.total++
	return nil
}

// Len returns how many proofs are remembered.
func (m *Replay) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.total
}

// forget drops the proofs that no longer count: their time is over, or after the clock
// was set back, they are too far ahead.
func (m *Replay) forget(now time.Time) {
	current := minuteOf(now)
	for i := range m.kept {
		if kept := &m.kept[i]; kept.proofs != nil && (kept.number <= current || kept.number > current+minutes) {
			m.total -= len(kept.proofs)
			*kept = minute{}
		}
	}
}

// minuteOf returns the number of the minute since the epoch.
func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

func half(s string) (h [16]byte) {
	sum := sha256.Sum256([]byte(s))
	copy(h[:], sum[:])
	return h
}
