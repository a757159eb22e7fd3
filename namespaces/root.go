package namespaces

import (
	"holdfast/handlers"
	"holdfast/socketio"
)

// root is the namespace that a client gets without asking for one: anyone may connect, join rooms and
// publish to them.
//
//	echo(...args)                  ack gets the arguments; without an ack, echo is emitted back
//	join(room), leave(room)        ack {ok: true}
//	publish(room, event, ...args)  event(...args) to everyone in room; ack {ok: true}
//	history(room, {after, limit})  ack {events: [{offset, at, event, args}], more}, of a room that it is in
func root(n *socketio.Namespace, d Deps) {
	rooms := handlers.DefaultRoomLimits

	n.On("echo", handlers.Echo)
	socketio.Handle(n, "join", rooms.Join)
	socketio.Handle(n, "leave", rooms.Leave)
	n.On("publish", rooms.Publish)
	n.On("history", handlers.DefaultHistoryLimits.History)

	logErrors(n, d.Logger)
}
