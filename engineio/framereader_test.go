package engineio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// reader is a websocket connection without one: what a client sent is fed to it.
type reader struct {
	conn *wsConn
	got  []string
}

func newReader(maxPayload int64, deflate bool) *reader {
	r := &reader{}
	o := DefaultOptions()
	o.MaxPayload = maxPayload
	srv := &Server{opts: o}
	s := &Session{srv: srv, opened: true, recv: collector{r}}
	r.conn = &wsConn{srv: srv, s: s, deflate: deflate}
	return r
}

type collector struct{ r *reader }

func (c collector) Message(data []byte, binary bool) error {
	kind := "t:"
	if binary {
		kind = "b:"
	}
	c.r.got = append(c.r.got, kind+string(data))
	return nil
}

func (collector) Close(Reason, error) {}

// feed hands bytes over as they might arrive, at most step at once.
func (r *reader) feed(b []byte, step int) error {
	in := &r.conn.in
	for len(b) > 0 {
		if in.buf == nil {
			in.buf = getBuffer(readBufferSize)
		}
		n := copy(in.buf[in.have:], b[:min(step, len(b))])
		if n == 0 {
			return errors.New("no room left to read into")
		}
		b = b[n:]
		in.have += n
		if _, err := r.conn.handOver(); err != nil {
			return err
		}
		in.release()
	}
	return nil
}

var mask = [4]byte{1, 2, 3, 4}

// masked is a client's frame on the wire.
func masked(f ws.Frame) []byte {
	f = ws.MaskFrameWith(f, mask)
	return ws.MustCompileFrame(f)
}

// part is a frame of a fragmented message.
func part(op ws.OpCode, fin bool, payload string) []byte {
	f := ws.NewFrame(op, fin, []byte(payload))
	return masked(f)
}

func text(s string) []byte { return part(ws.OpText, true, s) }

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// code is the close code that the error leads to, or what the error is.
func code(err error) string {
	var we *wsError
	if errors.As(err, &we) {
		return fmt.Sprint(we.code)
	}
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestFrameReader(t *testing.T) {
	big := strings.Repeat("x", 5000)
	unmasked := ws.MustCompileFrame(ws.NewTextFrame([]byte("4a")))
	reserved := text("4a")
	reserved[0] |= 0x40
	tooLong := append([]byte{0x81, 0xff}, make([]byte, 12)...)
	binary.BigEndian.PutUint64(tooLong[2:], 1<<63)
	huge := append([]byte{0x81, 0xff}, make([]byte, 12)...)
	binary.BigEndian.PutUint64(huge[2:], 1<<62)
	longPing := part(ws.OpPing, true, strings.Repeat("p", 126))
	for _, c := range []struct {
		name string
		in   []byte
		want []string
		end  string
	}{
		{"text", text("4hello"), []string{"t:hello"}, ""},
		{"empty message", text("4"), []string{"t:"}, ""},
		{"several", cat(text("4a"), text("4b"), text("4c")), []string{"t:a", "t:b", "t:c"}, ""},
		{"binary", part(ws.OpBinary, true, "\x00\xff"), []string{"b:\x00\xff"}, ""},
		{"empty binary", part(ws.OpBinary, true, ""), []string{"b:"}, ""},
		{"base64", text("bAQID"), []string{"b:\x01\x02\x03"}, ""},
		{"large", text("4" + big), []string{"t:" + big}, ""},
		{"as large as allowed", text("4" + strings.Repeat("y", 99_999)), []string{"t:" + strings.Repeat("y", 99_999)}, ""},
		{"fragments", cat(part(ws.OpText, false, "4he"), part(ws.OpContinuation, false, ""), part(ws.OpContinuation, true, "llo"), text("4b")), []string{"t:hello", "t:b"}, ""},
		{"fragments of binary", cat(part(ws.OpBinary, false, "\x01"), part(ws.OpContinuation, true, "\x02")), []string{"b:\x01\x02"}, ""},
		{"character cut in two", cat(part(ws.OpText, false, "4\xc3"), part(ws.OpContinuation, true, "\xa4")), []string{"t:ä"}, ""},
		{"ping between fragments", cat(part(ws.OpText, false, "4a"), part(ws.OpPing, true, "x"), part(ws.OpContinuation, true, "b")), []string{"t:ab"}, ""},
		{"pong", cat(part(ws.OpPong, true, "x"), text("4a")), []string{"t:a"}, ""},
		{"other packets", cat(text("3"), text("6"), text("0"), text("5"), text("4a")), []string{"t:a"}, ""},

		{"close", cat(part(ws.OpClose, true, "\x03\xe8bye"), text("4a")), nil, errPeerClosed.Error()},
		{"close without code", part(ws.OpClose, true, ""), nil, errPeerClosed.Error()},
		{"close with half a code", part(ws.OpClose, true, "\x03"), nil, "1002"},
		{"close with a code that may not be sent", part(ws.OpClose, true, "\x03\xee"), nil, "1002"},
		{"close packet", text("1"), nil, errClientClosed.Error()},
		{"no packet", cat(text("4a"), text("abc")), []string{"t:a"}, errPacket.Error()},
		{"empty frame", text(""), nil, errPacket.Error()},
		{"bad base64", text("b?"), nil, errPacket.Error()},
		{"ping packet", text("2"), nil, errDirection.Error()},
		{"not masked", unmasked, nil, "1002"},
		{"reserved bit", reserved, nil, "1002"},
		{"reserved operation", part(0x3, true, "4a"), nil, "1002"},
		{"continuation of nothing", part(ws.OpContinuation, true, "4a"), nil, "1002"},
		{"message within a message", cat(part(ws.OpText, false, "4a"), text("4b")), nil, "1002"},
		{"fragmented ping", part(ws.OpPing, false, ""), nil, "1002"},
		{"long ping", longPing, nil, "1002"},
		{"not UTF-8", text("4\xff"), nil, "1007"},
		{"too large", text("4" + strings.Repeat("y", 100_000)), nil, "1009"},
		{"too large in parts", cat(part(ws.OpText, false, strings.Repeat("4", 60_000)), part(ws.OpContinuation, true, strings.Repeat("4", 60_000))), nil, "1009"},
		{"announced too large", huge, nil, "1009"},
		{"length with its highest bit", tooLong, nil, "1002"},
	} {
		t.Run(c.name, func(t *testing.T) {
			steps := []int{1, 2, 7, 4096, 1 << 20}
			if len(c.in) > 10_000 {
				steps = steps[3:]
			}
			for _, step := range steps {
				r := newReader(100_000, false)
				err := r.feed(slices.Clone(c.in), step)
				if code(err) != c.end || !slices.Equal(r.got, c.want) {
					t.Fatalf("%d bytes at once: got %.60q, %v; want %.60q, %s", step, r.got, err, c.want, c.end)
				}
			}
		})
	}
}

// TestFrameReaderBelievesWhatArrived announces a large message and wants no memory for it before it comes.
func TestFrameReaderBelievesWhatArrived(t *testing.T) {
	r := newReader(16<<20, false)
	frame := text("4" + strings.Repeat("z", 8<<20))
	if err := r.feed(frame[:20], 20); err != nil {
		t.Fatal(err)
	}
	if n := len(r.conn.in.buf); n > 4<<10 {
		t.Errorf("%d bytes of room for the 20 that arrived", n)
	}
	if err := r.feed(frame[20:], 64<<10); err != nil || len(r.got) != 1 || len(r.got[0]) != 8<<20+2 {
		t.Errorf("%d messages, %v", len(r.got), err)
	}
	if r.conn.in.buf != nil {
		t.Error("the large buffer is held on to")
	}
}

// TestFrameReaderHoldsWhatArrived has a large message drip in: what is held for it is never much more than has come.
func TestFrameReaderHoldsWhatArrived(t *testing.T) {
	r := newReader(1_000_000, false)
	in := text("4" + strings.Repeat("x", 500_000))
	for step, fed := 1, 0; fed < len(in)-1; step += step/8 + 1 {
		n := min(step, len(in)-1-fed)
		if err := r.feed(slices.Clone(in[fed:fed+n]), n); err != nil {
			t.Fatal(err)
		}
		fed += n
		if held := len(r.conn.in.buf); held > max(8*fed, 4<<10) || held < fed {
			t.Fatalf("%d bytes held for %d", held, fed)
		}
	}
	if err := r.feed(in[len(in)-1:], 1); err != nil || len(r.got) != 1 || len(r.got[0]) != 2+500_000 {
		t.Errorf("%d messages, %v", len(r.got), err)
	}
}

func TestFrameReaderAnswersPings(t *testing.T) {
	r := newReader(1000, false)
	if err := r.feed(part(ws.OpPing, true, "payload"), 100); err != nil {
		t.Fatal(err)
	}
	queue := r.conn.s.queue
	if len(queue) != 1 {
		t.Fatalf("%d frames queued", len(queue))
	}
	if got := wireFrames(t, queue[0].frame.wire); got[0].Header.OpCode != ws.OpPong || string(got[0].Payload) != "payload" {
		t.Errorf("answered with %v", got)
	}
}

func TestFrameReaderInflates(t *testing.T) {
	long := strings.Repeat("all work and no play ", 1000)
	deflated := func(message string, fin bool) []byte {
		f := ws.NewFrame(ws.OpText, fin, deflateMessage([]byte(message), 0))
		f.Header.Rsv = 0b100
		return masked(f)
	}
	whole := deflateMessage([]byte("4"+long), 0)
	head := ws.NewFrame(ws.OpText, false, whole[:10])
	head.Header.Rsv = 0b100
	flagged := ws.NewFrame(ws.OpContinuation, true, whole[10:])
	flagged.Header.Rsv = 0b100
	broken := ws.NewFrame(ws.OpText, true, []byte{0xff, 0xff, 0xff})
	broken.Header.Rsv = 0b100
	cut := ws.NewFrame(ws.OpText, true, whole[:len(whole)/2])
	cut.Header.Rsv = 0b100
	for _, c := range []struct {
		name string
		in   []byte
		want []string
		end  string
	}{
		{"message", deflated("4"+long, true), []string{"t:" + long}, ""},
		{"not compressed", text("4a"), []string{"t:a"}, ""},
		{"in turn", cat(deflated("4a", true), text("4b"), deflated("4c", true)), []string{"t:a", "t:b", "t:c"}, ""},
		{"fragments", cat(masked(head), part(ws.OpContinuation, true, string(whole[10:]))), []string{"t:" + long}, ""},
		{"flag on a fragment", cat(masked(head), masked(flagged)), nil, "1002"},
		{"broken", masked(broken), nil, "1007"},
		{"cut short", masked(cut), nil, "1007"},
		{"bomb", deflated("4"+strings.Repeat("a", 5<<20), true), nil, "1009"},
		{"not UTF-8", deflated("4\xff", true), nil, "1007"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newReader(100_000, true)
			if err := r.feed(c.in, 1000); code(err) != c.end || !slices.Equal(r.got, c.want) {
				t.Fatalf("got %.60q, %v; want %.60q, %s", r.got, err, c.want, c.end)
			}
		})
	}
}

// FuzzFrameReader wants the same of bytes however they are cut when they arrive, no panic, and no more memory than
// they and the limit warrant.
func FuzzFrameReader(f *testing.F) {
	f.Add(text("4hello"), uint16(3), false)
	f.Add(cat(part(ws.OpText, false, "4he"), part(ws.OpPing, true, "p"), part(ws.OpContinuation, true, "llo")), uint16(1), false)
	compressed := ws.NewFrame(ws.OpText, true, deflateMessage([]byte("4hello hello hello"), 0))
	compressed.Header.Rsv = 0b100
	f.Add(masked(compressed), uint16(5), true)
	f.Add(part(ws.OpClose, true, "\x03\xe8"), uint16(2), true)
	f.Fuzz(func(t *testing.T, in []byte, step uint16, deflate bool) {
		const limit = 2000
		whole, parts := newReader(limit, deflate), newReader(limit, deflate)
		errWhole := whole.feed(slices.Clone(in), len(in)+1)
		errParts := parts.feed(slices.Clone(in), int(step)+1)
		if code(errWhole) != code(errParts) || !slices.Equal(whole.got, parts.got) {
			t.Fatalf("at once: %q, %v\nin parts of %d: %q, %v", whole.got, errWhole, step+1, parts.got, errParts)
		}
		for _, m := range whole.got {
			if len(m) > limit+2 {
				t.Fatalf("a message of %d bytes", len(m))
			}
		}
		if n := cap(whole.conn.message); n > 2*limit+64 {
			t.Fatalf("%d bytes held for a message", n)
		}
	})
}

// FuzzReadHeader holds readHeader to the library's reader.
func FuzzReadHeader(f *testing.F) {
	for _, seed := range []string{"", "\x81", "\x81\x80mask", "\x82\xfe\x01\x00mas", "\x82\xfe\x01\x00mask", "\x02\x7f\x00\x00\x00\x00\x00\x01\x00\x00", "\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00mask", "\xf9\x05hello"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, size := readHeader(b)
		r := bytes.NewReader(b)
		want, err := ws.ReadHeader(r)
		switch {
		case errors.Is(err, ws.ErrHeaderLengthMSB):
			if len(b) >= 14 && (size == 0 || got.Length >= 0) {
				t.Errorf("%x: %+v, %d bytes; the length is out of range", b, got, size)
			}
		case err != nil:
			if size != 0 {
				t.Errorf("%x: %d bytes of a header that is not complete: %v", b, size, err)
			}
		case got != want || size != len(b)-r.Len():
			t.Errorf("%x: %+v of %d bytes, want %+v of %d", b, got, size, want, len(b)-r.Len())
		}
	})
}
