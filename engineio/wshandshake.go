package engineio

import (
	"bufio"
	"crypto/sha1" //nolint:gosec // what the websocket handshake prescribes, no secret
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// openInWrite bounds what leaves in one write with the answer to a handshake: the open packet, and what the
// handler sent at once, as far as it surely fits into an empty connection.
const openInWrite = 8 << 10

// openWebSocket makes a session that begins on websocket.
func (srv *Server) openWebSocket(w http.ResponseWriter, r *http.Request) {
	if srv.badWebSocketRequest(w, r) {
		return
	}
	if !srv.beginTask() {
		srv.refuseUnavailable(w, r, true)
		return
	}
	defer srv.tasks.Done()
	s := srv.open(w, r, TransportWebSocket)
	if s == nil {
		return
	}
	answered := false
	defer s.finishUnless(&answered)
	s.mu.Lock()
	frames := s.takeFirst(openInWrite)
	s.scheduled = true // until the answer is written
	s.mu.Unlock()
	c, taken, err := srv.switchProtocols(w, r, s, frames)
	answered = true
	if err != nil {
		s.finish(ReasonTransportError, err, 0)
		return
	}
	s.mu.Lock()
	over := s.state == stateClosed
	if !over {
		s.conn = c
	}
	s.mu.Unlock()
	if over {
		srv.spawn(c.refuse)
		return
	}
	c.start(taken)
	srv.flusherOf(s).add(s) // frees the way out
}

// takeFirst takes frames of at most the given size off the queue; the first is always taken. The caller holds s.mu.
func (s *Session) takeFirst(size int) []*Frame {
	var frames []*Frame
	for len(s.queue) > 0 && (len(frames) == 0 || s.queue[0].frame.Len() <= size) {
		f := s.queue[0].frame
		frames = append(frames, f)
		size -= f.Len()
		s.size -= f.cost()
		s.queue[0] = queued{}
		s.queue = s.queue[1:]
	}
	if len(s.queue) == 0 {
		s.queue = nil
	}
	return frames
}

// upgradeSession opens the websocket by which a polling session asks to be upgraded.
func (srv *Server) upgradeSession(w http.ResponseWriter, r *http.Request, s *Session) {
	if srv.badWebSocketRequest(w, r) {
		return
	}
	if !srv.beginTask() {
		srv.refuseUnavailable(w, r, true)
		return
	}
	defer srv.tasks.Done()
	s.offering(1)
	defer s.offering(-1)
	c, taken, err := srv.switchProtocols(w, r, s, nil)
	if err != nil {
		return // the client is gone; its session goes on by polling
	}
	if !srv.opts.AllowUpgrades || !s.offerProbe(c) {
		srv.spawn(c.refuse)
		return
	}
	c.start(taken)
}

// switchProtocols answers a websocket handshake (RFC 6455, section 4.2.2) and takes the connection over, so that
// nothing of net/http stays alive. The frames, if any, leave in the same write as the answer. It returns also what
// the client sent behind its request.
func (srv *Server) switchProtocols(w http.ResponseWriter, r *http.Request, s *Session, frames []*Frame) (*wsConn, []byte, error) {
	h := w.Header()
	if s.websocket && srv.opts.InitialHeaders != nil {
		srv.opts.InitialHeaders(h, r)
	}
	if srv.opts.Headers != nil {
		srv.opts.Headers(h, r)
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		srv.opts.Logger.Error().Err(err).Str("remote", r.RemoteAddr).Msg("can't take over the connection for a websocket")
		srv.refuse(w, r, CodeBadRequest, "connection can't be taken over")
		return nil, nil, fmt.Errorf("take over the connection: %w", err)
	}
	c := newWSConn(conn, srv, s)
	c.deflate = srv.opts.PerMessageDeflate != nil && offersDeflate(r.Header["Sec-Websocket-Extensions"])
	out := make([]byte, 0, 512)
	out = append(out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	out = append(out, acceptKey(r.Header.Get("Sec-Websocket-Key"))...)
	out = append(out, "\r\n"...)
	if c.deflate {
		out = append(out, "Sec-WebSocket-Extensions: "+deflateAnswer+"\r\n"...)
	}
	if protocol := subprotocol(r); protocol != "" && h.Get("Sec-Websocket-Protocol") == "" {
		out = append(out, "Sec-WebSocket-Protocol: "+protocol+"\r\n"...)
	}
	for name, values := range h {
		for _, v := range values {
			out = append(out, headerText.Replace(name)+": "+headerText.Replace(v)+"\r\n"...)
		}
	}
	out = append(out, "\r\n"...)
	for _, f := range frames {
		out = f.appendWire(out)
	}
	conn.SetWriteDeadline(time.Now().Add(srv.opts.PingTimeout)) //nolint:errcheck // the write fails if this does
	n, err := conn.Write(out)
	srv.stats.bytesOut.Add(uint64(n))
	if err == nil {
		err = conn.SetWriteDeadline(time.Time{})
	}
	if err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("answer a websocket handshake: %w", err)
	}
	return c, buffered(rw.Reader), nil
}

// subprotocol is the first one that the client asks for, since a browser gives up a connection for which it
// asked for some and was given none. It means nothing here, nor does it to Node's server.
func subprotocol(r *http.Request) string {
	first, _, _ := strings.Cut(r.Header.Get("Sec-Websocket-Protocol"), ",")
	return headerText.Replace(strings.TrimSpace(first))
}

// headerText keeps a hook's header from ending its line.
var headerText = strings.NewReplacer("\r", " ", "\n", " ")

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

// badWebSocketRequest refuses what is no websocket handshake.
func (srv *Server) badWebSocketRequest(w http.ResponseWriter, r *http.Request) bool {
	msg := ""
	key, err := base64.StdEncoding.DecodeString(r.Header.Get("Sec-Websocket-Key"))
	switch {
	case r.Method != http.MethodGet:
		msg = "websocket handshake is not a GET"
	case r.Header.Get("Sec-Websocket-Version") != "13":
		w.Header().Set("Sec-WebSocket-Version", "13")
		msg = "websocket version is not 13"
	case err != nil || len(key) != 16:
		msg = "websocket key is not 16 bytes"
	default:
		return false
	}
	srv.refuse(w, r, CodeBadRequest, msg)
	return true
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
