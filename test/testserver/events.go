package main

import (
	"context"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"holdfast/socketio"
)

type ok struct {
	OK bool `json:"ok"`
}

// events are those that every namespace answers.
func (a *app) events(n space) {
	n.On("echo", func(e *socketio.Event) error {
		if e.HasAck() {
			return e.Ack(e.Args)
		}
		return e.Socket.Emit("echo", e.Args)
	})
	n.On("ready", func(e *socketio.Event) error { return e.Ack(memoOf(e.Socket).ready) })
	n.On("data", func(e *socketio.Event) error {
		return e.Ack(map[string]any{"chain": memoOf(e.Socket).chain})
	})
	n.On("handshake", handshake)
	n.On("note", func(e *socketio.Event) error {
		var value any
		if err := e.Bind(&value); err != nil {
			return err
		}
		a.ledger.note(e.Socket, "notes", value)
		return e.Ack(ok{true})
	})
	numberEvents(n)
	roomEvents(n)
	ackEvents(n)
	failingEvents(n)
	emittingEvents(n)
}

func numberEvents(n space) {
	n.On("numbered", func(e *socketio.Event) error {
		var number int
		if err := e.Bind(&number); err != nil {
			return err
		}
		time.Sleep(rand.N(2 * time.Millisecond))
		seen := &memoOf(e.Socket).numbers
		seen.Count++
		if number != seen.Last+1 {
			seen.Disorder++
		}
		seen.Last = number
		if transport := e.Socket.Transport(); !slices.Contains(seen.Transports, transport) {
			seen.Transports = append(seen.Transports, transport)
		}
		return e.Ack(number)
	})
	n.On("numbers", func(e *socketio.Event) error { return e.Ack(memoOf(e.Socket).numbers) })
	n.On("count", func(e *socketio.Event) error {
		var to int
		if err := e.Bind(&to); err != nil {
			return err
		}
		for i := range to {
			if err := e.Socket.Emit("number", i); err != nil {
				return err
			}
		}
		return e.Ack(to)
	})
}

func roomEvents(n space) {
	n.On("join", func(e *socketio.Event) error {
		var room string
		if err := e.Bind(&room); err != nil {
			return err
		}
		return errors.Join(e.Socket.Join(room), e.Ack(ok{true}))
	})
	n.On("leave", func(e *socketio.Event) error {
		var room string
		if err := e.Bind(&room); err != nil {
			return err
		}
		e.Socket.Leave(room)
		return e.Ack(ok{true})
	})
	n.On("rooms", func(e *socketio.Event) error {
		return e.Ack(slices.Sorted(slices.Values(e.Socket.Rooms())))
	})
	n.On("publish", func(e *socketio.Event) error {
		var room, event string
		if err := e.Bind(&room, &event); err != nil {
			return err
		}
		return errors.Join(e.Socket.Namespace().To(room).Emit(event, e.Args[2:]), e.Ack(ok{true}))
	})
	n.On("to", func(e *socketio.Event) error {
		var rooms []string
		var event string
		if err := e.Bind(&rooms, &event); err != nil {
			return err
		}
		return errors.Join(e.Socket.To(rooms...).Emit(event, e.Args[2:]), e.Ack(ok{true}))
	})
	n.On("to except", func(e *socketio.Event) error {
		var rooms, except []string
		var event string
		if err := e.Bind(&rooms, &except, &event); err != nil {
			return err
		}
		return errors.Join(e.Socket.To(rooms...).Except(except...).Emit(event, e.Args[3:]), e.Ack(ok{true}))
	})
	n.On("broadcast", func(e *socketio.Event) error {
		var event string
		if err := e.Bind(&event); err != nil {
			return err
		}
		return errors.Join(e.Socket.Broadcast().Emit(event, e.Args[1:]), e.Ack(ok{true}))
	})
}

func ackEvents(n space) {
	n.On("ask", func(e *socketio.Event) error {
		var ms int
		if err := e.Args.At(1).Bind(&ms); err != nil {
			return err
		}
		answer, err := e.Socket.Timeout(milliseconds(ms)).EmitWithAck(context.Background(), "question", e.Args[0])
		if err != nil {
			return e.Ack(map[string]bool{"timeout": errors.Is(err, socketio.ErrAckTimeout)})
		}
		return e.Ack(map[string]any{"answer": answer.At(0)})
	})
	n.On("block", func(e *socketio.Event) error {
		var ms int
		if err := e.Bind(&ms); err != nil {
			return err
		}
		time.Sleep(milliseconds(ms))
		return e.Ack(map[string]int{"blocked": ms})
	})
	n.On("late ack", func(e *socketio.Event) error {
		var ms int
		if err := e.Bind(&ms); err != nil {
			return err
		}
		time.AfterFunc(milliseconds(ms), func() { _ = e.Ack("late") })
		return nil
	})
	n.On("ack twice", func(e *socketio.Event) error {
		if err := e.Ack("first"); err != nil {
			return err
		}
		if err := e.Ack("second"); !errors.Is(err, socketio.ErrAlreadyAcked) {
			panic("a second ack was taken")
		}
		return nil
	})
	n.On("never ack", func(*socketio.Event) error { return nil })
	n.On("ack from", func(e *socketio.Event) error {
		var attempt int
		if err := e.Bind(&attempt); err != nil {
			return err
		}
		m := memoOf(e.Socket)
		m.tries++
		if m.tries < attempt {
			return nil
		}
		return e.Ack(map[string]int{"tries": m.tries})
	})
}

func failingEvents(n space) {
	n.On("panic", func(*socketio.Event) error { panic("in a handler") })
	n.On("fail", func(e *socketio.Event) error {
		var code string
		if err := e.Bind(&code); err != nil {
			return err
		}
		if code == "" {
			return errors.New("the secret reason")
		}
		return &socketio.Error{Code: code, Message: "short and stout", Data: map[string]string{"handle": "here"}}
	})
	n.On("unencodable", func(e *socketio.Event) error {
		var kind string
		if err := e.Bind(&kind); err != nil {
			return err
		}
		type loop struct{ Next *loop }
		cycle := &loop{}
		cycle.Next = cycle
		value := map[string]any{
			"nan": math.NaN(), "infinity": math.Inf(-1), "channel": make(chan int), "function": func() {}, "cycle": cycle,
		}[kind]
		var text string
		for _, err := range []error{
			e.Socket.Emit("broken", value),
			e.Socket.Emit("broken", "before", map[string]any{"deep": []any{[]byte{1}, value}}),
			e.Socket.Namespace().Emit("broken", value),
			e.Ack(value),
		} {
			if err == nil {
				return e.Ack(map[string]string{"error": ""})
			}
			text = err.Error()
		}
		return e.Ack(map[string]string{"error": text})
	})
	n.On("flags", flags)
}

// flags emits plainly from one goroutine while others use every flag on the same socket: the client gets each
// "plain" and no "flagged".
func flags(e *socketio.Event) error {
	var count int
	if err := e.Bind(&count); err != nil {
		return err
	}
	s := e.Socket
	others := []func() error{
		func() error { return s.To("nobody").Emit("flagged") },
		func() error { return s.Except(s.ID()).To("nobody").Emit("flagged") },
		func() error { return s.Broadcast().Compress(false).Except("").To("nobody").Emit("flagged") },
		func() error { return s.Volatile().To("nobody").Emit("flagged") },
	}
	var wg sync.WaitGroup
	for _, other := range others {
		wg.Go(func() {
			for range count {
				_ = other()
			}
		})
	}
	var errs []error
	for i := range count {
		errs = append(errs, s.Emit("plain", i))
	}
	wg.Wait()
	return errors.Join(append(errs, e.Ack(map[string]int{"emitted": count}))...)
}

func emittingEvents(n space) {
	n.On("bye", func(e *socketio.Event) error {
		var closing bool
		if err := e.Bind(&closing); err != nil {
			return err
		}
		err := e.Socket.Emit("farewell", e.Socket.ID())
		e.Socket.Disconnect(closing)
		return err
	})
	n.On("volatile", func(e *socketio.Event) error {
		var count int
		if err := e.Bind(&count); err != nil {
			return err
		}
		for i := range count {
			if err := e.Socket.Volatile().Emit("perhaps", i); err != nil {
				return err
			}
		}
		return e.Socket.Emit("surely", count)
	})
	n.On("compress", func(e *socketio.Event) error {
		var on bool
		var text string
		if err := e.Bind(&on, &text); err != nil {
			return err
		}
		return errors.Join(e.Socket.Compress(on).Emit("text", text), e.Ack(ok{true}))
	})
	n.On("give binary", giveBinary)
}

func giveBinary(e *socketio.Event) error {
	var size int
	if err := e.Bind(&size); err != nil {
		return err
	}
	ramp := func(from int) []byte {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(i + from)
		}
		return b
	}
	type deep struct {
		Deep []byte `json:"deep"`
	}
	nested := struct {
		Name string          `json:"name"`
		List []any           `json:"list"`
		Bare *[]byte         `json:"bare"`
		Skip []byte          `json:"-"`
		Maps map[string]deep `json:"maps,omitempty"`
	}{Name: "nested", List: []any{ramp(0), deep{ramp(1)}}, Bare: new([]byte), Skip: ramp(9)}
	*nested.Bare = ramp(2)
	return errors.Join(e.Socket.Emit("binary", nested, ramp(3)), e.Ack(ramp(4)))
}

func handshake(e *socketio.Event) error {
	h := e.Socket.Handshake()
	first := func(values map[string][]string, key func(string) string) map[string]string {
		flat := make(map[string]string, len(values))
		for name := range maps.Keys(values) {
			flat[key(name)] = strings.Join(values[name], ", ")
		}
		return flat
	}
	return e.Ack(map[string]any{
		"auth":      authOf(e.Socket),
		"query":     first(h.Query, func(s string) string { return s }),
		"headers":   first(h.Headers, strings.ToLower),
		"address":   h.Address,
		"secure":    h.Secure,
		"url":       h.URL,
		"issued":    h.Time.UnixMilli(),
		"transport": e.Socket.Transport(),
		"id":        e.Socket.ID(),
		"recovered": e.Socket.Recovered(),
	})
}

func milliseconds(n int) time.Duration { return time.Duration(n) * time.Millisecond }
