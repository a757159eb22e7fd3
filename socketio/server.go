package socketio

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"holdfast/cluster"
	"holdfast/engineio"
)

// Options of a Server. Start from DefaultOptions; the zero value is not useful.
type Options struct {
	Engine engineio.Options
	// ConnectTimeout is how long a connection may stay without having joined a namespace.
	ConnectTimeout time.Duration
	// CleanupEmptyChildNamespaces removes a namespace that a pattern or function made, once its last
	// socket is gone.
	CleanupEmptyChildNamespaces bool
	// ReceiveBuffer bounds the events of one socket that wait for their handler, in bytes. Past it nothing
	// more is read from the connection until there is room. One event is always taken, whatever its size.
	ReceiveBuffer int64
	// MaxAttachments bounds the binary values of one packet, in both directions. Stock clients since 4.8.4
	// accept 10. A connection holds up to as many messages of Engine.MaxPayload until a packet is complete.
	MaxAttachments int
	// MaxNamespacesPerConnection bounds the namespaces that one connection is in or asks to join.
	MaxNamespacesPerConnection int
	// AckTimeout is for EmitWithAck and EmitAck where no other is given; 0 means no bound.
	AckTimeout time.Duration
	Logger     zerolog.Logger
	// Bus joins this server with others; nil means that there are none.
	Bus cluster.Bus
}

// DefaultOptions are those of Node's server, with the bounds that it lacks.
func DefaultOptions() Options {
	return Options{
		Engine:                     engineio.DefaultOptions(),
		ConnectTimeout:             45 * time.Second,
		ReceiveBuffer:              1 << 20,
		MaxAttachments:             10,
		MaxNamespacesPerConnection: 128,
		Logger:                     zerolog.Nop(),
	}
}

func (o *Options) validate() error {
	var errs []error
	positive := func(name string, n int64) {
		if n <= 0 {
			errs = append(errs, fmt.Errorf("%s: must be more than zero", name))
		}
	}
	positive("connect timeout", int64(o.ConnectTimeout))
	positive("receive buffer", o.ReceiveBuffer)
	positive("max attachments", int64(o.MaxAttachments))
	positive("max namespaces per connection", int64(o.MaxNamespacesPerConnection))
	if o.AckTimeout < 0 {
		errs = append(errs, errors.New("ack timeout: must not be negative"))
	}
	return errors.Join(errs...)
}

// Server is a Socket.IO server. It is an http.Handler, to be mounted at the path that clients use,
// "/socket.io/" by default.
type Server struct {
	opts   Options
	engine *engineio.Server
	lobby  lobby
	ids    *idSource
	stats  counters

	ctx     context.Context //nolint:containedctx // ends with Shutdown, and with it what serves nobody any more
	cancel  context.CancelFunc
	reapers sync.WaitGroup // goroutines that end with ctx

	workers  atomic.Int64  // goroutines of ours
	idle     chan struct{} // told when workers gets to 0
	stopping atomic.Bool   // events that arrive are no longer handled

	mu         sync.RWMutex
	namespaces map[string]*Namespace
	parents    []*ParentNamespace
}

// NewServer makes a server with the namespace "/".
func NewServer(o Options) (*Server, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("socketio options: %w", err)
	}
	s := &Server{
		opts:       o,
		ids:        newIDSource(),
		idle:       make(chan struct{}, 1),
		namespaces: make(map[string]*Namespace),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.lobby.init(o.ConnectTimeout)
	s.Of("/")
	engine, err := engineio.NewServer(o.Engine, opener{s})
	if err != nil {
		s.cancel()
		return nil, err
	}
	s.engine = engine
	return s, nil
}

// opener is the engine's way in, kept off the Server's own methods.
type opener struct{ s *Server }

func (o opener) Open(session *engineio.Session) engineio.Receiver {
	c := &conn{server: o.s, session: session}
	o.s.lobby.add(c)
	return c
}

// ServeHTTP answers requests of clients, whatever their path.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.engine.ServeHTTP(w, r) }

// MaxAttachments is Options.MaxAttachments.
func (s *Server) MaxAttachments() int { return s.opts.MaxAttachments }

// Engine is the Engine.IO server below.
func (s *Server) Engine() *engineio.Server { return s.engine }

// Of returns the namespace of that name, which is made on first use. "/" is put in front of a name that
// does not begin with it. A new name that fits a pattern of OfPattern becomes a child of that.
func (s *Server) Of(name string) *Namespace {
	if !strings.HasPrefix(name, "/") {
		name = "/" + name
	}
	s.mu.RLock()
	n := s.namespaces[name]
	parents := s.parents
	s.mu.RUnlock()
	if n != nil {
		return n
	}
	var parent *ParentNamespace
	for _, p := range parents {
		if p.pattern != nil && p.pattern.MatchString(name) {
			parent = p
			break
		}
	}
	n, _ = s.create(name, parent, false)
	return n
}

// OfPattern makes a parent of namespaces: one whose name the pattern matches is made when the first client
// asks for it. Note that a pattern matches anywhere in a name unless it begins with ^ and ends with $.
func (s *Server) OfPattern(re *regexp.Regexp) *ParentNamespace {
	return s.addParent(&ParentNamespace{pattern: re})
}

// OfFunc makes a parent of namespaces: when a client asks for a name that does not exist, allow decides
// whether it is made. It runs on a goroutine of the client's, so it may block; an error is a no. Parents
// are asked in the order in which they were made.
func (s *Server) OfFunc(allow func(name string, h *Handshake) (bool, error)) *ParentNamespace {
	return s.addParent(&ParentNamespace{allow: allow})
}

func (s *Server) addParent(p *ParentNamespace) *ParentNamespace {
	p.server = s
	p.children = make(map[string]*Namespace)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parents = append(s.parents[:len(s.parents):len(s.parents)], p)
	return p
}

// create returns the namespace of that name, made under parent (nil: none) unless it is there. hold takes
// a reference that keeps a child from being cleaned up.
func (s *Server) create(name string, parent *ParentNamespace, hold bool) (n *Namespace, made bool) {
	s.mu.Lock()
	n = s.namespaces[name]
	if n == nil {
		n = newNamespace(s, name, parent)
		s.namespaces[name] = n
		made = true
		if parent != nil {
			parent.children[name] = n
		}
	}
	if hold {
		n.refs++
	}
	s.mu.Unlock()
	if made {
		n.inCluster()
	}
	return n, made
}

// lookup finds a namespace by the name in a packet and takes a reference to it. canCreate says whether, if
// there is none, a parent may make it.
func (s *Server) lookup(name []byte) (n *Namespace, canCreate bool) {
	s.mu.RLock()
	if isRootNamespace(name) {
		n = s.namespaces["/"]
	} else {
		n = s.namespaces[string(name)]
	}
	canCreate = len(s.parents) > 0
	counted := n != nil && n.parent != nil
	s.mu.RUnlock()
	if !counted {
		return n, canCreate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n = s.namespaces[string(name)]; n != nil {
		n.refs++
	}
	return n, canCreate
}

// permit asks the parents for a namespace that does not exist, and takes a reference to it.
func (s *Server) permit(name string, h func() *Handshake) *Namespace {
	s.mu.RLock()
	parents := s.parents
	s.mu.RUnlock()
	for _, p := range parents {
		if p.permits(name, h) {
			n, _ := s.create(name, p, true)
			return n
		}
	}
	return nil
}

// release gives back a reference of lookup or permit, and cleans up a child that nobody uses any more.
func (s *Server) release(n *Namespace) {
	if n.parent == nil {
		return
	}
	s.mu.Lock()
	n.refs--
	gone := n.refs == 0 && s.opts.CleanupEmptyChildNamespaces && s.namespaces[n.name] == n
	if gone {
		delete(s.namespaces, n.name)
		delete(n.parent.children, n.name)
	}
	s.mu.Unlock()
	if node := n.inCluster(); gone && node != nil {
		s.spawn(node.member.Leave) // which waits for the handler that this may be running in
	}
}

// list is the namespaces that exist now.
func (s *Server) list() []*Namespace {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]*Namespace, 0, len(s.namespaces))
	for _, n := range s.namespaces {
		out = append(out, n)
	}
	return out
}

// Drain refuses new connections and keeps those there are.
func (s *Server) Drain() { s.engine.Drain() }

// shutdownGrace is how long handlers that run are waited for before their sockets are told, where the
// context of Shutdown has no end.
const shutdownGrace = 10 * time.Second

// Shutdown ends the server. It refuses new connections and new events; gives the handlers that run, and
// the events that wait, half the time until ctx ends to finish and answer; then disconnects every socket
// with the reason "server shutting down" (their Context ends, their disconnect handlers run), sends what
// is queued, and closes the connections. Stock clients reconnect, elsewhere as it may be.
//
// It returns ctx's error when ctx ended first; handlers that still run then are left to end by themselves.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Drain()
	s.stopping.Store(true)
	s.cancel()
	defer s.reapers.Wait()
	grace := shutdownGrace
	if end, ok := ctx.Deadline(); ok {
		grace = time.Until(end) / 2
	}
	early, cancel := context.WithTimeout(ctx, grace)
	_ = s.wait(early) // the sockets that are still busy are told next
	for _, n := range s.list() {
		if f := n.outlet.flow; f != nil {
			f.drain(early)
		}
	}
	cancel()
	for _, n := range s.list() {
		for _, socket := range n.Sockets() {
			socket.close(reasonServerShutdown, closeLost)
		}
	}
	waited := s.wait(ctx)
	closed := s.engine.Shutdown(ctx)
	s.lobby.stop()
	for _, n := range s.list() {
		if node := n.inCluster(); node != nil {
			node.member.Leave()
		}
	}
	if waited == nil {
		waited = s.wait(ctx) // what the end of the connections set off
	}
	return errors.Join(waited, closed)
}

// spawn runs f on a goroutine that Shutdown waits for.
func (s *Server) spawn(f func()) {
	s.workers.Add(1)
	go func() {
		defer s.done()
		f()
	}()
}

// done ends a goroutine that was counted in workers.
func (s *Server) done() {
	if s.workers.Add(-1) == 0 && s.stopping.Load() {
		select {
		case s.idle <- struct{}{}:
		default:
		}
	}
}

// wait returns when no goroutine of ours runs, or with ctx's error.
func (s *Server) wait(ctx context.Context) error {
	for s.workers.Load() > 0 {
		select {
		case <-s.idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
