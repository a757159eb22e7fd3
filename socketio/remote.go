package socketio

import (
	"context"
	"errors"
	"slices"

	"github.com/go-json-experiment/json"

	"holdfast/cluster"
)

// RemoteSocket is a socket of this or another node, as it was when it was fetched.
type RemoteSocket struct {
	ns    *Namespace
	local *Socket // nil: of another node
	info  *cluster.SocketInfo
}

// FetchSockets lists the sockets, of all nodes unless Local was asked for. Errors: ErrClusterTimeout where
// a node does not answer within Timeout (5 s by default), ctx's error, one of the bus; then the sockets
// that are known are returned with it.
func (b Broadcast) FetchSockets(ctx context.Context) ([]RemoteSocket, error) {
	if b.parent != nil {
		return nil, errParent
	}
	sockets := b.ns.pick(b.target())
	out := make([]RemoteSocket, 0, len(sockets))
	for _, s := range sockets {
		out = append(out, RemoteSocket{ns: b.ns, local: s})
	}
	node := b.cluster()
	if node == nil {
		return out, nil
	}
	g, err := node.gather(ctx, b.message(cluster.KindFetchSockets), b.timeout)
	for i := range g.sockets {
		out = append(out, RemoteSocket{ns: b.ns, info: &g.sockets[i]})
	}
	return out, err
}

// Local is the socket itself, if it is of this node.
func (r RemoteSocket) Local() (*Socket, bool) { return r.local, r.local != nil }

// ID is Socket.ID.
func (r RemoteSocket) ID() string {
	if r.local != nil {
		return r.local.id
	}
	return r.info.ID
}

// Handshake is Socket.Handshake; of another node's socket, without values beyond the first of a header or
// query parameter.
func (r RemoteSocket) Handshake() *Handshake {
	if r.local != nil {
		return r.local.Handshake()
	}
	var w handshakeWire
	if len(r.info.Handshake) > 0 {
		_ = json.Unmarshal(r.info.Handshake, &w) // another server's; what could be read is better than nothing
	}
	return w.handshake()
}

// Rooms are those that the socket is in; of another node's socket, was in.
func (r RemoteSocket) Rooms() []string {
	if r.local != nil {
		return r.local.Rooms()
	}
	return slices.Clone(r.info.Rooms)
}

// Data is what Socket.SetData stored: the value itself of a socket of this node; of another's, its JSON
// decoded as into an any.
func (r RemoteSocket) Data() any {
	if r.local != nil {
		return r.local.Data()
	}
	v, _ := decodeAny(r.info.Data, nil) // nil if it is not JSON
	return v
}

// BindData decodes the socket's data into the value that dst points to, through JSON on every node, so
// that the result is the same wherever the socket is.
func (r RemoteSocket) BindData(dst any) error {
	if r.local != nil {
		a, err := NewArg(r.local.Data())
		if err != nil {
			return err
		}
		return a.bind(dst)
	}
	return Arg{raw: r.info.Data}.bind(dst)
}

// to is a broadcast to the socket alone.
func (r RemoteSocket) to() Broadcast { return r.ns.To(r.ID()) }

// Emit sends an event to the socket.
func (r RemoteSocket) Emit(event string, args ...any) error {
	if r.local != nil {
		return r.local.Emit(event, args...)
	}
	return r.to().Emit(event, args...)
}

// EmitWithAck sends an event to the socket and waits for its acknowledgement; see Socket.EmitWithAck.
func (r RemoteSocket) EmitWithAck(ctx context.Context, event string, args ...any) (Args, error) {
	if r.local != nil {
		return r.local.EmitWithAck(ctx, event, args...)
	}
	acks, err := r.to().EmitWithAck(ctx, event, args...)
	switch {
	case len(acks.Responses) > 0:
		return acks.Responses[0], nil
	case err != nil:
		return nil, err
	}
	return nil, ErrDisconnected
}

// Join puts the socket into rooms.
func (r RemoteSocket) Join(rooms ...string) { r.to().SocketsJoin(rooms...) }

// Leave takes the socket out of rooms.
func (r RemoteSocket) Leave(rooms ...string) { r.to().SocketsLeave(rooms...) }

// Disconnect is Socket.Disconnect.
func (r RemoteSocket) Disconnect(close bool) { r.to().DisconnectSockets(close) }

// errServerSide is for reserved names.
var errServerSide = errors.New("reserved server-side event name")

// ServerSideEmit sends an event to the other servers of the cluster, for their OnServerSide. Alone, a
// server sends it to nobody.
func (n *Namespace) ServerSideEmit(event string, args ...any) error {
	m, err := serverSideMessage(event, args)
	if err != nil {
		return err
	}
	node := n.inCluster()
	if node == nil {
		return nil
	}
	return node.publish(m)
}

// ServerSideEmitWithAck is ServerSideEmit that waits for one answer of each other server. Errors:
// ErrClusterTimeout after 5 s or when ctx's deadline passed, ctx's error, one of the bus; the answers that
// have come are returned with it.
func (n *Namespace) ServerSideEmitWithAck(ctx context.Context, event string, args ...any) ([]Arg, error) {
	m, err := serverSideMessage(event, args)
	if err != nil {
		return nil, err
	}
	node := n.inCluster()
	if node == nil {
		return nil, nil
	}
	g, err := node.gather(ctx, m, 0)
	return g.answers, err
}

func serverSideMessage(event string, args []any) (*cluster.Message, error) {
	switch event {
	case "connect", "connection", "new_namespace":
		return nil, errServerSide
	}
	w := valueWriter{collector: collector{limit: unlimited}}
	defer w.release()
	data := appendString([]byte{'['}, event)
	data, _, err := w.appendList(data, args, true)
	if err != nil {
		return nil, err
	}
	return &cluster.Message{Kind: cluster.KindServerSideEmit, Data: append(data, ']'), Attachments: w.own()}, nil
}
