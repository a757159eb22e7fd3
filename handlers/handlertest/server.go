// Package handlertest runs a Socket.IO server and small clients inside a Go test, for tests of handlers and
// namespaces:
//
//	srv := handlertest.Start(t, func(io *socketio.Server) {
//		socketio.Handle(io.Of("/"), "join", handlers.DefaultRoomLimits.Join)
//	})
//	ada := srv.Connect(t, "/", nil)
//	ack := ada.Ask("join", "lobby") // []any{map[string]any{"ok": true}}
//
// A client speaks the protocol over a websocket and judges nothing: whether stock clients get along with the
// server is for tests with stock clients.
package handlertest

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"holdfast/socketio"
)

// Patience bounds every wait of a client, far above what any takes.
const Patience = 20 * time.Second

// Server is a running server.
type Server struct {
	IO  *socketio.Server
	url string
}

// Start runs a server that setUp has given its handlers. It ends with the test.
func Start(t testing.TB, setUp func(io *socketio.Server)) *Server {
	t.Helper()
	io, err := socketio.NewServer(socketio.DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	setUp(io)
	web := httptest.NewServer(io)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		defer cancel()
		if err := io.Shutdown(ctx); err != nil {
			t.Errorf("shut down: %v", err)
		}
		web.Close()
	})
	return &Server{IO: io, url: "ws" + strings.TrimPrefix(web.URL, "http") + "/socket.io/?EIO=4&transport=websocket"}
}

// Connect connects a client to a namespace. A refusal fails the test.
func (s *Server) Connect(t testing.TB, namespace string, auth any) *Client {
	t.Helper()
	c, refusal := s.TryConnect(t, namespace, auth)
	if refusal != nil {
		t.Fatalf("connect to %s: refused: %v", namespace, refusal)
	}
	return c
}

// TryConnect is Connect for where the namespace may refuse: then it returns the content of the
// CONNECT_ERROR packet instead of a client.
func (s *Server) TryConnect(t testing.TB, namespace string, auth any) (*Client, map[string]any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	conn, buffered, _, err := ws.Dial(ctx, s.url)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, namespace, conn)
	if buffered != nil {
		c.in = buffered
	}
	t.Cleanup(c.Drop)
	if open, err := wsutil.ReadServerText(readWriter{c.in, conn}); err != nil || open[0] != '0' {
		t.Fatalf("no open packet but %q, %v", open, err)
	}
	go c.read()
	c.send('0', "", auth)
	answer := c.take("the answer to CONNECT", func(p packet) bool { return p.kind == '0' || p.kind == '4' })
	content, _ := answer.data.(map[string]any)
	if answer.kind == '4' {
		c.Drop()
		return nil, content
	}
	c.ID, _ = content["sid"].(string)
	return c, nil
}
