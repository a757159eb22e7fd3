package socketio

import (
	"errors"
	"sync"

	"holdfast/engineio"
)

// outlet is the one way out of a namespace: whatever its sockets are sent passes here, and keeps the order
// in which it came. It goes straight into the queues of the sessions or, in a recoverable namespace, through
// the flow.
type outlet struct {
	n    *Namespace
	flow *flow // nil where nothing is kept
}

// sendFlags qualify one emit.
type sendFlags struct {
	volatile   bool
	noCompress bool
}

// close ends the packet as a frame.
func (f sendFlags) close(p packet) *engineio.Frame {
	frame := p.frame()
	if f.noCompress {
		return frame.NoCompress()
	}
	return frame
}

// event sends an event to one socket.
func (o *outlet) event(s *Socket, p packet, f sendFlags) error {
	o.n.server.stats.emits.Add(1)
	if o.flow != nil {
		return o.flow.event(s, p, f)
	}
	frame := f.close(p)
	s.mu.Lock()
	if s.state == stateClosed {
		s.mu.Unlock()
		return ErrDisconnected
	}
	err := send(s.conn.session, frame, f.volatile)
	s.mu.Unlock()
	if err == nil {
		o.notify(frame, p.data-textStart, s)
	}
	return err
}

// request is event for one whose acknowledgement, under id, goes to w.
func (o *outlet) request(s *Socket, p packet, f sendFlags, id uint64, w ackWaiter) error {
	o.n.server.stats.emits.Add(1)
	if o.flow != nil {
		return o.flow.request(s, p, f, id, w)
	}
	frame := f.close(p)
	s.mu.Lock()
	if s.state == stateClosed {
		s.mu.Unlock()
		return ErrDisconnected
	}
	s.addAck(id, w)
	err := send(s.conn.session, frame, f.volatile)
	if err != nil {
		s.dropAck(id)
	}
	s.mu.Unlock()
	if err == nil {
		o.notify(frame, p.data-textStart, s)
	}
	return err
}

// ack sends the answer to an event of the socket's client.
func (o *outlet) ack(s *Socket, p packet) error {
	if o.flow != nil {
		return o.flow.ack(s, p)
	}
	frame := p.frame()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateClosed {
		return ErrDisconnected
	}
	return send(s.conn.session, frame, false)
}

// disconnect sends the packet that ends a socket. The caller holds the locks of the namespace and of the
// socket, so that nothing of the namespace can follow it.
func (o *outlet) disconnect(s *Socket) {
	_ = s.conn.session.Send(encodeControl(packetDisconnect, o.n.name, nil)) // gone: it need not be told
}

var batches = sync.Pool{New: func() any { return new(engineio.Batch) }}

// broadcast sends an event to everyone that t names. If w is not nil it gets their acknowledgements, under
// id. then, if not nil, is called once the event is kept and on its way, or could not be kept, unless an error is
// returned. It returns the frame.
func (o *outlet) broadcast(t *target, p packet, f sendFlags, id uint64, w broadcastWaiter, then func(error)) (*engineio.Frame, error) {
	n := o.n
	n.server.stats.emits.Add(1)
	if o.flow != nil {
		return o.flow.broadcast(t, p, f, id, w, then)
	}
	frame := f.close(p)
	batch := batches.Get().(*engineio.Batch)
	n.mu.Lock()
	told := o.enqueue(batch, t, &edition{plain: frame}, f, id, w)
	n.mu.Unlock()
	batch.Flush()
	batches.Put(batch)
	o.notify(frame, p.data-textStart, told...)
	if then != nil {
		then(nil)
	}
	return frame, nil
}

// enqueue puts an event into the queues of everyone that t names, and returns who has to be reported to the listeners of
// outgoing events. Namespace.mu is held while that is done and no longer: that is what makes the order the
// same for everyone. expect is called for each before it is sent the event.
func (o *outlet) enqueue(batch *engineio.Batch, t *target, e *edition, f sendFlags, id uint64, w broadcastWaiter) (told []*Socket) {
	n := o.n
	listeners := len(n.table().anyOutgoing) > 0
	list := n.recipients(t)
	defer n.releaseRecipients()
	if w == nil && !listeners && !f.volatile && e.position.Epoch == 0 {
		for i := range list {
			if list[i].socket != t.sender {
				_ = batch.Send(list[i].session, e.plain) // gone: it is about to leave the room
			}
		}
		return nil
	}
	for i := range list {
		s := list[i].socket
		if s == t.sender {
			continue
		}
		if w != nil {
			s.mu.Lock()
			s.addAck(id, w)
			s.mu.Unlock()
			w.expect(s)
		}
		sent := put(batch, list[i].session, e.of(s), f.volatile) == nil
		if !sent && w != nil {
			if w := s.takeAck(id); w != nil {
				w.settle(s, nil, ErrDisconnected)
			}
		}
		if sent && listeners {
			told = append(told, s)
		}
	}
	return told
}

// errDropped says that a volatile event was not sent.
var errDropped = errors.New("volatile event dropped")

// put queues a frame for a session.
func put(batch *engineio.Batch, session *engineio.Session, frame *engineio.Frame, volatile bool) error {
	if !volatile {
		return batch.Send(session, frame)
	}
	if !batch.SendVolatile(session, frame) {
		return errDropped
	}
	return nil
}

// notify calls the listeners of outgoing events. data is where the JSON array begins in the frame's text.
func (o *outlet) notify(frame *engineio.Frame, data int, to ...*Socket) {
	listeners := o.n.table().anyOutgoing
	if len(listeners) == 0 || len(to) == 0 {
		return
	}
	args, err := scanArray(frame.Text()[data:], nil)
	if err != nil || len(args) == 0 {
		return // not possible: it was encoded here
	}
	if bin := frame.Attachments(); len(bin) > 0 {
		if bindPlaceholders(args, len(bin), &attachments{list: bin}) != nil {
			return
		}
	}
	var e Event
	e.resolve(emptyTable, args[0].raw)
	for _, s := range to {
		for _, f := range listeners {
			_ = s.guard(e.Name, func() error { f(s, e.Name, args[1:]); return nil }) // logged
		}
	}
}

// send puts a frame into a session's queue. A volatile one that is dropped is no error.
func send(session *engineio.Session, frame *engineio.Frame, volatile bool) error {
	if volatile {
		session.SendVolatile(frame)
		return nil
	}
	err := session.Send(frame)
	if errors.Is(err, engineio.ErrClosed) {
		return ErrDisconnected
	}
	return err
}
