package engineio

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Handshake is what is known of the request that opened a session. It is immutable and keeps the headers
// as one string, since most are never looked at.
type Handshake struct {
	Path       string
	RawQuery   string
	RemoteAddr string // host:port
	Host       string
	Secure     bool
	Time       time.Time

	headers string // name NUL value NUL ...
}

func newHandshake(r *http.Request) *Handshake {
	size := 0
	for name, values := range r.Header {
		for _, v := range values {
			size += len(name) + len(v) + 2
		}
	}
	var b strings.Builder
	b.Grow(size)
	for name, values := range r.Header {
		for _, v := range values {
			b.WriteString(name)
			b.WriteByte(0)
			b.WriteString(v)
			b.WriteByte(0)
		}
	}
	return &Handshake{
		// The path and the query are parts of the request line's string; copies let the rest of it go.
		Path:       strings.Clone(r.URL.Path),
		RawQuery:   strings.Clone(r.URL.RawQuery),
		RemoteAddr: r.RemoteAddr,
		Host:       strings.Clone(r.Host),
		Secure:     r.TLS != nil,
		Time:       time.Now(),
		headers:    b.String(),
	}
}

// Query parses the query string. Malformed pairs are left out.
func (h *Handshake) Query() url.Values {
	q, _ := url.ParseQuery(h.RawQuery) //nolint:errcheck // the pairs that could be parsed are what is wanted
	return q
}

// Header makes a copy of the request's headers.
func (h *Handshake) Header() http.Header {
	out := http.Header{}
	for rest := h.headers; rest != ""; {
		var name, value string
		name, rest, _ = strings.Cut(rest, "\x00")
		value, rest, _ = strings.Cut(rest, "\x00")
		out[name] = append(out[name], value)
	}
	return out
}
