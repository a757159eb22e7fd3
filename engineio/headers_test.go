package engineio

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestCORS(t *testing.T) {
	const page = "https://app.example"
	for _, c := range []struct {
		name            string
		cors            CORSOptions
		origin          string
		allow, vary     string
		credentials     string
		preflight       bool
		methods, header string
		maxAge, exposed string
	}{
		{name: "any", cors: CORSOptions{Origins: []string{"*"}}, origin: page, allow: "*"},
		{name: "any, no origin", cors: CORSOptions{Origins: []string{"*"}}, allow: "*"},
		{name: "named", cors: CORSOptions{Origins: []string{"https://x.example", page}}, origin: page, allow: page, vary: "Origin"},
		{name: "named, other", cors: CORSOptions{Origins: []string{page}}, origin: "https://evil.example", vary: "Origin"},
		{name: "named, no origin", cors: CORSOptions{Origins: []string{page}}, vary: "Origin"},
		{name: "named, longer", cors: CORSOptions{Origins: []string{page}}, origin: page + ".evil.example", vary: "Origin"},
		{name: "any among others", cors: CORSOptions{Origins: []string{"https://x.example", "*"}}, origin: page, allow: page, vary: "Origin"},
		{name: "credentials", cors: CORSOptions{Origins: []string{page}, Credentials: true}, origin: page, allow: page, vary: "Origin", credentials: "true"},
		{
			name:   "function",
			cors:   CORSOptions{OriginFunc: func(o string, _ *http.Request) bool { return strings.HasSuffix(o, ".example") }},
			origin: page, allow: page, vary: "Origin",
		},
		{name: "exposed", cors: CORSOptions{Origins: []string{"*"}, ExposedHeaders: []string{"X-A", "X-B"}}, origin: page, allow: "*", exposed: "X-A,X-B"},
		{
			name: "preflight", cors: CORSOptions{Origins: []string{page}}, origin: page, allow: page, preflight: true,
			vary: "Origin,Access-Control-Request-Headers", methods: "GET,HEAD,PUT,PATCH,POST,DELETE", header: "x-asked",
		},
		{
			name: "preflight, set", preflight: true, origin: page, allow: "*", methods: "GET,POST", header: "X-One,X-Two", maxAge: "600",
			cors: CORSOptions{Origins: []string{"*"}, Methods: []string{"GET", "POST"}, AllowedHeaders: []string{"X-One", "X-Two"}, MaxAge: 10 * time.Minute},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, setup{options: func(o *Options) { o.CORS = &c.cors }})
			client := r.client()
			method, status := "GET", http.StatusOK
			if c.preflight {
				method, status = "OPTIONS", http.StatusNoContent
			}
			req := client.request(method, "")
			if c.origin != "" {
				req.Header.Set("Origin", c.origin)
			}
			if c.preflight {
				req.Header.Set("Access-Control-Request-Method", "POST")
				req.Header.Set("Access-Control-Request-Headers", "x-asked")
			}
			a := client.do(req)
			if a.status != status {
				t.Errorf("answered %d %s, %v", a.status, a.body, a.err)
			}
			for name, want := range map[string]string{
				"Access-Control-Allow-Origin":      c.allow,
				"Access-Control-Allow-Credentials": c.credentials,
				"Access-Control-Allow-Methods":     c.methods,
				"Access-Control-Allow-Headers":     c.header,
				"Access-Control-Max-Age":           c.maxAge,
				"Access-Control-Expose-Headers":    c.exposed,
				"Vary":                             c.vary,
			} {
				if got := strings.Join(a.header.Values(name), ","); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
		})
	}
}

// TestCORSOnErrors wants a page to be able to read why it was refused.
func TestCORSOnErrors(t *testing.T) {
	r := newRig(t, setup{options: func(o *Options) { o.CORS = &CORSOptions{Origins: []string{"*"}} }})
	c := r.client()
	c.sid = "nobody"
	if a := c.do(c.request("GET", "")); a.status != 400 || a.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("answered %d %v", a.status, a.header)
	}
}

func TestNoCORS(t *testing.T) {
	c := newRig(t, setup{}).client()
	req := c.request("GET", "")
	req.Header.Set("Origin", "https://app.example")
	for name := range c.do(req).header {
		if strings.HasPrefix(name, "Access-Control") {
			t.Errorf("answered with %s", name)
		}
	}
}

func TestCookie(t *testing.T) {
	r := newRig(t, setup{options: func(o *Options) {
		o.Cookie = &http.Cookie{Name: "io", Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
	}})
	c := r.client()
	a := c.do(c.request("GET", ""))
	c.sid = r.session().ID()
	if got, want := a.header.Get("Set-Cookie"), "io="+c.sid+"; Path=/; HttpOnly; SameSite=Lax"; got != want {
		t.Errorf("cookie %q, want %q", got, want)
	}
	c.post("4a")
	if a := c.do(c.request("GET", "")); a.header.Get("Set-Cookie") != "" {
		t.Errorf("a later answer sets %q", a.header.Get("Set-Cookie"))
	}
	if r.srv.opts.Cookie.Value != "" {
		t.Error("the options hold a session's id")
	}
	// As in Node's server, a session that begins on websocket has no cookie.
	if w, _ := r.ws(); w.header.Get("Set-Cookie") != "" {
		t.Errorf("websocket sets %q", w.header.Get("Set-Cookie"))
	}
}

func TestHeaderHooks(t *testing.T) {
	r := newRig(t, setup{options: func(o *Options) {
		o.InitialHeaders = func(h http.Header, _ *http.Request) { h.Set("X-Initial", "a\r\nInjected: 1") }
		o.Headers = func(h http.Header, r *http.Request) { h.Add("X-Every", r.Method) }
	}})
	c := r.client()
	a := c.do(c.request("GET", ""))
	c.sid = r.session().ID()
	if a.header.Get("X-Initial") != "a  Injected: 1" || a.header.Get("X-Every") != "GET" || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("handshake: %v", a.header)
	}
	a = c.do(c.request("POST", "4a"))
	if a.header.Get("X-Initial") != "" || a.header.Get("X-Every") != "POST" || a.header.Get("Cache-Control") != "no-store" || a.header.Get("Content-Type") != "text/html" {
		t.Errorf("POST: %v", a.header)
	}
	a = c.do(c.request("GET", ""))
	if a.header.Get("X-Initial") != "" || a.header.Get("X-Every") != "GET" || a.header.Get("Content-Type") != "text/plain; charset=UTF-8" {
		t.Errorf("GET: %v", a.header)
	}
	w, _ := r.ws()
	if w.header.Get("X-Initial") != "a  Injected: 1" || w.header.Get("X-Every") != "GET" || w.header.Get("Injected") != "" {
		t.Errorf("websocket: %v", w.header)
	}
	w = c.probe()
	if w.header.Get("X-Initial") != "" || w.header.Get("X-Every") != "GET" {
		t.Errorf("upgrade: %v", w.header)
	}
}

func TestSubprotocol(t *testing.T) {
	r := newRig(t, setup{})
	if w, _ := r.ws("Sec-WebSocket-Protocol: one, two"); w.header.Get("Sec-Websocket-Protocol") != "one" {
		t.Errorf("answered %q", w.header.Get("Sec-Websocket-Protocol"))
	}
	if w, _ := r.ws(); w.header.Get("Sec-Websocket-Protocol") != "" {
		t.Errorf("answered %q unasked", w.header.Get("Sec-Websocket-Protocol"))
	}
}
