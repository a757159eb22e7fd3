package socketio

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/eventlog"
)

// recoverable starts a server whose namespace "/" keeps its events in a log in memory.
func recoverable(t *testing.T, change func(*Options), adjust func(*RecoveryOptions)) (*Server, *Namespace, string, eventlog.Log) {
	t.Helper()
	store := eventlog.NewMemory()
	log, err := store.Open("/", eventlog.Retention{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	s, url := start(t, change)
	n := s.Of("/")
	o := DefaultRecoveryOptions(log)
	if adjust != nil {
		adjust(&o)
	}
	if err := n.Recover(o); err != nil {
		t.Fatal(err)
	}
	return s, n, url, log
}

// comeback does what the stock client does: it notes the last string of an event as its offset, holds events back until it
// is connected, and claims its session when it connects again.
type comeback struct {
	t         *testing.T
	url       string
	c         *client
	pid, sid  string
	offset    string
	recovered bool
	events    [][]any // without the offsets
}

func (b *comeback) connect() {
	b.t.Helper()
	b.c = dial(b.t, b.url)
	claim := map[string]string{}
	if b.pid != "" {
		claim["pid"] = b.pid
		if b.offset != "" {
			claim["offset"] = b.offset
		}
	}
	body, _ := json.Marshal(claim)
	if len(claim) == 0 {
		body = nil
	}
	b.c.send("0" + string(body))
	var held []string
	for {
		m, err := b.c.next()
		if err != nil {
			b.t.Fatal(err)
		}
		if m.binary != nil {
			continue
		}
		if m.text[0] == '0' {
			var answer struct{ SID, PID string }
			if err := json.Unmarshal([]byte(m.text[1:]), &answer); err != nil {
				b.t.Fatal(err)
			}
			b.recovered = answer.PID != "" && answer.PID == b.pid
			b.pid, b.sid = answer.PID, answer.SID
			break
		}
		held = append(held, m.text)
	}
	for _, text := range held {
		b.take(text)
	}
}

func (b *comeback) take(text string) {
	b.t.Helper()
	if text == "" || text[0] != '2' {
		return
	}
	var args []any
	if err := json.Unmarshal([]byte(text[1:]), &args); err != nil {
		b.t.Fatalf("%v: %q", err, text)
	}
	if last, ok := args[len(args)-1].(string); ok && b.pid != "" && len(args) > 1 {
		b.offset = last
		args = args[:len(args)-1]
	}
	b.events = append(b.events, args)
}

// until reads until an event of that name.
func (b *comeback) until(name string) {
	b.t.Helper()
	for {
		m, err := b.c.next()
		if err != nil {
			b.t.Fatalf("waiting for %s: %v", name, err)
		}
		b.take(m.text)
		if strings.HasPrefix(m.text, `2["`+name+`"`) {
			return
		}
	}
}

func (b *comeback) drop() { b.c.reset() }

// names are the events so far, with their first argument.
func (b *comeback) names() string {
	var out []string
	for _, e := range b.events {
		if len(e) > 1 {
			out = append(out, fmt.Sprint(e[0], e[1]))
		} else {
			out = append(out, fmt.Sprint(e[0]))
		}
	}
	return strings.Join(out, " ")
}

func (b *comeback) gone(n *Namespace) {
	b.t.Helper()
	eventually(b.t, "socket gone", func() bool { return n.Socket(b.sid) == nil })
}

func mustEmit(t *testing.T, b interface{ Emit(string, ...any) error }, event string, args ...any) {
	t.Helper()
	if err := b.Emit(event, args...); err != nil {
		t.Fatal(err)
	}
}

func TestRecoveryHandsOverWhatWasMissed(t *testing.T) {
	var connects, recovered atomic.Int32
	s, n, url, _ := recoverable(t, nil, nil)
	n.OnConnect(func(s *Socket) error {
		connects.Add(1)
		if s.Recovered() {
			recovered.Add(1)
			return nil
		}
		s.SetData(map[string]int{"n": 7})
		return s.Join("room")
	})
	b := &comeback{t: t, url: url}
	b.connect()
	eventually(t, "joined", func() bool { return n.RoomSize("room") == 1 })
	mustEmit(t, n.To("room"), "e", 1)
	b.until("e")
	sid := b.sid
	b.drop()
	b.gone(n)
	mustEmit(t, n.To("room"), "e", 2)
	mustEmit(t, n.To("other"), "e", 3)
	mustEmit(t, n, "e", 4)
	mustEmit(t, n.To("room").Except(sid), "e", 5)
	mustEmit(t, n.To(sid), "e", 6)
	mustEmit(t, n.To("room").Volatile(), "e", 7)
	mustEmit(t, n.To("room"), "e", 8, []byte("binary"))
	b.connect()
	if !b.recovered || b.sid != sid {
		t.Fatalf("recovered %v as %s, was %s", b.recovered, b.sid, sid)
	}
	mustEmit(t, n.To("room"), "end")
	b.until("end")
	if got := b.names(); got != "e1 e2 e4 e6 end" { // 8 is a binary event, which take passes over
		t.Fatal(got)
	}
	if recovered.Load() != 1 || connects.Load() != 2 {
		t.Fatal(connects.Load(), recovered.Load())
	}
	if v, ok := DataAs[map[string]int](n.Socket(sid)); !ok || v["n"] != 7 {
		t.Fatal(v, ok)
	}
	_ = s
}

func TestRecoveryTakesOverALiveConnection(t *testing.T) {
	var order []string
	var mu sync.Mutex
	note := func(s string) { mu.Lock(); order = append(order, s); mu.Unlock() }
	_, n, url, _ := recoverable(t, nil, nil)
	n.OnConnect(func(s *Socket) error { note("connect"); return s.Join("room") })
	n.OnDisconnect(func(_ *Socket, reason string) { note(reason) })
	b := &comeback{t: t, url: url}
	b.connect()
	eventually(t, "joined", func() bool { return n.RoomSize("room") == 1 })
	mustEmit(t, n.To("room"), "e", 1)
	b.until("e")
	old := b.c
	mustEmit(t, n.To("room"), "e", 2) // reaches the old connection alone, which nobody reads
	b.connect()
	if !b.recovered {
		t.Fatal("not recovered")
	}
	mustEmit(t, n.To("room"), "end")
	b.until("end")
	if got := b.names(); got != "e1 e2 end" {
		t.Fatal(got)
	}
	old.wantClosed()
	if n.Len() != 1 || n.RoomSize("room") != 1 {
		t.Fatal(n.Len(), n.RoomSize("room"))
	}
	eventually(t, "handlers", func() bool { mu.Lock(); defer mu.Unlock(); return len(order) == 3 })
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(order[:3], ","); got != "connect,transport close,connect" {
		t.Fatal(got)
	}
}

func TestRecoveryWithoutAnyEventYet(t *testing.T) {
	_, n, url, _ := recoverable(t, nil, nil)
	mustEmit(t, n, "before", 0)
	b := &comeback{t: t, url: url}
	b.connect()
	b.drop()
	b.gone(n)
	mustEmit(t, n, "e", 1)
	b.connect()
	if !b.recovered {
		t.Fatal("not recovered")
	}
	mustEmit(t, n, "end")
	b.until("end")
	if got := b.names(); got != "e1 end" {
		t.Fatal(got)
	}
}

func TestRecoveryAfterOneThatFailed(t *testing.T) {
	_, n, url, _ := recoverable(t, nil, nil)
	b := &comeback{t: t, url: url}
	b.connect()
	mustEmit(t, n, "e", 1)
	b.until("e")
	b.drop()
	b.gone(n)
	mustEmit(t, n, "e", 2)
	b.pid = "forged"
	b.connect()
	if b.recovered {
		t.Fatal("a forged private id was taken")
	}
	b.drop() // with the offset of the session before
	b.gone(n)
	mustEmit(t, n, "e", 3)
	b.connect()
	if !b.recovered {
		t.Fatal("not recovered")
	}
	mustEmit(t, n, "end")
	b.until("end")
	if got := b.names(); got != "e1 e3 end" {
		t.Fatal(got)
	}
}

func TestRecoveryRefusesWhatItCannotDoExactly(t *testing.T) {
	_, n, url, log := recoverable(t, nil, func(o *RecoveryOptions) { o.MaxEvents = 50 })
	n.Use(func(s *Socket) error {
		var a struct{ User string }
		if err := s.Handshake().Auth.Bind(&a); err == nil {
			s.SetUser(a.User)
		}
		return nil
	})
	fresh := func() *comeback {
		b := &comeback{t: t, url: url}
		b.connect()
		mustEmit(t, n, "e", 1)
		b.until("e")
		b.drop()
		b.gone(n)
		mustEmit(t, n, "secret", 2)
		n.outlet.flow.drain(context.Background())
		return b
	}
	other := eventlog.Position{Epoch: log.Epoch() + 1, Seq: 1}.String()
	future := eventlog.Position{Epoch: log.Epoch(), Seq: log.Head() + 1_000_000}.String()
	for name, spoil := range map[string]func(b *comeback){
		"private id of nobody": func(b *comeback) { b.pid = strings.Repeat("x", 20) },
		"truncated private id": func(b *comeback) { b.pid = b.pid[:10] },
		"socket id instead":    func(b *comeback) { b.pid = b.sid },
		"other epoch":          func(b *comeback) { b.offset = other },
		"offset of the future": func(b *comeback) { b.offset = future },
		"truncated offset":     func(b *comeback) { b.offset = b.offset[:3] },
		"offset without end":   func(b *comeback) { b.offset = b.offset[:len(b.offset)-1] },
		"offset without check": func(b *comeback) { b.offset = b.offset[:len(b.offset)-4] },
		"altered offset":       func(b *comeback) { b.offset = b.offset[:len(b.offset)-5] + "0" + b.offset[len(b.offset)-4:] },
		"no offset at all":     func(b *comeback) { b.offset = "-" },
		"long offset":          func(b *comeback) { b.offset = strings.Repeat("9", 10_000) },
		"too much missed": func(*comeback) {
			for i := range 60 {
				mustEmit(t, n, "flood", i)
			}
			n.outlet.flow.drain(context.Background())
		},
		"trimmed": func(*comeback) {
			n.outlet.flow.drain(context.Background())
			log.SetRetention(eventlog.Retention{MaxEvents: 1})
			mustEmit(t, n, "x")
			mustEmit(t, n, "x")
			n.outlet.flow.drain(context.Background())
			eventually(t, "trimmed", func() bool { _ = log.Trim(context.Background()); return log.First() >= log.Head() })
			log.SetRetention(eventlog.Retention{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := fresh()
			b.t = t
			spoil(b)
			b.events = nil
			b.connect()
			if b.recovered {
				t.Fatal("recovered")
			}
			if len(b.events) != 0 {
				t.Fatalf("was handed %s", b.names())
			}
			b.drop()
			b.gone(n)
		})
	}
	t.Run("another user", func(t *testing.T) {
		b := fresh()
		c := dial(t, url)
		c.send(`0{"user":"eve","pid":"` + b.pid + `","offset":"` + b.offset + `"}`)
		m, err := c.next()
		if err != nil || !strings.HasPrefix(m.text, `0{"sid"`) || strings.Contains(m.text, b.pid) || strings.Contains(m.text, b.sid) {
			t.Fatal(m, err)
		}
	})
	t.Run("turned off", func(t *testing.T) {
		c := dial(t, url)
		c.send(`0{"recovery":false}`)
		m, err := c.next()
		if err != nil || strings.Contains(m.text, "pid") {
			t.Fatal(m, err)
		}
		mustEmit(t, n, "plain", 1)
		c.want(`2["plain",1]`)
	})
}

func TestRecoveryKnowsWhenAClientWasInARoom(t *testing.T) {
	_, n, url, _ := recoverable(t, nil, nil)
	n.On("join", func(e *Event) error {
		var r string
		if err := e.Bind(&r); err != nil {
			return err
		}
		if err := e.Socket.Join(r); err != nil {
			return err
		}
		return e.Ack()
	})
	n.On("leave", func(e *Event) error {
		var r string
		if err := e.Bind(&r); err != nil {
			return err
		}
		e.Socket.Leave(r)
		return e.Ack()
	})
	b := &comeback{t: t, url: url}
	b.connect()
	do := func(what string) {
		b.c.send(`20["` + what + `","r"]`)
		for {
			m, err := b.c.next()
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(m.text, "30") {
				return
			}
			b.take(m.text)
		}
	}
	mustEmit(t, n.To("r"), "before", 1)
	do("join")
	mustEmit(t, n.To("r"), "during", 2)
	b.until("during")
	offset := b.offset
	mustEmit(t, n.To("r"), "late", 3)
	do("leave")
	mustEmit(t, n.To("r"), "after", 4)
	b.events, b.offset = nil, offset // as if "late" had been lost with the connection
	b.drop()
	b.gone(n)
	b.connect()
	mustEmit(t, n, "end")
	b.until("end")
	if got := b.names(); !b.recovered || got != "late3 end" {
		t.Fatal(b.recovered, got)
	}
}

func TestRecoveryWithVolatileStrings(t *testing.T) {
	_, n, url, _ := recoverable(t, nil, nil)
	b := &comeback{t: t, url: url}
	b.connect()
	for i := range 20 {
		mustEmit(t, n, "e", i)
		mustEmit(t, n.Volatile(), "v", "text")
		b.until("v")
	}
	b.drop()
	b.gone(n)
	mustEmit(t, n, "e", 20)
	b.events = nil
	b.connect()
	mustEmit(t, n, "end")
	b.until("end")
	if got := b.names(); !b.recovered || got != "e20 end" {
		t.Fatal(b.recovered, got)
	}
}

func TestDisconnectFollowsWhatWasEmittedBefore(t *testing.T) {
	_, n, url, _ := recoverable(t, nil, nil)
	n.On("bye", func(e *Event) error {
		if err := e.Socket.Emit("last", 1); err != nil {
			return err
		}
		e.Socket.Disconnect(true)
		return nil
	})
	for range 50 {
		b := &comeback{t: t, url: url}
		b.connect()
		b.c.send(`2["bye"]`)
		var texts []string
		for _, m := range b.c.wantClosed() {
			texts = append(texts, m.text)
		}
		if len(texts) != 2 || !strings.HasPrefix(texts[0], `2["last",1`) || texts[1] != "1" {
			t.Fatal(texts)
		}
	}
}

// TestRecoveryIsExact drops clients at random while events are emitted all the time.
func TestRecoveryIsExact(t *testing.T) {
	const clients, events = 8, 1500
	_, n, url, _ := recoverable(t, func(o *Options) { o.Engine.PingInterval = time.Second }, nil)
	n.OnConnect(func(s *Socket) error {
		if s.Recovered() {
			return nil
		}
		return s.Join("room")
	})
	var wg sync.WaitGroup
	var ready sync.WaitGroup
	ready.Add(clients)
	begin := make(chan struct{})
	for i := range clients {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(i)))
			b := &comeback{t: t, url: url}
			b.connect()
			eventually(t, "joined", func() bool { s := n.Socket(b.sid); return s != nil && s.InRoom("room") })
			ready.Done()
			<-begin
			for next := 0; ; {
				for until := min(len(b.events)+rnd.IntN(200), events); len(b.events) < until; {
					m, err := b.c.next()
					if err != nil {
						t.Error(err)
						return
					}
					b.take(m.text)
				}
				for ; next < len(b.events); next++ {
					if e := b.events[next]; len(e) != 2 || e[1] != float64(next) {
						t.Errorf("client %d: event %d is %v", i, next, e)
						return
					}
				}
				if next == events {
					return
				}
				b.drop()
				b.connect()
				if !b.recovered {
					t.Errorf("client %d: not recovered", i)
					return
				}
			}
		})
	}
	ready.Wait()
	close(begin)
	for i := range events {
		mustEmit(t, n.To("room"), "e", i)
		if i%50 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	wg.Wait()
}

// TestLeavingAfterAnEmitStillGetsIt emits to a room and empties it at once, while the event waits for its commit.
func TestLeavingAfterAnEmitStillGetsIt(t *testing.T) {
	_, n, url, _ := recoverable(t, nil, nil)
	n.OnConnect(func(s *Socket) error { return s.Join("r") })
	b := &comeback{t: t, url: url}
	b.connect()
	eventually(t, "joined", func() bool { return n.RoomSize("r") == 1 })
	for i := range 200 {
		mustEmit(t, n.To("r"), "closing", i)
		if i%2 == 0 {
			n.In("r").SocketsLeave("r")
		} else {
			n.Socket(b.sid).Leave("r")
		}
		if n.Socket(b.sid).InRoom("r") {
			t.Fatal("still in the room")
		}
		mustEmit(t, n.To("r"), "closed", i)
		mustEmit(t, n, "end", i)
		b.until("end")
		if err := n.Socket(b.sid).Join("r"); err != nil {
			t.Fatal(err)
		}
	}
	for i, e := range b.events {
		if want := []string{"closing", "end"}[i%2]; e[0] != want || e[1] != float64(i/2) {
			t.Fatalf("event %d: %v", i, e)
		}
	}
	if len(b.events) != 400 {
		t.Fatal(len(b.events))
	}
}
