package main

import (
	"log"
	"slices"
	"sync"
	"time"

	"github.com/zishang520/socket.io/v2/socket"
)

// What follows is what the cases under ../compare ask of a server, beside the bench application.

// slowConnect is how long the connection handler of /slow takes before it sets its handlers.
const slowConnect = time.Millisecond

type comparison struct {
	io *socket.Server

	mu           sync.Mutex
	numbers      []int
	firsts       int
	connected    int
	disconnected map[socket.SocketId]int
}

func serveComparison(io *socket.Server) {
	c := &comparison{io: io, disconnected: map[socket.SocketId]int{}}
	for name, connect := range map[string]func(*socket.Socket){"/": c.root, "/slow": c.slow, "/crowd": c.crowd} {
		if err := io.Of(name, nil).On("connection", func(clients ...any) { connect(clients[0].(*socket.Socket)) }); err != nil {
			log.Fatal(err)
		}
	}
}

func (c *comparison) root(client *socket.Socket) {
	client.On("number", func(args ...any) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.numbers = append(c.numbers, int(args[0].(float64)))
	})
	client.On("numbers", func(args ...any) {
		c.answer(args, func() any { return slices.Clone(c.numbers) })
	})
	client.On("firsts", func(args ...any) {
		c.answer(args, func() any { return c.firsts })
	})
	client.On("crowd", func(args ...any) {
		c.answer(args, c.crowdState)
	})
	client.On("size", func(args ...any) {
		c.answer(args, func() any { return len(args[0].(string)) })
	})
	client.On("kick", func(...any) {
		client.Disconnect(true)
	})
	client.On("ask", func(...any) {
		client.EmitWithAck("question")(func([]any, error) {})
	})
	client.On("ask remotely", func(...any) {
		c.io.FetchSockets()(func(sockets []*socket.RemoteSocket, _ error) {
			for _, s := range sockets {
				s.Timeout(100*time.Millisecond).Emit("question", socket.Ack(func([]any, error) {}))
			}
		})
	})
}

func (c *comparison) slow(client *socket.Socket) {
	time.Sleep(slowConnect)
	client.On("first", func(...any) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.firsts++
	})
}

func (c *comparison) crowd(client *socket.Socket) {
	c.mu.Lock()
	c.connected++
	c.mu.Unlock()
	client.Join("lobby")
	client.On("disconnect", func(...any) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.disconnected[client.Id()]++
	})
}

// crowdState is called with the lock held.
func (c *comparison) crowdState() any {
	twice := 0
	for _, n := range c.disconnected {
		if n > 1 {
			twice++
		}
	}
	room := 0
	if members, ok := c.io.Of("/crowd", nil).Adapter().Rooms().Load("lobby"); ok {
		room = members.Len()
	}
	return map[string]int{"connected": c.connected, "disconnected": len(c.disconnected), "twice": twice, "room": room}
}

func (c *comparison) answer(args []any, value func() any) {
	_, ack, ok := split(args)
	if !ok {
		return
	}
	c.mu.Lock()
	v := value()
	c.mu.Unlock()
	ack([]any{v}, nil)
}
