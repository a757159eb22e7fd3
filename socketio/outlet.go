package socketio

import (
	"errors"
	"sync"

	"holdfast/engineio"
)

// outlet is the one way out of a namespace: whatever its sockets are sent passes here, and keeps the order
// in which it came. It goes straight into the queues of the sessions.
type outlet struct {
	n *Namespace
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
	frame := f.close(p)
	s.mu.Lock()
	if s.state == stateClosed {
		s.mu.Unlock()
		return ErrDisconnected
	}
	err := send(s.conn.session, frame, f.volatile)
	s.mu.Unlock()
	if err == nil {
		o.notify(frame, p, s)
	}
	return err
}

// request is event for one whose acknowledgement, under id, goes to w.
func (o *outlet) request(s *Socket, p packet, f sendFlags, id uint64, w ackWaiter) error {
	o.n.server.stats.emits.Add(1)
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
		o.notify(frame, p, s)
	}
	return err
}

// ack sends the answer to an event of the socket's client.
func (o *outlet) ack(s *Socket, p packet) error {
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
// id; expect is called for each first, with the locks held. The lock is held while the frame is put into
// the queues and no longer: that is what makes the order the same for everyone.
// It returns the frame.
func (o *outlet) broadcast(t *target, p packet, f sendFlags, id uint64, w broadcastWaiter) *engineio.Frame {
	n := o.n
	n.server.stats.emits.Add(1)
	frame := f.close(p)
	listeners := len(n.table().anyOutgoing) > 0
	var told []*Socket
	batch := batches.Get().(*engineio.Batch)

	n.mu.Lock()
	list := n.recipients(t)
	if w == nil && !listeners && !f.volatile {
		for i := range list {
			if list[i].socket != t.sender {
				_ = batch.Send(list[i].session, frame) // gone: it is about to leave the room
			}
		}
	} else {
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
			sent := true
			if f.volatile {
				sent = batch.SendVolatile(list[i].session, frame)
			} else {
				sent = batch.Send(list[i].session, frame) == nil
			}
			if !sent && w != nil {
				if w := s.takeAck(id); w != nil {
					w.settle(s, nil, ErrDisconnected)
				}
			}
			if sent && listeners {
				told = append(told, s)
			}
		}
	}
	n.releaseRecipients()
	n.mu.Unlock()

	batch.Flush()
	batches.Put(batch)
	o.notify(frame, p, told...)
	return frame
}

// notify calls the listeners of outgoing events.
func (o *outlet) notify(frame *engineio.Frame, p packet, to ...*Socket) {
	listeners := o.n.table().anyOutgoing
	if len(listeners) == 0 || len(to) == 0 {
		return
	}
	args, err := scanArray(frame.Text()[p.data-textStart:], nil)
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
