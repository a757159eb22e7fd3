package socketio

import (
	"slices"
	"sync"

	"holdfast/engineio"
)

// conn is one connection: the sockets that a client has over it, one for each namespace.
type conn struct {
	server  *Server
	session *engineio.Session
	waiting *waiting // in the lobby; the lobby's lock guards it

	partial *partial  // a packet whose attachments are due; only Message touches it
	late    []*Socket // whose workers are to be started; only Message and EndBatch touch it

	mu       sync.Mutex
	closed   bool
	attempts int      // connects under way on goroutines of their own
	sockets  []joined // connected, or about to
	one      [1]joined
	left     []string // namespaces that the server threw it out of: what arrives for them is late, not wrong
}

// joined is a socket under the name that packets call its namespace.
type joined struct {
	name   string
	socket *Socket
}

// partial is a packet until its attachments are complete.
type partial struct {
	namespace []byte
	event     *Event // nil for an acknowledgement
	name      []byte // of the event, JSON
	ack       Args
	id        uint64
	hasID     bool
	want      int
	bin       *attachments
}

// Message implements engineio.Receiver.
func (c *conn) Message(data []byte, binary bool) error {
	var err error
	switch {
	case binary:
		err = c.attachment(data)
	case c.partial != nil:
		err = errTextInBinary
	default:
		err = c.packet(data)
	}
	if err != nil {
		c.server.stats.parseErrors.Add(1)
	}
	return err
}

// packet takes the text of a packet.
func (c *conn) packet(data []byte) error {
	h, err := parseHeader(data, c.server.opts.MaxAttachments)
	if err != nil {
		return err
	}
	switch h.kind {
	case packetEvent:
		return c.event(&h)
	case packetAck:
		return c.ack(&h)
	case packetConnect:
		if len(h.payload) > 0 {
			if err := scanObject(h.payload); err != nil {
				return err
			}
		}
		c.connect(h.namespace, slices.Clone(h.payload))
	case packetDisconnect:
		if len(h.payload) > 0 {
			return errPayload
		}
		c.disconnect(h.namespace)
	case packetConnectError:
		c.misuse("connect error from a client")
	}
	return nil
}

func (c *conn) event(h *header) error {
	e, name, err := newEvent(h.payload)
	if err != nil {
		return err
	}
	e.ackID, e.wantAck = h.id, h.hasID
	if h.attachments == 0 {
		c.deliver(h.namespace, e, name)
		return nil
	}
	p := &partial{namespace: slices.Clone(h.namespace), event: e, name: name, want: h.attachments}
	return c.await(p, e.Args)
}

func (c *conn) ack(h *header) error {
	var args Args
	if len(h.payload) > 0 { // none at all is what Node's parser takes for no arguments
		var err error
		if args, err = scanArray(slices.Clone(h.payload), nil); err != nil {
			return err
		}
	}
	if h.attachments == 0 {
		c.settle(h.namespace, h.id, h.hasID, args)
		return nil
	}
	p := &partial{namespace: slices.Clone(h.namespace), ack: args, id: h.id, hasID: h.hasID, want: h.attachments}
	return c.await(p, args)
}

// await keeps a packet until its attachments are there.
func (c *conn) await(p *partial, args []Arg) error {
	p.bin = &attachments{list: make([][]byte, 0, p.want)}
	if err := bindPlaceholders(args, p.want, p.bin); err != nil {
		return err
	}
	c.partial = p
	return nil
}

func (c *conn) attachment(data []byte) error {
	p := c.partial
	if p == nil {
		return errUnexpectedBinary
	}
	p.bin.list = append(p.bin.list, append([]byte{}, data...))
	if p.event != nil {
		p.event.cost += len(data)
	}
	if len(p.bin.list) < p.want {
		return nil
	}
	c.partial = nil
	if p.event != nil {
		c.deliver(p.namespace, p.event, p.name)
	} else {
		c.settle(p.namespace, p.id, p.hasID, p.ack)
	}
	return nil
}

// deliver puts an event into its socket's inbox, and waits there for room if need be.
func (c *conn) deliver(namespace []byte, e *Event, name []byte) {
	s := c.find(namespace, "event")
	if s == nil {
		return
	}
	c.server.stats.events.Add(1)
	e.Socket = s
	e.resolve(s.ns.table(), name)
	s.enqueue(e)
}

// settle hands an acknowledgement to whoever waits for it. One that nobody waits for is ignored.
func (c *conn) settle(namespace []byte, id uint64, hasID bool, args Args) {
	s := c.find(namespace, "acknowledgement")
	if s == nil || !hasID {
		return
	}
	c.server.stats.acks.Add(1)
	if w := s.takeAck(id); w != nil {
		w.settle(s, args, nil)
	}
}

func (c *conn) disconnect(namespace []byte) {
	if s := c.find(namespace, "disconnect"); s != nil {
		s.close(reasonClientDisconnect, closeLeft)
	}
}

// find returns the connected socket of a namespace. Without one the packet is a breach of the protocol,
// for which the connection is closed, as Node's server does; unless the server has just disconnected the
// socket, so that the packet was only under way.
func (c *conn) find(namespace []byte, what string) *Socket {
	name := namespace
	if isRootNamespace(name) {
		name = rootName
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	for i := range c.sockets {
		if c.sockets[i].name == string(name) {
			if s := c.sockets[i].socket; s.connected.Load() {
				c.mu.Unlock()
				return s
			}
			break
		}
	}
	late := slices.ContainsFunc(c.left, func(n string) bool { return n == string(name) })
	c.mu.Unlock()
	if !late {
		c.misuse(what + " for a namespace that is not joined")
	}
	return nil
}

var rootName = []byte("/")

// misuse closes the connection of a client that does not keep to the protocol.
func (c *conn) misuse(what string) {
	c.server.opts.Logger.Debug().Str("sid", c.session.ID()).Str("cause", what).Msg("protocol error, connection closed")
	c.shut(reasonForcedServerClose)
}

// shut ends all sockets, then the connection, in good order.
func (c *conn) shut(reason string) {
	c.end(reason)
	c.session.Close()
}

// Close implements engineio.Receiver.
func (c *conn) Close(reason engineio.Reason, _ error) {
	c.end(string(reason))
}

// end ends all sockets; none can be added afterwards.
func (c *conn) end(reason string) {
	c.server.lobby.remove(c)
	c.mu.Lock()
	c.closed = true
	sockets := c.sockets
	c.sockets = nil
	c.mu.Unlock()
	for _, j := range sockets {
		j.socket.close(reason, closeLost)
	}
}

// kick disconnects all sockets, telling each, then closes the connection once that has left.
func (c *conn) kick() {
	c.mu.Lock()
	sockets := slices.Clone(c.sockets)
	c.mu.Unlock()
	for _, j := range sockets {
		j.socket.close(reasonServerDisconnect, closeKicked)
	}
	c.shut(reasonForcedServerClose)
}

// forget takes a socket out of the list. kicked says that its client does not know yet.
func (c *conn) forget(s *Socket, kicked bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.sockets {
		if c.sockets[i].socket != s {
			continue
		}
		name := c.sockets[i].name
		c.sockets = slices.Delete(c.sockets, i, i+1)
		if kicked && len(c.left) < c.server.opts.MaxNamespacesPerConnection {
			c.left = append(c.left, name)
		}
		return
	}
}
