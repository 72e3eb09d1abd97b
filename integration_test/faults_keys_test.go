package integration_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/internal/oauthtest"
)

// The issuer changes its keys: a token of a new key is good at once, and one
// of a withdrawn key no longer is, known or not.
func TestKeysChange(t *testing.T) {
	t.Parallel()
	_, doors := startDoors(t, jwtKind, jwtKind, jwtKind, jwtKind)
	for i, test := range []struct {
		name   string
		change func(*oauthtest.Server)
		old    int // what the tokens of the old key get afterwards
	}{
		{"a key is added", func(s *oauthtest.Server) { s.Rotate(true) }, 200},
		{"a key takes another's place", func(s *oauthtest.Server) { s.Rotate(false) }, 401},
		{"a new key under the old kid", func(s *oauthtest.Server) { s.ReplaceKey(s.CurrentKey().ID) }, 401},
		{"a key is withdrawn", func(s *oauthtest.Server) {
			first := s.CurrentKey()
			s.Rotate(true)
			s.RemoveKey(first.ID)
		}, 401},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := doors[i]
			known, unseen := d.token(nil), d.token(nil)
			d.check(t, "before", d.try(known), 200)
			d.check(t, "before, known", d.try(known), 200)
			test.change(d.issuer)
			d.check(t, "a token of the new key", d.try(d.token(nil)), 200)
			d.check(t, "another of the new key", d.try(d.token(nil)), 200)
			d.eventually(t, "a known token of the old key", known, test.old)
			d.eventually(t, "a new token of the old key", unseen, test.old)
		})
	}
}

// A verdict dies with its key as soon as the door hears of it, from whomever.
func TestKeyWithdrawn(t *testing.T) {
	t.Parallel()
	_, doors := startDoors(t, jwtKind)
	d := doors[0]
	stolen := d.issuer.CurrentKey()
	known := d.token(nil)
	d.check(t, "before", d.try(known), 200)
	d.issuer.Rotate(true)
	d.check(t, "beside another key", d.try(d.token(nil)), 200)
	d.check(t, "beside another key, known", d.try(known), 200)
	d.issuer.RemoveKey(stolen.ID)
	// Nobody has told the door. A token of another key makes it look.
	d.eventually(t, "an unknown kid", d.issuer.Mint(map[string]any{"aud": d.URL + d.path}, oauthtest.WithHeader("kid", "odd")), 401)
	d.eventually(t, "after the withdrawal", known, 401)
	d.eventually(t, "a new token of a stolen key", d.issuer.Mint(map[string]any{"aud": d.URL + d.path}, oauthtest.WithKey(stolen)), 401)
	d.check(t, "the other key", d.try(d.token(nil)), 200)
}

// Floods of tokens that send the door to its issuer for keys: it goes about once
// a second, and those with good tokens notice nothing.
func TestKeyFloods(t *testing.T) {
	t.Parallel()
	_, doors := startDoors(t, jwtKind, jwtKind, jwtKind)
	for i, test := range []struct {
		name   string
		option func(n int) oauthtest.MintOption
		known  bool // whether the kid is
	}{
		{"unknown kid", func(n int) oauthtest.MintOption { return oauthtest.WithHeader("kid", fmt.Sprint("kid-", n)) }, false},
		{"no kid", func(int) oauthtest.MintOption { return oauthtest.WithHeader("kid", oauthtest.Absent) }, false},
		{"bad signature", func(int) oauthtest.MintOption {
			return oauthtest.WithSignature(func(signature []byte) []byte { signature[0] ^= 1; return signature })
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := doors[i]
			stranger := d.issuer.NewKey("ES256", d.issuer.CurrentKey().ID)
			var flood []string
			for n := range 300 {
				flood = append(flood, d.issuer.Mint(map[string]any{"aud": d.URL + d.path, "n": n}, oauthtest.WithKey(stranger), test.option(n)))
			}
			known := d.token(nil)
			d.check(t, "before", d.try(known), 200)

			start := time.Now()
			for range 5 {
				var wave sync.WaitGroup
				for _, token := range flood {
					wave.Go(func() {
						got := d.try(token)
						want := 401
						if got.status == 503 && !test.known {
							want = 503 // the key may be a new one
						}
						d.check(t, "flood", got, want)
					})
				}
				for range 10 {
					d.check(t, "a known token meanwhile", d.try(known), 200)
				}
				d.check(t, "a new token meanwhile", d.try(d.token(nil)), 200)
				wave.Wait()
			}
			// A machine that is slow has the more time to fetch in, and no fewer fetches.
			if got, most := d.issuer.Count(oauthtest.JWKS), int(time.Since(start).Seconds())+2; got > most {
				t.Errorf("the keys were fetched %d times in %s, want at most %d", got, time.Since(start), most)
			}
			// Once it is over, a new key is taken note of as ever.
			d.issuer.Rotate(false)
			d.eventually(t, "a new key", d.token(nil), 200)
		})
	}
}

// Strangers with invented tokens wait for an issuer that hangs; those with good
// ones don't.
func TestStrangersWait(t *testing.T) {
	t.Parallel()
	_, doors := startDoors(t, jwtKind)
	d := doors[0]
	known := d.token(nil)
	d.check(t, "before", d.try(known), 200)
	release := make(chan struct{})
	d.issuer.SetFault(oauthtest.Any, oauthtest.Hold(release))
	var strangers sync.WaitGroup
	for n := range 40 {
		token := d.issuer.Mint(map[string]any{"aud": d.URL + d.path}, oauthtest.WithHeader("kid", fmt.Sprint("kid-", n)))
		strangers.Go(func() {
			if got := d.try(token); got.status != 401 {
				d.check(t, "a stranger", got, 503)
			}
		})
	}
	d.waitFor("the keys to be asked for", func() bool { return d.issuer.Count(oauthtest.JWKS) == 2 })
	for range 50 {
		d.check(t, "a known token", d.try(known), 200)
		d.check(t, "a new token", d.try(d.token(nil)), 200)
	}
	if n := d.issuer.Count(oauthtest.JWKS); n != 2 {
		t.Errorf("the keys were asked for %d times, want twice", n)
	}
	close(release)
	strangers.Wait()
}

// The first who asked hangs up: the others get their answer, from one question.
func TestFirstWaiterHangsUp(t *testing.T) {
	t.Parallel()
	c, doors := startDoors(t, kinds...)
	client := c.client()
	for _, d := range doors {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			release := make(chan struct{})
			d.issuer.SetFault(d.asks, oauthtest.Hold(release))
			token := d.token(nil)
			ctx, hangUp := context.WithCancel(t.Context())
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.URL+d.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+token)
			first := make(chan error, 1)
			go func() {
				resp, err := client.Do(req)
				if err == nil {
					resp.Body.Close()
				}
				first <- err
			}()
			d.waitFor("the issuer to be asked", func() bool { return d.issuer.Count(d.asks) == 1 })
			var others sync.WaitGroup
			for range 10 {
				others.Go(func() { d.check(t, "another who waits", d.try(token), 200) })
			}
			hangUp()
			if err := <-first; err == nil {
				t.Error("the first got an answer before the issuer gave one")
			}
			close(release)
			others.Wait()
			if n := d.issuer.Count(d.asks); n != 1 {
				t.Errorf("the issuer was asked %d times, want once", n)
			}
		})
	}
}

// An issuer that hangs doesn't hold up the tokens of another one. An opaque token
// names no issuer, so this takes a token_prefix for each.
func TestSlowIssuer(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			c := newCaddy(t)
			slow, d := newDoor(c, k.withPrefix("slow_"), "/door"), newDoor(c, k.withPrefix("fast_"), "/door")
			site := strings.Replace(siteOf([]door{d}), "issuer "+d.issuer.Issuer(), "issuer "+slow.issuer.Issuer()+" {\n"+slow.options+"\n}\nissuer "+d.issuer.Issuer(), 1)
			c.start(c.caddyfile(site))
			release := make(chan struct{})
			slow.issuer.SetFault(oauthtest.Any, oauthtest.Hold(release))
			stuck := make(chan struct{})
			go func() {
				defer close(stuck)
				d.check(t, "a token of the slow issuer", d.try(slow.token(nil)), 200)
			}()
			d.waitFor("the slow issuer to be asked", func() bool { return slow.issuer.Count(oauthtest.Any) > 0 })
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() { d.check(t, "a token of the other issuer", d.try(d.token(nil)), 200) })
			}
			wg.Wait()
			select {
			case <-stuck:
				t.Error("the slow issuer's token was answered before its issuer was")
			default:
			}
			close(release)
			<-stuck
		})
	}
}

// A key set, or an answer, of a gigabyte is given up on after its first megabyte.
func TestHugeAnswers(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("memory is read from /proc")
	}
	c, doors := startDoors(t, kinds...)
	for _, d := range doors { // to have everything loaded that is used
		for range 50 {
			d.check(t, "before", d.try(d.token(nil)), 200)
		}
	}
	proc := filepath.Join("/proc", strconv.Itoa(c.cmd.Process.Pid))
	for _, d := range doors {
		before := memory(t, proc, "VmRSS:")
		// The peak is counted from here.
		if err := os.WriteFile(filepath.Join(proc, "clear_refs"), []byte("5"), 0); err != nil {
			t.Skip(err)
		}
		d.issuer.SetFault(oauthtest.Any, oauthtest.Huge(1024))
		token := d.token(nil)
		if !d.opaque { // one of a key that the door hasn't heard of
			d.issuer.Rotate(false)
			token = d.token(nil)
		}
		d.check(t, d.name, d.try(token), 503)
		more := memory(t, proc, "VmHWM:") - before
		t.Logf("%s: %d KiB more, of %d", d.name, more, before)
		if limit := 16 << 10; more > limit && len(buildFlags) == 0 {
			t.Errorf("%s: an endless answer took %d KiB, want at most %d", d.name, more, limit)
		}
	}
}

// memory returns a line of a process's status in KiB.
func memory(t *testing.T, proc, line string) int {
	t.Helper()
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), line)
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		t.Fatalf("no %s in the status of the process", line)
	}
	kib, err := strconv.Atoi(fields[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib
}
