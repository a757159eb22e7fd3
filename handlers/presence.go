package handlers

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxNameRunes bounds a name, in characters.
const maxNameRunes = 24

// Change is what became of a person.
type Change string

// The changes that a Presence announces.
const (
	Joined Change = "joined" // is here for the first time
	Away   Change = "away"   // lost the connection and may be back
	Back   Change = "back"   // is back after Away
	Left   Change = "left"   // said goodbye, or was away for too long
)

// Person is someone in a Presence, as the others see them.
type Person struct {
	Name string `json:"name"`
	Here bool   `json:"here"` // false: away
}

// Presence knows who is here. A name belongs to one person at a time, known by a secret key that their
// client makes up: whoever has the key is that person, so that a client that reconnects gets its name back
// even while its old connection still seems to live. Someone who loses the connection stays for a grace
// period, away, before they have left.
//
// All methods may be called concurrently.
type Presence struct {
	grace    time.Duration
	most     int
	announce func(c Change, name string)

	mu     sync.Mutex
	people map[string]*presentPerson // by folded name
}

type presentPerson struct {
	name   string
	key    string
	holder any  // the connection that holds the name; nil while away
	seen   bool // was here at least once, so that the others have heard of them
	expiry *time.Timer
}

// NewPresence returns a Presence of at most most people. announce is called for each change, in order and
// one call at a time; it must not call the Presence.
func NewPresence(grace time.Duration, most int, announce func(c Change, name string)) *Presence {
	return &Presence{grace: grace, most: most, announce: announce, people: map[string]*presentPerson{}}
}

// Reserve sets a name aside for the holder of key, for the grace period. It fails with CodeNameInvalid,
// CodeNameTaken or CodeFull.
func (p *Presence) Reserve(name, key string) error {
	if !validName(name) {
		return fail(CodeNameInvalid, "a name has 1 to %d letters, digits, spaces, dots or dashes and begins with a letter or digit", maxNameRunes)
	}
	if len(key) < 16 || len(key) > 64 {
		return fail(CodeBadRequest, "the key of a name has 16 to 64 bytes")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	folded := strings.ToLower(name)
	person := p.people[folded]
	switch {
	case person == nil && len(p.people) >= p.most:
		return fail(CodeFull, "nobody else fits in here: try again later")
	case person == nil:
		person = &presentPerson{name: name, key: key}
		p.people[folded] = person
	case person.key != key:
		return fail(CodeNameTaken, "%s is taken: choose another name", person.name)
	}
	if person.holder == nil {
		p.expireLater(folded, person)
	}
	return nil
}

// Arrive says that holder, any value that stands for one connection, now has a reserved name. It returns
// who held it until then, or nil.
func (p *Presence) Arrive(name, key string, holder any) (before any, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	person := p.people[strings.ToLower(name)]
	if person == nil || person.key != key {
		return nil, fail(CodeNameTaken, "%s is taken: choose another name", name)
	}
	person.stopExpiry()
	before, person.holder = person.holder, holder
	switch {
	case !person.seen:
		person.seen = true
		p.announce(Joined, person.name)
	case before == nil:
		p.announce(Back, person.name)
	}
	return before, nil
}

// Depart says that holder is gone: for good, or away for the grace period. It does nothing where another
// holds the name by now.
func (p *Presence) Depart(name string, holder any, forGood bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	folded := strings.ToLower(name)
	person := p.people[folded]
	if person == nil || person.holder != holder {
		return
	}
	person.holder = nil
	if forGood {
		p.remove(folded, person)
		return
	}
	p.announce(Away, person.name)
	p.expireLater(folded, person)
}

// People lists everyone who is here or away, by name.
func (p *Presence) People() []Person {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]Person, 0, len(p.people))
	for _, person := range p.people {
		if person.seen {
			list = append(list, Person{Name: person.name, Here: person.holder != nil})
		}
	}
	slices.SortFunc(list, func(a, b Person) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

func (p *Presence) expireLater(folded string, person *presentPerson) {
	person.stopExpiry()
	var timer *time.Timer
	timer = time.AfterFunc(p.grace, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		// A timer that was stopped too late finds another in its place.
		if person.expiry == timer {
			p.remove(folded, person)
		}
	})
	person.expiry = timer
}

func (p *Presence) remove(folded string, person *presentPerson) {
	person.stopExpiry()
	delete(p.people, folded)
	if person.seen {
		p.announce(Left, person.name)
	}
}

func (person *presentPerson) stopExpiry() {
	if person.expiry != nil {
		person.expiry.Stop()
		person.expiry = nil
	}
}

// validName allows what is read as a name, and nothing that is invisible or looks like markup.
func validName(name string) bool {
	if !utf8.ValidString(name) || utf8.RuneCountInString(name) > maxNameRunes || strings.Contains(name, "  ") || strings.HasSuffix(name, " ") {
		return false
	}
	for i, r := range name {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r):
		case i > 0 && (unicode.IsMark(r) || strings.ContainsRune(" .-_'", r)):
		default:
			return false
		}
	}
	return name != ""
}
