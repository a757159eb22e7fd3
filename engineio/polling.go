package engineio

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
)

// noopPause spaces the empty answers that a client gets which polls on although it was told that its
// upgrade is under way.
const noopPause = 100 * time.Millisecond

// lastPollWait is how long the end of a session is put off when its client says goodbye and no poll of it
// waits: one that was sent just before may be overtaken by the goodbye, and is owed an answer.
const lastPollWait = 50 * time.Millisecond

// pollWait is a GET that waits for packets.
type pollWait struct{ ch chan struct{} }

// wake has the GET look at the queue again; nothing happens where none waits.
func (p *pollWait) wake() {
	if p == nil {
		return
	}
	select {
	case p.ch <- struct{}{}:
	default:
	}
}

// servePoll answers a GET: with what is queued, as soon as there is anything.
func (s *Session) servePoll(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if s.poll != nil {
		s.mu.Unlock()
		s.finish(ReasonTransportError, errOverlap, 0)
		s.srv.refuse(w, r, CodeBadRequest, "overlapping polls")
		return
	}
	p := &pollWait{ch: make(chan struct{}, 1)}
	s.poll = p
	if s.pollCame != nil {
		close(s.pollCame)
		s.pollCame = nil
	}
	payload, compress, end, ok := s.pollAnswer(false)
	for !ok {
		var pause <-chan time.Time
		if s.upgrading {
			timer := time.NewTimer(noopPause)
			defer timer.Stop()
			pause = timer.C
		}
		s.mu.Unlock()
		paused := false
		select {
		case <-p.ch:
		case <-pause:
			paused = true
		case <-r.Context().Done():
			s.finish(ReasonTransportError, errPollGone, 0)
			return
		}
		s.mu.Lock()
		payload, compress, end, ok = s.pollAnswer(paused)
	}
	s.poll = nil
	s.mu.Unlock()

	s.srv.stats.bytesOut.Add(uint64(len(payload)))
	err := s.srv.writePayload(w, r, payload, compress)
	switch {
	case err != nil:
		s.finish(ReasonTransportError, err, 0)
	case end != "":
		s.finish(end, nil, 0)
	}
}

// pollAnswer takes what a poll is to be answered with; ok is false when it has to wait. A reason in end says
// that the session is over once the answer is written. The caller holds s.mu.
func (s *Session) pollAnswer(paused bool) (payload []byte, compress bool, end Reason, ok bool) {
	switch {
	case s.state == stateClosed:
		return s.lastWord.appendPolling(nil), false, "", true
	case s.conn != nil:
		return noopFrame.appendPolling(nil), false, "", true // upgraded meanwhile
	}
	for _, q := range s.queue {
		payload = q.frame.appendPolling(payload)
		compress = compress || !q.frame.plain
		s.size -= int64(len(q.frame.wire))
	}
	clear(s.queue)
	s.queue = nil
	if s.state == stateClosing && s.reason != "" {
		return closeFrame.appendPolling(payload), compress, s.reason, true
	}
	if payload == nil && s.upgrading && (s.noops == 0 || paused) {
		s.noops = 1
		payload = noopFrame.appendPolling(nil)
	}
	return payload, compress, "", payload != nil
}

// servePost takes the packets of a POST.
func (s *Session) servePost(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	s.mu.Lock()
	if s.posting {
		s.mu.Unlock()
		s.finish(ReasonTransportError, errOverlap, 0)
		s.srv.refuse(w, r, CodeBadRequest, "overlapping data requests")
		return
	}
	s.posting, s.post = true, control
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.posting, s.post = false, nil
		s.mu.Unlock()
	}()

	if r.Header.Get("Content-Type") == "application/octet-stream" {
		s.finish(ReasonTransportError, errPacket, 0)
		s.srv.refuse(w, r, CodeBadRequest, "binary bodies belong to an older protocol")
		return
	}
	body, err := readBody(r, s.srv.opts.MaxPayload)
	if body != nil {
		defer putBuffer(body)
	}
	switch {
	case errors.Is(err, errTooLarge):
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	case err != nil:
		s.finish(ReasonTransportError, errors.Join(errPostFailed, err), 0)
		s.srv.refuse(w, r, CodeBadRequest, "data request was cut short")
		return
	}
	s.srv.stats.bytesIn.Add(uint64(len(body)))
	err = s.receive(func(handle func(packet) error) error {
		return walkPayload(body, s.srv.opts.MaxPacketsPerPayload, handle)
	})
	if err != nil {
		if errors.Is(err, errClientClosed) {
			s.awaitLastPoll(r)
		}
		s.fail(err)
		if !errors.Is(err, errClientClosed) {
			s.srv.refuse(w, r, CodeBadRequest, err.Error())
			return
		}
	}
	h := w.Header()
	h.Set("Content-Type", "text/html") // not text/plain: some browsers would offer it as a download
	h.Set("Content-Length", "2")
	s.srv.headers(h, r, false)
	io.WriteString(w, "ok") //nolint:errcheck // a client that is gone is found by its next poll
}

// awaitLastPoll waits for a poll that was sent before the goodbye that overtook it.
func (s *Session) awaitLastPoll(r *http.Request) {
	s.mu.Lock()
	if s.poll != nil || s.pollCame != nil || s.conn != nil {
		s.mu.Unlock()
		return
	}
	came := make(chan struct{})
	s.pollCame = came
	s.mu.Unlock()
	timer := time.NewTimer(lastPollWait)
	defer timer.Stop()
	select {
	case <-came:
	case <-timer.C:
	case <-r.Context().Done():
	}
}

// readBody reads at most limit bytes. The buffer follows what arrives, not what was announced.
func readBody(r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, errTooLarge
	}
	b := getBuffer(4 << 10)
	n := 0
	for {
		if n == len(b) {
			b = growBuffer(b, n, 2*len(b))
		}
		m, err := r.Body.Read(b[n:])
		n += m
		if int64(n) > limit {
			putBuffer(b)
			return nil, errTooLarge
		}
		if errors.Is(err, io.EOF) {
			return b[:n], nil
		}
		if err != nil {
			putBuffer(b)
			return nil, err
		}
	}
}

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

// acceptedEncoding picks gzip or deflate from an Accept-Encoding header, or nothing.
func acceptedEncoding(header string) string {
	best := ""
	for part := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		q := strings.TrimSpace(params)
		if q == "q=0" || strings.HasPrefix(q, "q=0.0") && strings.Trim(q, "q=0.") == "" {
			continue
		}
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "gzip", "*":
			return "gzip"
		case "deflate":
			best = "deflate"
		}
	}
	return best
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
