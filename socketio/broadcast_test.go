package socketio

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// crowd connects clients; the i-th is in the rooms of rooms(i).
func crowd(t testing.TB, s *Server, url string, count int, rooms func(i int) []string) ([]*client, []*Socket) {
	t.Helper()
	clients, sockets := make([]*client, count), make([]*Socket, count)
	for i := range clients {
		clients[i] = dial(t, url)
		id := clients[i].join("/")
		sockets[i] = s.Of("/").Socket(id)
		if sockets[i] == nil {
			t.Fatalf("no socket %s", id)
		}
		if err := sockets[i].Join(rooms(i)...); err != nil {
			t.Fatal(err)
		}
	}
	return clients, sockets
}

func TestBroadcastTargets(t *testing.T) {
	s, url := start(t, nil)
	n := s.Of("/")
	clients, sockets := crowd(t, s, url, 4, func(i int) []string {
		return [][]string{{"a"}, {"a", "b"}, {"b"}, nil}[i]
	})
	all := n.everyone()
	cases := []struct {
		b    Broadcast
		want []int
	}{
		{all, []int{0, 1, 2, 3}},
		{n.To("a"), []int{0, 1}},
		{n.To("a", "b"), []int{0, 1, 2}},
		{n.To("a").In("b"), []int{0, 1, 2}},
		{n.To("a").Except("b"), []int{0}},
		{n.Except("a"), []int{2, 3}},
		{n.Except("a", "b"), []int{3}},
		{n.To("nowhere"), nil},
		{n.Except("nowhere"), []int{0, 1, 2, 3}},
		{n.To(sockets[3].ID()), []int{3}},
		{n.To(sockets[3].ID(), "a"), []int{0, 1, 3}},
		{n.To("a").Except(sockets[0].ID()), []int{1}},
		{sockets[0].Broadcast(), []int{1, 2, 3}},
		{sockets[0].To("a"), []int{1}},
		{sockets[0].To("a", "b"), []int{1, 2}},
		{sockets[0].Except("b"), []int{3}},
		{sockets[0].To(sockets[0].ID()), nil},
		{sockets[0].To(sockets[1].ID()), []int{1}},
		{n.Local().Volatile().Compress(false).To("b"), []int{1, 2}},
		{sockets[0].Volatile().To("a"), []int{1}},
	}
	for i, c := range cases {
		if err := c.b.Emit("x", i); err != nil {
			t.Fatal(err)
		}
	}
	for k, c := range clients {
		for i := range cases {
			if slices.Contains(cases[i].want, k) {
				c.want(fmt.Sprintf(`2["x",%d]`, i))
			}
		}
		if err := sockets[k].Send("end"); err != nil {
			t.Fatal(err)
		}
		c.want(`2["message","end"]`)
	}
	// One that others are made of stays as it is, and they have nothing of each other.
	base := n.To("1", "2", "3").To("4").Except("1", "2", "3").Except("4")
	left, right := base.To("left").Except("left"), base.To("right").Except("right")
	if left.rooms[4] != "left" || right.rooms[4] != "right" || left.except[4] != "left" || len(base.rooms) != 4 || len(base.except) != 4 {
		t.Errorf("%v %v %v", base, left, right)
	}
	if err := n.To("a").Emit("x", math.NaN()); err == nil {
		t.Error("NaN was sent")
	}
	if err := n.Emit("connect"); !errors.Is(err, ErrReservedEvent) {
		t.Errorf("reserved: %v", err)
	}
	// A room that has the id of a socket for its name.
	if err := sockets[0].Join(sockets[3].ID()); err != nil {
		t.Fatal(err)
	}
	if err := n.To(sockets[3].ID()).Emit("both"); err != nil {
		t.Fatal(err)
	}
	clients[0].want(`2["both"]`)
	clients[3].want(`2["both"]`)
}

func TestRoomOperations(t *testing.T) {
	s, url := start(t, nil)
	n := s.Of("/")
	clients, sockets := crowd(t, s, url, 3, func(i int) []string { return []string{fmt.Sprint("r", i)} })
	n.In("r0", "r1").SocketsJoin("x", "r0")
	if n.RoomSize("x") != 2 || n.RoomSize("r0") != 2 || sockets[2].InRoom("x") {
		t.Error("join")
	}
	n.In("x").SocketsLeave("x", "r1")
	if n.RoomSize("x") != 0 || n.RoomSize("r1") != 0 {
		t.Error("leave")
	}
	sockets[0].Leave(sockets[0].ID(), "r0", "never joined")
	if got := sockets[0].Rooms(); len(got) != 1 || got[0] != sockets[0].ID() {
		t.Errorf("%v", got)
	}
	all, err := n.In("r0", "r2").FetchSockets(context.Background())
	if err != nil || len(all) != 2 {
		t.Fatalf("%v %v", all, err)
	}
	for _, r := range all {
		if local, ok := r.Local(); !ok || local.ID() != r.ID() || len(r.Rooms()) == 0 || r.Handshake().Address == "" {
			t.Errorf("%+v", r)
		}
		r.Join("fetched")
		if err := r.Emit("hello"); err != nil {
			t.Error(err)
		}
	}
	if n.RoomSize("fetched") != 2 {
		t.Error("fetched")
	}
	n.Except(sockets[0].ID()).DisconnectSockets(false)
	clients[1].want(`2["hello"]`)
	clients[1].want(`1`)
	clients[2].want(`2["hello"]`)
	clients[2].want(`1`)
	if n.Len() != 1 || len(n.Sockets()) != 1 || n.Sockets()[0] != sockets[0] {
		t.Error("disconnect")
	}
	n.DisconnectSockets(true)
	clients[0].want(`1`)
	clients[0].wantClosed()
}

// Everyone in a room sees concurrent broadcasts in the same order.
func TestBroadcastOrderIsTheSameForAll(t *testing.T) {
	s, url := start(t, nil)
	n := s.Of("/")
	const members, senders, each = 10, 4, 250
	clients, _ := crowd(t, s, url, members, func(int) []string { return []string{"r"} })
	var wg sync.WaitGroup
	for k := range senders {
		wg.Go(func() {
			for i := range each {
				b := n.To("r")
				if i%2 == 0 {
					b = n.everyone()
				}
				if err := b.Emit("x", k, i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var first []string
	for k, c := range clients {
		var got []string
		for range senders * each {
			m, err := c.next()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m.text)
		}
		if k == 0 {
			first = got
		} else if !slices.Equal(got, first) {
			t.Fatal("two members saw different orders")
		}
	}
	wg.Wait()
}

func TestBroadcastAcks(t *testing.T) {
	s, url := start(t, nil)
	n := s.Of("/")
	clients, sockets := crowd(t, s, url, 7, func(int) []string { return []string{"r"} })
	var answering sync.WaitGroup
	for i, c := range clients {
		answering.Go(func() {
			if _, err := c.next(); err != nil {
				return
			}
			switch i {
			case 0:
				_ = wsWrite(c, `30[]`)
			case 1:
				_ = wsWrite(c, `30[1,"two"]`)
				_ = wsWrite(c, `30["again"]`)
			case 2:
				time.Sleep(100 * time.Millisecond)
				_ = wsWrite(c, `30["late"]`)
			case 3: // never
			case 4:
				c.reset()
			case 5:
				_ = wsWrite(c, `1`)
			case 6:
				_ = wsWrite(c, `61-0[{"_placeholder":true,"num":0}]`)
				c.sendBinary([]byte("b"))
			}
		})
	}
	acks, err := n.To("r").Timeout(time.Second).EmitWithAck(context.Background(), "q", 1)
	if !errors.Is(err, ErrAckTimeout) || len(acks.Responses) != 4 || acks.Missing != 3 {
		t.Fatalf("%d responses, %d missing, %v", len(acks.Responses), acks.Missing, err)
	}
	answering.Wait()
	var lengths []int
	for _, a := range acks.Responses {
		lengths = append(lengths, len(a))
	}
	slices.Sort(lengths)
	if !slices.Equal(lengths, []int{0, 1, 1, 2}) {
		t.Errorf("%v", lengths)
	}
	for i, socket := range sockets {
		socket.mu.Lock()
		if socket.more != nil && len(socket.more.acks) != 0 {
			t.Errorf("socket %d still waits", i)
		}
		socket.mu.Unlock()
	}
	// Nobody left out, nobody there, and one who leaves: no need to wait for the timeout.
	acks, err = n.To("nowhere").EmitWithAck(context.Background(), "q")
	if err != nil || len(acks.Responses)+acks.Missing != 0 {
		t.Errorf("nobody: %+v %v", acks, err)
	}
	go func() {
		if _, err := clients[3].next(); err == nil {
			clients[3].reset()
		}
	}()
	acks, err = n.To(sockets[3].ID()).EmitWithAck(context.Background(), "q")
	if err != nil || len(acks.Responses) != 0 || acks.Missing != 1 {
		t.Errorf("one who leaves: %+v %v", acks, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if acks, err = n.EmitWithAck(ctx, "q"); !errors.Is(err, context.Canceled) || acks.Missing != n.Len() {
		t.Errorf("canceled: %+v %v, %d there", acks, err, n.Len())
	}
	if _, err := n.EmitWithAck(ctx, "q", make(chan int)); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("channel: %v", err)
	}
}

// Joins race with the last leave, broadcasts and the end of sockets; in the end the rooms are what the
// sockets say.
func TestRoomRaces(t *testing.T) {
	rounds := 100_000
	if testing.Short() {
		rounds = 10_000
	}
	s, url := start(t, nil)
	n := s.Of("/")
	const members = 8
	clients, sockets := crowd(t, s, url, members, func(int) []string { return nil })
	for _, c := range clients {
		go c.drain()
	}
	var wg sync.WaitGroup
	for i, socket := range sockets {
		wg.Go(func() {
			for k := range rounds / members {
				room := fmt.Sprint("r", k%3)
				if err := socket.Join(room); err != nil {
					t.Error(err)
					return
				}
				if !socket.InRoom(room) {
					t.Error("membership was lost")
					return
				}
				if k%100 == 0 {
					_ = n.To("r0", "r1").Except("r2").Volatile().Emit("x")
				}
				socket.Leave(room)
				if socket.InRoom(room) {
					t.Error("still there")
					return
				}
			}
			if err := socket.Join("end", fmt.Sprint("own", i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	n.mu.Lock()
	if len(n.rooms) != members+1 || len(n.rooms["end"].members) != members {
		t.Errorf("%d rooms", len(n.rooms))
	}
	n.mu.Unlock()
	checkRooms(t, n)
}

// checkRooms compares the two sides of every membership.
func checkRooms(t *testing.T, n *Namespace) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	for name, r := range n.rooms {
		if len(r.members) == 0 || r.name != name {
			t.Errorf("room %q with %d members", name, len(r.members))
		}
		for i, m := range r.members {
			if back := m.socket.rooms[m.slot]; back.room != r || int(back.at) != i || m.session != m.socket.conn.session {
				t.Errorf("room %q: member %d is not linked back", name, i)
			}
		}
	}
	for i, m := range n.all {
		if int(m.socket.index) != i || n.sockets[m.socket.id] != m.socket {
			t.Errorf("socket %d is not linked back", i)
		}
	}
	if len(n.all) != len(n.sockets) {
		t.Errorf("%d of %d sockets", len(n.all), len(n.sockets))
	}
}

func TestRoomsRandomly(t *testing.T) {
	n := newNamespace(&Server{}, "/", nil)
	sockets := make([]*Socket, 200)
	model := make([]map[string]bool, len(sockets))
	for i := range sockets {
		sockets[i] = &Socket{ns: n, conn: &conn{}, id: fmt.Sprint("id", i), index: -1}
		model[i] = map[string]bool{}
	}
	for range 50_000 {
		i, room := rand.IntN(len(sockets)), fmt.Sprint("room", rand.IntN(20))
		s := sockets[i]
		switch rand.IntN(10) {
		case 0:
			if s.index < 0 {
				n.register(s)
			} else {
				n.unregister(s)
				clear(model[i])
			}
		case 1, 2, 3:
			n.leave(s, room)
			delete(model[i], room)
		default:
			if s.index >= 0 {
				n.join(s, room)
				model[i][room] = true
			}
		}
	}
	checkRooms(t, n)
	for i, s := range sockets {
		if len(s.rooms) != len(model[i]) {
			t.Fatalf("socket %d is in %d rooms, not %d", i, len(s.rooms), len(model[i]))
		}
		for _, m := range s.rooms {
			if !model[i][m.room.name] {
				t.Fatalf("socket %d is in %s", i, m.room.name)
			}
		}
	}
}
