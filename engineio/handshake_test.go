package engineio

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestOpenPacket(t *testing.T) {
	r := newRig(t, setup{options: func(o *Options) {
		o.PingInterval, o.PingTimeout, o.MaxPayload = 1234*time.Millisecond, 567*time.Millisecond, 89_000
	}})
	c, p := r.poll()
	want := `0{"sid":"` + p.ID() + `","upgrades":["websocket"],"pingInterval":1234,"pingTimeout":567,"maxPayload":89000}`
	if c.open != want {
		t.Errorf("by polling: %s, want %s", c.open, want)
	}
	w, q := r.ws()
	want = `0{"sid":"` + q.ID() + `","upgrades":[],"pingInterval":1234,"pingTimeout":567,"maxPayload":89000}`
	if w.open != want {
		t.Errorf("by websocket: %s, want %s", w.open, want)
	}
	if p.Transport() != TransportPolling || q.Transport() != TransportWebSocket {
		t.Errorf("transports %s, %s", p.Transport(), q.Transport())
	}
	if len(p.ID()) != 20 || p.ID() == q.ID() {
		t.Errorf("ids %q, %q", p.ID(), q.ID())
	}
	if n := r.srv.Len(); n != 2 {
		t.Errorf("%d sessions", n)
	}
}

func TestOpenPacketWithoutUpgrades(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"not allowed":  func(o *Options) { o.AllowUpgrades = false },
		"no websocket": func(o *Options) { o.Transports = []Transport{TransportPolling} },
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newRig(t, setup{options: change}).poll()
			if !strings.Contains(c.open, `"upgrades":[],`) {
				t.Errorf("open packet %s", c.open)
			}
		})
	}
}

// refusals are requests that are answered with an error of the protocol; %s is a polling session.
var refusals = []struct {
	name, method, query string
	code                Code
}{
	{"no transport", "GET", "?EIO=4", CodeUnknownTransport},
	{"unknown transport", "GET", "?EIO=4&transport=abc", CodeUnknownTransport},
	{"transport of objects' names", "GET", "?EIO=4&transport=constructor", CodeUnknownTransport},
	{"unknown session", "GET", "?EIO=4&transport=polling&sid=nobody", CodeUnknownSession},
	{"session of objects' names", "GET", "?EIO=4&transport=polling&sid=__proto__", CodeUnknownSession},
	{"handshake by POST", "POST", "?EIO=4&transport=polling", CodeBadHandshakeMethod},
	{"handshake by PUT", "PUT", "?EIO=4&transport=polling", CodeBadHandshakeMethod},
	{"handshake by OPTIONS", "OPTIONS", "?EIO=4&transport=polling", CodeBadHandshakeMethod},
	{"websocket without an upgrade", "GET", "?EIO=4&transport=websocket", CodeBadRequest},
	{"other transport", "GET", "?EIO=4&transport=websocket&sid=%s", CodeBadRequest},
	{"other version for a session", "GET", "?EIO=3&transport=polling&sid=%s", CodeBadRequest},
	{"PUT for a session", "PUT", "?EIO=4&transport=polling&sid=%s", CodeBadRequest},
	{"old version", "GET", "?EIO=3&transport=polling", CodeUnsupportedVersion},
	{"no version", "GET", "?transport=polling", CodeUnsupportedVersion},
	{"odd version", "GET", "?EIO=abc&transport=polling", CodeUnsupportedVersion},
}

func TestRefusals(t *testing.T) {
	var mu sync.Mutex
	var told []*ConnectionError
	r := newRig(t, setup{options: func(o *Options) {
		o.OnConnectionError = func(e *ConnectionError) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, e)
		}
	}})
	c, _ := r.poll()
	for _, bad := range refusals {
		t.Run(bad.name, func(t *testing.T) {
			mu.Lock()
			told = nil
			mu.Unlock()
			query := strings.ReplaceAll(bad.query, "%s", c.sid)
			req, err := http.NewRequest(bad.method, r.url+query, nil)
			if err != nil {
				t.Fatal(err)
			}
			a := c.do(req)
			want := fmt.Sprintf(`{"code":%d,"message":"%s"}`, bad.code, bad.code)
			if a.status != http.StatusBadRequest || a.body != want || a.header.Get("Content-Type") != "application/json" {
				t.Errorf("answered %d %s %q, %v; want 400 %s", a.status, a.header.Get("Content-Type"), a.body, a.err, want)
			}
			mu.Lock()
			defer mu.Unlock()
			if len(told) != 1 || told[0].Code != bad.code || told[0].Request == nil || told[0].Error() == "" {
				t.Errorf("told of %v", told)
			}
		})
	}
}

func TestRefusedUpgrades(t *testing.T) {
	r := newRig(t, setup{options: func(o *Options) {
		o.AllowRequest = func(r *http.Request) error {
			if r.Header.Get("X-Who") == "eve" {
				return errors.New("<b>not you</b>")
			}
			return nil
		}
	}})
	c, _ := r.poll()
	for _, bad := range []struct {
		name, query, header, want string
	}{
		{"unknown transport", "?EIO=4&transport=abc", "", "Transport unknown"},
		{"unknown session", "?EIO=4&transport=websocket&sid=nobody", "", "Session ID unknown"},
		{"polling with an upgrade", "?EIO=4&transport=polling", "", "Bad request"},
		{"polling session with an upgrade", "?EIO=4&transport=polling&sid=" + c.sid, "", "Bad request"},
		{"old version", "?EIO=3&transport=websocket", "", "Unsupported protocol version"},
		{"other version for a session", "?EIO=3&transport=websocket&sid=" + c.sid, "", "Bad request"},
		{"forbidden", "?EIO=4&transport=websocket", "X-Who: eve", "&lt;b&gt;not you&lt;/b&gt;"},
	} {
		t.Run(bad.name, func(t *testing.T) {
			headers := []string{"X-Nothing: 1"}
			if bad.header != "" {
				headers[0] = bad.header
			}
			_, br, res := r.upgradeTo(bad.query, headers...)
			body, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != 400 || string(body) != bad.want || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") || !res.Close {
				t.Errorf("answered %s %q, close %t, %v", res.Status, body, res.Close, err)
			}
			if _, err := br.ReadByte(); !errors.Is(err, io.EOF) {
				t.Errorf("the connection stays open: %v", err)
			}
		})
	}
	c.post("4still here")
	if got := c.get(); got != "4still here" {
		t.Errorf("the session that was named got %q", got)
	}
}

func TestTooManyHeaders(t *testing.T) {
	c := newRig(t, setup{options: func(o *Options) { o.MaxHeaders = 10 }}).client()
	req := c.request("GET", "")
	for i := range 7 { // with those that the client adds
		req.Header.Add("X-Same", fmt.Sprint(i))
	}
	if a := c.do(req); a.status != http.StatusOK {
		t.Errorf("answered %d %s, %v", a.status, a.body, a.err)
	}
	for i := range 4 {
		req.Header.Add("X-Same", fmt.Sprint(i))
	}
	if a := c.do(req); a.status != http.StatusBadRequest || a.body != `{"code":3,"message":"Bad request"}` {
		t.Errorf("answered %d %s, %v", a.status, a.body, a.err)
	}
}

func TestBadWebSocketHandshakes(t *testing.T) {
	r := newRig(t, setup{})
	const good = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
	for name, headers := range map[string]string{
		"no key":      good + "Sec-WebSocket-Version: 13\r\n",
		"short key":   good + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: YWJj\r\n",
		"no version":  good + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
		"old version": good + "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := r.dial()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			io.WriteString(conn, "GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n"+headers+"\r\n") //nolint:errcheck // the answer tells
			got, err := io.ReadAll(conn)
			if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 400 ") {
				t.Errorf("answered %q, %v", got, err)
			}
		})
	}
	if r.srv.Len() != 0 {
		t.Errorf("%d sessions", r.srv.Len())
	}
}

func TestAllowRequest(t *testing.T) {
	r := newRig(t, setup{options: func(o *Options) {
		o.AllowRequest = func(r *http.Request) error {
			if r.URL.Query().Get("token") != "secret" {
				return errors.New(`no "token"`)
			}
			return nil
		}
	}})
	c := r.client()
	a := c.do(c.request("GET", ""))
	if a.status != http.StatusForbidden || a.body != `{"code":4,"message":"no \"token\""}` || a.header.Get("Content-Type") != "application/json" {
		t.Errorf("answered %d %s, %v", a.status, a.body, a.err)
	}
	req, err := http.NewRequest("GET", r.url+c.query()+"&token=secret", nil)
	if err != nil {
		t.Fatal(err)
	}
	if a := c.do(req); a.status != http.StatusOK {
		t.Errorf("answered %d %s, %v", a.status, a.body, a.err)
	}
	p := r.session()
	c.sid = p.ID()
	c.post("4a") // only the handshake is asked about
}

func TestGenerateID(t *testing.T) {
	ids := make(chan string, 10)
	r := newRig(t, setup{options: func(o *Options) {
		o.GenerateID = func(*http.Request) (string, error) {
			id := <-ids
			if id == "fail" {
				return "", errors.New("no id today")
			}
			return id, nil
		}
	}})
	refused := func(id string) {
		t.Helper()
		ids <- id
		c := r.client()
		if a := c.do(c.request("GET", "")); a.status != 400 || a.body != `{"code":3,"message":"Bad request"}` {
			t.Errorf("id %q: %d %s", id, a.status, a.body)
		}
	}
	ids <- `one"<two>`
	c := r.client()
	if got := c.get(); !strings.HasPrefix(got, `0{"sid":"one\"\u003ctwo\u003e",`) {
		t.Errorf("open packet %s", got)
	}
	p := r.session()
	refused(`one"<two>`) // taken
	refused("fail")
	refused("")
	if r.srv.Len() != 1 {
		t.Errorf("%d sessions", r.srv.Len())
	}
	p.CloseWith(ReasonForcedClose)
	p.ending()
	ids <- `one"<two>`
	if got := c.get(); !strings.HasPrefix(got, `0{"sid":"one`) {
		t.Errorf("an id that is free again: %s", got)
	}
}

// TestGenerateIDTogether has many ask for the same id at once: one of them gets it.
func TestGenerateIDTogether(t *testing.T) {
	r := newRig(t, setup{options: func(o *Options) {
		o.GenerateID = func(*http.Request) (string, error) { return "same", nil }
	}})
	const n = 20
	status := make(chan int, n)
	for range n {
		c := r.client()
		go func() { status <- c.do(c.request("GET", "")).status }()
	}
	count := map[int]int{}
	for range n {
		count[<-status]++
	}
	if count[200] != 1 || count[400] != n-1 || r.srv.Len() != 1 {
		t.Errorf("answers %v, %d sessions", count, r.srv.Len())
	}
}

func TestMaxSessions(t *testing.T) {
	r := newRig(t, setup{options: func(o *Options) { o.MaxSessions = 2 }})
	c1, p1 := r.poll()
	r.ws()
	full := func() {
		t.Helper()
		c := r.client()
		a := c.do(c.request("GET", ""))
		if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
			t.Errorf("answered %d %s", a.status, a.body)
		}
		if _, _, res := r.upgradeTo("?EIO=4&transport=websocket"); res.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("websocket answered %s", res.Status)
		}
	}
	full()
	c1.post("1")
	p1.wantEnding(ReasonTransportClose)
	r.ws()
	full()
}

func TestHandshakeDescription(t *testing.T) {
	r := newRig(t, setup{})
	_, p := r.ws("X-One: a", "X-One: b", "Cookie: c=d", "User-Agent: test")
	h := p.Handshake()
	if h.Path != "/engine.io/" || h.RawQuery != "EIO=4&transport=websocket" || h.Host != "test" || h.Secure || h.RemoteAddr == "" || h.Time.IsZero() {
		t.Errorf("handshake %+v", h)
	}
	if got := h.Header(); strings.Join(got["X-One"], ",") != "a,b" || got.Get("Cookie") != "c=d" || got.Get("User-Agent") != "test" {
		t.Errorf("headers %v", got)
	}
	if h.Query().Get("transport") != "websocket" {
		t.Errorf("query %v", h.Query())
	}
	h.Header().Set("X-One", "changed")
	if h.Header().Get("X-One") != "a" {
		t.Error("a copy of the headers changed the handshake")
	}
}

// TestPanickingHooks wants the places of sessions back that were never made.
func TestPanickingHooks(t *testing.T) {
	for name, with := range map[string]setup{
		"GenerateID": {options: func(o *Options) { o.GenerateID = func(*http.Request) (string, error) { panic("id") } }},
		"Open":       {open: func(*peer) { panic("open") }},
		"Headers":    {options: func(o *Options) { o.Headers = func(http.Header, *http.Request) { panic("headers") } }},
		"InitialHeaders": {options: func(o *Options) {
			o.InitialHeaders = func(http.Header, *http.Request) { panic("headers") }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, with)
			c := r.client()
			if a := c.do(c.request("GET", "")); a.err == nil {
				t.Errorf("answered %d %s", a.status, a.body)
			}
			conn, err := r.dial()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			io.WriteString(conn, "GET /?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+ //nolint:errcheck // the answer tells
				"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
			if got, _ := io.ReadAll(conn); len(got) > 0 { //nolint:errcheck // an abrupt end is expected
				t.Errorf("answered %q", got)
			}
			eventually(t, "no session is left", func() bool { return r.srv.Len() == 0 })
		})
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for want, change := range map[string]func(*Options){
		"at least one":           func(o *Options) { o.Transports = nil },
		`"smoke" is neither`:     func(o *Options) { o.Transports = []Transport{"smoke"} },
		"ping interval":          func(o *Options) { o.PingInterval = 0 },
		"ping timeout":           func(o *Options) { o.PingTimeout = -1 },
		"upgrade timeout":        func(o *Options) { o.UpgradeTimeout = 0 },
		"close timeout":          func(o *Options) { o.CloseTimeout = 0 },
		"max payload":            func(o *Options) { o.MaxPayload = 0 },
		"max packets":            func(o *Options) { o.MaxPacketsPerPayload = 0 },
		"max headers":            func(o *Options) { o.MaxHeaders = 0 },
		"send buffer":            func(o *Options) { o.SendBuffer = 0 },
		"max sessions":           func(o *Options) { o.MaxSessions = -1 },
		"cookie":                 func(o *Options) { o.Cookie = &http.Cookie{} },
		"http compression":       func(o *Options) { o.HTTPCompression.Level = 10 },
		"per-message deflate":    func(o *Options) { o.PerMessageDeflate = &CompressionOptions{Level: -2} },
		"credentials need named": func(o *Options) { o.CORS = &CORSOptions{Origins: []string{"*"}, Credentials: true} },
	} {
		o := DefaultOptions()
		change(&o)
		if srv, err := NewServer(o, opener(nil)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error about %q, got %v", want, err)
			if srv != nil {
				srv.Shutdown(t.Context()) //nolint:errcheck // the test has failed
			}
		}
	}
}
