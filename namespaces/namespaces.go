// Package namespaces says who may connect to which namespace, and which handlers answer there: one file a
// namespace. What the handlers do is in package handlers.
package namespaces

import (
	"github.com/rs/zerolog"

	"holdfast/handlers"
	"holdfast/socketio"
)

// Deps are what the namespaces need from outside.
type Deps struct {
	Logger zerolog.Logger
	// Queues answer in /queue; nil for none.
	Queues *handlers.Queues
}

// Register sets up every namespace. To be called once, before io serves its first client.
//
// A namespace of your own is a file beside chat.go and a line here.
func Register(io *socketio.Server, d Deps) error {
	root(io.Of("/"), d)
	chat(io.Of("/chat"), d)
	if d.Queues != nil {
		work(io.Of("/queue"), d)
	}
	return nil
}

// logErrors logs what a client's input led to, at debug: a client can cause any number of such lines.
func logErrors(n *socketio.Namespace, logger zerolog.Logger) {
	n.OnError(func(s *socketio.Socket, err error) {
		logger.Debug().Err(err).Str("namespace", n.Name()).Str("socket", s.ID()).Msg("an event was refused")
	})
}
