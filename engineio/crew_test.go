package engineio

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// batcher is a receiver that answers a batch as a whole, by work that it puts off.
type batcher struct {
	*peer
	mu    sync.Mutex
	batch []string
	began chan struct{} // work on "block" has begun
	block chan struct{} // it waits for this
}

func (b *batcher) Message(data []byte, _ bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.batch = append(b.batch, string(data))
	return nil
}

func (b *batcher) EndBatch() Work {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := strings.Join(b.batch, " ")
	b.batch = nil
	switch all {
	case "":
		return nil
	case "panic":
		panic("EndBatch")
	}
	return workFunc(func() {
		switch all {
		case "block":
			close(b.began)
			<-b.block
		case "panic later":
			b.Send(NewTextFrame("sorry")) //nolint:errcheck // what is missing fails the test
			panic("Run")
		}
		b.Send(NewTextFrame(all)) //nolint:errcheck // what is missing fails the test
	})
}

type workFunc func()

func (f workFunc) Run() { f() }

func newBatchRig(t *testing.T) (*rig, chan *batcher) {
	t.Helper()
	made := make(chan *batcher, 100)
	r := &rig{t: t, opened: make(chan *peer, 100)}
	srv, err := NewServer(DefaultOptions(), opener(func(s *Session) Receiver {
		b := &batcher{peer: &peer{Session: s, rig: r, ended: make(chan ending, 1)}, began: make(chan struct{}), block: make(chan struct{})}
		r.opened <- b.peer
		made <- b
		return b
	}))
	if err != nil {
		t.Fatal(err)
	}
	r.srv = srv
	r.serveSockets(false)
	return r, made
}

// TestBatchesOfMessages wants one call of EndBatch for what arrived together, and the session read on while its work
// goes on.
func TestBatchesOfMessages(t *testing.T) {
	r, made := newBatchRig(t)
	t.Run("websocket", func(t *testing.T) {
		c, _ := r.ws()
		b := <-made
		c.raw(cat(text("4a"), text("4b"), text("4c")))
		c.want("4a b c")
		c.send("4block")
		wait(t, "work", b.began)
		for i := range 20 {
			c.send(fmt.Sprintf("4%d", i))
			c.want(fmt.Sprintf("4%d", i))
		}
		close(b.block)
		c.want("4block")
		c.send("4panic later")
		c.want("4sorry")
		c.send("4panic")
		c.frame(textFrame("1"))
		b.wantEnding(ReasonTransportClose)
	})
	t.Run("polling", func(t *testing.T) {
		c, p := r.poll()
		b := <-made
		c.post("4a", "4b", "4c")
		if got := c.get(); got != "4a b c" {
			t.Errorf("got %q", got)
		}
		c.post("4block") // the POST is answered while its work goes on
		c.post("4panic")
		c.post("4panic later")
		if got := c.get(); got != "4sorry" {
			t.Errorf("got %q", got)
		}
		close(b.block)
		if got := c.get(); got != "4block" {
			t.Errorf("got %q", got)
		}
		if p.endings.Load() != 0 {
			t.Error("the session has ended")
		}
	})
}

// TestCrewIsBounded has many at work at once, and wants few of them kept.
func TestCrewIsBounded(t *testing.T) {
	r := newRig(t, setup{})
	n := 4 * r.srv.crew.most
	var started, done sync.WaitGroup
	release := make(chan struct{})
	started.Add(n)
	done.Add(n)
	_, p := r.ws() // holds the server open
	for range n {
		r.srv.engage(workFunc(func() {
			started.Done()
			<-release
			done.Done()
		}))
	}
	started.Wait()
	close(release)
	done.Wait()
	idle := func() int {
		r.srv.crew.mu.Lock()
		defer r.srv.crew.mu.Unlock()
		return len(r.srv.crew.idle)
	}
	eventually(t, "some of the crew to be idle", func() bool { return idle() > 0 })
	if got := idle(); got > r.srv.crew.most {
		t.Errorf("%d are kept, at most %d may be", got, r.srv.crew.most)
	}
	p.CloseWith(ReasonForcedClose)
}
