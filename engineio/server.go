package engineio

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // what the websocket handshake prescribes, no secret
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// maxFlushers bounds the goroutines that write. One can feed several cores' worth of readers.
const maxFlushers = 32

// Server is an Engine.IO server. Make one with NewServer, mount it as an http.Handler, end it with Shutdown.
type Server struct {
	opts     Options
	handler  Handler
	sessions *registry
	wheel    *wheel
	flushers []*flusher
	start    time.Time
	stats    counters

	next atomic.Uint32 // hands sessions to flushers in turn

	mu       sync.Mutex // guards draining against new sessions
	draining bool
	count    int

	live  sync.WaitGroup // open sessions, and one more until Shutdown
	tasks sync.WaitGroup // goroutines, and one more until Shutdown
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
	}
	srv.live.Add(1)
	srv.tasks.Add(1)
	for range min(runtime.GOMAXPROCS(0), maxFlushers) {
		fl := newFlusher()
		srv.flushers = append(srv.flushers, fl)
		srv.spawn(func() { fl.run(srv.done) })
	}
	srv.spawn(func() { srv.wheel.run(srv.done, (*Session).look) })
	return srv, nil
}

// now is the time since the server's start, in nanoseconds.
func (srv *Server) now() int64 { return int64(time.Since(srv.start)) }

func (srv *Server) flusherOf(s *Session) *flusher { return srv.flushers[s.shard] }

// spawn runs f on a goroutine that Shutdown waits for.
func (srv *Server) spawn(f func()) {
	srv.tasks.Add(1)
	go func() {
		defer srv.tasks.Done()
		f()
	}()
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
// goroutines. When ctx ends first, what is left is closed at once, and the error of ctx is returned.
// A second call waits for the first.
func (srv *Server) Shutdown(ctx context.Context) error {
	srv.Drain()
	first := false
	srv.once.Do(func() { first = true })
	if !first {
		select {
		case <-srv.ended:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer close(srv.ended)
	for _, s := range srv.sessions.all() {
		s.closeOrderly(ReasonShutdown)
	}
	gone := make(chan struct{})
	go func() {
		srv.live.Done()
		srv.live.Wait()
		close(gone)
	}()
	var err error
	select {
	case <-gone:
	case <-ctx.Done():
		err = ctx.Err()
		for _, s := range srv.sessions.all() {
			s.finish(ReasonShutdown, nil, 0)
		}
		<-gone
	}
	close(srv.done)
	srv.tasks.Done()
	srv.tasks.Wait()
	return err
}

// ServeHTTP answers every request of the protocol, whatever its path: the mount decides about that.
func (srv *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c := srv.opts.CORS; c != nil && c.apply(w, r) {
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
		s.finish(ReasonPingTimeout, nil, closeNormal)
		s = nil
	}
	switch {
	case s == nil:
		srv.refuse(w, r, CodeUnknownSession, "")
	case upgrade && q.transport != string(TransportWebSocket):
		srv.refuse(w, r, CodeBadRequest, "upgrade to "+q.transport)
	case !upgrade && Transport(q.transport) != s.Transport():
		srv.refuse(w, r, CodeBadRequest, "session is on another transport")
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
		text := "too many sessions"
		if draining {
			text = "server shutting down"
		}
		w.Header().Set("Retry-After", "1")
		srv.report(&ConnectionError{Code: CodeForbidden, Message: text, Request: r})
		writeError(w, http.StatusServiceUnavailable, CodeForbidden, text)
		return nil
	}
	id, err := srv.newID(r)
	s := &Session{srv: srv, id: id, websocket: transport == TransportWebSocket, shard: uint8(srv.next.Add(1) % uint32(len(srv.flushers)))}
	s.timer.slot = -1
	if err != nil || !srv.sessions.reserve(id) {
		srv.closed()
		srv.live.Done()
		srv.refuse(w, r, CodeBadRequest, "no session id could be made")
		return nil
	}
	s.hs = newHandshake(r)
	s.beatDue.Store(srv.now() + int64(srv.opts.PingInterval))
	upgrades := ""
	if transport == TransportPolling && srv.opts.AllowUpgrades && srv.opts.allows(TransportWebSocket) {
		upgrades = `"websocket"`
	}
	open := fmt.Appendf(make([]byte, 0, 160), `0{"sid":%s,"upgrades":[%s],"pingInterval":%d,"pingTimeout":%d,"maxPayload":%d}`,
		quote(id), upgrades, srv.opts.PingInterval.Milliseconds(), srv.opts.PingTimeout.Milliseconds(), srv.opts.MaxPayload)
	s.mu.Lock()
	f := openFrame(open)
	s.push(queued{frame: f})
	s.size += int64(len(f.wire))
	s.mu.Unlock()
	srv.stats.handshakes.Add(1)
	s.recv = srv.handler.Open(s)

	// Only now can anybody else end the session; the handler itself may have asked for it already.
	s.mu.Lock()
	s.opened = true
	early := s.early
	srv.sessions.fill(s)
	srv.wheel.schedule(s, srv.start.Add(time.Duration(s.beatDue.Load())))
	s.mu.Unlock()
	srv.mu.Lock()
	draining = srv.draining
	srv.mu.Unlock()
	switch {
	case early != "":
		s.finish(early, nil, closeNormal)
	case draining:
		s.closeOrderly(ReasonShutdown)
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
	h := w.Header()
	if c := srv.opts.Cookie; c != nil {
		cookie := *c
		cookie.Value = s.id
		h.Add("Set-Cookie", cookie.String())
	}
	srv.headers(h, r, true)
	s.servePoll(w, r)
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

// openWebSocket makes a session that begins on websocket.
func (srv *Server) openWebSocket(w http.ResponseWriter, r *http.Request) {
	if msg := badWebSocketRequest(r); msg != "" {
		srv.refuse(w, r, CodeBadRequest, msg)
		return
	}
	s := srv.open(w, r, TransportWebSocket)
	if s == nil {
		return
	}
	s.mu.Lock()
	frames := s.take(nil)
	s.size = 0
	s.scheduled = true // until the answer is written
	s.mu.Unlock()
	conn, taken, deflate, err := srv.switchProtocols(w, r, true, frames)
	if err != nil {
		s.finish(ReasonTransportError, err, 0)
		return
	}
	c := newWSConn(conn, srv, s)
	c.deflate = deflate
	s.mu.Lock()
	s.conn = c
	dead := s.state == stateClosed
	s.mu.Unlock()
	if dead {
		conn.Close()
		return
	}
	srv.spawn(func() { c.run(taken) })
	srv.flusherOf(s).add(s) // frees the way out
}

// upgradeSession opens the websocket by which a polling session asks to be upgraded.
func (srv *Server) upgradeSession(w http.ResponseWriter, r *http.Request, s *Session) {
	if msg := badWebSocketRequest(r); msg != "" {
		srv.refuse(w, r, CodeBadRequest, msg)
		return
	}
	conn, taken, deflate, err := srv.switchProtocols(w, r, false, nil)
	if err != nil {
		return // the client is gone; its session goes on by polling
	}
	c := newWSConn(conn, srv, s)
	c.deflate = deflate
	if !srv.opts.AllowUpgrades || !s.offerProbe(c) {
		srv.spawn(func() {
			defer conn.Close()
			c.farewell(closeNoStatus)
			c.linger()
		})
		return
	}
	c.probing = time.AfterFunc(srv.opts.UpgradeTimeout, c.kick)
	srv.spawn(func() { c.run(taken) })
}

// switchProtocols answers a websocket handshake (RFC 6455, section 4.2.2) and takes the connection over, so that
// nothing of net/http stays alive. The frames leave in the same write as the answer.
func (srv *Server) switchProtocols(w http.ResponseWriter, r *http.Request, initial bool, frames []*Frame) (net.Conn, []byte, bool, error) {
	h := w.Header()
	if initial && srv.opts.InitialHeaders != nil {
		srv.opts.InitialHeaders(h, r)
	}
	if srv.opts.Headers != nil {
		srv.opts.Headers(h, r)
	}
	deflate := srv.opts.PerMessageDeflate != nil && offersDeflate(r.Header["Sec-Websocket-Extensions"])
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, false, fmt.Errorf("take over the connection: %w", err)
	}
	out := make([]byte, 0, 512)
	out = append(out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	out = append(out, acceptKey(r.Header.Get("Sec-Websocket-Key"))...)
	out = append(out, "\r\n"...)
	if deflate {
		out = append(out, "Sec-WebSocket-Extensions: "+deflateAnswer+"\r\n"...)
	}
	for name, values := range h {
		for _, v := range values {
			out = append(out, name+": "+headerValue.Replace(v)+"\r\n"...)
		}
	}
	out = append(out, "\r\n"...)
	for _, f := range frames {
		out = append(out, f.wire...)
	}
	if _, err := conn.Write(out); err != nil {
		conn.Close()
		return nil, nil, false, err
	}
	return conn, buffered(rw.Reader), deflate, nil
}

// headerValue keeps a hook's header from ending its line.
var headerValue = strings.NewReplacer("\r", " ", "\n", " ")

// buffered is what has arrived behind the handshake.
func buffered(r *bufio.Reader) []byte {
	n := r.Buffered()
	if n == 0 {
		return nil
	}
	b, _ := r.Peek(n) //nolint:errcheck // n bytes are there
	return append([]byte(nil), b...)
}

const websocketGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + websocketGUID)) //nolint:gosec // see the import
	return base64.StdEncoding.EncodeToString(sum[:])
}

// badWebSocketRequest says what is wrong with a websocket handshake, or nothing.
func badWebSocketRequest(r *http.Request) string {
	switch {
	case r.Method != http.MethodGet:
		return "websocket handshake is not a GET"
	case r.Header.Get("Sec-Websocket-Version") != "13":
		return "websocket version is not 13"
	}
	if key, err := base64.StdEncoding.DecodeString(r.Header.Get("Sec-Websocket-Key")); err != nil || len(key) != 16 {
		return "websocket key is not 16 bytes"
	}
	return ""
}

func isUpgrade(r *http.Request) bool {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return false
	}
	for part := range strings.SplitSeq(strings.Join(r.Header["Connection"], ","), ",") {
		if strings.EqualFold(strings.TrimSpace(part), "upgrade") {
			return true
		}
	}
	return false
}

// refuse answers a request with an error of the protocol.
func (srv *Server) refuse(w http.ResponseWriter, r *http.Request, code Code, context string) {
	srv.refuseWith(w, r, code, code.String(), context)
}

func (srv *Server) refuseWith(w http.ResponseWriter, r *http.Request, code Code, message, context string) {
	srv.report(&ConnectionError{Code: code, Message: message, Context: context, Request: r})
	status := http.StatusBadRequest
	if isUpgrade(r) {
		// As in Node's server: no JSON where a websocket was asked for.
		h := w.Header()
		h.Set("Content-Type", "text/html")
		h.Set("Connection", "close")
		h.Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(status)
		fmt.Fprint(w, htmlText.Replace(message)) //nolint:errcheck // best effort
		return
	}
	if code == CodeForbidden {
		status = http.StatusForbidden
	}
	writeError(w, status, code, message)
}

var htmlText = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func (srv *Server) report(e *ConnectionError) {
	srv.stats.refused.Add(1)
	srv.opts.Logger.Debug().Int("code", int(e.Code)).Str("message", e.Message).Str("context", e.Context).
		Str("remote", e.Request.RemoteAddr).Msg("request refused")
	if srv.opts.OnConnectionError != nil {
		srv.opts.OnConnectionError(e)
	}
}

func writeError(w http.ResponseWriter, status int, code Code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"code":%d,"message":%s}`, code, quote(message)) //nolint:errcheck // best effort
}

// quote makes a JSON string.
func quote(s string) string {
	b, _ := json.Marshal(s) //nolint:errcheck // a string can always be encoded
	return string(b)
}

func openFrame(packet []byte) *Frame {
	buf := append(BeginFrame(len(packet)), packet[1:]...)
	f := EndFrame(buf)
	f.wire[f.textOff] = byte(packetOpen)
	f.control, f.plain = true, true
	return f
}
