//go:build linux

package client

import (
	"bytes"
	"testing"

	"github.com/gobwas/ws"
)

func TestAppendFrameIsReadBack(t *testing.T) {
	for _, n := range []int{0, 1, 124, 125, 126, 1 << 10, 1<<16 - 2, 1<<16 - 1, 1 << 16, 300_000} {
		p := bytes.Repeat([]byte("holdfast"), n/8+1)[:n]
		b := appendFrame([]byte("before"), ws.OpText, "4", p, [4]byte{1, 2, 3, 4})
		r := bytes.NewReader(b[len("before"):])
		h, err := ws.ReadHeader(r)
		if err != nil {
			t.Fatal(err)
		}
		got := b[len(b)-r.Len():]
		ws.Cipher(got, h.Mask, 0)
		if want := append([]byte("4"), p...); !h.Fin || h.OpCode != ws.OpText || int(h.Length) != len(got) || !bytes.Equal(got, want) {
			t.Errorf("payload of %d bytes came back wrong", n)
		}
	}
}

func TestParseFrameHead(t *testing.T) {
	for _, n := range []int{0, 125, 126, 1<<16 - 1, 1 << 16, 1 << 20} {
		b := ws.MustCompileFrame(ws.NewBinaryFrame(make([]byte, n)))
		head := len(b) - n
		for cut := range head {
			if _, ok, err := parseFrame(b[:cut]); ok || err != nil {
				t.Errorf("%d of %d bytes of the head: ok %v, error %v", cut, head, ok, err)
			}
		}
		f, ok, err := parseFrame(b)
		if err != nil || !ok || f.header != head || f.length != n || f.op != ws.OpBinary || !f.fin {
			t.Errorf("length %d: %+v %v %v", n, f, ok, err)
		}
	}
	if _, _, err := parseFrame(ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte("x"))))); err == nil {
		t.Error("a masked frame from a server was accepted")
	}
}
