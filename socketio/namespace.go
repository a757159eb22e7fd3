package socketio

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// firstAckID is where a namespace begins to count. It is not 0: a stock client may send an acknowledgement that it owes
// a server which has crashed since, and that must not be taken for one of this process's.
var firstAckID = func() uint64 { return rand.Uint64N(1 << 44) }

// Namespace is a set of sockets with their rooms and handlers, apart from those of other namespaces.
type Namespace struct {
	handlers
	server *Server
	name   string
	parent *ParentNamespace // of a namespace that was made on demand
	refs   int              // sockets, connected or about to be, of one with a parent; under Server.mu
	outlet outlet
	joined sync.Once     // guards node
	node   *node         // its place in the cluster, or nil; use inCluster
	ackIDs atomic.Uint64 // the next id of an event that asks for acknowledgements

	mu      sync.Mutex
	sockets map[string]*Socket
	all     []member // the same sockets
	rooms   map[string]*room
	round   uint64   // of recipients
	scratch []member // of recipients
}

func newNamespace(s *Server, name string, parent *ParentNamespace) *Namespace {
	n := &Namespace{
		server:  s,
		name:    name,
		parent:  parent,
		sockets: make(map[string]*Socket),
		rooms:   make(map[string]*room),
	}
	n.outlet.n = n
	n.ackIDs.Store(firstAckID())
	if parent != nil {
		n.handlers.parent = &parent.handlers
	}
	return n
}

// inCluster is the namespace's place in the cluster, or nil. The first call takes it.
func (n *Namespace) inCluster() *node {
	if n.server.opts.Bus == nil {
		return nil
	}
	n.joined.Do(func() {
		node, err := joinCluster(n, n.server.opts.Bus)
		if err != nil {
			n.server.stats.busErrors.Add(1)
			n.server.opts.Logger.Error().Err(err).Str("namespace", n.name).Msg("namespace could not join the cluster")
			return
		}
		n.node = node
	})
	return n.node
}

// Name is the namespace's name, with its leading "/".
func (n *Namespace) Name() string { return n.name }

// Server is the one that the namespace belongs to.
func (n *Namespace) Server() *Server { return n.server }

// Len is the number of sockets connected to this node.
func (n *Namespace) Len() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.all)
}

// Sockets are those connected to this node, in no order.
func (n *Namespace) Sockets() []*Socket { return n.pick(&target{}) }

// Socket is the one with that id on this node, or nil.
func (n *Namespace) Socket(id string) *Socket {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sockets[id]
}

// RoomSize is how many sockets of this node are in a room.
func (n *Namespace) RoomSize(room string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	defer n.releaseRecipients()
	return len(n.recipients(&target{rooms: []string{room}}))
}

func (n *Namespace) everyone() Broadcast { return Broadcast{ns: n} }

// To starts a broadcast to the rooms.
func (n *Namespace) To(rooms ...string) Broadcast { return n.everyone().To(rooms...) }

// In is To.
func (n *Namespace) In(rooms ...string) Broadcast { return n.everyone().To(rooms...) }

// Except starts a broadcast to all who are in none of the rooms.
func (n *Namespace) Except(rooms ...string) Broadcast { return n.everyone().Except(rooms...) }

// Local starts a broadcast that stays on this node.
func (n *Namespace) Local() Broadcast { return n.everyone().Local() }

// Volatile starts a broadcast that skips clients that are not ready for it.
func (n *Namespace) Volatile() Broadcast { return n.everyone().Volatile() }

// Compress starts a broadcast that may be compressed or not.
func (n *Namespace) Compress(on bool) Broadcast { return n.everyone().Compress(on) }

// Timeout starts a broadcast whose acknowledgements are waited for no longer than d.
func (n *Namespace) Timeout(d time.Duration) Broadcast { return n.everyone().Timeout(d) }

// Emit sends an event to everyone in the namespace; see Broadcast.Emit.
func (n *Namespace) Emit(event string, args ...any) error {
	return n.everyone().emit(event, args, nil)
}

// Send emits "message".
func (n *Namespace) Send(args ...any) error { return n.everyone().emit("message", args, nil) }

// EmitWithAck sends an event to everyone in the namespace and waits for all acknowledgements; see
// Broadcast.EmitWithAck.
func (n *Namespace) EmitWithAck(ctx context.Context, event string, args ...any) (BroadcastAcks, error) {
	return n.everyone().EmitWithAck(ctx, event, args...)
}

// FetchSockets lists the sockets of all nodes; see Broadcast.FetchSockets.
func (n *Namespace) FetchSockets(ctx context.Context) ([]RemoteSocket, error) {
	return n.everyone().FetchSockets(ctx)
}

// SocketsJoin puts everyone into rooms.
func (n *Namespace) SocketsJoin(rooms ...string) { n.everyone().SocketsJoin(rooms...) }

// SocketsLeave takes everyone out of rooms.
func (n *Namespace) SocketsLeave(rooms ...string) { n.everyone().SocketsLeave(rooms...) }

// DisconnectSockets disconnects everyone; see Socket.Disconnect.
func (n *Namespace) DisconnectSockets(close bool) { n.everyone().DisconnectSockets(close) }
