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

// Announce tells of a change. holder is the connection that it came with: the one that holds the name, or held
// it last.
type Announce func(c Change, name string, holder any)

// Presence knows who is here. A name belongs to one owner at a time, so that a client that reconnects gets its
// name back even while its old connection still seems to live. Someone who loses the connection stays for a
// grace period, away, before they have left.
//
// It knows what happened since it was made. Someone who was here before that, and comes back, is said to be
// returning.
//
// All methods may be called concurrently.
type Presence struct {
	grace    time.Duration
	most     int
	announce Announce

	mu     sync.Mutex
	people map[string]*presentPerson // by folded name
}

type presentPerson struct {
	name   string
	owner  string
	holder any  // the connection that holds the name
	here   bool // false while away
	seen   bool // was here at least once, so that the others have heard of them
	expiry *time.Timer
}

// NewPresence returns a Presence of at most most people. announce is called for each change, in order and
// one call at a time; it must not call the Presence.
func NewPresence(grace time.Duration, most int, announce Announce) *Presence {
	return &Presence{grace: grace, most: most, announce: announce, people: map[string]*presentPerson{}}
}

// Reserve sets a name aside for its owner, for the grace period. It fails with CodeNameInvalid, CodeNameTaken or
// CodeFull.
func (p *Presence) Reserve(name, owner string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	person, err := p.reserve(name, owner)
	if err == nil && !person.here {
		p.expireLater(person)
	}
	return err
}

func (p *Presence) reserve(name, owner string) (*presentPerson, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	person := p.people[fold(name)]
	switch {
	case person == nil && len(p.people) >= p.most:
		return nil, fail(CodeFull, "nobody else fits in here: try again later")
	case person == nil:
		person = &presentPerson{name: name, owner: owner}
		p.people[fold(name)] = person
	case person.owner != owner:
		return nil, fail(CodeNameTaken, "%s is taken: choose another name", person.name)
	}
	return person, nil
}

// Arrive says that holder, any value that stands for one connection, now has a name. It returns who held it
// until then, or nil. returning says that the others know the person from before. Errors are those of Reserve.
func (p *Presence) Arrive(name, owner string, holder any, returning bool) (before any, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	person, err := p.reserve(name, owner)
	if err != nil {
		return nil, err
	}
	person.stopExpiry()
	if person.here {
		before = person.holder
	}
	change := Back
	switch {
	case before != nil:
		change = ""
	case !person.seen && !returning:
		change = Joined
	}
	person.holder, person.here, person.seen = holder, true, true
	if change != "" {
		p.announce(change, person.name, holder)
	}
	return before, nil
}

// Depart says that holder is gone: for good, or away for the grace period. It does nothing where another
// holds the name by now.
func (p *Presence) Depart(name string, holder any, forGood bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	person := p.people[fold(name)]
	if person == nil || !person.here || person.holder != holder {
		return
	}
	person.here = false
	if forGood {
		p.remove(person)
		return
	}
	p.announce(Away, person.name, holder)
	p.expireLater(person)
}

// People calls f with everyone who is here or away, by name. No change is announced until f returns, which must
// not call the Presence: who is told of the list there, and of changes by announce, ends with the right list.
func (p *Presence) People(f func([]Person)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]Person, 0, len(p.people))
	for _, person := range p.people {
		if person.seen {
			list = append(list, Person{Name: person.name, Here: person.here})
		}
	}
	slices.SortFunc(list, func(a, b Person) int { return cmp.Compare(a.Name, b.Name) })
	f(list)
}

func (p *Presence) expireLater(person *presentPerson) {
	person.stopExpiry()
	var timer *time.Timer
	timer = time.AfterFunc(p.grace, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		// A timer that was stopped too late finds another in its place.
		if person.expiry == timer {
			p.remove(person)
		}
	})
	person.expiry = timer
}

func (p *Presence) remove(person *presentPerson) {
	person.stopExpiry()
	delete(p.people, fold(person.name))
	if person.seen {
		p.announce(Left, person.name, person.holder)
	}
}

func (person *presentPerson) stopExpiry() {
	if person.expiry != nil {
		person.expiry.Stop()
		person.expiry = nil
	}
}

// fold makes names alike that people take for the same.
func fold(name string) string { return strings.ToLower(name) }

func checkName(name string) error {
	if !validName(name) {
		return fail(CodeNameInvalid, "a name has 1 to %d letters, digits, spaces, dots or dashes and begins with a letter or digit", maxNameRunes)
	}
	return nil
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
