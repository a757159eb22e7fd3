// Package metrics puts the statistics of a Socket.IO server, and those of the Go runtime and the
// process, into the text format of Prometheus. Everything is read at the moment of a scrape: nothing is
// counted twice, and a server that nobody scrapes pays nothing.
package metrics

import (
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"holdfast/engineio"
	"holdfast/socketio"
)

// Handler answers scrapes of io's figures. version becomes the label of holdfast_build_info. It is safe
// for concurrent use; a scrape costs time that grows with the number of sessions.
func Handler(io *socketio.Server, version string) (http.Handler, error) {
	registry := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "holdfast_build_info",
		Help:        "Always 1; the label says which build runs.",
		ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	for _, c := range []prometheus.Collector{
		build,
		newCollector(func() stats { return stats{socketio: io.Stats(), engineio: io.Engine().Stats()} }),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register the metrics: %w", err)
		}
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), nil
}

// stats is what one scrape reads.
type stats struct {
	socketio socketio.Stats
	engineio engineio.Stats
}

// A series is one figure without labels.
type series struct {
	name, help string
	kind       prometheus.ValueType
	value      func(stats) float64
}

func gauge(name, help string, value func(stats) int64) series {
	return series{name, help, prometheus.GaugeValue, func(s stats) float64 { return float64(value(s)) }}
}

func counter(name, help string, value func(stats) uint64) series {
	return series{name, help, prometheus.CounterValue, func(s stats) float64 { return float64(value(s)) }}
}

var allSeries = []series{
	counter("holdfast_handshakes_total", "Sessions that were opened.", func(s stats) uint64 { return s.engineio.Handshakes }),
	counter("holdfast_requests_refused_total", "Requests to the endpoint that were answered with an error.", func(s stats) uint64 { return s.engineio.Refused }),
	counter("holdfast_upgrades_total", "Sessions that moved from polling to websocket.", func(s stats) uint64 { return s.engineio.Upgrades }),
	counter("holdfast_messages_received_total", "Engine.IO messages from clients.", func(s stats) uint64 { return s.engineio.MessagesIn }),
	counter("holdfast_received_bytes_total", "Bytes of messages from clients.", func(s stats) uint64 { return s.engineio.BytesIn }),
	counter("holdfast_sent_bytes_total", "Bytes of messages to clients.", func(s stats) uint64 { return s.engineio.BytesOut }),
	counter("holdfast_volatile_dropped_total", "Volatile messages that made room for others in a full queue.", func(s stats) uint64 { return s.engineio.VolatileDropped }),

	gauge("holdfast_sockets", "Sockets that are connected to a namespace now.", func(s stats) int64 { return s.socketio.Sockets }),
	gauge("holdfast_namespaces", "Namespaces that exist now.", func(s stats) int64 { return s.socketio.Namespaces }),
	gauge("holdfast_rooms", "Rooms with members now, without the one that each socket is alone in.", func(s stats) int64 { return s.socketio.Rooms }),
	counter("holdfast_connects_total", "Sockets that connected to a namespace.", func(s stats) uint64 { return s.socketio.Connects }),
	counter("holdfast_connects_refused_total", "Connects to a namespace that were answered with an error.", func(s stats) uint64 { return s.socketio.Refused }),
	counter("holdfast_events_received_total", "Events from clients.", func(s stats) uint64 { return s.socketio.Events }),
	counter("holdfast_emits_total", "Events to clients, a broadcast counted once.", func(s stats) uint64 { return s.socketio.Emits }),
	counter("holdfast_acks_received_total", "Acknowledgements from clients.", func(s stats) uint64 { return s.socketio.Acks }),
	counter("holdfast_handler_errors_total", "Errors that event handlers returned.", func(s stats) uint64 { return s.socketio.HandlerErrors }),
	counter("holdfast_handler_panics_total", "Panics in event handlers.", func(s stats) uint64 { return s.socketio.Panics }),
	counter("holdfast_parse_errors_total", "Connections that were closed for a malformed packet.", func(s stats) uint64 { return s.socketio.ParseErrors }),
	counter("holdfast_bus_errors_total", "Messages that the cluster bus did not take.", func(s stats) uint64 { return s.socketio.BusErrors }),
	counter("holdfast_sessions_recovered_total", "Sockets that went on where a former one was cut off.", func(s stats) uint64 { return s.socketio.Recovered }),
	counter("holdfast_sessions_not_recovered_total", "Claims of a session that could not be recovered exactly.", func(s stats) uint64 { return s.socketio.NotRecovered }),
	counter("holdfast_events_handed_over_total", "Missed events that recovered sockets were sent.", func(s stats) uint64 { return s.socketio.HandedOver }),
	counter("holdfast_events_not_kept_total", "Events that the event log did not take, and nobody was sent.", func(s stats) uint64 { return s.socketio.NotKept }),
}

// collector implements prometheus.Collector over one reading of all statistics.
type collector struct {
	read     func() stats
	plain    []*prometheus.Desc // as allSeries
	sessions *prometheus.Desc
	closed   *prometheus.Desc
}

func newCollector(read func() stats) *collector {
	c := &collector{
		read: read,
		sessions: prometheus.NewDesc("holdfast_sessions",
			"Engine.IO sessions that are open now.", []string{"transport"}, nil),
		closed: prometheus.NewDesc("holdfast_sessions_closed_total",
			"Engine.IO sessions that ended, by the reason.", []string{"reason"}, nil),
	}
	for _, s := range allSeries {
		c.plain = append(c.plain, prometheus.NewDesc(s.name, s.help, nil, nil))
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.plain {
		out <- d
	}
	out <- c.sessions
	out <- c.closed
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	now := c.read()
	for i, s := range allSeries {
		out <- prometheus.MustNewConstMetric(c.plain[i], s.kind, s.value(now))
	}
	for transport, n := range now.engineio.Sessions {
		out <- prometheus.MustNewConstMetric(c.sessions, prometheus.GaugeValue, float64(n), string(transport))
	}
	for reason, n := range now.engineio.Closed {
		out <- prometheus.MustNewConstMetric(c.closed, prometheus.CounterValue, float64(n), string(reason))
	}
}
