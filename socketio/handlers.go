package socketio

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// table is the set of handlers at one moment. It is never changed: a change makes a new one.
type table struct {
	use           []func(*Socket) error
	connect       []func(*Socket) error
	disconnecting []func(*Socket, string)
	disconnect    []func(*Socket, string)
	events        map[string]*eventHandler
	any           []func(*Event)
	anyOutgoing   []func(*Socket, string, []Arg)
	packet        []func(*Event) error
	errors        []func(*Socket, error)
	server        map[string]func(Args) (any, error)
}

type eventHandler struct {
	name string // shared by all events of that name
	f    func(*Event) error
}

func (t *table) clone() *table {
	c := *t
	c.use = slices.Clone(t.use)
	c.connect = slices.Clone(t.connect)
	c.disconnecting = slices.Clone(t.disconnecting)
	c.disconnect = slices.Clone(t.disconnect)
	c.events = maps.Clone(t.events)
	c.any = slices.Clone(t.any)
	c.anyOutgoing = slices.Clone(t.anyOutgoing)
	c.packet = slices.Clone(t.packet)
	c.errors = slices.Clone(t.errors)
	c.server = maps.Clone(t.server)
	return &c
}

// handlers are what an application sets on a namespace. Setting one is possible at any time and applies
// to what happens from then on.
type handlers struct {
	mu     sync.Mutex
	now    atomic.Pointer[table]
	parent *handlers // whose handlers a child uses until it is given one of its own
}

var emptyTable = &table{}

func (h *handlers) table() *table {
	if t := h.now.Load(); t != nil {
		return t
	}
	if h.parent != nil {
		return h.parent.table()
	}
	return emptyTable
}

func (h *handlers) change(f func(*table)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.table().clone()
	f(t)
	h.now.Store(t)
}

// Use adds a connection middleware. They run one after another before a socket connects, on a goroutine of
// the socket's own, so they may block; none runs for a client that is gone. The socket can be given data
// and joined to rooms already. An error refuses the connection: the client gets connect_error with the
// Message and Data of an *Error (Code, where there is no Data, as data.code), and "internal error" for any
// other.
func (h *handlers) Use(f func(s *Socket) error) {
	h.change(func(t *table) { t.use = append(t.use, f) })
}

// OnConnect adds a handler for new sockets. The client has been told of its connection then; its events
// wait until all such handlers have returned. An error disconnects the socket.
func (h *handlers) OnConnect(f func(s *Socket) error) {
	h.change(func(t *table) { t.connect = append(t.connect, f) })
}

// OnDisconnecting adds a handler for sockets that have been disconnected, in which Socket.Rooms still
// tells the rooms that the socket was in. It runs before those of OnDisconnect, after the handlers of all
// events that had arrived.
func (h *handlers) OnDisconnecting(f func(s *Socket, reason string)) {
	h.change(func(t *table) { t.disconnecting = append(t.disconnecting, f) })
}

// OnDisconnect adds a handler for sockets that have been disconnected. It runs exactly once for each
// socket that connected, after all other handlers of the socket. The reasons are those of Node's server:
// "client namespace disconnect", "server namespace disconnect", "transport close", "transport error",
// "ping timeout", "parse error", "forced close", "forced server close", "server shutting down"; and "send
// buffer full" for a client that reads too slowly.
func (h *handlers) OnDisconnect(f func(s *Socket, reason string)) {
	h.change(func(t *table) { t.disconnect = append(t.disconnect, f) })
}

// On sets the handler of an event. It panics where the event has one already, or its name is reserved:
// both are mistakes in the program. An error of the handler answers the acknowledgement, if the client
// asked for one that was not sent yet; see Error. It goes to OnError too.
func (h *handlers) On(event string, f func(e *Event) error) {
	if isReservedEvent(event) {
		panic(fmt.Sprintf("socketio: %q is a reserved event name", event))
	}
	h.change(func(t *table) {
		if t.events[event] != nil {
			panic(fmt.Sprintf("socketio: event %q has a handler already", event))
		}
		if t.events == nil {
			t.events = make(map[string]*eventHandler)
		}
		t.events[event] = &eventHandler{name: event, f: f}
	})
}

// OnAny adds a listener for all events that arrive, whether they have a handler or not. It runs before
// packet middlewares and the handler.
func (h *handlers) OnAny(f func(e *Event)) {
	h.change(func(t *table) { t.any = append(t.any, f) })
}

// OnAnyOutgoing adds a listener for events that are sent, called once for each socket that they are sent
// to, on the goroutine that sends. Acknowledgements are not included.
func (h *handlers) OnAnyOutgoing(f func(s *Socket, event string, args []Arg)) {
	h.change(func(t *table) { t.anyOutgoing = append(t.anyOutgoing, f) })
}

// UsePacket adds a middleware for events that arrive. An error keeps the event from the next middleware
// and from its handler, and is treated as an error of the handler.
func (h *handlers) UsePacket(f func(e *Event) error) {
	h.change(func(t *table) { t.packet = append(t.packet, f) })
}

// OnError adds a listener for errors of event handlers, packet middlewares and connect handlers.
func (h *handlers) OnError(f func(s *Socket, err error)) {
	h.change(func(t *table) { t.errors = append(t.errors, f) })
}

// OnServerSide sets the handler of an event that another server of the cluster sends with ServerSideEmit.
// What it returns answers ServerSideEmitWithAck; an error is logged, and answered with null. Handlers of
// one namespace run one after another and hold up what arrives from the cluster: they must not block for
// long. It panics where the event has a handler already.
func (h *handlers) OnServerSide(event string, f func(args Args) (any, error)) {
	h.change(func(t *table) {
		if t.server[event] != nil {
			panic(fmt.Sprintf("socketio: server-side event %q has a handler already", event))
		}
		if t.server == nil {
			t.server = make(map[string]func(Args) (any, error))
		}
		t.server[event] = f
	})
}
