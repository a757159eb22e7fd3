package engineio

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Stats are counts since the start of the server, but for Sessions, which is now.
type Stats struct {
	Sessions        map[Transport]int
	Handshakes      uint64
	Refused         uint64 // requests answered with an error of the protocol
	Upgrades        uint64
	MessagesIn      uint64
	BytesIn         uint64
	BytesOut        uint64
	VolatileDropped uint64 // volatile packets that made room for others
	Closed          map[Reason]uint64
}

type counters struct {
	handshakes, refused, upgrades atomic.Uint64
	messagesIn, bytesIn, bytesOut atomic.Uint64
	volatileDropped               atomic.Uint64

	mu      sync.Mutex
	reasons map[Reason]uint64
}

func (c *counters) closed(r Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reasons == nil {
		c.reasons = map[Reason]uint64{}
	}
	c.reasons[r]++
}

// Stats counts the sessions by transport, so its cost grows with them; call it for a scrape, not in a loop.
func (srv *Server) Stats() Stats {
	c := &srv.stats
	out := Stats{
		Sessions:        map[Transport]int{TransportPolling: 0, TransportWebSocket: 0},
		Handshakes:      c.handshakes.Load(),
		Refused:         c.refused.Load(),
		Upgrades:        c.upgrades.Load(),
		MessagesIn:      c.messagesIn.Load(),
		BytesIn:         c.bytesIn.Load(),
		BytesOut:        c.bytesOut.Load(),
		VolatileDropped: c.volatileDropped.Load(),
	}
	for _, s := range srv.sessions.all() {
		out.Sessions[s.Transport()]++
	}
	c.mu.Lock()
	out.Closed = maps.Clone(c.reasons)
	c.mu.Unlock()
	return out
}
