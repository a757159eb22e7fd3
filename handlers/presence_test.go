package handlers_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/handlers"
	"holdfast/socketio"
)

const (
	adas    = "owner of Ada"
	graces  = "owner of Grace"
	grace30 = 30 * time.Second
)

type diary struct{ changes []string }

func (d *diary) write(c handlers.Change, name string, holder any) {
	d.changes = append(d.changes, fmt.Sprint(c, " ", name, " ", holder))
}

// people lists who is here.
func people(p *handlers.Presence) (list []handlers.Person) {
	p.People(func(all []handlers.Person) { list = all })
	return list
}

func codeOf(err error) string {
	var e *socketio.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func arrive(t *testing.T, p *handlers.Presence, name, owner, socket string) any {
	t.Helper()
	if err := p.Reserve(name, owner); err != nil {
		t.Fatalf("reserve %s: %v", name, err)
	}
	before, err := p.Arrive(name, owner, socket, false)
	if err != nil {
		t.Fatalf("arrive %s: %v", name, err)
	}
	return before
}

func TestPresenceTellsWhoComesAndGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &diary{}
		p := handlers.NewPresence(grace30, 10, d.write)
		arrive(t, p, "Ada", adas, "s1")
		arrive(t, p, "Grace", graces, "s2")
		p.Depart("Ada", "s1", false)
		same(t, people(p), []handlers.Person{{Name: "Ada", Here: false}, {Name: "Grace", Here: true}})

		time.Sleep(grace30 - time.Second)
		synctest.Wait()
		arrive(t, p, "Ada", adas, "s3")
		time.Sleep(2 * grace30) // the old expiry finds her back
		synctest.Wait()
		same(t, d.changes, []string{"joined Ada s1", "joined Grace s2", "away Ada s1", "back Ada s3"})

		p.Depart("Ada", "s3", false)
		time.Sleep(grace30)
		synctest.Wait()
		p.Depart("Grace", "s2", true)
		same(t, d.changes[4:], []string{"away Ada s3", "left Ada s3", "left Grace s2"})
		same(t, people(p), []handlers.Person{})
	})
}

func TestPresenceNameBelongsToItsOwner(t *testing.T) {
	d := &diary{}
	p := handlers.NewPresence(grace30, 10, d.write)
	arrive(t, p, "Ada", adas, "s1")
	for _, name := range []string{"Ada", "ADA", "ada"} {
		same(t, codeOf(p.Reserve(name, graces)), handlers.CodeNameTaken)
		_, err := p.Arrive(name, graces, "s2", false)
		same(t, codeOf(err), handlers.CodeNameTaken)
	}
	// Its owner takes over, silently; the socket that had it no longer counts.
	same(t, arrive(t, p, "Ada", adas, "s3"), "s1")
	p.Depart("Ada", "s1", true)
	same(t, people(p), []handlers.Person{{Name: "Ada", Here: true}})
	same(t, d.changes, []string{"joined Ada s1"})

	p.Depart("Ada", "s3", true)
	if err := p.Reserve("Ada", graces); err != nil {
		t.Fatalf("a name is free once its holder left: %v", err)
	}
}

func TestPresenceForgetsWhoNeverArrived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &diary{}
		p := handlers.NewPresence(grace30, 1, d.write)
		if err := p.Reserve("Ada", adas); err != nil {
			t.Fatal(err)
		}
		same(t, codeOf(p.Reserve("Grace", graces)), handlers.CodeFull)
		same(t, people(p), []handlers.Person{})
		time.Sleep(grace30)
		synctest.Wait()
		if err := p.Reserve("Grace", graces); err != nil {
			t.Fatal(err)
		}
		_, err := p.Arrive("Ada", adas, "s1", false)
		same(t, codeOf(err), handlers.CodeFull)
		if len(d.changes) != 0 {
			t.Fatalf("announced: %v", d.changes)
		}
	})
}

func TestPresenceNames(t *testing.T) {
	p := handlers.NewPresence(time.Hour, 1000, func(handlers.Change, string, any) {})
	for i, name := range []string{"Ada", "ada lovelace", "Jean-Luc", "O'Neill", "Änne", "王小明", "नमस्ते", "R2.D2", "4", strings.Repeat("x", 24)} {
		if err := p.Reserve(name, fmt.Sprintf("%016d", i)); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", " Ada", "Ada ", "a  b", "-", "<b>", "a\nb", "a\u200bb", "\u202eada", "a\x00", "\xff", "a/b", strings.Repeat("x", 25), "😀"} {
		if code := codeOf(p.Reserve(name, adas)); code != handlers.CodeNameInvalid {
			t.Errorf("%q: code %q", name, code)
		}
	}
}

// A server that starts again has forgotten who was here. The others have not.
func TestPresenceSomeoneKnownReturns(t *testing.T) {
	d := &diary{}
	p := handlers.NewPresence(grace30, 10, d.write)
	if _, err := p.Arrive("Ada", adas, "s1", true); err != nil {
		t.Fatal(err)
	}
	arrive(t, p, "Grace", graces, "s2")
	p.Depart("Grace", "s2", true)
	if _, err := p.Arrive("Grace", graces, "s3", true); err != nil {
		t.Fatal(err)
	}
	same(t, d.changes, []string{"back Ada s1", "joined Grace s2", "left Grace s2", "back Grace s3"})
	same(t, people(p), []handlers.Person{{Name: "Ada", Here: true}, {Name: "Grace", Here: true}})
}

// However arrivals and departures race, what was announced adds up to who is here.
func TestPresenceAddsUp(t *testing.T) {
	last := map[string]handlers.Change{}
	p := handlers.NewPresence(time.Millisecond, 1000, func(c handlers.Change, name string, _ any) {
		was := last[name]
		ok := map[handlers.Change]bool{
			handlers.Joined: was == "" || was == handlers.Left,
			handlers.Away:   was == handlers.Joined || was == handlers.Back,
			handlers.Back:   was == handlers.Away,
			handlers.Left:   was == handlers.Joined || was == handlers.Back || was == handlers.Away,
		}[c]
		if !ok {
			t.Errorf("%s: %q after %q", name, c, was)
		}
		last[name] = c
	})
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := range 500 {
				name := fmt.Sprintf("Person %d", i%5)
				socket := fmt.Sprintf("s%d-%d", worker, i)
				if p.Reserve(name, adas) == nil {
					if _, err := p.Arrive(name, adas, socket, false); err == nil {
						p.Depart(name, socket, i%3 == 0)
					}
				}
			}
		})
	}
	all.Wait()
}
