package engineio

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// wireFrames reads back what a Frame puts on a websocket.
func wireFrames(t *testing.T, wire []byte) []ws.Frame {
	t.Helper()
	var out []ws.Frame
	for r := bytes.NewReader(wire); r.Len() > 0; {
		h, err := ws.ReadHeader(r)
		if err != nil {
			t.Fatal(err)
		}
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(r, payload); err != nil {
			t.Fatal(err)
		}
		out = append(out, ws.Frame{Header: h, Payload: payload})
	}
	return out
}

// messageOf is the frame of a text message and its attachments. Its buffer has to grow.
func messageOf(text string, attachments ...[]byte) *Frame {
	f, buf := BeginFrame(len(text) / 2)
	return f.End(append(buf, text...), attachments...)
}

func TestFrameRoundTrip(t *testing.T) {
	// The sizes are about those at which a header grows: 125 and 65,535 bytes, the type digit included.
	// Attachments are on either side of the size from which on they are not copied.
	for _, size := range []int{0, 1, 68, 69, 70, 71, 123, 124, 125, 126, 133, 134, 135, 197, 198, 65_533, 65_534, 65_535, 65_536, 200_000} {
		for _, attachments := range [][]int{
			nil,
			{0},
			{1, 125},
			{126, 65_535, 65_536},
			{SharedAttachment - 1},
			{SharedAttachment},
			{5, SharedAttachment, 0, SharedAttachment, 7, 8},
			{SharedAttachment, 9},
		} {
			t.Run(fmt.Sprint(size, attachments), func(t *testing.T) {
				text := strings.Repeat("x", size)
				var bin [][]byte
				for i, n := range attachments {
					bin = append(bin, bytes.Repeat([]byte{byte(i + 1)}, n))
				}
				f := messageOf(text, bin...)
				if string(f.Text()) != text {
					t.Errorf("Text has %d bytes, want %d", len(f.Text()), size)
				}
				if len(f.Attachments()) != len(bin) {
					t.Fatalf("%d attachments, want %d", len(f.Attachments()), len(bin))
				}
				wire := f.appendWire(nil)
				got := wireFrames(t, wire)
				if len(got) != 1+len(bin) || f.Len() != len(wire) {
					t.Fatalf("%d frames of %d bytes", len(got), f.Len())
				}
				if h := got[0].Header; h.OpCode != ws.OpText || !h.Fin || h.Masked || h.Rsv != 0 || string(got[0].Payload) != "4"+text {
					t.Errorf("text frame %+v is not the message", h)
				}
				polled := "4" + text
				for i, want := range bin {
					if h := got[i+1].Header; h.OpCode != ws.OpBinary || !h.Fin || !bytes.Equal(got[i+1].Payload, want) {
						t.Errorf("binary frame %d: %+v", i, h)
					}
					if !bytes.Equal(f.Attachments()[i], want) {
						t.Errorf("attachment %d differs", i)
					}
				}
				var back []message
				payload := f.appendPolling(nil)
				if err := walkPayload(payload, 100, func(p packet) error {
					if p.kind != packetMessage {
						t.Errorf("packet of type %c", p.kind)
					}
					back = append(back, message{string(p.data), p.binary})
					return nil
				}); err != nil {
					t.Fatal(err)
				}
				if len(back) != 1+len(bin) || "4"+back[0].data != polled || back[0].binary {
					t.Fatalf("polling gave %d messages", len(back))
				}
				for i, want := range bin {
					if !back[i+1].binary || back[i+1].data != string(want) {
						t.Errorf("attachment %d differs by polling", i)
					}
				}
			})
		}
	}
}

// TestFrameAttachments wants small attachments copied, and large ones to go out from where they lie.
func TestFrameAttachments(t *testing.T) {
	small, large := []byte("abc"), bytes.Repeat([]byte("abc"), SharedAttachment/3+1)
	f := messageOf("txt", small, large)
	g := NewBinaryFrame(small)
	copy(small, "xyz")
	if got := f.Attachments()[0]; string(got) != "abc" {
		t.Errorf("a small attachment became %q", got)
	}
	if got := g.Attachments()[0]; string(got) != "abc" {
		t.Errorf("payload of NewBinaryFrame became %q", got)
	}
	if &f.Attachments()[1][0] != &large[0] || &f.parts()[1][0] != &large[0] {
		t.Error("a large attachment was copied")
	}
}

func TestBinaryFrame(t *testing.T) {
	f := NewBinaryFrame([]byte{1, 2, 3})
	got := wireFrames(t, f.wire)
	if len(got) != 1 || got[0].Header.OpCode != ws.OpBinary || !bytes.Equal(got[0].Payload, []byte{1, 2, 3}) {
		t.Errorf("wire %v", got)
	}
	if f.Text() != nil {
		t.Errorf("Text %q", f.Text())
	}
	if got := f.appendPolling(nil); string(got) != "bAQID" {
		t.Errorf("polling %q", got)
	}
}

func TestControlFrames(t *testing.T) {
	for f, want := range map[*Frame]string{pingFrame: "2", closeFrame: "1", noopFrame: "6", pongProbe: "3probe", openFrame([]byte("0{}")): "0{}"} {
		if got := wireFrames(t, f.wire); len(got) != 1 || string(got[0].Payload) != want {
			t.Errorf("wire of %q: %v", want, got)
		}
		if got := f.appendPolling(nil); string(got) != want {
			t.Errorf("polling form %q, want %q", got, want)
		}
		if !f.plain || !f.control {
			t.Errorf("%q would be compressed", want)
		}
	}
}

func TestNoCompressLeavesTheOriginal(t *testing.T) {
	f := NewTextFrame("hello")
	g := f.NoCompress()
	if f.plain || !g.plain || string(g.Text()) != "hello" || g.NoCompress() != g {
		t.Errorf("f.plain %t, g.plain %t, %q", f.plain, g.plain, g.Text())
	}
}
