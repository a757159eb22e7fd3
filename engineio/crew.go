package engineio

import "sync"

// Work is something to be done that may take its time.
type Work interface{ Run() }

// Batcher is a Receiver that puts off what may take its time, such as the handlers of events, until the messages
// that arrived together have been handed over. It is cheaper than a goroutine of its own for that.
type Batcher interface {
	// EndBatch is called behind the Message calls of a batch, as one of them. What it returns, if anything, is run
	// once the session is being read again, by a goroutine that holds nothing up. What a later batch returned may
	// run at the same time.
	EndBatch() Work
}

// crew are the goroutines that handle what has arrived. A connection that waits has a goroutine too, but one that
// only waits and reads: its stack stays as small as it began. The crew's stacks have grown to what handling needs,
// and are used again and again.
type crew struct {
	mu    sync.Mutex
	idle  []*hand
	most  int // that may be idle
	ended bool
}

// hand is one of the crew while it is idle.
type hand struct {
	turn chan struct{} // capacity 1
	work Work          // to go on with; nil to end
}

// engage has work done by the crew. The caller is a goroutine that Shutdown waits for, or holds a session open.
func (srv *Server) engage(work Work) {
	cr := &srv.crew
	cr.mu.Lock()
	n := len(cr.idle)
	if n == 0 {
		cr.mu.Unlock()
		srv.tasks.Add(1)
		go srv.lend(work)
		return
	}
	h := cr.idle[n-1]
	cr.idle[n-1] = nil
	cr.idle = cr.idle[:n-1]
	cr.mu.Unlock()
	h.work = work
	h.turn <- struct{}{}
}

// lend is the life of a hand.
func (srv *Server) lend(work Work) {
	defer srv.tasks.Done()
	cr := &srv.crew
	h := &hand{turn: make(chan struct{}, 1)}
	for work != nil {
		work.Run()
		h.work = nil
		cr.mu.Lock()
		if cr.ended || len(cr.idle) >= cr.most {
			cr.mu.Unlock()
			return
		}
		cr.idle = append(cr.idle, h)
		cr.mu.Unlock()
		<-h.turn
		work = h.work
	}
}

// disband ends the crew once it is idle.
func (cr *crew) disband() {
	cr.mu.Lock()
	defer cr.mu.Unlock()
	cr.ended = true
	for _, h := range cr.idle {
		h.turn <- struct{}{}
	}
	cr.idle = nil
}

// endBatch asks the receiver for what it has put off. The caller holds s.in.
func (s *Session) endBatch() (work Work) {
	if b, ok := s.recv.(Batcher); ok {
		defer s.survive("EndBatch", nil)
		return b.EndBatch()
	}
	return nil
}

// work runs what a receiver has put off.
func (s *Session) work(w Work) {
	defer s.survive("Run", nil)
	w.Run()
}

// putOff is a receiver's work for the crew.
type putOff struct {
	s    *Session
	work Work
}

// Run implements Work.
func (p putOff) Run() { p.s.work(p.work) }
