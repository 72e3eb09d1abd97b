package inprocess

import (
	"fmt"
	"testing"
	"time"
)

// at is when a token says that it was issued; zero if it doesn't.
func at(issued time.Time) func() (time.Time, bool) {
	return func() (time.Time, bool) { return issued, !issued.IsZero() }
}

func TestEnded(t *testing.T) {
	t.Parallel()
	const issuer = "https://ended.example"
	now := time.Date(2026, 5, 6, 7, 8, 9, 500, time.UTC)
	issued, later, until := now.Truncate(time.Second), now.Truncate(time.Second).Add(time.Second), now.Add(time.Hour)
	var l endedList
	l.max = 100
	user := func(subject string) endedUser { return endedUser{issuer, subject} }
	if l.has(user("ada"), "app", at(issued)) {
		t.Error("an empty list has something")
	}
	l.add(user("ada"), "app", now, until)
	l.add(user("grace"), "", now, until)
	for _, test := range []struct {
		name    string
		user    endedUser
		client  string
		issued  time.Time
		refused bool
	}{
		{"issued before", user("ada"), "app", issued.Add(-time.Minute), true},
		{"issued in that second", user("ada"), "app", issued, true},
		{"any client", user("grace"), "other", issued, true},
		{"no client", user("grace"), "", issued, true},

		{"issued at an unknown time", user("ada"), "app", time.Time{}, false},
		{"issued later", user("ada"), "app", later, false},
		{"another client", user("ada"), "other", issued, false},
		{"no client, where one was ended", user("ada"), "", issued, false},
		{"any client, issued later", user("grace"), "other", later, false},
		{"another user", user("eve"), "app", issued, false},
		{"another issuer", endedUser{"https://other.example", "ada"}, "app", issued, false},
	} {
		if got := l.has(test.user, test.client, at(test.issued)); got != test.refused {
			t.Errorf("%s: got %v, want %v", test.name, got, test.refused)
		}
	}
	for _, test := range []struct {
		name    string
		subject string
		issued  time.Time
		refused bool
	}{
		{"one client's access ended", "ada", issued, true},
		{"all access ended", "grace", issued, true},
		{"issued later", "ada", later, false},
		{"issued later than all", "grace", later, false},
		{"issued at an unknown time", "ada", time.Time{}, false},
		{"another user", "eve", issued, false},
	} {
		if got := l.hasAny(user(test.subject), at(test.issued)); got != test.refused {
			t.Errorf("for any client, %s: got %v, want %v", test.name, got, test.refused)
		}
	}
	// Ended again: what was issued in between no longer counts either.
	l.add(user("ada"), "app", now.Add(time.Minute), until)
	if !l.has(user("ada"), "app", at(later)) {
		t.Error("the second end doesn't count")
	}
}

// The list is bounded; what matters for the shortest time goes first.
func TestEndedIsBounded(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	user := func(n int) endedUser { return endedUser{"i", fmt.Sprint(n)} }
	l := endedList{max: 10}
	for i := range 10 {
		l.add(user(i), "", now, now.Add(time.Duration(i+1)*time.Minute))
	}
	l.add(user(10), "", now, now.Add(time.Hour))
	if l.has(user(0), "", at(now)) || !l.has(user(1), "", at(now)) || !l.has(user(10), "", at(now)) || len(l.users) != 10 {
		t.Errorf("the wrong one of %d went", len(l.users))
	}
	// Those whose tokens have expired all go.
	later := now.Add(5 * time.Minute)
	l.add(user(11), "", later, later.Add(time.Hour))
	if len(l.users) != 7 || l.has(user(4), "", at(now)) || !l.has(user(5), "", at(now)) {
		t.Errorf("got %d users, want 7", len(l.users))
	}
	// With many clients of one user, all of them count as ended.
	for i := range maxEndedClients {
		l.add(user(12), fmt.Sprint("client", i), now, now.Add(time.Hour))
	}
	if l.has(user(12), "another", at(now)) {
		t.Error("one client too early")
	}
	l.add(user(12), "client0", now, now.Add(time.Hour)) // which is there
	if l.has(user(12), "another", at(now)) {
		t.Error("a client that is known counts twice")
	}
	l.add(user(12), "one more", now, now.Add(time.Hour))
	if !l.has(user(12), "another", at(now)) || len(l.users[user(12)].clients) > maxEndedClients {
		t.Error("the clients of a user aren't bounded")
	}
}

// Front doors forget what they know, after the end is on the list.
func TestOnEnd(t *testing.T) {
	t.Parallel()
	const issuer = "https://onend.example"
	now := time.Now()
	var told []string
	tell := func(name string) func(string) {
		return func(subject string) {
			if !Ended(issuer, subject, "app", at(now)) {
				t.Error("told before it is true")
			}
			told = append(told, name+subject)
		}
	}
	release := OnEnd(issuer, tell("a "))
	defer OnEnd("https://other.example", tell("other "))()
	End(issuer, "ada", "app", now, now.Add(time.Hour))
	release()
	End(issuer, "eve", "", now, now.Add(time.Hour))
	if fmt.Sprint(told) != "[a ada]" {
		t.Errorf("told %q, want ada once", told)
	}
}
