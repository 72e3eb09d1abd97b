package judge

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/token"
)

// minRecheck is the least time between two checks of a watched token.
const minRecheck = time.Second

// watch waits until a token is no longer good. It has a timer, and needs no goroutine
// while nothing happens.
type watch struct {
	list            Issuers
	raw, client     string
	issuer, subject string
	key             [sha256.Size]byte
	spellings       spellings
	leeway          time.Duration
	end             func(error)
	caches          []*Cache // those of the issuer
	now             func() time.Time

	ctx    context.Context // of the checks; it ends with the watch
	cancel context.CancelFunc

	mu     sync.Mutex
	timer  *time.Timer
	expiry time.Time // zero if not known
	over   bool
}

// Watch calls end when the token raw, which was just judged to be t, is no longer
// good: when it has expired and the leeway has passed, when its verdict is forgotten,
// or when it is refused. It is judged again as often as verdicts are renewed. That it
// can't be checked is no reason to end.
//
// Watch returns at once. It calls end at most once. Call stop to end the watching.
func (list Issuers) Watch(raw, client string, t *token.Token, leeway time.Duration, end func(error)) (stop func()) {
	w := &watch{
		list:    list,
		raw:     raw,
		client:  client,
		issuer:  t.Issuer,
		subject: t.Subject,
		key:     cacheKey(raw),
		leeway:  leeway,
		end:     end,
		caches:  list.cachesOf(t.Issuer),
		now:     time.Now,
		expiry:  t.Full().Expiry,
	}
	if p, err := token.Present(raw); err == nil {
		w.spellings = spellingsOf(p)
	}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	for _, c := range w.caches {
		w.now = c.config.Now
		c.mu.Lock()
		c.watches[w] = struct{}{}
		c.mu.Unlock()
	}
	w.schedule(minRecheck)
	return w.stop
}

// cachesOf returns the caches that may have verdicts on tokens of issuer: those of its
// verifiers or, for API keys, whose issuer is the resource, those of all verifiers
// that use no network.
func (list Issuers) cachesOf(issuer string) (caches []*Cache) {
	known := slices.ContainsFunc(list, func(i Issuer) bool { return i.Issuer == issuer })
	for i := range list {
		for _, v := range list[i].Verifiers {
			if v.Cache != nil && (list[i].Issuer == issuer || !known && v.NoNetwork) {
				caches = append(caches, v.Cache)
			}
		}
	}
	return caches
}

// schedule sets the timer for the next check: after missing if the verdict is gone.
func (w *watch) schedule(missing time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	now := w.now()
	wait := w.renewal(now, missing)
	if !w.expiry.IsZero() {
		if !now.Before(w.expiry) {
			wait = w.leeway // an expired token isn't judged again
		}
		wait = min(wait, w.expiry.Add(w.leeway).Sub(now))
	}
	w.timer = time.AfterFunc(max(wait, 0), w.check)
}

// renewal returns how long the verdict stands, at most [DefaultTTL] or the TTL of the
// cache. If verdicts are kept and this one is gone, it returns missing: right after a
// request, that means that it was forgotten in the meantime.
func (w *watch) renewal(now time.Time, missing time.Duration) time.Duration {
	period := DefaultTTL
	kept := false
	for _, c := range w.caches {
		kept = kept || c.config.TTL >= 0
		if c.config.TTL > 0 {
			period = c.config.TTL
		}
	}
	for _, c := range w.caches {
		if v, ok := c.verdicts.GetIfPresent(w.key); ok && now.UnixMilli() < v.until {
			return max(min(period, time.UnixMilli(v.until+1).Sub(now)), minRecheck)
		}
	}
	if kept {
		return min(missing, period)
	}
	return period
}

// check is called by the timer.
func (w *watch) check() {
	w.mu.Lock()
	expiry, over := w.expiry, w.over
	w.mu.Unlock()
	if over {
		return
	}
	now := w.now()
	switch {
	case expiry.IsZero() || now.Before(expiry):
		t, err := w.list.JudgeFor(w.ctx, w.raw, w.client)
		refusal, refused := errors.AsType[*token.InvalidError](err)
		switch {
		case refused && (refusal.Reason != token.Expired || expiry.IsZero()):
			w.finish(err)
			return
		case err == nil && (t.Issuer != w.issuer || t.Subject != w.subject):
			w.finish(errors.New("the token now belongs to another user"))
			return
		case err == nil:
			w.mu.Lock()
			w.expiry = t.Full().Expiry
			w.mu.Unlock()
		}
	case !now.Before(expiry.Add(w.leeway)):
		w.finish(invalid(token.Expired, "expired %s ago", now.Sub(expiry).Round(time.Second)))
		return
	}
	w.schedule(DefaultTTL)
}

// finish ends the watching because of err.
func (w *watch) finish(err error) {
	if w.close() {
		w.end(err)
	}
}

// stop ends the watching without a call of end.
func (w *watch) stop() { w.close() }

// close ends the watching, and reports whether it hadn't ended before.
func (w *watch) close() bool {
	w.mu.Lock()
	if w.over {
		w.mu.Unlock()
		return false
	}
	w.over = true
	if w.timer != nil {
		w.timer.Stop()
	}
	w.mu.Unlock()
	w.cancel()
	for _, c := range w.caches {
		c.mu.Lock()
		delete(c.watches, w)
		c.mu.Unlock()
	}
	return true
}
