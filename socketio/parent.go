package socketio

import (
	"errors"
	"regexp"
	"time"
)

// ParentNamespace makes namespaces when clients ask for them, and shares its handlers with them. A handler
// that is set on one of them ends the sharing for that one: it keeps the handlers there were, and gets
// those of its own.
type ParentNamespace struct {
	handlers
	server  *Server
	pattern *regexp.Regexp
	allow   func(name string, h *Handshake) (bool, error)

	children map[string]*Namespace // under Server.mu
}

// errParent is for what is not possible on many namespaces at once.
var errParent = errors.New("not possible on a parent namespace: ask its children")

// permits says whether a namespace of that name may be made.
func (p *ParentNamespace) permits(name string, h func() *Handshake) (ok bool) {
	if p.pattern != nil {
		return p.pattern.MatchString(name)
	}
	defer func() {
		if v := recover(); v != nil {
			p.server.stats.panics.Add(1)
			p.server.opts.Logger.Error().Str("namespace", name).Interface("panic", v).Msg("panic in a namespace function")
			ok = false
		}
	}()
	ok, err := p.allow(name, h())
	if err != nil {
		p.server.opts.Logger.Debug().Err(err).Str("namespace", name).Msg("namespace function failed")
		return false
	}
	return ok
}

// Children are the namespaces that exist now.
func (p *ParentNamespace) Children() []*Namespace {
	p.server.mu.RLock()
	defer p.server.mu.RUnlock()
	out := make([]*Namespace, 0, len(p.children))
	for _, n := range p.children {
		out = append(out, n)
	}
	return out
}

func (p *ParentNamespace) everyone() Broadcast { return Broadcast{parent: p} }

// To starts a broadcast to the rooms in all children.
func (p *ParentNamespace) To(rooms ...string) Broadcast { return p.everyone().To(rooms...) }

// In is To.
func (p *ParentNamespace) In(rooms ...string) Broadcast { return p.everyone().To(rooms...) }

// Except starts a broadcast to all who are in none of the rooms, in all children.
func (p *ParentNamespace) Except(rooms ...string) Broadcast { return p.everyone().Except(rooms...) }

// Local starts a broadcast that stays on this node.
func (p *ParentNamespace) Local() Broadcast { return p.everyone().Local() }

// Volatile starts a broadcast that skips clients that are not ready for it.
func (p *ParentNamespace) Volatile() Broadcast { return p.everyone().Volatile() }

// Compress starts a broadcast that may be compressed or not.
func (p *ParentNamespace) Compress(on bool) Broadcast { return p.everyone().Compress(on) }

// Timeout bounds what follows; see Broadcast.Timeout.
func (p *ParentNamespace) Timeout(d time.Duration) Broadcast { return p.everyone().Timeout(d) }

// Emit sends an event to everyone in all children.
func (p *ParentNamespace) Emit(event string, args ...any) error {
	return p.everyone().emit(event, args, nil)
}

// SocketsJoin puts everyone in all children into rooms.
func (p *ParentNamespace) SocketsJoin(rooms ...string) { p.everyone().SocketsJoin(rooms...) }

// SocketsLeave takes everyone in all children out of rooms.
func (p *ParentNamespace) SocketsLeave(rooms ...string) { p.everyone().SocketsLeave(rooms...) }

// DisconnectSockets disconnects everyone in all children.
func (p *ParentNamespace) DisconnectSockets(close bool) { p.everyone().DisconnectSockets(close) }
