package engineio

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
)

// writePayload answers a poll, compressed where that was agreed and is worth it.
func (srv *Server) writePayload(w http.ResponseWriter, r *http.Request, payload []byte, compress bool) error {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=UTF-8")
	srv.headers(h, r, false)
	if c := srv.opts.HTTPCompression; c != nil && compress && len(payload) >= c.Threshold {
		if encoding := acceptedEncoding(r.Header.Get("Accept-Encoding")); encoding != "" {
			h.Set("Content-Encoding", encoding)
			return compressTo(w, payload, encoding, c.Level)
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(payload)))
	_, err := w.Write(payload)
	return err
}

// acceptedEncoding picks gzip or deflate from an Accept-Encoding header, or nothing (RFC 9110, section 12.5.3).
func acceptedEncoding(header string) string {
	gzip, deflate, other := -1.0, -1.0, 0.0
	for part := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(part, ";")
		q := 1.0
		if v, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(params)), "q="); ok {
			if weight, err := strconv.ParseFloat(v, 64); err == nil {
				q = weight
			}
		}
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "gzip":
			gzip = q
		case "deflate":
			deflate = q
		case "*":
			other = q
		}
	}
	if gzip < 0 {
		gzip = other
	}
	if deflate < 0 {
		deflate = other
	}
	switch {
	case gzip > 0 && gzip >= deflate:
		return "gzip"
	case deflate > 0:
		return "deflate"
	}
	return ""
}

// resetWriter is what the two compressors have in common.
type resetWriter interface {
	io.WriteCloser
	Reset(w io.Writer)
}

var gzipWriters, flateWriters [10]sync.Pool // by level

func compressTo(w io.Writer, payload []byte, encoding string, level int) error {
	pools, fresh := &gzipWriters, func(level int) (resetWriter, error) { return gzip.NewWriterLevel(w, level) }
	if encoding == "deflate" {
		pools, fresh = &flateWriters, func(level int) (resetWriter, error) { return zlib.NewWriterLevel(w, level) }
	}
	z, ok := pools[level].Get().(resetWriter)
	if ok {
		z.Reset(w)
	} else {
		setting := level
		if level == 0 {
			setting = flate.DefaultCompression
		}
		var err error
		if z, err = fresh(setting); err != nil {
			return err
		}
	}
	defer pools[level].Put(z)
	if _, err := z.Write(payload); err != nil {
		return err
	}
	return z.Close()
}
