package engineio

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// wsClient is a websocket client that sees every frame.
type wsClient struct {
	t      testing.TB
	conn   net.Conn
	r      *bufio.Reader
	header http.Header // of the answer to the handshake
	open   string
	sid    string
}

// upgradeTo asks for a websocket and returns the answer.
func (r *rig) upgradeTo(query string, headers ...string) (net.Conn, *bufio.Reader, *http.Response) {
	r.t.Helper()
	conn, err := r.dial()
	if err != nil {
		r.t.Fatal(err)
	}
	if _, real := conn.LocalAddr().(*net.TCPAddr); real {
		conn.SetDeadline(time.Now().Add(2 * patience)) //nolint:errcheck // the use of it fails
	}
	r.t.Cleanup(func() { conn.Close() })
	request := "GET /engine.io/" + query + " HTTP/1.1\r\nHost: test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	for _, h := range headers {
		request += h + "\r\n"
	}
	if _, err := io.WriteString(conn, request+"\r\n"); err != nil {
		r.t.Fatal(err)
	}
	br := bufio.NewReaderSize(conn, 64<<10)
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return conn, br, res
}

// websocket opens a session by websocket, or asks for the upgrade of one where the query names it.
func (r *rig) websocket(query string, headers ...string) *wsClient {
	r.t.Helper()
	conn, br, res := r.upgradeTo("?EIO=4&transport=websocket"+query, headers...)
	if res.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(res.Body) //nolint:errcheck // for the message
		r.t.Fatalf("websocket refused: %s %s", res.Status, body)
	}
	if got := res.Header.Get("Sec-Websocket-Accept"); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		r.t.Fatalf("accept key %q is not the one of RFC 6455, section 1.3", got)
	}
	return &wsClient{t: r.t, conn: conn, r: br, header: res.Header}
}

// ws opens a session by websocket and reads its open packet.
func (r *rig) ws(headers ...string) (*wsClient, *peer) {
	r.t.Helper()
	c := r.websocket("", headers...)
	c.open = c.text()
	c.sid = sidOf(r.t, c.open)
	return c, r.session()
}

func textFrame(s string) ws.Frame { return ws.NewTextFrame([]byte(s)) }

// write sends a frame, masked.
func (c *wsClient) write(f ws.Frame) error {
	return ws.WriteFrame(c.conn, ws.MaskFrame(f))
}

// frame sends a frame and wants it taken.
func (c *wsClient) frame(f ws.Frame) {
	c.t.Helper()
	if err := c.write(f); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

// send sends text packets.
func (c *wsClient) send(packets ...string) {
	c.t.Helper()
	for _, p := range packets {
		c.frame(textFrame(p))
	}
}

// raw sends bytes as they are.
func (c *wsClient) raw(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

// read returns the next frame.
func (c *wsClient) read() (ws.Header, []byte, error) {
	h, err := ws.ReadHeader(c.r)
	if err != nil {
		return h, nil, err
	}
	payload := make([]byte, h.Length)
	_, err = io.ReadFull(c.r, payload)
	return h, payload, err
}

func (c *wsClient) next() (ws.Header, []byte) {
	c.t.Helper()
	h, payload, err := c.read()
	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	if h.Masked {
		c.t.Fatal("a server's frames must not be masked")
	}
	return h, payload
}

// text wants a text frame, whole and not compressed.
func (c *wsClient) text() string {
	c.t.Helper()
	h, payload := c.next()
	if h.OpCode != ws.OpText || !h.Fin || h.Rsv != 0 {
		c.t.Fatalf("got %+v %q, want a text frame", h, payload)
	}
	return string(payload)
}

func (c *wsClient) want(packets ...string) {
	c.t.Helper()
	for _, want := range packets {
		if got := c.text(); got != want {
			c.t.Fatalf("got %q, want %q", got, want)
		}
	}
}

// wantClose reads up to the end, wants a close frame with that code (0: without one) and nothing behind it.
func (c *wsClient) wantClose(code uint16) {
	c.t.Helper()
	for {
		h, payload := c.next()
		if h.OpCode != ws.OpClose {
			continue
		}
		got := uint16(0)
		if len(payload) >= 2 {
			got = uint16(payload[0])<<8 | uint16(payload[1])
		}
		if got != code {
			c.t.Fatalf("closed with code %d, want %d", got, code)
		}
		break
	}
	c.write(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, ""))) //nolint:errcheck // it may be closed already
	c.wantEOF()
	c.conn.Close()
}

// wantEOF reads up to the end of the connection.
func (c *wsClient) wantEOF() {
	c.t.Helper()
	if _, err := io.Copy(io.Discard, c.r); err != nil && isTimeout(err) {
		c.t.Fatalf("the connection was not closed: %v", err)
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// reset ends the connection as a crash of the client's machine or a proxy would.
func (c *wsClient) reset() {
	if tcp, ok := c.conn.(*net.TCPConn); ok {
		tcp.SetLinger(0) //nolint:errcheck // it is closed anyway
	}
	c.conn.Close()
}

// probe asks for the upgrade and wants it offered.
func (c *pollClient) probe() *wsClient {
	c.t.Helper()
	w := c.rig.websocket("&sid=" + c.sid)
	w.send("2probe")
	w.want("3probe")
	return w
}

// numbered makes messages that tell their order.
func numbered(from, to int) []string {
	out := make([]string, 0, to-from)
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf("4%d", i))
	}
	return out
}

func join(packets []string) string { return strings.Join(packets, "\x1e") }
