package socketio

import (
	"slices"

	"holdfast/engineio"
)

// Rooms are slices, to be walked. A member knows the place of the room in its socket's list, and that list
// knows the place of the member, so that leaving takes the last one's place and costs the same in a large
// room. All of this is under Namespace.mu.

type room struct {
	name    string
	members []member
}

// member is a socket in a room.
type member struct {
	session *engineio.Session // of the socket, so that a broadcast need not look at it
	socket  *Socket
	slot    int32 // in socket.rooms
}

// membership is a room in a socket's list.
type membership struct {
	room  *room
	at    int32  // in room.members
	since uint64 // the position of a recoverable namespace at which the socket joined

	// leaving says that the socket has left, but is still to get what was emitted to the room before that and waits
	// for its commit; see part.
	leaving bool
}

// register adds a socket to the namespace.
func (n *Namespace) register(s *Socket) {
	s.index = int32(len(n.all))
	n.all = append(n.all, member{session: s.conn.session, socket: s})
	n.sockets[s.id] = s
}

// unregister takes a socket out of the namespace and all rooms.
func (n *Namespace) unregister(s *Socket) {
	for i := len(s.rooms) - 1; i >= 0; i-- {
		n.leaveSlot(s, i)
	}
	s.rooms = nil
	delete(n.sockets, s.id)
	last := len(n.all) - 1
	n.all[s.index] = n.all[last]
	n.all[s.index].socket.index = s.index
	n.all[last] = member{}
	n.all = shrink(n.all[:last])
	s.index = -1
}

// join adds a socket, which is registered, to a room.
func (n *Namespace) join(s *Socket, name string) {
	if name == s.id {
		return
	}
	if i := s.slotOf(name); i >= 0 {
		s.rooms[i].leaving = false
		return
	}
	r := n.rooms[name]
	if r == nil {
		r = &room{name: name}
		n.rooms[name] = r
	}
	m := membership{room: r, at: int32(len(r.members))}
	if f := n.outlet.flow; f != nil {
		m.since = f.delivered
	}
	s.rooms = append(s.rooms, m)
	r.members = append(r.members, member{session: s.conn.session, socket: s, slot: int32(len(s.rooms) - 1)})
}

// leave takes a socket out of a room, if it is in it.
func (n *Namespace) leave(s *Socket, name string) {
	if i := s.slotOf(name); i >= 0 {
		n.leaveSlot(s, i)
	}
}

// part takes a socket out of rooms as soon as it was sent what is already on its way to them. To the application it
// has left at once.
func (n *Namespace) part(s *Socket, rooms []string) {
	flow := n.outlet.flow
	if flow == nil || flow.idle() {
		for _, room := range rooms {
			n.leave(s, room)
		}
		n.saved(s)
		return
	}
	waiting := false
	for _, room := range rooms {
		if i := s.slotOf(room); i >= 0 && !s.rooms[i].leaving {
			s.rooms[i].leaving = true
			waiting = true
		}
	}
	if !waiting {
		return
	}
	flow.inTurn(func(*engineio.Batch) {
		for i := len(s.rooms) - 1; i >= 0; i-- {
			// One that was joined again meanwhile is no longer marked; one that was then left again has a turn of its own.
			if s.rooms[i].leaving && slices.Contains(rooms, s.rooms[i].room.name) {
				n.leaveSlot(s, i)
			}
		}
		n.saved(s)
	})
}

// slotOf is where a room stands in the socket's list, or -1.
func (s *Socket) slotOf(name string) int {
	for i := range s.rooms {
		if s.rooms[i].room.name == name {
			return i
		}
	}
	return -1
}

func (n *Namespace) leaveSlot(s *Socket, slot int) {
	r, at := s.rooms[slot].room, s.rooms[slot].at
	if f := n.outlet.flow; f != nil {
		f.left(s, r.name, s.rooms[slot].since)
	}
	// The last member of the room takes the place.
	last := len(r.members) - 1
	moved := r.members[last]
	r.members[at] = moved
	moved.socket.rooms[moved.slot].at = at
	r.members[last] = member{}
	r.members = shrink(r.members[:last])
	if last == 0 {
		delete(n.rooms, r.name)
	}
	// The last room of the socket takes the slot.
	end := len(s.rooms) - 1
	if slot != end {
		s.rooms[slot] = s.rooms[end]
		other := s.rooms[slot]
		other.room.members[other.at].slot = int32(slot)
	}
	s.rooms[end] = membership{}
	s.rooms = s.rooms[:end]
}

// shrink gives memory back once most of it is unused.
func shrink(list []member) []member {
	if cap(list) > 64 && len(list) < cap(list)/4 {
		return append(make([]member, 0, len(list)*2), list...)
	}
	return list
}

// roomNames are the rooms of a registered socket.
func (s *Socket) roomNames() []string {
	out := make([]string, 0, len(s.rooms)+1)
	out = append(out, s.id)
	for i := range s.rooms {
		if !s.rooms[i].leaving {
			out = append(out, s.rooms[i].room.name)
		}
	}
	return out
}

// target is who something is for: those in any of the rooms (none: everyone), who are in none of except.
type target struct {
	rooms, except []string
	sender        *Socket // left out too; may be nil
}

// recipients are the members that a target names, each once. The sender may be among them and is for the
// caller to skip. The slice is only valid while the caller holds n.mu, and is read only.
func (n *Namespace) recipients(t *target) []member {
	if len(t.except) == 0 {
		switch len(t.rooms) {
		case 0:
			return n.all
		case 1:
			name := t.rooms[0]
			r, s := n.rooms[name], n.sockets[name]
			switch {
			case s == nil && r == nil:
				return nil
			case s == nil:
				return r.members
			case r == nil:
				return n.all[s.index : s.index+1]
			}
		}
	}
	// Whoever is marked with the number of this round is out or in already.
	n.round++
	out := n.scratch[:0]
	for _, name := range t.except {
		if s := n.sockets[name]; s != nil {
			s.mark = n.round
		}
		if r := n.rooms[name]; r != nil {
			for i := range r.members {
				r.members[i].socket.mark = n.round
			}
		}
	}
	add := func(list []member) {
		for i := range list {
			if s := list[i].socket; s.mark != n.round {
				s.mark = n.round
				out = append(out, list[i])
			}
		}
	}
	if len(t.rooms) == 0 {
		add(n.all)
	}
	for _, name := range t.rooms {
		if s := n.sockets[name]; s != nil {
			add(n.all[s.index : s.index+1])
		}
		if r := n.rooms[name]; r != nil {
			add(r.members)
		}
	}
	n.scratch = out
	return out
}

// releaseRecipients clears what recipients used, so that it keeps no socket alive.
func (n *Namespace) releaseRecipients() {
	clear(n.scratch)
	n.scratch = n.scratch[:0]
	if cap(n.scratch) > 1024+2*len(n.all) {
		n.scratch = nil
	}
}

// pick lists the sockets that a target names.
func (n *Namespace) pick(t *target) []*Socket {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := n.recipients(t)
	defer n.releaseRecipients()
	out := make([]*Socket, 0, len(list))
	for i := range list {
		if s := list[i].socket; s != t.sender {
			out = append(out, s)
		}
	}
	return out
}
