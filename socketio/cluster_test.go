package socketio

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"holdfast/cluster"
)

// nodes are servers on one bus, each with one client in the room "r" of "/".
func nodes(t *testing.T, count int) ([]*Server, []*client, []*Socket) {
	t.Helper()
	bus := cluster.NewInProcess()
	servers, clients, sockets := make([]*Server, count), make([]*client, count), make([]*Socket, count)
	for i := range servers {
		s, url := start(t, func(o *Options) { o.Bus = bus })
		c, k := crowd(t, s, url, 1, func(int) []string { return []string{"r"} })
		servers[i], clients[i], sockets[i] = s, c[0], k[0]
	}
	return servers, clients, sockets
}

func TestClusterBroadcast(t *testing.T) {
	servers, clients, sockets := nodes(t, 3)
	n := servers[0].Of("/")
	for _, b := range []Broadcast{n.everyone(), n.To("r"), n.To(sockets[2].ID()), sockets[1].Broadcast(), n.Local(), n.Except(sockets[0].ID())} {
		if err := b.Emit("x", []byte("bin")); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Emit("end"); err != nil {
		t.Fatal(err)
	}
	if err := sockets[1].Broadcast().Emit("end1"); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{4, 3, 5} {
		got := 0
		for ends := 0; ends < 2-min(1, i%2); {
			m, err := clients[i].next()
			if err != nil {
				t.Fatal(err)
			}
			switch m.text {
			case `51-["x",{"_placeholder":true,"num":0}]`:
				got++
				clients[i].wantBinary("bin")
			case `2["end"]`, `2["end1"]`:
				ends++
			default:
				t.Errorf("node %d: %q", i, m.text)
			}
		}
		if got != want {
			t.Errorf("node %d: %d events, want %d", i, got, want)
		}
	}
}

func TestClusterOperations(t *testing.T) {
	servers, clients, sockets := nodes(t, 3)
	n := servers[0].Of("/")
	sockets[2].SetData(map[string]any{"name": "two"})
	all, err := n.In("r").FetchSockets(context.Background())
	if err != nil || len(all) != 3 {
		t.Fatalf("%d sockets, %v", len(all), err)
	}
	i := slices.IndexFunc(all, func(r RemoteSocket) bool { return r.ID() == sockets[2].ID() })
	if i < 0 {
		t.Fatal("not found")
	}
	two := all[i]
	var data struct{ Name string }
	if _, local := two.Local(); local || two.Data().(map[string]any)["name"] != "two" || two.BindData(&data) != nil || data.Name != "two" ||
		!slices.Contains(two.Rooms(), "r") || two.Handshake().Query.Get("EIO") != "4" {
		t.Errorf("%+v %+v", two.info, data)
	}
	if all, err = n.Local().FetchSockets(context.Background()); err != nil || len(all) != 1 {
		t.Errorf("local: %d sockets, %v", len(all), err)
	}
	two.Join("special")
	eventually(t, "joined", func() bool { return sockets[2].InRoom("special") })
	if err := two.Emit("hello"); err != nil {
		t.Fatal(err)
	}
	clients[2].want(`2["hello"]`)
	go func() {
		if m, err := clients[2].next(); err == nil && m.text == `20["q",1]` {
			_ = wsWrite(clients[2], `30["answer"]`)
		}
	}()
	args, err := two.EmitWithAck(context.Background(), "q", 1)
	if err != nil || string(args.At(0).JSON()) != `"answer"` {
		t.Errorf("%v %v", args, err)
	}
	two.Leave("special")
	eventually(t, "left", func() bool { return !sockets[2].InRoom("special") })
	two.Disconnect(true)
	clients[2].want("1")
	clients[2].wantClosed()
	n.To("r").SocketsJoin("everyone")
	eventually(t, "all joined", func() bool { return sockets[1].InRoom("everyone") && sockets[0].InRoom("everyone") })
	n.DisconnectSockets(false)
	clients[0].want("1")
	clients[1].want("1")
}

func TestClusterBroadcastAcks(t *testing.T) {
	servers, clients, _ := nodes(t, 3)
	n := servers[0].Of("/")
	answer := func(i int, f func(*client, string)) {
		go func() {
			if m, err := clients[i].next(); err == nil {
				f(clients[i], m.text)
			}
		}()
	}
	for i := range clients {
		answer(i, func(c *client, text string) { _ = wsWrite(c, "3"+text[1:2]+`["ok"]`) })
	}
	acks, err := n.EmitWithAck(context.Background(), "q")
	if err != nil || len(acks.Responses) != 3 || acks.Missing != 0 {
		t.Fatalf("%+v %v", acks, err)
	}
	answer(0, func(c *client, text string) { _ = wsWrite(c, "3"+text[1:2]+`[]`) })
	answer(1, func(c *client, _ string) { c.reset() })
	answer(2, func(*client, string) {})
	acks, err = n.Timeout(300*time.Millisecond).EmitWithAck(context.Background(), "q")
	if !errors.Is(err, ErrAckTimeout) || len(acks.Responses) != 1 || acks.Missing != 2 {
		t.Fatalf("%+v %v", acks, err)
	}
	// A node that leaves while it is waited for.
	answer(0, func(c *client, text string) { _ = wsWrite(c, "3"+text[1:2]+`[]`) })
	answer(2, func(*client, string) { servers[2].Of("/").inCluster().member.Leave() })
	acks, err = n.EmitWithAck(context.Background(), "q")
	if err != nil || len(acks.Responses) != 1 || acks.Missing != 1 {
		t.Fatalf("%+v %v", acks, err)
	}
}

func TestServerSideEmit(t *testing.T) {
	servers, _, _ := nodes(t, 3)
	got := make(chan string, 10)
	for i, s := range servers {
		s.Of("/").OnServerSide("ask", func(args Args) (any, error) {
			var name string
			if err := args.Bind(&name); err != nil {
				return nil, err
			}
			got <- name
			if i == 2 {
				return nil, errors.New("not now")
			}
			return map[string]any{"node": i}, nil
		})
		s.Of("/").OnServerSide("panic", func(Args) (any, error) { panic("oh") })
	}
	n := servers[0].Of("/")
	if err := n.ServerSideEmit("ask", "x"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		receive(t, got, "event")
	}
	answers, err := n.ServerSideEmitWithAck(context.Background(), "ask", "y")
	if err != nil || len(answers) != 2 {
		t.Fatalf("%v %v", answers, err)
	}
	texts := []string{string(answers[0].JSON()), string(answers[1].JSON())}
	slices.Sort(texts)
	if !slices.Equal(texts, []string{"null", `{"node":1}`}) {
		t.Errorf("%q", texts)
	}
	if answers, err = n.ServerSideEmitWithAck(context.Background(), "panic"); err != nil || len(answers) != 2 {
		t.Errorf("%v %v", answers, err)
	}
	if n.ServerSideEmit("connection") == nil {
		t.Error("reserved")
	}
	alone, _ := start(t, nil)
	if answers, err := alone.Of("/").ServerSideEmitWithAck(context.Background(), "ask"); err != nil || len(answers) != 0 {
		t.Errorf("alone: %v %v", answers, err)
	}
}

// A slow node holds up nobody's broadcasts.
func TestClusterSlowNode(t *testing.T) {
	servers, clients, _ := nodes(t, 2)
	release := make(chan struct{})
	servers[1].Of("/").OnServerSide("block", func(Args) (any, error) { <-release; return nil, nil })
	n := servers[0].Of("/")
	if err := n.ServerSideEmit("block"); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if err := n.Emit("x"); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 {
		clients[0].want(`2["x"]`)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if all, err := n.FetchSockets(ctx); !errors.Is(err, ErrClusterTimeout) || len(all) != 1 {
		t.Errorf("%d sockets, %v", len(all), err)
	}
	close(release)
	for range 100 {
		clients[1].want(`2["x"]`)
	}
}

func TestClusterWithCleanup(t *testing.T) {
	bus := cluster.NewInProcess()
	var wg sync.WaitGroup
	for range 2 {
		s, url := start(t, func(o *Options) { o.Bus = bus; o.CleanupEmptyChildNamespaces = true })
		p := s.OfFunc(func(string, *Handshake) (bool, error) { return true, nil })
		p.On("x", func(e *Event) error { return e.Socket.Namespace().Emit("y") })
		wg.Go(func() {
			c := dial(t, url)
			for range 50 {
				c.join("/n")
				c.send(`2/n,["x"]`)
				for {
					if m, err := c.next(); err != nil || m.text != `2/n,["y"]` {
						t.Errorf("%q %v", m.text, err)
					}
					break
				}
				c.send(`1/n,`)
				// What the other node's client set off may still be under way to this one.
				c.send("0/sync" + ",")
				for {
					m, err := c.next()
					if err != nil {
						t.Error(err)
						return
					}
					if m.text != `2/n,["y"]` {
						break
					}
				}
				c.send(`1/sync,`)
			}
		})
	}
	wg.Wait()
}
