package throttle

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/testkit"
)

func TestNetworks(t *testing.T) {
	t.Parallel()
	for address, want := range map[string][]string{
		"192.0.2.1":           {"c0000201/32", "c00002/24"},
		"::ffff:192.0.2.1":    {"c0000201/32", "c00002/24"},
		"64:ff9b::192.0.2.1":  {"c0000201/32", "c00002/24"},
		"2001:db8:1:2345::1":  {"20010db800012345/64", "20010db8000123/56", "20010db80001/48"},
		"2001:db8:0:0:ffff::": {"20010db800000000/64", "20010db8000000/56", "20010db80000/48"},
		"fe80::1%eth0":        {"fe80000000000000/64", "fe800000000000/56", "fe8000000000/48"},
		"":                    {"0/0"},
		"@":                   {"0/0"},
		"192.0.2.1:80":        {"0/0"},
	} {
		var got []string
		for _, n := range networks(address) {
			got = append(got, fmt.Sprintf("%x/%d", n.prefix, n.bits))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", address, got, want)
		}
	}
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	seen := make(map[string]string)
	for address, same := range map[string]string{
		"192.0.2.1": "192.0.2.255", "192.0.3.1": "::ffff:192.0.3.9", "2001:db8:1::": "2001:db8:1:ffff::1", "2001:db8:2::": "2001:db8:2::", "": "@", "0.0.0.0": "0.0.0.1", "::": "::1",
	} {
		name := Network(address)
		if other, ok := seen[name]; ok || name != Network(same) {
			t.Errorf("%s: got %s, as %q; %s: got %s", address, name, other, same, Network(same))
		}
		seen[name] = address
	}
}

func TestBuckets(t *testing.T) {
	t.Parallel()
	rate := Rate{Burst: 20, Every: 3 * time.Second}
	for _, tt := range []struct {
		name    string
		address func(i int) string
		want    int // at once
		every   time.Duration
	}{
		{"one address", func(int) string { return "192.0.2.1" }, 20, 3 * time.Second},
		{"an address and its form in IPv6", func(i int) string { return []string{"192.0.2.1", "::ffff:192.0.2.1"}[i%2] }, 20, 3 * time.Second},
		{"what is no address", func(i int) string { return []string{"", "@"}[i%2] }, 20, 3 * time.Second},
		{"a /64", func(i int) string { return fmt.Sprintf("2001:db8::%x", i) }, 20, 3 * time.Second},
		{"a /56", func(i int) string { return fmt.Sprintf("2001:db8:0:%x::1", i%256) }, 40, 1500 * time.Millisecond},
		{"a /48", func(i int) string { return fmt.Sprintf("2001:db8:0:%x::1", i) }, 80, 750 * time.Millisecond},
		{"a /24", func(i int) string { return fmt.Sprintf("192.0.2.%d", i%256) }, 80, 750 * time.Millisecond},
		{"many networks", func(i int) string { return fmt.Sprintf("10.%d.%d.1", i>>8, i&255) }, 1000, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := testkit.NewClock()
			b := NewBuckets(rate, c.Now)
			passed, wait := 0, time.Duration(0)
			for i := range 1000 {
				if wait = b.Take(tt.address(i)); wait == 0 {
					passed++
				}
			}
			if passed != tt.want {
				t.Errorf("%d pass, want %d", passed, tt.want)
			}
			if wait != tt.every {
				t.Errorf("the next waits %s, want %s", wait, tt.every)
			}
			if wait := b.Take("203.0.113.1"); wait != 0 {
				t.Errorf("another network waits %s", wait)
			}
			if tt.every == 0 {
				return
			}
			c.Advance(tt.every)
			if wait := b.Take(tt.address(999)); wait != 0 && tt.want < 40 {
				t.Errorf("after the wait there is another of %s", wait)
			}
			c.Advance(time.Hour)
			if wait := b.Take(tt.address(999)); wait != 0 {
				t.Errorf("after an hour there is a wait of %s", wait)
			}
		})
	}
}

// A flood of new networks displaces itself, not those that are held back.
func TestBucketsEviction(t *testing.T) {
	t.Parallel()
	c := testkit.NewClock()
	b := NewBuckets(Rate{Burst: 20, Every: time.Hour}, c.Now)
	for b.Take("192.0.2.1") == 0 {
	}
	for i := range 5 * maxRecords {
		b.Take(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255))
	}
	for bits, table := range b.tables {
		if len(table.records) > maxRecords {
			t.Errorf("/%d: %d records, want at most %d", bits, len(table.records), maxRecords)
		}
	}
	if b.Take("192.0.2.1") == 0 {
		t.Error("the flood has made what was held back forgotten")
	}
	c.Advance(time.Duration(1000) * time.Hour)
	for i := range 2 * minSweep {
		b.Take(fmt.Sprintf("172.16.%d.%d", i>>8, i&255))
	}
	if n := len(b.tables[32].records); n > 2*maxRecords {
		t.Errorf("%d records are kept that hold nothing back", n)
	}
}

func TestEvictionTakesTheLightest(t *testing.T) {
	t.Parallel()
	c := testkit.NewClock()
	table := newTable[*failures](8)
	of := func(i int) network { return network{uint64(i), 32} }
	for i := range 8 {
		c.Advance(time.Second)
		table.put(of(i), &failures{count: []int{3, 1, 2, 1, 3, 9, 9, 9}[i], last: c.Now(), forget: time.Hour}, c.Now())
	}
	for i, gone := range []int{1, 3, 2, 0, 4} {
		table.put(of(100+i), &failures{count: 100, last: c.Now(), forget: time.Hour}, c.Now())
		if _, ok := table.records[of(gone)]; ok || len(table.records) != 8 {
			t.Errorf("eviction %d: %d records, the lightest and oldest there still: %t", i, len(table.records), ok)
		}
	}
}
