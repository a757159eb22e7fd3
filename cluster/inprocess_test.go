package cluster

import (
	"errors"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder keeps what it is given.
type recorder struct {
	messages chan *Message
	left     chan string
	block    chan struct{} // if not nil, Receive waits for it
}

func newRecorder() *recorder {
	return &recorder{messages: make(chan *Message, queueMessages+10), left: make(chan string, 1000)}
}

func (r *recorder) Receive(m *Message) {
	if r.block != nil {
		<-r.block
	}
	r.messages <- m
}

func (r *recorder) Left(id string) { r.left <- id }

func get[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(20 * time.Second):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

func join(t *testing.T, b Bus, namespace string, h Handler) Member {
	t.Helper()
	m, err := b.Join(namespace, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Leave)
	return m
}

func TestInProcess(t *testing.T) {
	b := NewInProcess()
	ra, rb, rc, other := newRecorder(), newRecorder(), newRecorder(), newRecorder()
	ma, mb, mc := join(t, b, "/", ra), join(t, b, "/", rb), join(t, b, "/", rc)
	join(t, b, "/other", other)
	if len(ma.Others()) != 2 || ma.ID() == mb.ID() {
		t.Errorf("%v", ma.Others())
	}
	for i := range 100 {
		if err := ma.Publish(&Message{Kind: KindBroadcast, Count: i}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		for _, r := range []*recorder{rb, rc} {
			if m := get(t, r.messages); m.Count != i || m.Node != ma.ID() {
				t.Fatalf("%+v at %d", m, i)
			}
		}
	}
	if err := mb.Send(ma.ID(), &Message{Kind: KindBroadcastAck, RequestID: "1"}); err != nil {
		t.Fatal(err)
	}
	if m := get(t, ra.messages); m.RequestID != "1" || m.Node != mb.ID() {
		t.Errorf("%+v", m)
	}
	mb.Leave()
	mb.Leave()
	for _, r := range []*recorder{ra, rc} {
		if id := get(t, r.left); id != mb.ID() {
			t.Errorf("%s left", id)
		}
	}
	if err := mb.Publish(&Message{}); !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
	if err := mc.Send(mb.ID(), &Message{}); !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
	if len(other.messages)+len(ra.messages)+len(rc.messages) != 0 {
		t.Error("messages went astray")
	}
}

func TestInProcessQueueIsBounded(t *testing.T) {
	b := NewInProcess()
	slow := newRecorder()
	slow.block = make(chan struct{})
	join(t, b, "/", slow)
	m := join(t, b, "/", newRecorder())
	var failed error
	sent := 0
	for range queueMessages + 2 {
		if failed = m.Publish(&Message{}); failed != nil {
			break
		}
		sent++
	}
	if !errors.Is(failed, ErrQueueFull) {
		t.Errorf("%v after %d", failed, sent)
	}
	close(slow.block)
	for range sent {
		get(t, slow.messages)
	}
	if sent != queueMessages {
		t.Errorf("%d messages were taken", sent)
	}
	for m.Publish(&Message{}) != nil {
		time.Sleep(time.Millisecond) // the last one is just being taken off
	}
	get(t, slow.messages)
	huge := &Message{Data: make([]byte, queueBytes)} // one is taken, whatever its size
	for m.Publish(huge) != nil {
		time.Sleep(time.Millisecond)
	}
}

func TestInProcessJoinAndLeave(t *testing.T) {
	b := NewInProcess()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				m, err := b.Join("/", newRecorder())
				if err != nil {
					t.Error(err)
					return
				}
				if err := m.Publish(&Message{}); err != nil {
					t.Error(err)
				}
				m.Leave()
			}
		})
	}
	wg.Wait()
	if len(b.members) != 0 {
		t.Errorf("%d members are left", len(b.members))
	}
}
