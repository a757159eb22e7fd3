package httpapi

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"
)

// gzipFrom is the size from which a file is kept compressed as well.
const gzipFrom = 1024

// content is a file in memory, ready to be answered with. It is immutable.
type content struct {
	mediaType    string
	cacheControl string
	etag         string // with its quotes
	plain        []byte
	gzipped      []byte // nil where it would not be smaller
}

func newContent(mediaType, cacheControl, etag string, data []byte) *content {
	f := &content{mediaType: mediaType, cacheControl: cacheControl, etag: etag, plain: data}
	if len(data) >= gzipFrom {
		packed := new(bytes.Buffer)
		w := gzip.NewWriter(packed)
		w.Write(data) //nolint:errcheck // a bytes.Buffer takes everything
		w.Close()
		if packed.Len() < len(data) {
			f.gzipped = packed.Bytes()
		}
	}
	return f
}

// serve answers GET and HEAD, with 304 where the client has the file already.
func (f *content) serve(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("Cache-Control", f.cacheControl)
	h.Set("ETag", f.etag)
	h.Set("Vary", "Accept-Encoding")
	h.Set("X-Content-Type-Options", "nosniff")
	if matches(c.Request.Header.Get("If-None-Match"), f.etag) {
		c.Status(http.StatusNotModified)
		c.Writer.WriteHeaderNow()
		return
	}
	body := f.plain
	if f.gzipped != nil && acceptsGzip(c.Request.Header.Get("Accept-Encoding")) {
		body = f.gzipped
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Type", f.mediaType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	c.Status(http.StatusOK)
	c.Writer.WriteHeaderNow()
	if c.Request.Method != http.MethodHead {
		c.Writer.Write(body) //nolint:errcheck // the client went, which is no concern of ours
	}
}

// matches compares as RFC 9110 section 13.1.2 asks for If-None-Match: a weak tag equals a strong one.
func matches(header, etag string) bool {
	for candidate := range strings.SplitSeq(header, ",") {
		candidate = strings.TrimSpace(candidate)
		if candidate == "*" || strings.TrimPrefix(candidate, "W/") == etag {
			return true
		}
	}
	return false
}

func acceptsGzip(header string) bool {
	for coding := range strings.SplitSeq(header, ",") {
		name, parameters, _ := strings.Cut(coding, ";")
		if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
			continue
		}
		q, ok := strings.CutPrefix(strings.ReplaceAll(parameters, " ", ""), "q=")
		if !ok {
			return true
		}
		weight, err := strconv.ParseFloat(q, 64)
		return err == nil && weight > 0
	}
	return false
}
