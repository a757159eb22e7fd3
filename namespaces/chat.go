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
//	const { events } = await socket.emitWithAck("history", "lobby", { limit: 50 });
//
// A namespace comes about in three steps: who may connect, what happens when they do, and what they may
// send.
func chat(n *socketio.Namespace, d Deps) {
	// What the handlers share is a value of their own. Handlers of one socket run one after another, those
	// of different sockets at the same time, so such a value guards itself with locks; look into
	// handlers.Presence for one that does.
	room := handlers.NewChat(n, "lobby", handlers.ChatLimits{Text: 2000, Image: 700_000})

	// 1. Who may connect. A middleware sees the socket before anyone else does. It reads what the client
	// gave as auth, keeps what it learned with Socket.SetData, says with Socket.SetUser whom it recognised (nobody
	// else can come back to the session), and refuses by returning an error: the client gets a connect_error with
	// the error's message and code, and does not try again by itself.
	n.Use(room.Admit)

	// 2. What happens when they do, and when they go. No event of a socket is handled before its connection
	// handlers have returned, so what they set up is there for every event. This one joins rooms and emits to
	// the new socket. Where the namespace is recoverable a client that lost its connection comes back as the
	// socket that it was, in its rooms and with what it missed: then Socket.Recovered says so, and the handlers
	// must bear to run again.
	n.OnConnect(room.Enter)
	n.OnDisconnect(room.Exit)

	// 3. What they may send. Handle takes a typed function: the event's first argument is decoded into the
	// function's parameter, the result answers the client's ack, and an error answers it with
	// {error: {code, message}}. Input of the wrong shape never gets as far as the function.
	socketio.Handle(n, "typing", room.Typing)

	// On takes the event as it is. Its handler decodes the arguments if it wants to, and answers when it wants
	// to: these two as soon as the log has what was said.
	n.On("message", room.Message)
	n.On("image", room.Image)

	// Neither of these looks at what it passes on: what was said in a room the socket is in, and, for the page
	// to measure its round trips with, whatever comes.
	n.On("history", handlers.DefaultHistoryLimits.History)
	n.On("echo", handlers.Echo)

	logErrors(n, d.Logger)
}
