package oauth

import (
	"context"
	"errors"
	"time"
)

// sweepInterval is how often expired records are removed. The first server on the
// store that finds a sweep due does it.
const sweepInterval = time.Hour

// Sweep removes expired records if no server has done so lately. It only saves
// space: expired records are not used.
func (s *Server) Sweep(ctx context.Context) error {
	due, err := s.sweepDue(ctx)
	if err != nil || !due {
		return err
	}
	now := s.now()
	return errors.Join(
		sweepRecords(ctx, s, codesPrefix, func(c *code) bool { return now.After(c.Expires.Add(codeMemory)) }),
		sweepRecords(ctx, s, grantsPrefix, func(g *grant) bool { return now.After(g.Expires) }),
		sweepRecords(ctx, s, revokedPrefix, func(r *revokedToken) bool { return now.After(r.Expires.Add(revokedMemory)) }),
		sweepRecords(ctx, s, usedPrefix, func(u *used) bool { return now.After(u.Until) }),
		sweepRecords(ctx, s, sessionsPrefix, func(record *session) bool { return now.After(record.Expires) }),
		sweepRecords(ctx, s, consentsPrefix, func(c *Consent) bool { return now.After(c.Used.Add(consentLifetime)) }),
	)
}

// sweepDue reports whether a sweep is due, and records that this server does it.
func (s *Server) sweepDue(ctx context.Context) (bool, error) {
	due := func() (bool, error) {
		var last time.Time
		found, err := s.load(ctx, sweptKey, &last)
		return !found || !s.now().Before(last.Add(sweepInterval)), err
	}
	if ok, err := due(); err != nil || !ok {
		return false, err
	}
	unlock, err := s.lock(ctx, sweptKey)
	if err != nil {
		return false, err
	}
	defer unlock()
	if ok, err := due(); err != nil || !ok {
		return false, err
	}
	return true, s.store(ctx, sweptKey, s.now())
}

// sweepRecords removes the records below prefix that have expired.
func sweepRecords[T any](ctx context.Context, s *Server, prefix string, expired func(*T) bool) error {
	keys, err := s.config.Store.List(ctx, prefix)
	if err != nil {
		return err
	}
	var errs []error
	for _, key := range keys {
		// A damaged record must not keep the others from being removed.
		errs = append(errs, sweepRecord(ctx, s, key, expired))
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

func sweepRecord[T any](ctx context.Context, s *Server, key string, expired func(*T) bool) error {
	v := new(T)
	if found, err := s.loadWhole(ctx, key, v); err != nil || !found || !expired(v) {
		return err
	}
	// It may have been renewed meanwhile.
	unlock, err := s.lock(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()
	v = new(T)
	if found, err := s.loadWhole(ctx, key, v); err != nil || !found || !expired(v) {
		return err
	}
	return s.remove(ctx, key)
}
