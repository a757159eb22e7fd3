package namespaces

import (
	"holdfast/handlers"
	"holdfast/socketio"
)

// chat is the namespace behind the demo page, and an example to write your own by. A browser connects to
// it with the stock client:
//
//	const socket = io("/chat", { auth: { name: "Ada", key: aRandomString }, retries: 10, ackTimeout: 8000 });
//	socket.on("message", ({ from, text }) => ...);
//	const receipt = await socket.emitWithAck("message", { text: "Hello", cid: crypto.randomUUID() });
//
// A namespace comes about in three steps: who may connect, what happens when they do, and what they may
// send.
func chat(n *socketio.Namespace, d Deps) {
	// What the handlers share is a value of their own. Handlers of one socket run one after another, those
	// of different sockets at the same time, so such a value guards itself with locks; look into
	// handlers.Presence for one that does.
	room := handlers.NewChat(n, "lobby", handlers.ChatLimits{Text: 2000, Image: 700_000})

	// 1. Who may connect. A middleware sees the socket before anyone else does. It reads what the client
	// gave as auth, keeps what it learned with Socket.SetData, and refuses by returning an error: the client
	// gets a connect_error with the error's message and code, and does not try again by itself.
	n.Use(room.Admit)

	// 2. What happens when they do, and when they go. No event of a socket is handled before its connection
	// handlers have returned, so what they set up is there for every event. This one joins a room and emits
	// to the new socket; rooms are left without being told when a socket disconnects.
	n.OnConnect(room.Enter)
	n.OnDisconnect(room.Exit)

	// 3. What they may send. Handle takes typed functions: the event's first argument is decoded into the
	// function's parameter (binary values into []byte), the result answers the client's ack, and an error
	// answers it with {error: {code, message}}. Input of the wrong shape never gets as far as the function.
	socketio.Handle(n, "message", room.Message)
	socketio.Handle(n, "image", room.Image)
	socketio.Handle(n, "typing", room.Typing)

	// On takes the event as it is, arguments undecoded. It is for what is passed on, as here: the page
	// measures its round trips with it.
	n.On("echo", handlers.Echo)

	logErrors(n, d.Logger)
}
