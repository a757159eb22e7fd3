package engineio

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
)

func TestWebSocketEcho(t *testing.T) {
	c, _ := newRig(t, setup{}).ws()
	for _, size := range []int{0, 1, 125, 126, 70_000, 900_000} {
		m := "4" + strings.Repeat("x", size)
		c.send(m)
		c.want(m)
	}
	payload := bytes.Repeat([]byte{0, 0xff, 0x1e}, 100_000)
	c.frame(ws.NewBinaryFrame(payload))
	if h, got := c.next(); h.OpCode != ws.OpBinary || !bytes.Equal(got, payload) {
		t.Errorf("got %+v, %d bytes", h, len(got))
	}
	c.send("bAQIDBA==") // binary in base64, which a client may be told to send
	if h, got := c.next(); h.OpCode != ws.OpBinary || !bytes.Equal(got, []byte{1, 2, 3, 4}) {
		t.Errorf("got %+v %q", h, got)
	}
}

func TestWebSocketPing(t *testing.T) {
	c, _ := newRig(t, setup{}).ws()
	for _, payload := range []string{"", "hello", strings.Repeat("p", 125)} {
		c.frame(ws.NewPingFrame([]byte(payload)))
		if h, got := c.next(); h.OpCode != ws.OpPong || string(got) != payload {
			t.Errorf("got %+v %q, want %q", h, got, payload)
		}
	}
}

// TestWebSocketBehindTheHandshake sends packets in the same segment as the request.
func TestWebSocketBehindTheHandshake(t *testing.T) {
	r := newRig(t, setup{})
	conn, err := r.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	request := []byte("GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	request = append(request, text("4early")...)
	request = append(request, text("1")...)
	if _, err := conn.Write(request); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Contains(got, []byte("\x81\x064early")) {
		t.Errorf("got %q, %v", got, err)
	}
	r.session().wantEnding(ReasonTransportClose)
}

func TestWebSocketEnds(t *testing.T) {
	reserved := text("4a")
	reserved[0] |= 0x20
	for _, c := range []struct {
		name   string
		in     []byte
		code   uint16 // 0: a close frame without one
		reason Reason
	}{
		{"close frame", part(ws.OpClose, true, "\x03\xe8"), 1000, ReasonTransportClose},
		{"close frame with another code", part(ws.OpClose, true, "\x0f\xa0bye"), 4000, ReasonTransportClose},
		{"close frame with the last code there is", part(ws.OpClose, true, "\x13\x87"), 4999, ReasonTransportClose},
		{"close frame with a code beyond", part(ws.OpClose, true, "\x13\x88"), 1002, ReasonTransportError},
		{"close frame without a code", part(ws.OpClose, true, ""), 0, ReasonTransportClose},
		{"close packet", text("1"), 0, ReasonTransportClose},
		{"no packet", text("abc"), 0, ReasonParseError},
		{"refused by the receiver", text("4refuse"), 0, ReasonParseError},
		{"panic of the receiver", text("4panic"), 0, ReasonTransportError},
		{"ping packet", text("2"), 0, ReasonTransportError},
		{"not masked", ws.MustCompileFrame(textFrame("4a")), 1002, ReasonTransportError},
		{"reserved bit", reserved, 1002, ReasonTransportError},
		{"compressed unasked", func() []byte { b := text("4a"); b[0] |= 0x40; return b }(), 1002, ReasonTransportError},
		{"long control frame", part(ws.OpPing, true, strings.Repeat("x", 126)), 1002, ReasonTransportError},
		{"not UTF-8", text("4\xff\xfe"), 1007, ReasonTransportError},
		{"too large", text("4" + strings.Repeat("x", 1000)), 1009, ReasonTransportError},
		{"too large in parts", cat(part(ws.OpText, false, strings.Repeat("4", 600)), part(ws.OpContinuation, false, strings.Repeat("4", 600))), 1009, ReasonTransportError},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, p := newRig(t, setup{
				options: func(o *Options) { o.MaxPayload = 1000 },
				message: func(p *peer, data []byte, binary bool) error {
					switch string(data) {
					case "refuse":
						return io.ErrUnexpectedEOF
					case "panic":
						panic("handler")
					}
					return echo(p, data, binary)
				},
			}).ws()
			client.send("4first")
			client.raw(append(slices.Clone(c.in), text("4never")...))
			client.want("4first")
			client.wantClose(c.code)
			p.wantEnding(c.reason)
		})
	}
}

func TestWebSocketCut(t *testing.T) {
	for name, cut := range map[string]func(*wsClient){
		"closed":         func(c *wsClient) { c.conn.Close() },
		"reset":          (*wsClient).reset,
		"within a frame": func(c *wsClient) { c.raw(text("4hello")[:5]); c.conn.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			c, p := newRig(t, setup{}).ws()
			cut(c)
			p.wantEnding(ReasonTransportClose)
			if err := p.Send(NewTextFrame("late")); err != ErrClosed { //nolint:errorlint // it is what Send promises
				t.Errorf("Send: %v", err)
			}
			if p.SendVolatile(NewTextFrame("late")) {
				t.Error("SendVolatile took a packet")
			}
		})
	}
}

// TestPongsToOneWhoNeverReads wants a client that asks for pongs and doesn't read them to be let go.
func TestPongsToOneWhoNeverReads(t *testing.T) {
	r := newRig(t, setup{options: func(o *Options) { o.SendBuffer = 64 << 10 }})
	c, p := r.ws()
	ping := bytes.Repeat(part(ws.OpPing, true, ""), 1000)
	for {
		if _, err := c.conn.Write(ping); err != nil {
			break
		}
	}
	p.wantEnding(ReasonBufferFull)
}

func TestPerMessageDeflate(t *testing.T) {
	long := "4" + strings.Repeat("compress me ", 1000)
	r := newRig(t, setup{options: func(o *Options) { o.PerMessageDeflate = &CompressionOptions{Threshold: 100} }})
	for offer, accepted := range map[string]bool{
		"permessage-deflate":                                                     true,
		"permessage-deflate; client_max_window_bits":                             true,
		"x-other, permessage-deflate; server_no_context_takeover":                true,
		"permessage-deflate; server_max_window_bits=15":                          true,
		"permessage-deflate; server_max_window_bits=10":                          false,
		"permessage-deflate; server_max_window_bits=10, permessage-deflate":      true,
		"permessage-deflate; unheard_of":                                         false,
		"x-webkit-deflate-frame":                                                 false,
		"permessage-deflate; client_no_context_takeover; server_max_window_bits": false,
	} {
		c, p := r.ws("Sec-WebSocket-Extensions: " + offer)
		answered := c.header.Get("Sec-Websocket-Extensions")
		if (answered != "") != accepted {
			t.Errorf("%s: answered %q", offer, answered)
			continue
		}
		c.send(long) // a client may always send without compression
		h, payload := c.next()
		if !accepted {
			if h.Rsv != 0 || string(payload) != long {
				t.Errorf("%s: got %+v", offer, h)
			}
			continue
		}
		if h.Rsv != 0b100 || len(payload) > 200 {
			t.Fatalf("%s: got %+v, not compressed", offer, h)
		}
		f, err := wsflate.DecompressFrame(ws.Frame{Header: h, Payload: payload})
		if err != nil || string(f.Payload) != long {
			t.Errorf("%s: got %.40q, %v", offer, f.Payload, err)
		}
		f, err = wsflate.CompressFrame(textFrame(long))
		if err != nil {
			t.Fatal(err)
		}
		c.frame(f)
		if h, _ := c.next(); h.Rsv != 0b100 {
			t.Errorf("%s: answered %+v", offer, h)
		}
		c.send("4short")
		c.want("4short")
		p.Send(NewTextFrame(long[1:]).NoCompress()) //nolint:errcheck // the frame tells
		c.want(long)
		p.Send(messageOf("51-", []byte(long), []byte{1})) //nolint:errcheck // likewise
		c.want("451-")
		h, payload = c.next()
		if f, err := wsflate.DecompressFrame(ws.Frame{Header: h, Payload: payload}); err != nil || h.OpCode != ws.OpBinary || string(f.Payload) != long {
			t.Errorf("%s: attachment %+v, %v", offer, h, err)
		}
		if h, payload = c.next(); h.Rsv != 0 || !bytes.Equal(payload, []byte{1}) {
			t.Errorf("%s: short attachment %+v", offer, h)
		}
	}
}

func TestNoDeflateUnlessOffered(t *testing.T) {
	c, _ := newRig(t, setup{}).ws("Sec-WebSocket-Extensions: permessage-deflate")
	if got := c.header.Get("Sec-Websocket-Extensions"); got != "" {
		t.Errorf("answered %q", got)
	}
}

// TestDeflateIsShared wants a broadcast to be compressed once.
func TestDeflateIsShared(t *testing.T) {
	f := NewTextFrame(strings.Repeat("x", 1000))
	o := &CompressionOptions{Threshold: 10}
	if a, b := f.deflate(o), f.deflate(o); a != b || a.Len() > 100 {
		t.Errorf("compressed twice, to %d bytes", a.Len())
	}
	short := NewTextFrame("x")
	if got := short.deflate(o); got != short {
		t.Error("a frame that is not compressed was copied")
	}
}
