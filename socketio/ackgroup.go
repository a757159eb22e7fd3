package socketio

import (
	"sync"

	"holdfast/cluster"
)

// ackGroup counts the acknowledgements of a broadcast.
type ackGroup struct {
	done chan struct{}

	mu      sync.Mutex
	open    int            // answers that are due: of clients, of nodes that have not said how many, and one until begin
	clients int            // of these, of clients
	nodes   map[string]int // what each other node still owes; -1 before it has said how many
	acks    BroadcastAcks
	over    bool
	sockets []*Socket // on this node, in case they must be told not to wait
}

func newAckGroup() *ackGroup { return &ackGroup{done: make(chan struct{}), open: 1} }

func (g *ackGroup) expect(s *Socket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open++
	g.clients++
	g.sockets = append(g.sockets, s)
}

func (g *ackGroup) settle(_ *Socket, args Args, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answer(args, err == nil, 1)
}

// answer counts the answer of a client, or n clients that won't answer.
func (g *ackGroup) answer(args Args, ok bool, n int) {
	if g.over {
		return
	}
	if ok {
		g.acks.Responses = append(g.acks.Responses, args)
	} else {
		g.acks.Missing += n
	}
	g.clients -= n
	g.less(n)
}

// less takes n from what is due.
func (g *ackGroup) less(n int) {
	if g.open -= n; g.open == 0 && !g.over {
		g.over = true
		close(g.done)
	}
}

// begin says that all sockets of this node, and all nodes, have been announced.
func (g *ackGroup) begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.less(1)
}

// stop ends the waiting, and reports whether everything had come already.
func (g *ackGroup) stop() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over {
		return true
	}
	g.over = true
	g.acks.Missing += g.clients
	return false
}

func (g *ackGroup) result() BroadcastAcks {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.acks
}

// announce adds another node, which will say how many of its clients answer.
func (g *ackGroup) announce(nodes []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.nodes = make(map[string]int, len(nodes))
	for _, id := range nodes {
		g.nodes[id] = -1
	}
	g.open += len(nodes)
}

// receive takes what another node says.
func (g *ackGroup) receive(m *cluster.Message) {
	g.mu.Lock()
	defer g.mu.Unlock()
	owed, known := g.nodes[m.Node]
	if !known || g.over {
		return
	}
	switch m.Kind {
	case cluster.KindBroadcastClientCount:
		if owed >= 0 || m.Count < 0 {
			return
		}
		g.nodes[m.Node] = m.Count
		g.clients += m.Count
		g.open += m.Count
		g.less(1)
	case cluster.KindBroadcastAck:
		if owed <= 0 {
			return
		}
		args, err := messageArgs(m)
		g.nodes[m.Node]--
		g.answer(args, err == nil, 1)
	case cluster.KindBroadcastClientsMissing:
		if count := min(owed, m.Count); count > 0 {
			g.nodes[m.Node] -= count
			g.answer(nil, false, count)
		}
	}
}

// left gives up on a node.
func (g *ackGroup) left(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	owed, known := g.nodes[id]
	if !known {
		return
	}
	delete(g.nodes, id)
	switch {
	case owed < 0:
		g.less(1)
	case owed > 0:
		g.answer(nil, false, owed)
	}
}
