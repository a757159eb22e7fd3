package main

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"holdfast/socketio"
)

// space is what a Namespace and a ParentNamespace have in common.
type space interface {
	socketio.Registrar
	Use(func(*socketio.Socket) error)
	UsePacket(func(*socketio.Event) error)
	OnConnect(func(*socketio.Socket) error)
	OnDisconnecting(func(*socketio.Socket, string))
	OnDisconnect(func(*socketio.Socket, string))
	OnAny(func(*socketio.Event))
	OnAnyOutgoing(func(*socketio.Socket, string, []socketio.Arg))
}

type app struct {
	server  *socketio.Server
	ledger  *ledger
	statics []*socketio.Namespace
	parents []*socketio.ParentNamespace // the one by pattern first
}

// memo is what the application keeps with a socket. Its handlers run one after another, so it needs no lock.
type memo struct {
	numbers numbers
	chain   []string
	tries   int
	ready   bool // the connection handler has returned
}

type numbers struct {
	Count      int      `json:"count"`
	Disorder   int      `json:"disorder"` // numbers that did not follow the one before
	Last       int      `json:"last"`
	Transports []string `json:"transports"`
}

func memoOf(s *socketio.Socket) *memo { return s.Data().(*memo) }

func newApp(server *socketio.Server) *app {
	a := &app{server: server, ledger: newLedger()}
	a.namespace("/")
	a.namespace("/custom")
	a.namespace("/crowd").OnConnect(func(s *socketio.Socket) error { return s.Join("crowd") })
	a.namespace("/slow").OnConnect(func(s *socketio.Socket) error {
		time.Sleep(50 * time.Millisecond)
		memoOf(s).ready = true
		return nil
	})
	a.namespace("/greeting").OnConnect(greet)
	a.partings()
	a.middlewares()
	a.families()
	return a
}

// greet emits directly and through a room that it has just joined.
func greet(s *socketio.Socket) error {
	return errors.Join(
		s.Emit("hello", 1),
		s.Emit("hello", 2),
		s.Join("greeted"),
		s.Namespace().To("greeted").Emit("hello", 3),
	)
}

// partings are namespaces whose handlers turn the socket away or fail.
func (a *app) partings() {
	a.namespace("/turned-away").OnConnect(func(s *socketio.Socket) error { s.Disconnect(false); return nil })
	a.namespace("/thrown-out").OnConnect(func(s *socketio.Socket) error { s.Disconnect(true); return nil })
	a.namespace("/broken").OnConnect(func(*socketio.Socket) error { return errors.New("the connection handler fails") })
	a.namespace("/panic-connect").OnConnect(func(*socketio.Socket) error { panic("in a connection handler") })
	a.namespace("/panic-middleware").Use(func(*socketio.Socket) error { panic("in a middleware") })
	a.namespace("/panic-disconnect").OnDisconnect(func(*socketio.Socket, string) { panic("in a disconnect handler") })
}

func (a *app) middlewares() {
	a.namespace("/auth").Use(func(s *socketio.Socket) error {
		var auth struct {
			Token string `json:"token"`
		}
		if given := s.Handshake().Auth; !given.IsZero() {
			if err := given.Bind(&auth); err != nil {
				return err
			}
		}
		if auth.Token != "secret" {
			return &socketio.Error{Message: "not authorized", Data: map[string]any{"code": "E_AUTH", "retryAfter": 3}}
		}
		return nil
	})

	chain := a.namespace("/chain")
	for _, name := range []string{"first", "second", "third"} {
		chain.Use(func(s *socketio.Socket) error {
			var auth struct {
				StopAt string `json:"stopAt"`
			}
			if given := s.Handshake().Auth; !given.IsZero() {
				if err := given.Bind(&auth); err != nil {
					return err
				}
			}
			time.Sleep(5 * time.Millisecond)
			m := memoOf(s)
			m.chain = append(m.chain, name)
			if auth.StopAt == name {
				return &socketio.Error{Message: "stopped at " + name}
			}
			return nil
		})
	}

	a.namespace("/filtered").UsePacket(func(e *socketio.Event) error {
		if e.Name != "forbidden" {
			return nil
		}
		a.ledger.note(e.Socket, "refused", e.Name)
		return &socketio.Error{Code: "forbidden", Message: "not that event"}
	})

	all := a.namespace("/catch-all")
	all.OnAny(func(e *socketio.Event) { a.ledger.note(e.Socket, "incoming", e.Name) })
	all.OnAnyOutgoing(func(s *socketio.Socket, event string, _ []socketio.Arg) { a.ledger.note(s, "outgoing", event) })
}

// families are the namespaces that exist once a client asks for them.
func (a *app) families() {
	a.parent(a.server.OfPattern(regexp.MustCompile(`^/dynamic-\d+$`)))
	byName := a.server.OfFunc(func(name string, h *socketio.Handshake) (bool, error) {
		var auth struct {
			Open bool `json:"open"`
		}
		if !h.Auth.IsZero() {
			if err := h.Auth.Bind(&auth); err != nil {
				return false, err
			}
		}
		return auth.Open && strings.HasPrefix(name, "/by-name-"), nil
	})
	a.parent(byName)
	byName.Use(func(s *socketio.Socket) error {
		var auth struct {
			Barred bool `json:"barred"`
		}
		if err := s.Handshake().Auth.Bind(&auth); err != nil {
			return err
		}
		if auth.Barred {
			return &socketio.Error{Message: "barred"}
		}
		return nil
	})
}

func (a *app) namespace(name string) *socketio.Namespace {
	n := a.server.Of(name)
	a.statics = append(a.statics, n)
	a.equip(n, name != "/slow")
	return n
}

func (a *app) parent(p *socketio.ParentNamespace) {
	a.parents = append(a.parents, p)
	a.equip(p, true)
}

// equip gives a namespace its memo, its entries in the ledger and the common events. ready says that nothing
// but the connection handlers set here decides whether a socket is ready for its events.
func (a *app) equip(n space, ready bool) {
	n.Use(func(s *socketio.Socket) error {
		s.SetData(&memo{numbers: numbers{Last: -1, Transports: []string{}}, ready: ready})
		return nil
	})
	n.OnConnect(func(s *socketio.Socket) error {
		a.ledger.update(s, func(acc *account) { acc.Connects++ })
		return nil
	})
	n.OnDisconnecting(func(s *socketio.Socket, reason string) {
		rooms := slices.Sorted(slices.Values(s.Rooms()))
		a.ledger.update(s, func(acc *account) { acc.Rooms = append(acc.Rooms, parting{Reason: reason, Rooms: rooms}) })
	})
	n.OnDisconnect(func(s *socketio.Socket, reason string) {
		a.ledger.update(s, func(acc *account) { acc.Disconnects = append(acc.Disconnects, parting{Reason: reason}) })
	})
	a.events(n)
}
