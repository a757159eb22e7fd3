package socketio

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestConnect(t *testing.T) {
	s, url := start(t, nil)
	n := s.Of("admin") // the slash is put in front
	n.Use(func(s *Socket) error {
		var auth struct{ Token string }
		h := s.Handshake()
		if s.Connected() || h.Query.Get("EIO") != "4" || h.URL != "/socket.io/?EIO=4&transport=websocket" || h.Secure || h.Address == "" || h.Time.IsZero() {
			t.Errorf("handshake %+v", h)
		}
		if h.Auth.IsZero() {
			return &Error{Code: "no_token", Message: "a token is needed"}
		}
		if err := h.Auth.Bind(&auth); err != nil {
			return err
		}
		switch auth.Token {
		case "secret":
			s.SetData(auth.Token)
			return s.Join("early")
		case "plain":
			return errors.New("db is at 10.0.0.1")
		case "panic":
			panic("oh")
		}
		return &Error{Message: "wrong token", Data: map[string]string{"hint": "secret"}}
	})
	n.Use(func(s *Socket) error {
		if s.Data() != "secret" || !s.InRoom("early") {
			t.Error("data or room is missing")
		}
		return nil
	})
	c := dial(t, url)
	c.send(`0/admin,`)
	c.want(`4/admin,{"data":{"code":"no_token"},"message":"a token is needed"}`)
	c.send(`0/admin,{"token":"x"}`)
	c.want(`4/admin,{"data":{"hint":"secret"},"message":"wrong token"}`)
	c.send(`0/admin,{"token":"plain"}`)
	c.want(`4/admin,{"data":{"code":"internal"},"message":"internal error"}`)
	c.send(`0/admin,{"token":"panic"}`)
	c.want(`4/admin,{"data":{"code":"internal"},"message":"internal error"}`)
	c.send(`0/nope,`)
	c.want(`4/nope,{"message":"Invalid namespace"}`)
	if n.Len() != 0 {
		t.Error("refused sockets are in the namespace")
	}
	c.send(`0/admin,{"token":"secret"}`)
	m, err := c.next()
	if err != nil || !regexp.MustCompile(`^0/admin,\{"sid":"[A-Za-z0-9_-]{20}"\}$`).MatchString(m.text) {
		t.Fatalf("%q %v", m.text, err)
	}
	if err := n.To("early").Emit("hello"); err != nil {
		t.Fatal(err)
	}
	c.want(`2/admin,["hello"]`)
	id := c.join("/")
	if got := s.Of("/").Socket(id); got == nil || got.ID() != id || got.Transport() != "websocket" || got.Recovered() {
		t.Errorf("%+v", got)
	}
	if st := s.Stats(); st.Sockets != 2 || st.Connects != 2 || st.Refused != 5 || st.Namespaces != 2 || st.Rooms != 1 {
		t.Errorf("%+v", st)
	}
}

func TestConnectsRunConcurrently(t *testing.T) {
	s, url := start(t, nil)
	release := make(chan struct{})
	s.Of("/slow").Use(func(*Socket) error { <-release; return nil })
	s.Of("/fast").Use(func(*Socket) error { return nil })
	c := dial(t, url)
	c.send(`0/slow,`)
	c.join("/fast")
	close(release)
	if m, err := c.next(); err != nil || !strings.HasPrefix(m.text, "0/slow,") {
		t.Errorf("%q %v", m.text, err)
	}
}

// A client that gives up while it waits, and asks again, is answered once.
func TestSecondConnectWhileFirstWaits(t *testing.T) {
	s, url := start(t, nil)
	n := s.Of("/slow")
	first, release := make(chan struct{}), make(chan struct{})
	var calls atomic.Int32
	n.Use(func(s *Socket) error {
		if calls.Add(1) == 1 {
			close(first)
			<-release
		}
		return nil
	})
	n.OnDisconnect(func(*Socket, string) { t.Error("a socket that never connected is disconnected") })
	n.On("echo", func(e *Event) error { return e.Ack(1) })
	c := dial(t, url)
	c.send(`0/slow,`)
	receive(t, first, "first attempt")
	c.join("/slow")
	close(release)
	c.send(`2/slow,1["echo"]`)
	c.want(`3/slow,1[1]`)
	if n.Len() != 1 {
		t.Errorf("%d sockets", n.Len())
	}
	n.handlers.change(func(t *table) { t.disconnect = nil })
}

func TestTooManyNamespaces(t *testing.T) {
	s, url := start(t, func(o *Options) { o.MaxNamespacesPerConnection = 3 })
	s.OfPattern(regexp.MustCompile(`^/n\d+$`))
	c := dial(t, url)
	for i := range 3 {
		c.join(fmt.Sprint("/n", i))
	}
	c.send(`0/n3,`)
	c.want(`4/n3,{"data":{"code":"too_many_namespaces"},"message":"too many namespaces"}`)
	c.send(`1/n0,`)
	c.join("/n3")
}

func TestConnectError(t *testing.T) {
	s, url := start(t, nil)
	n := s.Of("/")
	got := make(chan error, 2)
	n.OnError(func(_ *Socket, err error) { got <- err })
	n.OnConnect(func(*Socket) error { return errors.New("no room") })
	c := dial(t, url)
	c.join("/")
	c.want(`1`)
	if err := receive(t, got, "error"); err.Error() != "no room" {
		t.Error(err)
	}
	eventually(t, "left", func() bool { return n.Len() == 0 })
}

func TestMiddlewareAndListeners(t *testing.T) {
	s, url := start(t, nil)
	n := s.Of("/")
	var mu sync.Mutex
	var log []string
	note := func(v ...any) { mu.Lock(); log = append(log, fmt.Sprint(v...)); mu.Unlock() }
	n.OnAny(func(e *Event) { note("any ", e.Name) })
	n.UsePacket(func(e *Event) error {
		note("first ", e.Name)
		if e.Name == "forbidden" {
			return &Error{Code: "forbidden", Message: "no"}
		}
		return nil
	})
	n.UsePacket(func(e *Event) error { note("second ", e.Name); return nil })
	n.OnAnyOutgoing(func(_ *Socket, event string, args []Arg) {
		b, _ := Args(args).At(0).Bytes()
		note("out ", event, len(args), b)
	})
	n.OnError(func(_ *Socket, err error) { note("error ", err) })
	n.On("forbidden", func(*Event) error { t.Error("handled"); return nil })
	n.On("ok", func(e *Event) error {
		if err := e.Socket.Emit("one", []byte{5}); err != nil {
			return err
		}
		if err := n.Emit("all", 1, 2); err != nil {
			return err
		}
		return e.Ack()
	})
	c := dial(t, url)
	c.join("/")
	c.send(`21["forbidden"]`, `22["ok"]`, `23["unknown"]`, `24["forbidden"]`)
	c.want(`31[{"error":{"code":"forbidden","message":"no"}}]`)
	c.want(`51-["one",{"_placeholder":true,"num":0}]`)
	c.wantBinary("\x05")
	c.want(`2["all",1,2]`)
	c.want(`32[]`)
	c.want(`34[{"error":{"code":"forbidden","message":"no"}}]`)
	eventually(t, "all logged", func() bool { mu.Lock(); defer mu.Unlock(); return len(log) == 14 })
	want := "any forbidden,first forbidden,error no,any ok,first ok,second ok,out one1 [5],out all2 [],any unknown,first unknown,second unknown,any forbidden,first forbidden,error no"
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(log, ","); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestOnTwicePanics(t *testing.T) {
	s, _ := start(t, nil)
	n := s.Of("/")
	n.On("a", func(*Event) error { return nil })
	for _, event := range []string{"a", "disconnect"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", event)
				}
			}()
			n.On(event, func(*Event) error { return nil })
		}()
	}
}

func TestConcurrentOfGivesOne(t *testing.T) {
	s, _ := start(t, nil)
	s.OfPattern(regexp.MustCompile(`^/p`))
	for i := range 2000 {
		var got [4]*Namespace
		var ready, wg sync.WaitGroup
		ready.Add(len(got))
		for k := range got {
			wg.Go(func() {
				ready.Done()
				ready.Wait()
				got[k] = s.Of(fmt.Sprintf("/%c%d", "pq"[i%2], i))
			})
		}
		wg.Wait()
		for _, n := range got {
			if n != got[0] {
				t.Fatal("two namespaces of one name")
			}
		}
	}
}

func TestChildNamespaces(t *testing.T) {
	s, url := start(t, nil)
	p := s.OfPattern(regexp.MustCompile(`^/room-\d+$`))
	f := s.OfFunc(func(name string, h *Handshake) (bool, error) {
		switch name {
		case "/panic":
			panic("oh")
		case "/error":
			return true, errors.New("no")
		}
		return name == "/made" && h.Query.Get("EIO") == "4", nil
	})
	Handle(p, "where", func(e *Event, _ struct{}) (string, error) { return e.Socket.Namespace().Name(), nil })
	f.On("x", func(e *Event) error { return e.Ack("f") })
	c := dial(t, url)
	c.join("/room-1")
	c.join("/room-2")
	c.join("/made")
	c.send(`0/other,`, `2/room-2,0["where"]`, `2/made,0["x"]`)
	seen := map[string]bool{}
	for range 3 {
		m, err := c.next()
		if err != nil {
			t.Fatal(err)
		}
		seen[m.text] = true
	}
	if !seen[`4/other,{"message":"Invalid namespace"}`] || !seen[`3/room-2,0["/room-2"]`] || !seen[`3/made,0["f"]`] {
		t.Errorf("%v", seen)
	}
	for _, name := range []string{"/panic", "/error"} {
		c.send("0" + name + ",")
		c.want("4" + name + `,{"message":"Invalid namespace"}`)
	}
	if len(p.Children()) != 2 || s.Of("/room-1").Len() != 1 {
		t.Errorf("%d children", len(p.Children()))
	}
	if err := p.Emit("all"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if m, _ := c.next(); !strings.HasSuffix(m.text, `,["all"]`) {
			t.Errorf("%q", m.text)
		}
	}
	// A handler of one child's own ends the sharing for that child.
	s.Of("/room-1").On("own", func(e *Event) error { return e.Ack("own") })
	c.send(`2/room-1,0["own"]`, `2/room-1,1["where"]`, `2/room-2,2["own"]`)
	seen = map[string]bool{}
	for range 2 {
		m, _ := c.next()
		seen[m.text] = true
	}
	if !seen[`3/room-1,0["own"]`] || !seen[`3/room-1,1["/room-1"]`] {
		t.Errorf("%v", seen)
	}
	// An earlier Of belongs to its pattern.
	if n := s.Of("/room-77"); n.parent != p {
		t.Error("not a child")
	}
}

func TestCleanupOfChildren(t *testing.T) {
	s, url := start(t, func(o *Options) { o.CleanupEmptyChildNamespaces = true })
	p := s.OfPattern(regexp.MustCompile(`^/c$`))
	p.Use(func(*Socket) error { return nil })
	p.OnConnect(func(s *Socket) error { return s.Join("r") })
	p.On("size", func(e *Event) error { return e.Ack(e.Socket.Namespace() == s.Of("/c")) })
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			c := dial(t, url)
			for range 100 {
				c.join("/c")
				c.send(`2/c,0["size"]`)
				c.want(`3/c,0[true]`) // never a namespace that was thrown away
				c.send(`1/c,`)
			}
			c.conn.Close()
		})
	}
	wg.Wait()
	eventually(t, "cleaned up", func() bool { return len(p.Children()) == 0 && s.Stats().Namespaces == 1 })
}

func TestConnectTimeout(t *testing.T) {
	s, url := start(t, func(o *Options) { o.ConnectTimeout = 100 * time.Millisecond })
	release := make(chan struct{})
	s.Of("/slow").Use(func(*Socket) error { <-release; return nil })
	in, idle, slow := dial(t, url), dial(t, url), dial(t, url)
	in.join("/")
	slow.send("0/slow,")
	idle.wantClosed()
	slow.wantClosed()
	close(release)
	in.send("1") // having left again is no reason to be closed
	in.join("/")
	eventually(t, "one session", func() bool { return s.Engine().Len() == 1 })
}

func TestLobby(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lobby
		l.init(time.Second)
		conns := make([]*conn, 5)
		for i := range conns {
			conns[i] = &conn{}
			l.add(conns[i])
		}
		for _, i := range []int{2, 0, 4, 2} { // the middle, the first, the last, and one again
			l.remove(conns[i])
		}
		if l.first != conns[1] || l.last != conns[3] || conns[1].waiting.next != conns[3] || conns[3].waiting.prev != conns[1] {
			t.Error("links are wrong")
		}
		l.remove(conns[1])
		l.remove(conns[3])
		if l.first != nil || l.last != nil {
			t.Error("not empty")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		l.mu.Lock()
		if l.timer != nil {
			t.Error("the timer runs for nobody")
		}
		l.mu.Unlock()
		l.add(conns[0])
		l.stop()
	})
}
