package socketio

import "sync/atomic"

// Stats are figures of a server. Those that say so are of now; the others count from its start.
type Stats struct {
	Sockets       int64  // connected, now
	Namespaces    int64  // now
	Rooms         int64  // with members, now, but for the rooms that are a socket's own id
	Connects      uint64 // sockets that connected
	Refused       uint64 // CONNECTs that were answered with an error
	Events        uint64 // events received
	Emits         uint64 // events sent, a broadcast counted once
	Acks          uint64 // acknowledgements received
	HandlerErrors uint64 // errors that handlers returned
	Panics        uint64 // panics in functions of the application
	ParseErrors   uint64 // connections closed for a packet that is none
	Recovered     uint64 // sockets that went on with the session of a former one
	NotRecovered  uint64 // claims of a session that were refused
	HandedOver    uint64 // events that recovered sockets had missed
	NotKept       uint64 // events that the log of a recoverable namespace did not take
	BusErrors     uint64 // messages that the cluster bus did not take
}

type counters struct {
	sockets       atomic.Int64
	connects      atomic.Uint64
	refused       atomic.Uint64
	events        atomic.Uint64
	emits         atomic.Uint64
	acks          atomic.Uint64
	handlerErrors atomic.Uint64
	panics        atomic.Uint64
	parseErrors   atomic.Uint64
	busErrors     atomic.Uint64
}

// Stats returns the figures of this moment.
func (s *Server) Stats() Stats {
	all := s.list()
	rooms := 0
	for _, n := range all {
		n.mu.Lock()
		rooms += len(n.rooms)
		n.mu.Unlock()
	}
	c := &s.stats
	var recovered, refused, missed, notKept uint64
	for _, n := range all {
		if f := n.outlet.flow; f != nil {
			recovered += f.stats.recovered.Load()
			refused += f.stats.refused.Load()
			missed += f.stats.missed.Load()
			notKept += f.stats.notKept.Load()
		}
	}
	return Stats{
		Sockets:       c.sockets.Load(),
		Namespaces:    int64(len(all)),
		Rooms:         int64(rooms),
		Connects:      c.connects.Load(),
		Refused:       c.refused.Load(),
		Events:        c.events.Load(),
		Emits:         c.emits.Load(),
		Acks:          c.acks.Load(),
		HandlerErrors: c.handlerErrors.Load(),
		Panics:        c.panics.Load(),
		ParseErrors:   c.parseErrors.Load(),
		Recovered:     recovered,
		NotRecovered:  refused,
		HandedOver:    missed,
		NotKept:       notKept,
		BusErrors:     c.busErrors.Load(),
	}
}
