package engineio

import (
	"bytes"
	"io"
	"strings"
	"sync"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
	"github.com/klauspost/compress/flate"
)

// deflateTail ends a message that was flushed: the sender leaves it away (RFC 7692, section 7.2.1). The
// empty final block behind it makes a complete stream of it for the reader.
const deflateTail = "\x00\x00\xff\xff"

// deflateAnswer accepts an offer. Without context takeover every message stands alone, so that a broadcast is
// compressed once for all who get it, and a connection holds no window.
const deflateAnswer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// offersDeflate says whether the client offers a compression that this server can answer with deflateAnswer.
func offersDeflate(header []string) bool {
	options, ok := httphead.ParseOptions([]byte(strings.Join(header, ",")), nil)
	if !ok {
		return false
	}
	for _, o := range options {
		if !bytes.Equal(o.Name, wsflate.ExtensionNameBytes) {
			continue
		}
		var p wsflate.Parameters
		// A client that limits this server's window can't be served: the library always uses the whole one.
		if p.Parse(o) == nil && (!p.ServerMaxWindowBits.Defined() || p.ServerMaxWindowBits == 15) {
			return true
		}
	}
	return false
}

var deflaters [10]sync.Pool // by level

// deflate returns the frame with its larger messages compressed, for websockets alone; or the frame itself, where it has
// none. It is made on first use and shared.
func (f *Frame) deflate(o *CompressionOptions) *Frame {
	if d := f.deflated.Load(); d != nil {
		return d
	}
	d := f.compress(o)
	f.deflated.Store(d)
	return d
}

func (f *Frame) compress(o *CompressionOptions) *Frame {
	var out []byte
	changed := false
	add := func(op ws.OpCode, payload []byte) {
		rsv := byte(0)
		if len(payload) >= o.Threshold {
			payload = deflateMessage(payload, o.Level)
			rsv, changed = 0x40, true
		}
		var header [frameRoom]byte
		at := putHeader(header[:frameRoom-1], op, len(payload))
		header[at] |= rsv
		out = append(append(out, header[at:frameRoom-1]...), payload...)
	}
	if f.textEnd != 0 {
		add(ws.OpText, f.wire[f.textOff:f.textEnd])
	}
	for _, a := range f.Attachments() {
		add(ws.OpBinary, a)
	}
	if !changed {
		return f
	}
	return &Frame{wire: out}
}

func deflateMessage(payload []byte, level int) []byte {
	var out bytes.Buffer
	w, ok := deflaters[level].Get().(*flate.Writer)
	if ok {
		w.Reset(&out)
	} else {
		setting := level
		if level == 0 {
			setting = flate.DefaultCompression
		}
		w, _ = flate.NewWriter(&out, setting) //nolint:errcheck // the level was validated
	}
	w.Write(payload) //nolint:errcheck // a bytes.Buffer takes everything
	w.Flush()        //nolint:errcheck // likewise
	deflaters[level].Put(w)
	return bytes.TrimSuffix(out.Bytes(), []byte(deflateTail))
}

// inflaters keep decompressors, which have a window of 32 KiB each.
var inflaters = sync.Pool{New: func() any { return flate.NewReader(nil) }}

// inflate decompresses one message of at most limit bytes.
func inflate(message []byte, limit int64) ([]byte, error) {
	r := inflaters.Get().(io.ReadCloser) //nolint:errcheck // the pool holds nothing else
	defer inflaters.Put(r)
	source := io.MultiReader(bytes.NewReader(message), strings.NewReader(deflateTail+"\x01\x00\x00\xff\xff"))
	if err := r.(flate.Resetter).Reset(source, nil); err != nil { //nolint:errcheck // the library says that every reader is one
		return nil, errBadDeflate
	}
	out, err := io.ReadAll(io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return nil, errBadDeflate
	case int64(len(out)) > limit:
		return nil, errTooBig
	}
	return out, nil
}
