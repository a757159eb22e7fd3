package socketio

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"holdfast/cluster"
)

// Broadcast says to whom and how something is sent. It is a value: each method returns another and leaves
// this one as it was, so that it can be kept and used again, also concurrently.
//
// Without To it means everyone in the namespace; several rooms mean everyone who is in any of them, once.
// The id of a socket is a room that only it is in.
type Broadcast struct {
	ns      *Namespace
	parent  *ParentNamespace // instead of ns
	rooms   []string
	except  []string
	sender  *Socket // left out
	local   bool
	flags   sendFlags
	timeout time.Duration
}

// To adds rooms.
func (b Broadcast) To(rooms ...string) Broadcast {
	b.rooms = slices.Concat(b.rooms, rooms)
	return b
}

// In is To.
func (b Broadcast) In(rooms ...string) Broadcast { return b.To(rooms...) }

// Except leaves out everyone who is in any of the rooms.
func (b Broadcast) Except(rooms ...string) Broadcast {
	b.except = slices.Concat(b.except, rooms)
	return b
}

// Local keeps it on this node.
func (b Broadcast) Local() Broadcast {
	b.local = true
	return b
}

// Volatile skips clients that are not ready for the event.
func (b Broadcast) Volatile() Broadcast {
	b.flags.volatile = true
	return b
}

// Compress says whether the event may be compressed.
func (b Broadcast) Compress(on bool) Broadcast {
	b.flags.noCompress = !on
	return b
}

// Timeout bounds the wait of EmitWithAck and FetchSockets; 0 means the default of each.
func (b Broadcast) Timeout(d time.Duration) Broadcast {
	b.timeout = d
	return b
}

// Emit sends an event, which is encoded once for all. Errors: of encoding, as with Socket.Emit, and then
// nobody is sent anything; ErrReservedEvent; and of the cluster bus, after everyone on this node was sent
// the event.
// In a recoverable namespace the event is on its way to the log when Emit returns: see EmitThen. There it is
// ErrNotKept while the log takes no events.
func (b Broadcast) Emit(event string, args ...any) error { return b.emit(event, args, nil) }

// EmitThen is Emit that calls then once the outcome is known, unless it returns an error: with nil when the event
// was committed to the log and put into the queues, or with why it was not kept, and then nobody got it. In a namespace
// that is not recoverable that is at once. then may run on a goroutine of the log: it may acknowledge an event, but
// must not emit or wait.
func (b Broadcast) EmitThen(then func(error), event string, args ...any) error {
	if b.parent != nil {
		err := b.emit(event, args, nil)
		if err == nil {
			then(nil)
		}
		return err
	}
	return b.emit(event, args, then)
}

// Send emits "message".
func (b Broadcast) Send(args ...any) error { return b.emit("message", args, nil) }

func (b Broadcast) emit(event string, args []any, then func(error)) error {
	if b.parent != nil {
		var errs []error
		for _, n := range b.parent.Children() {
			errs = append(errs, b.in(n).emit(event, args, nil))
		}
		return errors.Join(errs...)
	}
	if isReservedEvent(event) {
		return fmt.Errorf("%w: %s", ErrReservedEvent, event)
	}
	n := b.ns
	p, err := encodeEvent(n.name, noID, event, args, n.server.opts.MaxAttachments)
	if err != nil {
		return err
	}
	frame, err := n.outlet.broadcast(b.target(), p, b.flags, 0, nil, then)
	if err != nil {
		return err
	}
	node := b.cluster()
	if node == nil {
		return nil
	}
	m := b.message(cluster.KindBroadcast)
	m.Data, m.Attachments = frame.Text()[p.data-textStart:], frame.Attachments()
	return node.publish(m)
}

// in is the same broadcast in one namespace of a parent.
func (b Broadcast) in(n *Namespace) Broadcast {
	b.ns, b.parent = n, nil
	return b
}

// cluster is the way to the other nodes, or nil where it is not wanted.
func (b Broadcast) cluster() *node {
	if b.local {
		return nil
	}
	return b.ns.inCluster()
}

func (b Broadcast) target() *target {
	return &target{rooms: b.rooms, except: b.except, sender: b.sender}
}

// message is the target as other nodes get it.
func (b Broadcast) message(kind cluster.Kind) *cluster.Message {
	except := b.except
	if b.sender != nil {
		except = slices.Concat(except, []string{b.sender.id})
	}
	return &cluster.Message{
		Kind: kind, Rooms: b.rooms, Except: except,
		Volatile: b.flags.volatile, NoCompress: b.flags.noCompress,
	}
}

// BroadcastAcks are the acknowledgements of a broadcast.
type BroadcastAcks struct {
	Responses []Args // one for each client that answered, in the order in which they came
	Missing   int    // clients that left or did not answer in time
}

// EmitWithAck sends an event and waits until every client has answered or left, or until ctx or Timeout
// ends it: then it is ErrAckTimeout (or ctx's error, when it was cancelled), and what has come so far is
// returned with it. Without either it may wait for as long as a client stays and does not answer.
func (b Broadcast) EmitWithAck(ctx context.Context, event string, args ...any) (BroadcastAcks, error) {
	if b.parent != nil {
		return BroadcastAcks{}, errParent
	}
	if isReservedEvent(event) {
		return BroadcastAcks{}, fmt.Errorf("%w: %s", ErrReservedEvent, event)
	}
	n := b.ns
	id := n.ackIDs.Add(1) - 1
	p, err := encodeEvent(n.name, int64(id), event, args, n.server.opts.MaxAttachments)
	if err != nil {
		return BroadcastAcks{}, err
	}
	ctx, cancel := n.bound(ctx, b.timeout)
	defer cancel()
	g := newAckGroup()
	frame, _ := n.outlet.broadcast(b.target(), p, b.flags, id, g, nil) // nothing is kept that is acknowledged
	if node := b.cluster(); node != nil {
		m := b.message(cluster.KindBroadcast)
		m.Data, m.Attachments = frame.Text()[p.data-textStart:], frame.Attachments()
		if end, ok := ctx.Deadline(); ok {
			m.Timeout = time.Until(end)
		}
		defer node.ask(m, g)()
	}
	g.begin()
	select {
	case <-g.done:
		return g.result(), nil
	case <-ctx.Done():
	}
	complete := g.stop()
	g.mu.Lock()
	sockets := g.sockets
	g.mu.Unlock()
	for _, s := range sockets {
		s.takeAck(id)
	}
	if complete {
		return g.result(), nil
	}
	return g.result(), waitError(ctx)
}

// SocketsJoin puts everyone into rooms.
func (b Broadcast) SocketsJoin(rooms ...string) {
	b.operate(cluster.KindSocketsJoin, rooms, false)
}

// SocketsLeave takes everyone out of rooms.
func (b Broadcast) SocketsLeave(rooms ...string) {
	b.operate(cluster.KindSocketsLeave, rooms, false)
}

// DisconnectSockets disconnects everyone; see Socket.Disconnect.
func (b Broadcast) DisconnectSockets(close bool) {
	b.operate(cluster.KindDisconnectSockets, nil, close)
}

func (b Broadcast) operate(kind cluster.Kind, rooms []string, close bool) {
	if b.parent != nil {
		for _, n := range b.parent.Children() {
			b.in(n).operate(kind, rooms, close)
		}
		return
	}
	b.ns.operate(b.target(), kind, rooms, close)
	if node := b.cluster(); node != nil {
		m := b.message(kind)
		m.Arguments, m.Close = rooms, close
		_ = node.publish(m) // logged and counted
	}
}

// operate does to sockets of this node what a broadcast or another node asks for.
func (n *Namespace) operate(t *target, kind cluster.Kind, rooms []string, close bool) {
	if kind == cluster.KindDisconnectSockets {
		for _, s := range n.pick(t) {
			s.Disconnect(close)
		}
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	// The rooms may be those that are being walked.
	list := slices.Clone(n.recipients(t))
	n.releaseRecipients()
	for i := range list {
		if list[i].socket == t.sender {
			continue
		}
		if kind == cluster.KindSocketsLeave {
			n.part(list[i].socket, rooms)
			continue
		}
		for _, room := range rooms {
			n.join(list[i].socket, room)
		}
		n.saved(list[i].socket)
	}
}
