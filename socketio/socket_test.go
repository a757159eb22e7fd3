package socketio

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestEventsAndAcks(t *testing.T) {
	s, url := start(t, nil)
	n := s.Of("/chat")
	n.On("echo", func(e *Event) error {
		if e.HasAck() {
			return e.Ack(e.Args)
		}
		return e.Socket.Emit("echo", e.Args)
	})
	n.On("quiet", func(*Event) error { return nil })
	n.On("1", func(e *Event) error { return e.Ack("one") })
	Handle(n, "add", func(_ *Event, in []int) (int, error) {
		sum := 0
		for _, v := range in {
			sum += v
		}
		return sum, nil
	})
	Handle(n, "void", func(*Event, struct{}) (struct{}, error) { return struct{}{}, nil })
	Handle(n, "no", func(*Event, struct{}) (int, error) {
		return 0, &Error{Code: "nope", Message: "not today", Data: map[string]int{"in": 3}}
	})
	Handle(n, "secret", func(*Event, struct{}) (int, error) { return 0, errors.New("password is 1234") })
	Handle(n, "panic", func(*Event, struct{}) (int, error) { panic("oh") })

	c := dial(t, url)
	c.join("/chat")
	c.send(`2/chat,["echo",1,"a",{"b":[]}]`)
	c.want(`2/chat,["echo",1,"a",{"b":[]}]`)
	c.send(`2/chat,7["echo"]`, `2/chat,8["quiet"]`, `2/chat,9["nobody listens"]`, `2/chat,10["add",[1,2,3]]`)
	c.want(`3/chat,7[]`)
	c.want(`3/chat,10[6]`)
	c.send(`2/chat,0["add","x"]`)
	c.want(`3/chat,0[{"error":{"code":"bad_request","message":"argument 1 does not fit this event"}}]`)
	c.send(`2/chat,1["add"]`)
	c.want(`3/chat,1[{"error":{"code":"bad_request","message":"1 of 1 arguments are missing"}}]`)
	c.send(`2/chat,2["void"]`, `2/chat,3["no"]`, `2/chat,4["secret"]`, `2/chat,5["panic"]`, `2/chat,6[1]`)
	c.want(`3/chat,2[]`)
	c.want(`3/chat,3[{"error":{"code":"nope","message":"not today","data":{"in":3}}}]`)
	c.want(`3/chat,4[{"error":{"code":"internal","message":"internal error"}}]`)
	c.want(`3/chat,5[{"error":{"code":"internal","message":"internal error"}}]`)
	c.want(`3/chat,6["one"]`)
	if p := s.Stats().Panics; p != 1 {
		t.Errorf("%d panics counted", p)
	}
}

func TestBinaryBothWays(t *testing.T) {
	s, url := start(t, nil)
	s.Of("/").On("echo", func(e *Event) error {
		if err := e.Socket.Emit("echo", e.Args); err != nil {
			return err
		}
		var f struct{ File []byte }
		if err := e.Args.At(1).Bind(&f); err != nil {
			return err
		}
		return e.Ack(f)
	})
	c := dial(t, url)
	c.join("/")
	c.send(`52-3["echo",{"_placeholder":true,"num":1},{"file":{"_placeholder":true,"num":0}}]`)
	c.sendBinary([]byte("first"))
	c.sendBinary([]byte("second"))
	c.want(`52-["echo",{"_placeholder":true,"num":0},{"file":{"_placeholder":true,"num":1}}]`)
	c.wantBinary("second")
	c.wantBinary("first")
	c.want(`61-3[{"File":{"_placeholder":true,"num":0}}]`)
	c.wantBinary("first")
}

func TestAckOnce(t *testing.T) {
	s, url := start(t, nil)
	kept := make(chan *Event, 1)
	s.Of("/").On("later", func(e *Event) error { kept <- e; return nil })
	c := dial(t, url)
	c.join("/")
	c.send(`21["later"]`)
	e := receive(t, kept, "event")
	if err := e.Ack(math.NaN()); err == nil {
		t.Error("NaN was sent")
	}
	for round := range 500 {
		if round > 0 {
			c.send(`21["later"]`)
			e = receive(t, kept, "event")
		}
		var sent atomic.Int32
		var ready, wg sync.WaitGroup
		ready.Add(4)
		for range 4 {
			wg.Go(func() {
				ready.Done()
				ready.Wait()
				switch err := e.Ack(1); {
				case err == nil:
					sent.Add(1)
				case !errors.Is(err, ErrAlreadyAcked):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if sent.Load() != 1 {
			t.Fatalf("%d acks were sent", sent.Load())
		}
		c.want(`31[1]`)
	}
	c.send(`2["later"]`)
	if e := receive(t, kept, "event"); e.HasAck() || e.Ack(1) != nil {
		t.Error("an event without an id takes no ack")
	}
}

func TestHandlerWaitsForAckOfItsClient(t *testing.T) {
	s, url := start(t, nil)
	s.Of("/").On("ask", func(e *Event) error {
		args, err := e.Socket.EmitWithAck(e.Socket.Context(), "question")
		if err != nil {
			return err
		}
		return e.Ack(args)
	})
	c := dial(t, url)
	c.join("/")
	c.send(`25["ask"]`)
	c.want(`20["question"]`)
	c.send(`30["answer",{"x":1}]`)
	c.want(`35["answer",{"x":1}]`)
}

func TestAcksFromClients(t *testing.T) {
	s, url := start(t, nil)
	n := s.Of("/")
	sockets := make(chan *Socket, 1)
	n.OnConnect(func(s *Socket) error { sockets <- s; return nil })
	c := dial(t, url)
	c.join("/")
	socket := receive(t, sockets, "socket")
	ctx := context.Background()

	c.send(`312345["nobody waits"]`, `3["no id"]`, `39007199254740991[]`)
	if _, err := socket.Timeout(20*time.Millisecond).EmitWithAck(ctx, "late"); !errors.Is(err, ErrAckTimeout) {
		t.Errorf("late: %v", err)
	}
	c.want(`20["late"]`)
	c.send(`30["late"]`)
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	if _, err := socket.EmitWithAck(short, "late"); !errors.Is(err, ErrAckTimeout) {
		t.Errorf("deadline: %v", err)
	}
	cancel()
	if _, err := socket.EmitWithAck(short, "x"); !errors.Is(err, ErrAckTimeout) {
		t.Errorf("deadline before: %v", err)
	}
	c.want(`21["late"]`)
	canceled, cancel := context.WithCancel(ctx)
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := socket.EmitWithAck(canceled, "canceled"); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	c.want(`22["canceled"]`)
	if _, err := socket.EmitWithAck(ctx, "nan", math.NaN()); err == nil {
		t.Error("NaN was sent")
	}
	if err := socket.Emit("disconnect"); !errors.Is(err, ErrReservedEvent) {
		t.Errorf("reserved: %v", err)
	}

	type result struct {
		args Args
		err  error
	}
	results := make(chan result, 1)
	record := func(args Args, err error) { results <- result{args, err} }
	if err := socket.EmitAck("call", []any{1}, 0, record); err != nil {
		t.Fatal(err)
	}
	c.want(`24["call",1]`)
	c.send(`34[1,2]`, `34[3]`)
	if r := receive(t, results, "callback"); r.err != nil || len(r.args) != 2 {
		t.Errorf("%+v", r)
	}
	if err := socket.EmitAck("call", nil, 10*time.Millisecond, record); err != nil {
		t.Fatal(err)
	}
	if r := receive(t, results, "timeout"); !errors.Is(r.err, ErrAckTimeout) {
		t.Errorf("%+v", r)
	}
	c.want(`25["call"]`)
	if err := socket.EmitAck("call", nil, 0, record); err != nil {
		t.Fatal(err)
	}
	c.want(`26["call"]`)
	c.send(`36`) // no payload: no arguments, as Node's parser has it
	if r := receive(t, results, "callback"); r.err != nil || len(r.args) != 0 {
		t.Errorf("%+v", r)
	}
	socket.mu.Lock()
	if len(socket.more.acks) != 0 {
		t.Errorf("%d acks are still waited for", len(socket.more.acks))
	}
	socket.mu.Unlock()
	// The end of the socket settles what is left.
	if err := socket.EmitAck("call", nil, time.Hour, record); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 1)
	go func() {
		_, err := socket.EmitWithAck(ctx, "call")
		waiting <- err
	}()
	c.want(`27["call"]`)
	c.want(`28["call"]`)
	c.reset()
	if r := receive(t, results, "callback"); !errors.Is(r.err, ErrDisconnected) {
		t.Errorf("%+v", r)
	}
	if err := receive(t, waiting, "error"); !errors.Is(err, ErrDisconnected) {
		t.Errorf("%v", err)
	}
	if _, err := socket.EmitWithAck(ctx, "x"); !errors.Is(err, ErrDisconnected) {
		t.Errorf("after the end: %v", err)
	}
	if err := socket.Emit("x"); !errors.Is(err, ErrDisconnected) {
		t.Errorf("after the end: %v", err)
	}
}

func TestDisconnectAfterEmit(t *testing.T) {
	for _, closeAll := range []bool{false, true} {
		s, url := start(t, nil)
		n := s.Of("/")
		var ends atomic.Int32
		n.OnDisconnect(func(_ *Socket, reason string) {
			switch {
			case reason == reasonServerDisconnect:
				ends.Add(1)
			case closeAll: // else it is the second connection to the namespace
				t.Errorf("reason %q", reason)
			}
		})
		n.On("bye", func(e *Event) error {
			if err := e.Socket.Emit("last", "word"); err != nil {
				return err
			}
			e.Socket.Disconnect(closeAll)
			e.Socket.Disconnect(closeAll)
			return nil
		})
		n.On("after", func(*Event) error { t.Error("handled after the end"); return nil })
		const count = 100
		var wg sync.WaitGroup
		for range count {
			wg.Go(func() {
				c := dial(t, url)
				c.join("/")
				c.send(`2["bye"]`, `2["after"]`, `2["after"]`)
				c.want(`2["last","word"]`)
				c.want(`1`)
				if closeAll {
					if rest := c.wantClosed(); len(rest) != 0 {
						t.Errorf("more: %v", rest)
					}
					return
				}
				c.join("/") // the connection lives on, what came late did no harm
			})
		}
		wg.Wait()
		eventually(t, "all disconnected", func() bool { return ends.Load() == count })
	}
}

// What a client sent before it heard of its disconnection is dropped, and does not cost it the connection.
func TestLatePacketsAfterDisconnect(t *testing.T) {
	s, url := start(t, nil)
	s.Of("/").On("x", func(e *Event) error { return e.Ack("x") })
	s.Of("/other").On("x", func(e *Event) error { return e.Ack("other") })
	c := dial(t, url)
	c.join("/")
	c.join("/other")
	s.Of("/").DisconnectSockets(false)
	c.want(`1`)
	c.send(`2["x"]`, `21["x"]`, `30[]`, `51-["x",{"_placeholder":true,"num":0}]`)
	c.sendBinary([]byte("b"))
	c.send(`1`, `2/other,2["x"]`)
	c.want(`3/other,2["other"]`)
	c.join("/")
	c.send(`21["x"]`)
	c.want(`31["x"]`)
	c.send(`1`, `2["x"]`) // having left by itself, it knows better
	c.wantClosed()
}

func TestDisconnectHandlers(t *testing.T) {
	s, url := start(t, nil)
	n := s.Of("/")
	log := make(chan string, 100)
	n.OnConnect(func(s *Socket) error {
		err := s.Join("a", "b")
		log <- "connect"
		return err
	})
	n.On("e", func(e *Event) error { log <- "event"; time.Sleep(time.Millisecond); return nil })
	n.OnDisconnecting(func(s *Socket, reason string) {
		rooms := s.Rooms()[1:]
		slices.Sort(rooms)
		log <- fmt.Sprint("disconnecting ", rooms, s.Connected(), s.InRoom("a"), s.Context().Err() != nil)
		if s.Join("c") == nil {
			t.Error("joined after the end")
		}
	})
	n.OnDisconnect(func(s *Socket, reason string) { log <- fmt.Sprint("disconnect ", s.Rooms(), " ", reason) })
	for name, end := range map[string]func(*client){
		"client namespace disconnect": func(c *client) { c.send("1") },
		"transport close":             func(c *client) { c.conn.Close() },
		"parse error":                 func(c *client) { c.send("9") },
		"forced server close":         func(c *client) { c.send("0") },
	} {
		c := dial(t, url)
		c.join("/")
		if got := receive(t, log, "connect"); got != "connect" {
			t.Errorf("%s: got %q", name, got)
		}
		c.send(`2["e"]`, `2["e"]`)
		end(c)
		for _, want := range []string{"event", "event", "disconnecting [a b] false true true", "disconnect [] " + name} {
			if got := receive(t, log, want); got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
	}
	if n.Len() != 0 || n.RoomSize("a") != 0 || len(n.rooms) != 0 {
		t.Error("somebody is left")
	}
}

func TestFlagsAreValues(t *testing.T) {
	s, url := start(t, nil)
	sockets := make(chan *Socket, 1)
	s.Of("/").OnConnect(func(s *Socket) error { sockets <- s; return nil })
	c := dial(t, url)
	c.join("/")
	socket := receive(t, sockets, "socket")
	const rounds = 5000
	var wg sync.WaitGroup
	wg.Go(func() {
		for range rounds {
			_ = socket.Volatile().Compress(false).Timeout(time.Nanosecond)
			_ = socket.To("nowhere").Volatile().Emit("lost")
		}
	})
	wg.Go(func() {
		for range rounds {
			_ = socket.Timeout(time.Nanosecond).Broadcast().Volatile()
		}
	})
	wg.Go(func() {
		for i := range rounds {
			if err := socket.Emit("n", i); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i := range rounds {
		c.want(fmt.Sprintf(`2["n",%d]`, i))
	}
	wg.Wait()
}
