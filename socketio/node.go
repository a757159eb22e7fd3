package socketio

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"holdfast/cluster"
)

// clusterTimeout is how long answers of other nodes are waited for where nothing else is said, as in Node.
const clusterTimeout = 5 * time.Second

// node is a namespace's place in the cluster.
type node struct {
	n      *Namespace
	member cluster.Member
	ready  chan struct{} // closed once member is set

	mu       sync.Mutex
	next     uint64
	requests map[string]request
}

// request waits for what other nodes answer. Its methods must not block.
type request interface {
	receive(m *cluster.Message)
	left(node string)
}

func joinCluster(n *Namespace, bus cluster.Bus) (*node, error) {
	nd := &node{n: n, ready: make(chan struct{}), requests: make(map[string]request)}
	member, err := bus.Join(n.name, nd)
	if err != nil {
		return nil, err
	}
	nd.member = member
	close(nd.ready)
	return nd, nil
}

// publish sends a message to all other nodes.
func (nd *node) publish(m *cluster.Message) error {
	return nd.check(nd.member.Publish(m))
}

// check counts and logs an error of the bus.
func (nd *node) check(err error) error {
	if err == nil {
		return nil
	}
	nd.n.server.stats.busErrors.Add(1)
	nd.n.server.opts.Logger.Warn().Err(err).Str("namespace", nd.n.name).Msg("cluster bus did not take a message")
	return fmt.Errorf("cluster bus: %w", err)
}

// open registers a request and returns its id.
func (nd *node) open(r request) string {
	nd.mu.Lock()
	defer nd.mu.Unlock()
	nd.next++
	id := strconv.FormatUint(nd.next, 36)
	nd.requests[id] = r
	return id
}

func (nd *node) close(id string) {
	nd.mu.Lock()
	defer nd.mu.Unlock()
	delete(nd.requests, id)
}

// ask publishes a broadcast whose acknowledgements g counts, until the function returned is called.
func (nd *node) ask(m *cluster.Message, g *ackGroup) func() {
	others := nd.member.Others()
	if len(others) == 0 {
		return func() {}
	}
	g.announce(others)
	m.RequestID = nd.open(g)
	if errors.Is(nd.publish(m), cluster.ErrClosed) {
		for _, id := range others {
			g.left(id)
		}
	}
	return func() { nd.close(m.RequestID) }
}

// Left implements cluster.Handler.
func (nd *node) Left(id string) {
	nd.mu.Lock()
	all := make([]request, 0, len(nd.requests))
	for _, r := range nd.requests {
		all = append(all, r)
	}
	nd.mu.Unlock()
	for _, r := range all {
		r.left(id)
	}
}

// Receive implements cluster.Handler.
func (nd *node) Receive(m *cluster.Message) {
	<-nd.ready
	t := &target{rooms: m.Rooms, except: m.Except}
	switch m.Kind {
	case cluster.KindBroadcast:
		nd.broadcast(t, m)
	case cluster.KindSocketsJoin, cluster.KindSocketsLeave, cluster.KindDisconnectSockets:
		nd.n.operate(t, m.Kind, m.Arguments, m.Close)
	case cluster.KindFetchSockets:
		_ = nd.answer(m, &cluster.Message{Kind: cluster.KindFetchSocketsResponse, Sockets: nd.describe(t)}) // logged
	case cluster.KindServerSideEmit:
		nd.serverSide(m)
	default:
		nd.mu.Lock()
		r := nd.requests[m.RequestID]
		nd.mu.Unlock()
		if r != nil {
			r.receive(m)
		}
	}
}

// answer sends the answer to a request.
func (nd *node) answer(to, m *cluster.Message) error {
	m.RequestID = to.RequestID
	return nd.check(nd.member.Send(to.Node, m))
}

// broadcast sends another node's event to the sockets of this one.
func (nd *node) broadcast(t *target, m *cluster.Message) {
	n := nd.n
	if err := scanAll(m.Data); err != nil {
		nd.n.server.opts.Logger.Warn().Err(err).Str("namespace", n.name).Str("node", m.Node).Msg("event from the cluster is malformed")
		return
	}
	f := sendFlags{volatile: m.Volatile, noCompress: m.NoCompress}
	if m.RequestID == "" {
		_, _ = n.outlet.broadcast(t, encodeRaw(n.name, noID, m.Data, m.Attachments), f, 0, nil, nil)
		return
	}
	id := n.ackIDs.Add(1) - 1
	r := &relayedAcks{node: nd, request: m}
	_, _ = n.outlet.broadcast(t, encodeRaw(n.name, int64(id), m.Data, m.Attachments), f, id, r, nil)
	r.begin(id, m.Timeout)
}

// relayedAcks passes the acknowledgements of this node's sockets on to the node that asked for them. What
// comes before it was told how many there will be waits.
type relayedAcks struct {
	node    *node
	request *cluster.Message

	mu      sync.Mutex
	begun   bool
	early   []*cluster.Message
	sockets []*Socket
	due     int
	timer   *time.Timer
}

func (r *relayedAcks) expect(s *Socket) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sockets = append(r.sockets, s)
	r.due++
}

func (r *relayedAcks) settle(_ *Socket, args Args, err error) {
	m := &cluster.Message{Kind: cluster.KindBroadcastClientsMissing, Count: 1}
	if err == nil {
		if a, encodeErr := NewArg(args); encodeErr == nil {
			m = &cluster.Message{Kind: cluster.KindBroadcastAck, Data: a.raw}
			if a.bin != nil {
				m.Attachments = a.bin.list
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.due--; r.due == 0 && r.timer != nil {
		r.timer.Stop()
	}
	if !r.begun {
		r.early = append(r.early, m)
		return
	}
	_ = r.node.answer(r.request, m) // logged
}

func (r *relayedAcks) begin(id uint64, timeout time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun = true
	_ = r.node.answer(r.request, &cluster.Message{Kind: cluster.KindBroadcastClientCount, Count: len(r.sockets)}) // logged
	for _, m := range r.early {
		_ = r.node.answer(r.request, m) // logged
	}
	r.early = nil
	if r.due == 0 || timeout <= 0 {
		return
	}
	r.timer = time.AfterFunc(timeout, func() {
		r.mu.Lock()
		sockets := r.sockets
		r.mu.Unlock()
		for _, s := range sockets {
			s.takeAck(id) // the node that asked has stopped waiting by itself
		}
	})
}

// messageArgs are the arguments that a message carries.
func messageArgs(m *cluster.Message) (Args, error) {
	args, err := scanArray(m.Data, nil)
	if err != nil {
		return nil, err
	}
	if len(m.Attachments) > 0 {
		err = bindPlaceholders(args, len(m.Attachments), &attachments{list: m.Attachments})
	}
	return args, err
}

// serverSide runs the handler of an event between servers.
func (nd *node) serverSide(m *cluster.Message) {
	n := nd.n
	log := n.server.opts.Logger.With().Str("namespace", n.name).Str("node", m.Node).Logger()
	var reply Arg
	defer func() {
		if p := recover(); p != nil {
			n.server.stats.panics.Add(1)
			log.Error().Interface("panic", p).Msg("panic in a server-side handler")
		}
		if m.RequestID == "" {
			return
		}
		out := &cluster.Message{Kind: cluster.KindServerSideEmitResponse}
		if a, err := NewArg(Args{reply}); err == nil {
			out.Data = a.raw
			if a.bin != nil {
				out.Attachments = a.bin.list
			}
		}
		_ = nd.answer(m, out) // logged
	}()
	args, err := messageArgs(m)
	var event string
	if err == nil && len(args) > 0 {
		err = args[0].bind(&event)
	}
	if err != nil || len(args) == 0 {
		log.Warn().Err(err).Msg("server-side event is malformed")
		return
	}
	f := n.table().server[event]
	if f == nil {
		return
	}
	out, err := f(args[1:])
	if err == nil {
		reply, err = NewArg(out)
	}
	if err != nil {
		log.Error().Err(err).Str("event", event).Msg("server-side handler failed")
	}
}

// gather collects one answer from each of some nodes.
type gather struct {
	done chan struct{}

	mu      sync.Mutex
	waiting map[string]struct{}
	sockets []cluster.SocketInfo
	answers []Arg
}

func (g *gather) receive(m *cluster.Message) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.waiting[m.Node]; !ok {
		return
	}
	g.sockets = append(g.sockets, m.Sockets...)
	if m.Kind == cluster.KindServerSideEmitResponse {
		args, err := messageArgs(m)
		if err != nil || len(args) == 0 {
			args = Args{{raw: []byte("null")}}
		}
		g.answers = append(g.answers, args[0])
	}
	g.off(m.Node)
}

func (g *gather) left(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.off(id)
}

func (g *gather) off(id string) {
	if _, ok := g.waiting[id]; !ok {
		return
	}
	if delete(g.waiting, id); len(g.waiting) == 0 {
		close(g.done)
	}
}

// gather sends a request to all other nodes and waits for their answers. A node that leaves is not waited
// for; with an error, what has come so far is returned.
func (nd *node) gather(ctx context.Context, m *cluster.Message, timeout time.Duration) (*gather, error) {
	g := &gather{done: make(chan struct{}), waiting: make(map[string]struct{})}
	for _, id := range nd.member.Others() {
		g.waiting[id] = struct{}{}
	}
	if len(g.waiting) == 0 {
		return g, nil
	}
	if timeout <= 0 {
		timeout = clusterTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	m.RequestID = nd.open(g)
	defer nd.close(m.RequestID)
	if err := nd.publish(m); err != nil {
		return g, err
	}
	select {
	case <-g.done:
		return g, nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		return g, nil
	}
	missing := len(g.waiting)
	g.waiting = nil
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return g, fmt.Errorf("%w: %d missing", ErrClusterTimeout, missing)
	}
	return g, ctx.Err()
}

// describe tells another node of this one's sockets.
func (nd *node) describe(t *target) []cluster.SocketInfo {
	sockets := nd.n.pick(t)
	out := make([]cluster.SocketInfo, 0, len(sockets))
	for _, s := range sockets {
		info := cluster.SocketInfo{ID: s.id, Rooms: s.Rooms(), Data: []byte("null")}
		if h, err := json.Marshal(s.Handshake().wire()); err == nil {
			info.Handshake = h
		}
		// Binary values have no place here, as in Node.
		if a, err := NewArg(s.Data()); err == nil && a.bin == nil {
			info.Data = a.raw
		}
		out = append(out, info)
	}
	return out
}
