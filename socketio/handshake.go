package socketio

import (
	"net/http"
	"net/url"
	"time"
)

// Handshake is what a client said when it connected: to the server with its first request, and to the
// namespace with the CONNECT packet.
type Handshake struct {
	Auth    Arg // what the client gave as auth, an object; the zero Arg where it gave none
	Headers http.Header
	Query   url.Values
	URL     string // path and query of the first request
	Address string // host:port of the peer
	Secure  bool   // the connection is encrypted, as far as this process sees
	XDomain bool   // the request named an origin
	Time    time.Time
}

// handshake is built when it is asked for: most never are.
func (c *conn) handshake(auth []byte) *Handshake {
	h := c.session.Handshake()
	out := &Handshake{
		Auth:    Arg{raw: auth},
		Headers: h.Header(),
		Query:   h.Query(),
		URL:     h.Path,
		Address: h.RemoteAddr,
		Secure:  h.Secure,
		Time:    h.Time,
	}
	if h.RawQuery != "" {
		out.URL += "?" + h.RawQuery
	}
	out.XDomain = out.Headers.Get("Origin") != ""
	return out
}

// handshakeWire is a Handshake as Node's servers tell it to each other.
type handshakeWire struct {
	Headers map[string]string `json:"headers"`
	Time    string            `json:"time"`
	Address string            `json:"address"`
	XDomain bool              `json:"xdomain"`
	Secure  bool              `json:"secure"`
	Issued  int64             `json:"issued"` // milliseconds since 1970
	URL     string            `json:"url"`
	Query   map[string]string `json:"query"`
	Auth    Arg               `json:"auth"`
}

func (h *Handshake) wire() handshakeWire {
	w := handshakeWire{
		Headers: make(map[string]string, len(h.Headers)),
		Time:    h.Time.Format(time.RFC1123),
		Address: h.Address,
		XDomain: h.XDomain,
		Secure:  h.Secure,
		Issued:  h.Time.UnixMilli(),
		URL:     h.URL,
		Query:   make(map[string]string, len(h.Query)),
		Auth:    h.Auth,
	}
	for name := range h.Headers {
		w.Headers[name] = h.Headers.Get(name)
	}
	for name := range h.Query {
		w.Query[name] = h.Query.Get(name)
	}
	if w.Auth.IsZero() {
		w.Auth = Arg{raw: []byte("{}")}
	}
	return w
}

func (w *handshakeWire) handshake() *Handshake {
	h := &Handshake{
		Auth:    w.Auth,
		Headers: make(http.Header, len(w.Headers)),
		Query:   make(url.Values, len(w.Query)),
		URL:     w.URL,
		Address: w.Address,
		Secure:  w.Secure,
		XDomain: w.XDomain,
		Time:    time.UnixMilli(w.Issued),
	}
	for name, v := range w.Headers {
		h.Headers.Set(name, v)
	}
	for name, v := range w.Query {
		h.Query.Set(name, v)
	}
	return h
}
