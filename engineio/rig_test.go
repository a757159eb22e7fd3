package engineio

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// patience ends a test that waits for what does not come. Nothing is asserted about time.
const patience = 30 * time.Second

// rig is a server with what its receivers were told.
type rig struct {
	t      testing.TB
	srv    *Server
	dial   func() (net.Conn, error)
	url    string // without the query
	opened chan *peer
}

// setup says what a rig is made of. The zero value echoes.
type setup struct {
	options func(*Options)
	open    func(*peer)
	message func(p *peer, data []byte, binary bool) error
	secure  bool
	pipes   bool // net.Pipe instead of sockets, for synctest
	alone   bool // each websocket has a goroutine of its own, as where there is no poller
}

// peer is the server's side of a session: its receiver.
type peer struct {
	*Session
	rig     *rig
	on      func(p *peer, data []byte, binary bool) error
	got     chan message
	ended   chan ending
	endings atomic.Int32
	endedAt time.Time // set before ended gets its value
}

type message struct {
	data   string
	binary bool
}

type ending struct {
	reason Reason
	err    error
}

func echo(p *peer, data []byte, binary bool) error {
	if binary {
		p.Send(NewBinaryFrame(data)) //nolint:errcheck // a closing session takes none
	} else {
		p.Send(NewTextFrame(string(data))) //nolint:errcheck // likewise
	}
	return nil
}

// keep collects the first messages instead of answering them.
func keep(p *peer, data []byte, binary bool) error {
	select {
	case p.got <- message{string(data), binary}:
	default: // enough: who reads them wants no more
	}
	return nil
}

func (p *peer) Message(data []byte, binary bool) error { return p.on(p, data, binary) }

func (p *peer) Close(reason Reason, err error) {
	if p.endings.Add(1) == 1 {
		p.endedAt = time.Now()
	}
	select {
	case p.ended <- ending{reason, err}:
	default: // counted; the test that cares looks at endings
	}
}

// end is Session.Close, which the receiver's own Close hides.
func (p *peer) end() { p.Session.Close() }

type opener func(*Session) Receiver

func (f opener) Open(s *Session) Receiver { return f(s) }

func newRig(t testing.TB, with setup) *rig {
	t.Helper()
	r := &rig{t: t, opened: make(chan *peer, 4096)}
	if with.message == nil {
		with.message = echo
	}
	o := DefaultOptions()
	if with.options != nil {
		with.options(&o)
	}
	srv, err := NewServer(o, opener(func(s *Session) Receiver {
		p := &peer{Session: s, rig: r, on: with.message, got: make(chan message, 4096), ended: make(chan ending, 1)}
		if with.open != nil {
			with.open(p)
		}
		r.opened <- p
		return p
	}))
	if err != nil {
		t.Fatal(err)
	}
	r.srv = srv
	if with.alone {
		for i := range srv.pollers {
			srv.pollers[i] = func() *poller { return nil }
		}
	}
	if with.pipes {
		r.servePipes()
	} else {
		r.serveSockets(with.secure)
	}
	return r
}

func (r *rig) serveSockets(secure bool) {
	ts := httptest.NewUnstartedServer(r.srv)
	ts.Config.ErrorLog = log.New(io.Discard, "", 0)
	if secure {
		ts.StartTLS()
	} else {
		ts.Start()
	}
	r.url = ts.URL + "/engine.io/"
	address := ts.Listener.Addr().String()
	r.dial = func() (net.Conn, error) {
		if secure {
			return tls.Dial("tcp", address, ts.Client().Transport.(*http.Transport).TLSClientConfig)
		}
		return net.Dial("tcp", address)
	}
	r.t.Cleanup(func() {
		r.shutdown()
		ts.Close()
	})
}

// pipeListener accepts what dial makes.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.done); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (r *rig) servePipes() {
	l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
	r.url = "http://pipe/engine.io/"
	r.dial = func() (net.Conn, error) {
		ours, theirs := net.Pipe()
		l.conns <- theirs
		return ours, nil
	}
	hs := &http.Server{Handler: r.srv}
	go hs.Serve(l) //nolint:errcheck // ends with Close
	r.t.Cleanup(func() {
		r.shutdown()
		hs.Close()
	})
}

// shutdown ends the server without waiting for clients that don't hang up.
func (r *rig) shutdown() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r.srv.Shutdown(ctx) //nolint:errcheck // the context has ended
	wait(r.t, "the server to end", r.srv.ended)
}

// session is the next one that was opened.
func (r *rig) session() *peer {
	r.t.Helper()
	return wait(r.t, "a session", r.opened)
}

// ending is how the session ended.
func (p *peer) ending() ending {
	p.rig.t.Helper()
	return wait(p.rig.t, "the session to end", p.ended)
}

// since is when the session ended, counted from start. It must have.
func (p *peer) since(start time.Time) time.Duration { return p.endedAt.Sub(start) }

// connClosed returns what waits until the server has closed the websocket that the session has now.
func (p *peer) connClosed() (left func()) {
	p.rig.t.Helper()
	c := p.websocketConn()
	return func() {
		p.rig.t.Helper()
		eventually(p.rig.t, "the connection to be closed", c.isGone)
	}
}

func (p *peer) websocketConn() *wsConn {
	p.rig.t.Helper()
	var c *wsConn
	eventually(p.rig.t, "the websocket", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		c = p.conn
		return c != nil
	})
	return c
}

func (c *wsConn) isGone() bool {
	c.srv.partMu.Lock()
	defer c.srv.partMu.Unlock()
	return c.gone
}

func (p *peer) wantEnding(want Reason) {
	p.rig.t.Helper()
	if e := p.ending(); e.reason != want {
		p.rig.t.Fatalf("session ended for %q (%v), want %q", e.reason, e.err, want)
	}
}

func wait[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case v := <-c:
		return v
	case <-timer.C:
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// eventually waits for a state that nobody announces.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// pollClient is a client on HTTP long-polling.
type pollClient struct {
	t    testing.TB
	rig  *rig
	http *http.Client
	sid  string
	open string // the open packet
}

// client makes HTTP requests to the server.
func (r *rig) client() *pollClient {
	tr := &http.Transport{
		DisableCompression: true,
		DialContext:        func(context.Context, string, string) (net.Conn, error) { return r.dial() },
		DialTLSContext:     func(context.Context, string, string) (net.Conn, error) { return r.dial() },
	}
	r.t.Cleanup(tr.CloseIdleConnections)
	return &pollClient{t: r.t, rig: r, http: &http.Client{Transport: tr}}
}

// poll opens a session by polling.
func (r *rig) poll() (*pollClient, *peer) {
	r.t.Helper()
	c := r.client()
	got := c.get()
	c.open, _, _ = strings.Cut(got, "\x1e")
	c.sid = sidOf(r.t, c.open)
	return c, r.session()
}

func sidOf(t testing.TB, open string) string {
	t.Helper()
	_, rest, ok := strings.Cut(open, `0{"sid":"`)
	sid, _, ok2 := strings.Cut(rest, `"`)
	if !ok || !ok2 || sid == "" {
		t.Fatalf("no open packet: %q", open)
	}
	return sid
}

func (c *pollClient) query() string {
	if c.sid == "" {
		return "?EIO=4&transport=polling"
	}
	return "?EIO=4&transport=polling&sid=" + c.sid
}

// answer is a response, read.
type answer struct {
	status int
	header http.Header
	body   string
	err    error
}

func (c *pollClient) do(req *http.Request) answer {
	res, err := c.http.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(body), err}
}

// request makes one, to be changed before do.
func (c *pollClient) request(method, body string) *http.Request {
	req, err := http.NewRequest(method, c.rig.url+c.query(), strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	return req
}

// get polls and returns the payload; anything but 200 fails the test.
func (c *pollClient) get() string {
	c.t.Helper()
	a := c.do(c.request("GET", ""))
	if a.err != nil || a.status != http.StatusOK {
		c.t.Fatalf("GET: %d %q, %v", a.status, a.body, a.err)
	}
	return a.body
}

// packets polls and takes the payload apart.
func (c *pollClient) packets() []string {
	c.t.Helper()
	return strings.Split(c.get(), "\x1e")
}

// goGet polls on a goroutine of its own.
func (c *pollClient) goGet() <-chan answer {
	out := make(chan answer, 1)
	go func() { out <- c.do(c.request("GET", "")) }()
	return out
}

// polling waits until a GET waits for packets.
func (p *peer) polling() {
	p.rig.t.Helper()
	eventually(p.rig.t, "a GET that waits", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.poll.waits()
	})
}

// post sends packets and wants them taken.
func (c *pollClient) post(packets ...string) {
	c.t.Helper()
	a := c.do(c.request("POST", strings.Join(packets, "\x1e")))
	if a.err != nil || a.status != http.StatusOK || a.body != "ok" {
		c.t.Fatalf("POST: %d %q, %v", a.status, a.body, a.err)
	}
}

// wantGone says that the session is unknown to the server.
func (c *pollClient) wantGone() {
	c.t.Helper()
	a := c.do(c.request("GET", ""))
	if a.status != http.StatusBadRequest || a.body != `{"code":1,"message":"Session ID unknown"}` {
		c.t.Fatalf("GET of a session that is gone: %d %q, %v", a.status, a.body, a.err)
	}
}
