package main

import (
	"holdfast/engineio"
	"holdfast/socketio"
)

// echo is the server that the Engine.IO suite expects: every message goes back as it came.
type echo struct{}

func (echo) Open(s *engineio.Session) engineio.Receiver { return echoReceiver{s} }

type echoReceiver struct{ session *engineio.Session }

func (r echoReceiver) Message(data []byte, binary bool) error {
	if binary {
		return r.session.Send(engineio.NewBinaryFrame(data))
	}
	return r.session.Send(engineio.NewTextFrame(string(data)))
}

func (echoReceiver) Close(engineio.Reason, error) {}

// socketSuite is the server that the Socket.IO suite expects: the auth payload is told back, messages are answered.
func socketSuite(server *socketio.Server) {
	tellAuth := func(s *socketio.Socket) error { return s.Emit("auth", authOf(s)) }
	main := server.Of("/")
	main.OnConnect(tellAuth)
	main.On("message", func(e *socketio.Event) error { return e.Socket.Emit("message-back", e.Args) })
	main.On("message-with-ack", func(e *socketio.Event) error { return e.Ack(e.Args) })
	server.Of("/custom").OnConnect(tellAuth)
}

// authOf is the auth payload as Node has it: an empty object where there was none.
func authOf(s *socketio.Socket) any {
	if auth := s.Handshake().Auth; !auth.IsZero() {
		return auth
	}
	return struct{}{}
}
