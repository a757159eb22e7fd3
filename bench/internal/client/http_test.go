//go:build linux

package client

import (
	"strings"
	"testing"
)

func TestResponsesInPieces(t *testing.T) {
	cases := map[string]struct{ raw, body string }{
		"length":           {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"},
		"length, no space": {"HTTP/1.1 200 OK\r\ncontent-length:5\r\nx: y\r\n\r\nhello", "hello"},
		"chunked":          {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", "hello"},
		"empty":            {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""},
	}
	for name, c := range cases {
		for cut := range len(c.raw) {
			var got []string
			h := &httpConn{busy: true, respond: func(b []byte, _ int64) error {
				got = append(got, string(b))
				return nil
			}}
			used, want, err := h.data([]byte(c.raw[:cut]), 0)
			if used != 0 || err != nil || len(got) != 0 {
				t.Fatalf("%s, %d bytes: used %d, error %v, %d responses", name, cut, used, err, len(got))
			}
			if want > len(c.raw) {
				t.Fatalf("%s, %d bytes: wants %d of %d", name, cut, want, len(c.raw))
			}
			used, _, err = h.data([]byte(c.raw), 0)
			if used != len(c.raw) || err != nil || strings.Join(got, "|") != c.body {
				t.Fatalf("%s: used %d, error %v, body %q", name, used, err, got)
			}
		}
	}
}

func TestBadResponses(t *testing.T) {
	for _, raw := range []string{
		"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno",
		"HTTP/1.1 200 OK\r\n\r\nendless",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
	} {
		h := &httpConn{busy: true, respond: func([]byte, int64) error { return nil }}
		if _, _, err := h.data([]byte(raw), 0); err == nil {
			t.Errorf("accepted %q", raw)
		}
	}
	h := &httpConn{}
	if _, _, err := h.data([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), 0); err == nil {
		t.Error("accepted a response without a request")
	}
}
