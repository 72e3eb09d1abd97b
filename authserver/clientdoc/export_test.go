package clientdoc

import (
	"net"
	"time"
)

// What the tests reach of the inside.
var (
	Public        = public
	CheckDocument = checkDocument
	Lease         = lease
	EntityTag     = entityTag
	IsJSON        = isJSON
	CheckURL      = func(id string) error { return checkURL(id, nil) }
)

const (
	MaxBody    = maxBody
	MaxFetches = maxFetches
	MaxQueue   = maxQueue
)

func (f *Fetcher) SetResolver(r *net.Resolver) { f.dialer.Resolver = r }
func (f *Fetcher) SetTimeout(d time.Duration)  { f.timeout = d }
func (f *Fetcher) SetMaxWait(d time.Duration)  { f.maxWait = d }
func (f *Fetcher) Queued() int                 { f.slots.mu.Lock(); defer f.slots.mu.Unlock(); return f.slots.queued }

func (f *Fetcher) Hosts() int {
	f.slots.mu.Lock()
	defer f.slots.mu.Unlock()
	return len(f.slots.hosts)
}
