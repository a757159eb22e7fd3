package engineio

import (
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

func BenchmarkFrame(b *testing.B) {
	payload := strings.Repeat("x", 100)
	attachment := make([]byte, 100)
	b.Run("text", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			f, buf := BeginFrame(len(payload))
			f.End(append(buf, payload...))
		}
	})
	b.Run("attachment", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			f, buf := BeginFrame(len(payload))
			f.End(append(buf, payload...), attachment)
		}
	})
}

func BenchmarkWalkPayload(b *testing.B) {
	payload := []byte(join(numbered(0, 1000)))
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		if err := walkPayload(payload, 1000, func(packet) error { n++; return nil }); err != nil || n != 1000 {
			b.Fatal(n, err)
		}
	}
}

type discard struct{}

func (discard) Message([]byte, bool) error { return nil }
func (discard) Close(Reason, error)        {}

// BenchmarkReadFrames takes small frames apart, as many as one read brings.
func BenchmarkReadFrames(b *testing.B) {
	frame := text("42" + `["event",{"n":12345}]`)
	n := readBufferSize / len(frame)
	one := strings.Repeat(string(frame), n)
	r := newReader(1_000_000, false)
	r.conn.s.recv = discard{}
	in := &r.conn.in
	b.SetBytes(int64(len(one)))
	b.ReportAllocs()
	for b.Loop() {
		if in.buf == nil {
			in.buf = getBuffer(readBufferSize)
		}
		in.have = copy(in.buf, one)
		if _, err := r.conn.handOver(); err != nil {
			b.Fatal(err)
		}
		in.release()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/frame")
}

// BenchmarkSend sends to one client over a loopback socket, which reads as fast as it can.
func BenchmarkSend(b *testing.B) {
	r := newRig(b, setup{options: func(o *Options) { o.SendBuffer = 1 << 30 }})
	c, p := r.ws()
	go io.Copy(io.Discard, c.r) //nolint:errcheck // ends with the connection
	f := NewTextFrame(strings.Repeat("x", 100))
	b.SetBytes(int64(f.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Send(f); err != nil {
			b.Fatal(err)
		}
	}
	eventually(b, "the last to leave", func() bool { return p.queuedBytes() == 0 })
}

// BenchmarkRoundTrip sends a message and waits for its echo.
func BenchmarkRoundTrip(b *testing.B) {
	c, _ := newRig(b, setup{}).ws()
	m := ws.MustCompileFrame(ws.MaskFrame(textFrame("4hello")))
	b.ReportAllocs()
	for b.Loop() {
		c.raw(m)
		if _, _, err := c.read(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBatch broadcasts to 500 clients. An operation is one broadcast, queued and written.
func BenchmarkBatch(b *testing.B) {
	const clients = 500
	r := newRig(b, setup{options: func(o *Options) { o.SendBuffer = 1 << 30 }})
	all := make([]*peer, clients)
	for i := range all {
		c, p := r.ws()
		go io.Copy(io.Discard, c.r) //nolint:errcheck // ends with the connection
		all[i] = p
	}
	var batch Batch
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		f := NewTextFrame(strconv.Itoa(n) + strings.Repeat(" ", 100))
		for _, p := range all {
			if err := batch.Send(p.Session, f); err != nil {
				b.Fatal(err)
			}
		}
		batch.Flush()
		n++
	}
	for _, p := range all {
		eventually(b, "the last to leave", func() bool { return p.queuedBytes() == 0 })
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*clients), "ns/delivery")
}
