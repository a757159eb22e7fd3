//go:build linux

package client

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/gobwas/ws"
)

// browserHeaders are what a browser sends along, so that a handshake costs a server what it costs in use.
// No compression is offered: it is a scenario of its own, and most servers have it off.
const browserHeaders = "Pragma: no-cache\r\n" +
	"Cache-Control: no-cache\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36\r\n" +
	"Accept-Language: en-GB,en;q=0.9\r\n"

type webSocket struct {
	conn     *Conn
	sock     *socket
	key      string
	upgraded bool
	partial  []byte // a fragmented message so far
	op       ws.OpCode
}

func dialWebSocket(l *Loop, c *Conn) (*webSocket, error) {
	var raw [16]byte
	l.rand.Read(raw[:])
	w := &webSocket{conn: c, key: base64.StdEncoding.EncodeToString(raw[:])}
	var err error
	w.sock, err = l.dial(w)
	if err != nil {
		return nil, err
	}
	return w, nil
}

func (w *webSocket) opened() {
	w.sock.out = fmt.Appendf(w.sock.out, "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"+
		"Host: %[1]s\r\nConnection: Upgrade\r\n"+browserHeaders+"Upgrade: websocket\r\nOrigin: http://%[1]s\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %[2]s\r\n\r\n", w.sock.loop.host, w.key)
}

func (w *webSocket) closed(err error) { w.conn.lost(err) }

func (w *webSocket) data(p []byte, now int64) (used, want int, err error) {
	if !w.upgraded {
		used, err = w.upgrade(p)
		if err != nil || !w.upgraded {
			return 0, 0, err
		}
	}
	for {
		f, ok, err := parseFrame(p[used:])
		if err != nil {
			return used, 0, err
		}
		if !ok {
			return used, 0, nil
		}
		end := f.header + f.length
		if len(p)-used < end {
			return used, end, nil
		}
		body := p[used+f.header : used+end]
		used += end
		if err := w.frame(f, body, now); err != nil {
			return used, 0, err
		}
		if w.conn.gone {
			return used, 0, nil
		}
	}
}

func (w *webSocket) frame(f frame, body []byte, now int64) error {
	switch f.op {
	case ws.OpText, ws.OpBinary:
		if !f.fin {
			w.op, w.partial = f.op, append(w.partial[:0], body...)
			return nil
		}
		return w.message(f.op, body, now)
	case ws.OpContinuation:
		w.partial = append(w.partial, body...)
		if f.fin {
			return w.message(w.op, w.partial, now)
		}
	case ws.OpPing:
		w.append(ws.OpPong, "", body)
	case ws.OpPong:
	case ws.OpClose:
		return errors.New("websocket: closed by the server")
	default:
		return fmt.Errorf("websocket: opcode %d", f.op)
	}
	return nil
}

func (w *webSocket) message(op ws.OpCode, body []byte, now int64) error {
	if op == ws.OpBinary {
		w.conn.handler.Binary(w.conn, body, now)
		return nil
	}
	return w.conn.packet(body, now)
}

func (w *webSocket) upgrade(p []byte) (used int, err error) {
	end := bytes.Index(p, []byte("\r\n\r\n"))
	if end < 0 {
		return 0, nil
	}
	head := p[:end]
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) {
		return 0, fmt.Errorf("websocket: upgrade refused: %.60q", head)
	}
	sum := sha1.Sum([]byte(w.key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	if !bytes.Contains(head, base64.StdEncoding.AppendEncode(nil, sum[:])) {
		return 0, errors.New("websocket: wrong accept key")
	}
	w.upgraded = true
	return end + 4, nil
}

func (w *webSocket) engineOpen([]byte) error { return nil }

func (w *webSocket) text(prefix string, p []byte) { w.append(ws.OpText, prefix, p) }
func (w *webSocket) binary(p []byte)              { w.append(ws.OpBinary, "", p) }

func (w *webSocket) append(op ws.OpCode, prefix string, p []byte) {
	var mask [4]byte
	w.sock.loop.rand.Read(mask[:])
	w.sock.out = appendFrame(w.sock.out, op, prefix, p, mask)
}

func (w *webSocket) flush() { w.sock.flush() }
func (w *webSocket) close() { w.sock.close() }
