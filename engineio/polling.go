package engineio

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// noopPause spaces the empty answers that a client gets which polls on although it was told that its
// upgrade is under way.
const noopPause = 100 * time.Millisecond

// upgradePause is how long a GET that came behind the websocket which asks to take over waits before it is taken for
// one that must be cut short: what ends the upgrade may have been sent before it, on the other connection.
const upgradePause = 20 * time.Millisecond

// lastPollWait is how long the end of a session is put off when its client says goodbye and no poll of it
// waits: one that was sent just before may be overtaken by the goodbye, and is owed an answer.
const lastPollWait = 50 * time.Millisecond

// pollWait is a GET that waits for packets, or whose answer is being written. Its fields but ch and done belong
// to Session.mu.
type pollWait struct {
	ch        chan struct{}
	done      chan struct{} // closed when the answer is through
	control   *http.ResponseController
	answering bool
	followed  bool      // another GET waits for done
	late      time.Time // until then it may have been sent after what ends an upgrade, and is refused if that comes
	taken     int64     // cost of the frames in the answer: they count until it is through
}

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

// waits says whether a packet that is queued now leaves with this GET.
func (p *pollWait) waits() bool { return p != nil && !p.answering }

// end wakes the GET because the session is over, and bounds an answer that the client does not take.
func (p *pollWait) end() {
	p.wake()
	if p != nil && p.answering {
		p.control.SetWriteDeadline(time.Now().Add(lingerTimeout)) //nolint:errcheck // best effort: some servers have no deadlines
	}
}

// servePoll answers a GET: with what is queued, as soon as there is anything.
func (s *Session) servePoll(w http.ResponseWriter, r *http.Request) {
	p, err := s.beginPoll(w, r)
	if err != nil {
		s.finish(ReasonTransportError, err, 0)
		s.srv.refuse(w, r, CodeBadRequest, err.Error())
		return
	}
	answer, err := s.awaitAnswer(r, p)
	if errors.Is(err, errUpgraded) {
		s.endPoll(p)
		s.srv.refuse(w, r, CodeBadRequest, err.Error())
		return
	}
	if err != nil {
		if s.endPoll(p) {
			s.finish(ReasonTransportError, err, 0)
		}
		return
	}
	err = errPanic // unless it turns out otherwise: a hook is called
	defer func() {
		polling := s.endPoll(p)
		switch {
		case err != nil && (polling || !answer.empty):
			s.finish(ReasonTransportError, err, 0) // what the answer held is lost
		case answer.end != "":
			s.finish(answer.end, nil, 0)
		}
	}()
	s.srv.stats.bytesOut.Add(uint64(len(answer.payload)))
	err = s.srv.writePayload(w, r, answer.payload, answer.compress)
}

// beginPoll makes a GET the one that waits. A client that has the whole answer to its last GET may be back before
// the writing of it has ended here, so that one is waited for; what else comes while a GET is open is an error.
func (s *Session) beginPoll(w http.ResponseWriter, r *http.Request) (*pollWait, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := s.poll; last != nil && last.answering && !last.followed {
		last.followed = true
		s.mu.Unlock()
		select {
		case <-last.done:
		case <-r.Context().Done():
		}
		s.mu.Lock()
	}
	if s.poll != nil {
		return nil, errOverlap
	}
	s.poll = &pollWait{ch: make(chan struct{}, 1), done: make(chan struct{}), control: http.NewResponseController(w)}
	if s.probe != nil || s.offers > 0 {
		s.poll.late = time.Now().Add(upgradePause)
	}
	if s.pollCame != nil {
		close(s.pollCame)
		s.pollCame = nil
	}
	return s.poll, nil
}

// endPoll makes room for the next GET. It reports whether the session is still on polling.
func (s *Session) endPoll(p *pollWait) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.size -= p.taken
	s.poll = nil
	close(p.done)
	return s.conn == nil
}

// pollAnswer is what a GET is answered with.
type pollAnswer struct {
	payload  []byte
	compress bool
	empty    bool   // it has none of the session's packets
	end      Reason // not empty if the session is over once this is written
}

// awaitAnswer waits until there is an answer.
func (s *Session) awaitAnswer(r *http.Request, p *pollWait) (pollAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for paused := false; ; {
		if s.conn != nil && s.state != stateClosed && time.Now().Before(p.late) {
			return pollAnswer{}, errUpgraded
		}
		if answer, ok := s.answerPoll(p, paused); ok {
			p.answering = true
			return answer, nil
		}
		var tick <-chan time.Time
		switch paused = false; {
		case s.upgrading && s.noops == 0:
			tick = time.After(upgradePause)
		case s.upgrading:
			tick = time.After(noopPause)
		}
		s.mu.Unlock()
		var err error
		select {
		case <-p.ch:
		case <-tick:
			paused = true
		case <-r.Context().Done():
			err = errPollGone
		}
		s.mu.Lock()
		if err != nil {
			return pollAnswer{}, err
		}
	}
}

// answerPoll takes what a GET is to be answered with; ok is false when it has to wait. The caller holds s.mu.
func (s *Session) answerPoll(p *pollWait, paused bool) (a pollAnswer, ok bool) {
	switch {
	case s.state == stateClosed:
		return pollAnswer{payload: s.lastWord.appendPolling(nil), empty: true}, true
	case s.conn != nil: // upgraded meanwhile
		return pollAnswer{payload: noopFrame.appendPolling(nil), empty: true}, true
	}
	for _, q := range s.queue {
		a.payload = q.frame.appendPolling(a.payload)
		a.compress = a.compress || !q.frame.plain
		p.taken += q.frame.cost()
	}
	clear(s.queue)
	s.queue = nil
	switch {
	case s.state == stateClosing && s.reason != "" && a.payload == nil:
		// Not together with what came before: a stock client acts on the close at once, and hands the packets
		// of the same payload over only after that.
		a.payload, a.end = closeFrame.appendPolling(nil), s.reason
	case a.payload == nil && s.upgrading && (s.noops == 0 && p.late.IsZero() || paused):
		s.noops = 1
		a.payload, a.empty = noopFrame.appendPolling(nil), true
	}
	return a, a.payload != nil
}

// servePost takes the packets of a POST.
func (s *Session) servePost(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if s.posting {
		s.mu.Unlock()
		s.finish(ReasonTransportError, errOverlap, 0)
		s.srv.refuse(w, r, CodeBadRequest, errOverlap.Error())
		return
	}
	s.posting = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.posting = false
		s.mu.Unlock()
	}()

	if r.Header.Get("Content-Type") == "application/octet-stream" {
		s.finish(ReasonTransportError, errPacket, 0)
		s.srv.refuse(w, r, CodeBadRequest, "binary bodies belong to an older protocol")
		return
	}
	body, err := s.postBody(w, r)
	if body != nil {
		defer putBuffer(body)
	}
	switch {
	case errors.Is(err, errTooLarge):
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	case errors.Is(err, ErrClosed):
		s.srv.refuse(w, r, CodeUnknownSession, "session was just closed")
		return
	case err != nil:
		s.finish(ReasonTransportError, errors.Join(errPostFailed, err), 0)
		w.Header().Set("Connection", "close")
		s.srv.refuse(w, r, CodeBadRequest, errPostFailed.Error())
		return
	}
	s.srv.stats.bytesIn.Add(uint64(len(body)))
	err = s.turn(func() error {
		return walkPayload(body, s.srv.opts.MaxPacketsPerPayload, s.handle)
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

// postBody reads the body of a POST. A client that stalls has as long as one that answers no ping; the end of the
// session cuts the reading short.
func (s *Session) postBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	control := http.NewResponseController(w)
	s.mu.Lock()
	if s.state == stateClosed {
		s.mu.Unlock()
		return nil, ErrClosed
	}
	s.post = control
	control.SetReadDeadline(time.Now().Add(s.srv.opts.PingInterval + s.srv.opts.PingTimeout)) //nolint:errcheck // some servers have no deadlines
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.post = nil
		s.mu.Unlock() // net/http takes the deadline away once the body has been read, and for each request
	}()
	return readBody(r, s.srv.opts.MaxPayload)
}

// awaitLastPoll waits for a poll that was sent before the goodbye that overtook it.
func (s *Session) awaitLastPoll(r *http.Request) {
	s.mu.Lock()
	if s.poll.waits() || s.pollCame != nil || s.conn != nil {
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
			b = resizeBuffer(b, n, 2*len(b))
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
