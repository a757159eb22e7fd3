// Package cluster joins the Socket.IO servers of several nodes into one: what is emitted on one node
// reaches the clients of all.
//
// A Bus carries Messages between nodes, one stream for each namespace. It knows nothing of sockets or
// rooms: a server publishes what it has already done for its own clients, and does for them what the
// others publish. The kinds of message are those of Node's cluster adapter (socket.io-adapter), so that
// its wire formats can be put behind the same interface.
//
// NewInProcess is the bus for several servers in one process.
package cluster

import (
	"errors"
)

// Errors of a bus. Test with errors.Is.
var (
	// ErrClosed says that the member has left, or the bus was closed.
	ErrClosed = errors.New("cluster bus is closed")
	// ErrQueueFull says that the message was dropped, for one node at least, because the queue on its way
	// there is full.
	ErrQueueFull = errors.New("cluster queue is full")
)

// Bus is the way from one node to the others. Its methods may be called concurrently.
type Bus interface {
	// Join takes part in a namespace under a node id of its own. From then on h receives what other
	// members of the namespace publish, and what they send to this one.
	Join(namespace string, h Handler) (Member, error)
}

// Member is one node's place in one namespace. Its methods may be called concurrently and never wait for
// the network: what can't be sent at once waits in a bounded queue, and past its bound is ErrQueueFull.
type Member interface {
	// ID is unique among the members of the namespace.
	ID() string
	// Publish sends m to all other members. Messages of one member arrive in the order of Publish.
	// m and what it points to must not change afterwards.
	Publish(m *Message) error
	// Send is Publish to one member; it is how a request is answered.
	Send(to string, m *Message) error
	// Others are the ids of the other members, as far as they are known now.
	Others() []string
	// Leave ends the membership. No call of the handler is in progress or begins once it has returned,
	// so it must not be called from the handler.
	Leave()
}

// Handler receives the messages of one namespace, one call at a time and in order for each sender. It must
// not block for long: what arrives meanwhile waits in a bounded queue.
type Handler interface {
	// Receive is given a message of another member. m may be kept but not changed.
	Receive(m *Message)
	// Left says that a member is gone: it will answer nothing more.
	Left(node string)
}
