//go:build linux

package client

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// httpConn is one kept-alive HTTP/1.1 connection with at most one request under way.
type httpConn struct {
	sock    *socket
	busy    bool
	respond func(body []byte, now int64) error
	fail    func(error)
}

func dialHTTP(l *Loop, respond func([]byte, int64) error, fail func(error)) (*httpConn, error) {
	h := &httpConn{respond: respond, fail: fail}
	var err error
	h.sock, err = l.dial(h)
	if err != nil {
		return nil, err
	}
	return h, nil
}

func (h *httpConn) opened()          {}
func (h *httpConn) closed(err error) { h.fail(err) }

// get starts a GET of the target (path and query).
func (h *httpConn) get(target string) {
	h.busy = true
	h.sock.out = fmt.Appendf(h.sock.out, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: keep-alive\r\n"+browserHeaders+"Accept: */*\r\n\r\n",
		target, h.sock.loop.host)
}

// post starts a POST of body to the target.
func (h *httpConn) post(target string, body []byte) {
	h.busy = true
	h.sock.out = fmt.Appendf(h.sock.out, "POST %[1]s HTTP/1.1\r\nHost: %[2]s\r\nConnection: keep-alive\r\n"+browserHeaders+
		"Origin: http://%[2]s\r\nAccept: */*\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: %[3]d\r\n\r\n",
		target, h.sock.loop.host, len(body))
	h.sock.out = append(h.sock.out, body...)
}

func (h *httpConn) data(p []byte, now int64) (used, want int, err error) {
	head, body, ok := bytes.Cut(p, []byte("\r\n\r\n"))
	if !ok {
		return 0, 0, nil
	}
	if !h.busy {
		return 0, 0, errors.New("http: response without a request")
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 200")) {
		return 0, 0, fmt.Errorf("http: %.40q %.80q", head, body)
	}
	start := len(head) + 4
	if v, ok := header(head, "transfer-encoding"); ok && bytes.EqualFold(v, []byte("chunked")) {
		joined, n, err := chunks(body)
		if err != nil || n == 0 {
			return 0, 0, err
		}
		h.busy = false
		return start + n, 0, h.respond(joined, now)
	}
	v, _ := header(head, "content-length")
	n, err := strconv.Atoi(string(v))
	if err != nil || n < 0 || n > maxFrame {
		return 0, 0, fmt.Errorf("http: content-length %.20q", v)
	}
	if len(body) < n {
		return 0, start + n, nil
	}
	h.busy = false
	return start + n, 0, h.respond(body[:n], now)
}

// header finds a header by its lower-case name.
func header(head []byte, name string) ([]byte, bool) {
	for line := range bytes.Lines(head) {
		if len(line) > len(name) && line[len(name)] == ':' && bytes.EqualFold(line[:len(name)], []byte(name)) {
			return bytes.TrimSpace(line[len(name)+1:]), true
		}
	}
	return nil, false
}

// chunks joins a chunked body. n is how much of p it takes up, 0 when p doesn't hold it all yet.
func chunks(p []byte) (body []byte, n int, err error) {
	for {
		line, _, ok := bytes.Cut(p[n:], []byte("\r\n"))
		if !ok {
			return nil, 0, nil
		}
		size, err := strconv.ParseUint(string(line), 16, 26)
		if err != nil {
			return nil, 0, fmt.Errorf("http: chunk size %.20q", line)
		}
		end := n + len(line) + 2 + int(size) + 2
		if len(p) < end {
			return nil, 0, nil
		}
		body = append(body, p[n+len(line)+2:end-2]...)
		n = end
		if size == 0 {
			return body, n, nil
		}
	}
}
