package socketio

import (
	"errors"
	"slices"

	"holdfast/engineio"
)

// connect begins a client's entry into a namespace (Socket.IO protocol v5, "Connection to a namespace").
// Where functions of the application have a say it goes on on a goroutine of the socket's own.
func (c *conn) connect(name []byte, auth []byte) {
	srv := c.server
	if srv.stopping.Load() {
		return // the connection is about to be closed; the client will try again
	}
	n, canCreate := srv.lookup(name)
	if n == nil && !canCreate {
		c.refuse(string(name), &Error{Message: "Invalid namespace"})
		return
	}
	s := &Socket{conn: c, id: srv.ids.next(), auth: auth, ns: n, index: -1}
	j := joined{socket: s}
	direct := false // nothing of the application's runs before the socket is connected
	greet := true   // something does run then
	if n != nil {
		t := n.table()
		j.name = n.name
		direct = len(t.use) == 0 && (n.outlet.flow == nil || len(auth) == 0)
		greet = !direct || len(t.connect) > 0
	} else {
		j.name = string(name)
	}
	s.running = greet
	if !c.enter(j, direct) {
		if n != nil {
			srv.release(n)
		}
		return
	}
	if !direct {
		srv.workers.Add(1)
		go s.connectAndWork(j.name)
		return
	}
	if !n.admit(s) {
		srv.release(n)
		return
	}
	if greet {
		srv.workers.Add(1)
		go s.greetAndWork()
	}
}

// enter puts a socket that wants to connect on the list. It reports false where that may not be.
func (c *conn) enter(j joined, direct bool) bool {
	most := c.server.opts.MaxNamespacesPerConnection
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return false
	}
	i := slices.IndexFunc(c.sockets, func(o joined) bool { return o.name == j.name })
	var old *Socket
	switch {
	case i >= 0 && c.sockets[i].socket.connected.Load():
		c.mu.Unlock()
		c.misuse("connect to a namespace that is joined already")
		return false
	case i < 0 && len(c.sockets) >= most, !direct && c.attempts >= most:
		c.mu.Unlock()
		c.refuse(j.name, &Error{Code: "too_many_namespaces", Message: "too many namespaces"})
		return false
	case i >= 0:
		// A client that gave up on its first attempt makes a second one while the first is still at the
		// middlewares. Only the second is answered.
		old = c.sockets[i].socket
		c.sockets[i] = j
	default:
		if c.sockets == nil {
			c.sockets = c.one[:0]
		}
		c.sockets = append(c.sockets, j)
	}
	if !direct {
		c.attempts++
	}
	c.left = slices.DeleteFunc(c.left, func(n string) bool { return n == j.name })
	c.mu.Unlock()
	if old != nil {
		old.close(reasonForcedServerClose, closeLost)
	}
	return true
}

// refuse answers a CONNECT with an error.
func (c *conn) refuse(namespace string, err error) {
	c.server.stats.refused.Add(1)
	e := forClient(err)
	body := map[string]any{"message": e.Error()}
	switch {
	case e.Data != nil:
		body["data"] = e.Data
	case e.Code != "":
		body["data"] = map[string]string{"code": e.Code}
	}
	arg, encodeErr := NewArg(body)
	if encodeErr != nil || arg.bin != nil { // CONNECT_ERROR has no binary form
		c.server.opts.Logger.Error().Err(encodeErr).Str("namespace", namespace).Msg("data of a connection error can't be sent")
		delete(body, "data")
		arg, _ = NewArg(body) // a string always encodes
	}
	_ = c.session.Send(encodeControl(packetConnectError, namespace, arg.raw)) // gone: nobody to tell
}

// connectAndWork takes a socket through the parents and middlewares, and is its worker from then on.
func (s *Socket) connectAndWork(name string) {
	srv := s.conn.server
	defer srv.done()
	n, resumed, err := s.approve(name)
	s.conn.mu.Lock()
	s.conn.attempts--
	s.conn.mu.Unlock()
	switch {
	case errors.Is(err, errStopping):
		s.close(reasonServerShutdown, closeLost)
	case err != nil:
		// Refused only if it is still wanted; and forgotten first, since the client may try again at once.
		if s.close("", closeRefused) {
			s.conn.refuse(name, err)
		}
	case resumed || n.admit(s):
		s.greet()
		s.work()
		return
	}
	if n != nil {
		srv.release(n)
	}
}

// approve finds the namespace and runs its middlewares. resumed says that the socket is connected already, as the one
// that its client had before. The namespace returned is held, even with an error.
func (s *Socket) approve(name string) (n *Namespace, resumed bool, err error) {
	srv := s.conn.server
	n = s.ns
	if n == nil {
		n = srv.permit(name, func() *Handshake { return s.conn.handshake(s.auth) })
		if n == nil {
			return nil, false, &Error{Message: "Invalid namespace"}
		}
		s.mu.Lock()
		s.ns = n
		s.mu.Unlock()
	}
	flow := n.outlet.flow
	if flow != nil && flow.opts.SkipMiddlewares {
		if resumed, err = flow.resume(s, s.claimOf()); resumed || err != nil {
			return n, resumed, err
		}
	}
	for _, use := range n.table().use {
		if s.gone() {
			return n, false, ErrDisconnected
		}
		if err := s.guard("connection middleware", func() error { return use(s) }); err != nil {
			var e *Error
			if !errors.As(err, &e) {
				srv.opts.Logger.Error().Err(err).Str("namespace", name).Str("socket", s.id).Msg("connection middleware failed")
			}
			return n, false, err
		}
	}
	if flow != nil && !flow.opts.SkipMiddlewares {
		resumed, err = flow.resume(s, s.claimOf())
	}
	return n, resumed, err
}

// admit makes a socket a member of the namespace and tells its client. It reports false where the
// connection ended first. That check, the registration and the CONNECT packet are one step under the
// locks, so that a socket whose connection is gone is never left behind in a namespace or room, and no
// broadcast overtakes the packet.
func (n *Namespace) admit(s *Socket) bool {
	frame := connectFrame(s)
	flow := n.outlet.flow
	var c claim
	if flow != nil {
		c = s.claimOf()
	}

	n.mu.Lock()
	s.mu.Lock()
	if s.state != stateConnecting {
		s.mu.Unlock()
		n.mu.Unlock()
		return false
	}
	s.state = stateConnected
	s.connected.Store(true)
	n.server.stats.sockets.Add(1)
	n.server.stats.connects.Add(1)
	if flow == nil {
		_ = s.conn.session.Send(frame) // a session that is closing will close the socket too
	}
	var early []string
	if s.more != nil {
		early, s.more.rooms = s.more.rooms, nil
	}
	n.register(s)
	for _, room := range early {
		n.join(s, room)
	}
	if flow != nil {
		flow.admit(s, c)
	}
	s.mu.Unlock()
	n.mu.Unlock()

	n.server.lobby.remove(s.conn)
	return true
}

// connectFrame is the CONNECT packet for a socket.
func connectFrame(s *Socket) *engineio.Frame {
	body := make([]byte, 0, 80)
	body = append(append(append(body, `{"sid":"`...), s.id...), '"')
	if s.kept != nil {
		body = append(append(append(body, `,"pid":"`...), s.kept.pid...), '"')
	}
	return encodeControl(packetConnect, s.ns.name, append(body, '}'))
}

// greet runs the connect handlers.
func (s *Socket) greet() {
	for _, f := range s.ns.table().connect {
		if err := s.guard("connect", func() error { return f(s) }); err != nil {
			s.report("connect", err)
			s.Disconnect(false)
			return
		}
	}
}

// greetAndWork is the worker of a socket that connected without middlewares.
func (s *Socket) greetAndWork() {
	defer s.conn.server.done()
	s.greet()
	s.work()
}
