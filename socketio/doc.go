// Package socketio is a Socket.IO server: protocol v5, as spoken by socket.io-client 3 and 4, on top of
// package engineio.
//
// A Server has Namespaces, a namespace has Sockets, and a socket is in rooms. Handlers are set on the
// namespace, before its first client as a rule:
//
//	io, err := socketio.NewServer(socketio.DefaultOptions())
//	chat := io.Of("/chat")
//	chat.OnConnect(func(s *socketio.Socket) error { return s.Join("lobby") })
//	chat.On("typing", func(e *socketio.Event) error {
//		return e.Socket.To("lobby").Volatile().Emit("typing", e.Socket.ID())
//	})
//	http.Handle("/socket.io/", io)
//
// What a handler may rely on:
//
//   - The handlers of one socket run one after another, on one goroutine, in the order in which the client
//     sent: connect, events, disconnect. Those of different sockets run concurrently.
//   - A handler may block. It delays its own socket's next event and nothing else; acknowledgements of the
//     same client are still received, so it may wait for one.
//   - Everyone in a room sees the broadcasts to it in the same order.
//   - A panic in a handler is caught, logged and counted, and answered like an internal error.
//
// All methods of all types may be called concurrently unless they say otherwise.
//
// Lock order: Namespace.mu, then Socket.mu, then those of the acknowledgements (ackGroup, relayedAcks) and
// whatever is inside packages engineio and cluster. Server.mu, conn.mu and lobby.mu are taken alone. No lock
// is held while a function of the application runs.
package socketio
