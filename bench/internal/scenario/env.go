//go:build linux

// Package scenario holds the loads that the servers are put under and takes the figures.
package scenario

import (
	"fmt"
	"time"

	"holdfast/bench/internal/client"
	"holdfast/bench/internal/hist"
	"holdfast/bench/internal/peer"
)

// Figure names something that is measured.
type Figure string

// The figures. A message is an acked event in the echo scenarios, one delivery to one client in the broadcast
// scenarios, and a connection in the idle scenarios.
const (
	Rate          Figure = "rate"           // messages a second
	CPU           Figure = "cpu_us"         // microseconds of server CPU a message
	P50           Figure = "p50_ms"         // median latency in milliseconds
	P99           Figure = "p99_ms"         // 99th percentile of it
	KBPerConn     Figure = "kb_conn"        // growth of the server's resident set a connection, in 1,024 bytes
	Lost          Figure = "lost"           // messages that never arrived, or were wrong
	Disordered    Figure = "disordered"     // messages that arrived after a later one
	Dropped       Figure = "dropped"        // connections that broke
	ServerLoad    Figure = "server_load"    // share of its core that the server used
	GeneratorLoad Figure = "generator_load" // share of its core that the generator used
)

// Figures holds what one run of a scenario gave.
type Figures map[Figure]float64

// Server is what a scenario wants to know of the process under load; peer.Server is one.
type Server interface {
	CPU() (time.Duration, error) // used so far
	ResidentKB() (int64, error)  // in units of 1,024 bytes
	Died() error                 // not nil once the process has ended
}

// Env is what a scenario runs in.
type Env struct {
	Loop    *client.Loop
	Server  Server
	Warm    time.Duration // load before the measurement begins
	Measure time.Duration // load that is measured
	Quiet   time.Duration // how long nothing must arrive before what is missing counts as lost
	// Started is called when a measurement begins.
	Started func()
}

// Scenario is one load.
type Scenario struct {
	Name     string
	Title    string
	Unit     string // what a message is
	Recovery bool   // the server keeps events for clients that are away
	Polling  bool   // needs the polling transport
	Rooms    bool   // needs rooms
	Run      func(*Env) (Figures, error)
}

// drainMost, and drainEach for each missing message, are how long a scenario waits at most for what hasn't arrived.
const (
	drainMost = time.Minute
	drainEach = 50 * time.Microsecond
)

// window is a stretch of time under measurement.
type window struct {
	start  int64
	server time.Duration
	own    time.Duration
}

func (e *Env) begin() (window, error) {
	if e.Started != nil {
		e.Started()
	}
	cpu, err := e.Server.CPU()
	return window{start: e.Loop.Now(), server: cpu, own: peer.OwnCPU()}, err
}

// end gives the figures that every scenario has, for the number of messages that the window saw in the time
// given (0: the whole window).
func (e *Env) end(w window, messages int, busy time.Duration, latency *hist.Histogram) (Figures, error) {
	cpu, err := e.Server.CPU()
	if err != nil {
		return nil, err
	}
	elapsed := time.Duration(e.Loop.Now() - w.start)
	if busy == 0 {
		busy = elapsed
	}
	if messages == 0 {
		return nil, fmt.Errorf("no message arrived in %v", elapsed)
	}
	return Figures{
		Rate:          float64(messages) / busy.Seconds(),
		CPU:           float64((cpu - w.server).Nanoseconds()) / 1e3 / float64(messages),
		P50:           ms(latency.Quantile(0.5)),
		P99:           ms(latency.Quantile(0.99)),
		ServerLoad:    (cpu - w.server).Seconds() / elapsed.Seconds(),
		GeneratorLoad: (peer.OwnCPU() - w.own).Seconds() / elapsed.Seconds(),
	}, nil
}

// run serves the connections for d.
func (e *Env) run(d time.Duration) error {
	_, err := e.Loop.Run(e.Loop.Now()+int64(d), nil)
	return err
}

// drain serves the connections until missing returns 0, or nothing has arrived for a while (missing no longer
// falls).
func (e *Env) drain(missing func() int) error {
	last, quiet := missing(), e.Loop.Now()
	end := quiet + int64(drainMost) + int64(last)*int64(drainEach)
	for last > 0 && e.Loop.Now() < end && e.Loop.Now()-quiet < int64(e.Quiet) {
		if _, err := e.Loop.Run(e.Loop.Now()+int64(50*time.Millisecond), func() bool { return missing() <= 0 }); err != nil {
			return err
		}
		if m := missing(); m < last {
			last, quiet = m, e.Loop.Now()
		}
	}
	return e.Server.Died()
}

func ms(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
