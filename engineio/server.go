package engineio

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// shutdownGrace is what Shutdown waits for goroutines to end once its context has ended.
const shutdownGrace = time.Second

// maxFlushers bounds the goroutines that write. One can feed several cores' worth of readers.
const maxFlushers = 32

// Server is an Engine.IO server. Make one with NewServer, mount it as an http.Handler, end it with Shutdown.
type Server struct {
	opts     Options
	handler  Handler
	sessions *registry
	wheel    *wheel
	crew     crew
	flushers []*flusher
	pollers  []func() *poller // by shard; each is made when the first connection needs it
	start    time.Time
	stats    counters

	next atomic.Uint32 // hands sessions to flushers in turn

	mu       sync.Mutex // guards what follows
	draining bool       // no more sessions
	over     bool       // no more tasks but those that another one begins
	count    int        // of sessions
	polling  []*poller  // those that were made

	stopping atomic.Bool // Shutdown was called
	hurry    atomic.Bool // and its context ended
	partMu   sync.Mutex  // before those of the pollers and the crew
	parting  map[*wsConn]struct{}

	live  sync.WaitGroup // open sessions, and one more until Shutdown
	tasks sync.WaitGroup // goroutines, and one more until Shutdown
	polls sync.WaitGroup // goroutines of the pollers
	done  chan struct{}
	ended chan struct{} // Shutdown is through
	once  sync.Once
}

// NewServer starts a server that asks h for the receiver of each session.
func NewServer(o Options, h Handler) (*Server, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("engine.io options: %w", err)
	}
	tick := min(o.PingInterval, o.PingTimeout) / 20
	srv := &Server{
		opts:     o,
		handler:  h,
		sessions: newRegistry(),
		wheel:    newWheel(min(max(tick, 5*time.Millisecond), time.Second)),
		start:    time.Now(),
		done:     make(chan struct{}),
		ended:    make(chan struct{}),
		parting:  map[*wsConn]struct{}{},
	}
	srv.crew.most = 16 * runtime.GOMAXPROCS(0)
	srv.live.Add(1)
	srv.tasks.Add(1)
	for range min(runtime.GOMAXPROCS(0), maxFlushers) {
		fl := newFlusher()
		srv.flushers = append(srv.flushers, fl)
		srv.spawn(func() { fl.run(srv.done) })
		srv.pollers = append(srv.pollers, sync.OnceValue(srv.newPoller))
	}
	srv.spawn(func() { srv.wheel.run(srv.done, (*Session).look) })
	return srv, nil
}

// now is the time since the server's start, in nanoseconds.
func (srv *Server) now() int64 { return int64(time.Since(srv.start)) }

func (srv *Server) flusherOf(s *Session) *flusher { return srv.flushers[s.shard] }

// pollerOf is the one that waits for the session's connections, or nil where there can be none.
func (srv *Server) pollerOf(s *Session) *poller { return srv.pollers[s.shard]() }

func (srv *Server) newPoller() *poller {
	p, err := newPoller(srv)
	if err != nil {
		if !errors.Is(err, errors.ErrUnsupported) {
			srv.opts.Logger.Warn().Err(err).Msg("each websocket needs a goroutine of its own")
		}
		return nil
	}
	srv.mu.Lock()
	srv.polling = append(srv.polling, p)
	srv.mu.Unlock()
	srv.polls.Go(p.run)
	return p
}

// spawn runs f on a goroutine that Shutdown waits for. The caller is itself such a goroutine, or holds a session
// open.
func (srv *Server) spawn(f func()) {
	srv.tasks.Add(1)
	go func() {
		defer srv.tasks.Done()
		f()
	}()
}

// beginTask counts a request as a task of the server's, so that it may spawn others. It reports false when the
// server has been shut down.
func (srv *Server) beginTask() bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.over {
		return false
	}
	srv.tasks.Add(1)
	return true
}

// Len is the number of open sessions.
func (srv *Server) Len() int {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.count
}

// Drain has new sessions refused with status 503; those that are there stay.
func (srv *Server) Drain() {
	srv.mu.Lock()
	srv.draining = true
	srv.mu.Unlock()
}

// Shutdown drains the server, closes every session in good order and waits for their ends and for all
// goroutines. When ctx ends first, what is left is closed at once, and the error of ctx is returned; a Receiver
// that does not return from a call even then is left behind. A second call waits for the first.
func (srv *Server) Shutdown(ctx context.Context) error {
	srv.Drain()
	srv.stopping.Store(true)
	srv.once.Do(func() {
		for _, s := range srv.sessions.all() {
			s.closeOrderly(ReasonShutdown)
		}
		go srv.windUp()
	})
	select {
	case <-srv.ended:
		return nil
	case <-ctx.Done():
	}
	srv.hurryParting()
	for _, s := range srv.sessions.all() {
		s.CloseWith(ReasonShutdown)
	}
	grace := time.NewTimer(shutdownGrace)
	defer grace.Stop()
	select {
	case <-srv.ended:
	case <-grace.C:
	}
	return ctx.Err()
}

// windUp ends the goroutines once there are no sessions any more.
func (srv *Server) windUp() {
	srv.live.Done()
	srv.live.Wait()
	close(srv.done)
	srv.crew.disband()
	srv.mu.Lock()
	srv.over = true
	srv.mu.Unlock()
	srv.tasks.Done()
	srv.tasks.Wait()
	srv.mu.Lock()
	polling := srv.polling
	srv.mu.Unlock()
	for _, p := range polling {
		p.close()
	}
	srv.polls.Wait()
	close(srv.ended)
}

// ServeHTTP answers every request of the protocol, whatever its path: the mount decides about that.
func (srv *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c := srv.opts.CORS; c != nil && c.apply(w, r) {
		return
	}
	fields := 0
	for _, values := range r.Header {
		fields += len(values)
	}
	if fields > srv.opts.MaxHeaders {
		srv.refuse(w, r, CodeBadRequest, "too many header fields")
		return
	}
	q := parseQuery(r.URL.RawQuery)
	upgrade := isUpgrade(r)
	if !srv.opts.allows(Transport(q.transport)) {
		srv.refuse(w, r, CodeUnknownTransport, "transport "+quote(q.transport))
		return
	}
	if q.sid != "" {
		srv.serveSession(w, r, q, upgrade)
		return
	}
	switch {
	case r.Method != http.MethodGet:
		srv.refuse(w, r, CodeBadHandshakeMethod, r.Method)
		return
	case q.transport == string(TransportWebSocket) && !upgrade:
		srv.refuse(w, r, CodeBadRequest, "websocket transport without an upgrade")
		return
	case q.transport == string(TransportPolling) && upgrade:
		srv.refuse(w, r, CodeBadRequest, "polling transport with an upgrade")
		return
	}
	if allow := srv.opts.AllowRequest; allow != nil {
		if err := allow(r); err != nil {
			srv.refuseWith(w, r, CodeForbidden, err.Error(), "")
			return
		}
	}
	if q.eio != "4" {
		srv.refuse(w, r, CodeUnsupportedVersion, "EIO "+quote(q.eio))
		return
	}
	if upgrade {
		srv.openWebSocket(w, r)
		return
	}
	srv.openPolling(w, r)
}

// serveSession answers a request that names a session.
func (srv *Server) serveSession(w http.ResponseWriter, r *http.Request, q query, upgrade bool) {
	s := srv.sessions.get(q.sid)
	if s != nil && s.expired() {
		s.finish(ReasonPingTimeout, nil, closeNoStatus)
		s = nil
	}
	switch {
	case s == nil:
		srv.refuse(w, r, CodeUnknownSession, "")
	case upgrade && q.transport != string(TransportWebSocket):
		srv.refuse(w, r, CodeBadRequest, "upgrade to "+q.transport)
	case !upgrade && Transport(q.transport) != s.Transport():
		srv.refuse(w, r, CodeBadRequest, errUpgraded.Error())
	case q.eio != "4":
		srv.refuse(w, r, CodeBadRequest, "session speaks another protocol version")
	case upgrade:
		srv.upgradeSession(w, r, s)
	case r.Method == http.MethodGet:
		s.servePoll(w, r)
	case r.Method == http.MethodPost:
		s.servePost(w, r)
	default:
		w.Header().Set("Allow", "GET, POST")
		srv.refuse(w, r, CodeBadRequest, r.Method)
	}
}

// open makes a session, with its open packet queued. It answers the request itself when there can be none.
func (srv *Server) open(w http.ResponseWriter, r *http.Request, transport Transport) *Session {
	srv.mu.Lock()
	draining := srv.draining
	full := draining || srv.opts.MaxSessions > 0 && srv.count >= srv.opts.MaxSessions
	if !full {
		srv.count++
		srv.live.Add(1)
	}
	srv.mu.Unlock()
	if full {
		srv.refuseUnavailable(w, r, draining)
		return nil
	}
	opened := false
	defer func() {
		if !opened { // there is no id, or a hook panicked
			srv.closed()
			srv.live.Done()
		}
	}()
	id, err := srv.newID(r)
	if err != nil || id == "" || !srv.sessions.reserve(id) {
		srv.refuse(w, r, CodeBadRequest, "no session id could be made")
		return nil
	}
	defer func() {
		if !opened {
			srv.sessions.remove(id)
		}
	}()
	s := &Session{srv: srv, id: id, websocket: transport == TransportWebSocket, shard: uint8(srv.next.Add(1) % uint32(len(srv.flushers)))}
	s.timer.slot = -1
	s.hs = newHandshake(r)
	s.pinged.Store(srv.now()) // the handshake is as good as a ping: from then on the client waits for the first
	s.beatDue.Store(s.pinged.Load() + int64(srv.opts.PingInterval))
	upgrades := ""
	if transport == TransportPolling && srv.opts.AllowUpgrades && srv.opts.allows(TransportWebSocket) {
		upgrades = `"websocket"`
	}
	packet := fmt.Appendf(make([]byte, 0, 160), `0{"sid":%s,"upgrades":[%s],"pingInterval":%d,"pingTimeout":%d,"maxPayload":%d}`,
		quote(id), upgrades, srv.opts.PingInterval.Milliseconds(), srv.opts.PingTimeout.Milliseconds(), srv.opts.MaxPayload)
	f := openFrame(packet)
	s.push(queued{frame: f})
	s.size = f.cost()
	s.recv = srv.handler.Open(s)
	srv.stats.handshakes.Add(1)

	// Only now can anybody else end the session; the handler itself may have asked for it already.
	s.mu.Lock()
	opened, s.opened = true, true
	early := s.early
	srv.sessions.fill(s)
	if s.state == stateOpen {
		srv.wheel.schedule(s, srv.start.Add(time.Duration(s.beatDue.Load())))
	}
	s.mu.Unlock()
	switch {
	case early != "":
		s.finish(early, nil, closeNoStatus)
	case srv.hurry.Load():
		s.finish(ReasonShutdown, nil, 0)
	case srv.stopping.Load():
		s.closeOrderly(ReasonShutdown) // the handler was at it while Shutdown closed the others
	}
	return s
}

func (srv *Server) closed() {
	srv.mu.Lock()
	srv.count--
	srv.mu.Unlock()
}

func (srv *Server) newID(r *http.Request) (string, error) {
	if srv.opts.GenerateID != nil {
		return srv.opts.GenerateID(r)
	}
	var b [15]byte
	rand.Read(b[:]) //nolint:errcheck // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b[:]), nil
}

// openPolling makes a session and answers its open packet.
func (srv *Server) openPolling(w http.ResponseWriter, r *http.Request) {
	s := srv.open(w, r, TransportPolling)
	if s == nil {
		return
	}
	answered := false
	defer s.finishUnless(&answered)
	h := w.Header()
	if c := srv.opts.Cookie; c != nil {
		cookie := *c
		cookie.Value = s.id
		h.Add("Set-Cookie", cookie.String())
	}
	srv.headers(h, r, true)
	s.servePoll(w, r)
	answered = true
}

// finishUnless ends a session whose handshake was not answered since a hook panicked. It is for defer.
func (s *Session) finishUnless(answered *bool) {
	if !*answered {
		s.finish(ReasonTransportError, errPanic, 0)
	}
}

// headers runs the hooks and sets what every polling answer carries.
func (srv *Server) headers(h http.Header, r *http.Request, initial bool) {
	if initial {
		if srv.opts.InitialHeaders != nil {
			srv.opts.InitialHeaders(h, r)
		}
		return // the answer itself brings the rest
	}
	h.Set("Cache-Control", "no-store")
	if srv.opts.Headers != nil {
		srv.opts.Headers(h, r)
	}
}
