// Command latency measures what recovery adds to a broadcast: one server has a namespace with recovery, on a
// disk, and one without; both get the same number of events a second in turn, and a client of each notes how
// long after its emit an event arrives. Beside them a file is written and synced at the same rate, since what
// the disk takes is most of it.
//
//	go run ./test/recovery/latency -rate 100 -seconds 30
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"holdfast/eventlog"
	"holdfast/eventlog/pebblelog"
	"holdfast/socketio"
)

// kinds are what is measured, in the order of the report. The first two are namespaces.
var kinds = []string{"off", "on", "bare write and sync"}

const (
	off = iota
	on
	bare
)

type options struct {
	rate, seconds, payload int
	dir                    string
}

func main() {
	var o options
	flag.IntVar(&o.rate, "rate", 100, "events a second, in each namespace")
	flag.IntVar(&o.seconds, "seconds", 30, "how long to measure")
	flag.IntVar(&o.payload, "payload", 100, "bytes that an event carries")
	flag.StringVar(&o.dir, "dir", "", "directory for the log, on the disk to be measured; by default a temporary one")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(o options) error {
	dir, err := os.MkdirTemp(o.dir, "latency-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	store, err := pebblelog.Open(filepath.Join(dir, "events"), pebblelog.Options{})
	if err != nil {
		return err
	}
	defer store.Close()
	io, address, err := serve(store)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = io.Shutdown(ctx)
	}()
	file, err := os.Create(filepath.Join(dir, "bare"))
	if err != nil {
		return err
	}
	defer file.Close()

	var arrived [2]chan time.Duration
	for kind := range arrived {
		arrived[kind] = make(chan time.Duration, o.rate)
		if err := listen(address, "/"+kinds[kind], arrived[kind]); err != nil {
			return err
		}
	}
	took, err := measure(o, io, file, arrived)
	if err != nil {
		return err
	}
	report(o, took)
	return nil
}

// serve has both namespaces on a port of its own, for as long as the process runs.
func serve(store eventlog.Store) (*socketio.Server, string, error) {
	io, err := socketio.NewServer(socketio.DefaultOptions())
	if err != nil {
		return nil, "", err
	}
	log, err := store.Open("on", eventlog.Retention{MaxAge: 24 * time.Hour, MaxBytes: 256 << 20})
	if err != nil {
		return nil, "", err
	}
	io.Of("/" + kinds[off])
	if err := io.Of("/" + kinds[on]).Recover(socketio.DefaultRecoveryOptions(log)); err != nil {
		return nil, "", err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	server := &http.Server{Handler: io, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	return io, listener.Addr().String(), nil
}

// listen connects a client to a namespace. Its events bring the time at which they were emitted.
func listen(address, namespace string, arrived chan<- time.Duration) error {
	conn, _, _, err := ws.Dial(context.Background(), "ws://"+address+"/socket.io/?EIO=4&transport=websocket")
	if err != nil {
		return err
	}
	if err := wsutil.WriteClientText(conn, []byte("40"+namespace+",")); err != nil {
		return err
	}
	connected := make(chan struct{})
	go func() {
		for {
			packet, err := wsutil.ReadServerText(conn)
			now := time.Now()
			switch text := string(packet); {
			case err != nil:
				close(arrived)
				return
			case text == "2":
				_ = wsutil.WriteClientText(conn, []byte("3"))
			case strings.HasPrefix(text, "40"+namespace):
				close(connected)
			case strings.HasPrefix(text, "42"+namespace):
				_, args, _ := strings.Cut(text, `["tick",`)
				nanos, _, _ := strings.Cut(args, ",")
				sent, err := strconv.ParseInt(nanos, 10, 64)
				if err != nil {
					close(arrived)
					return
				}
				arrived <- now.Sub(time.Unix(0, sent))
			}
		}
	}()
	select {
	case <-connected:
		return nil
	case <-time.After(10 * time.Second):
		return fmt.Errorf("no connection to %s in 10 s", namespace)
	}
}

// measure lets each kind have its turn in every interval, a third of it apart.
func measure(o options, io *socketio.Server, file *os.File, arrived [2]chan time.Duration) ([3][]time.Duration, error) {
	var took [3][]time.Duration
	payload, line := strings.Repeat("x", o.payload), make([]byte, 3*o.payload)
	const warm = 2 // seconds
	turn := time.NewTicker(time.Second / time.Duration(len(kinds)*o.rate))
	defer turn.Stop()
	for n := range (warm + o.seconds) * o.rate * len(kinds) {
		<-turn.C
		kind, start := n%len(kinds), time.Now()
		var d time.Duration
		switch kind {
		case bare:
			if _, err := file.Write(line); err != nil {
				return took, err
			}
			if err := file.Sync(); err != nil {
				return took, err
			}
			d = time.Since(start)
		default:
			if err := io.Of("/"+kinds[kind]).Emit("tick", start.UnixNano(), payload); err != nil {
				return took, err
			}
			select {
			case d = <-arrived[kind]:
			case <-time.After(10 * time.Second):
				return took, fmt.Errorf("an event of /%s did not arrive in 10 s", kinds[kind])
			}
			if d == 0 {
				return took, fmt.Errorf("the connection to /%s is lost", kinds[kind])
			}
		}
		if n >= warm*o.rate*len(kinds) {
			took[kind] = append(took[kind], d)
		}
	}
	return took, nil
}

func report(o options, took [3][]time.Duration) {
	fmt.Printf("%d events a second for %d s, one of each in turn; milliseconds\n\n", o.rate, o.seconds)
	fmt.Println("| recovery | p50 | p99 | max |\n|---|---|---|---|")
	p99 := [3]time.Duration{}
	for kind, d := range took {
		slices.Sort(d)
		p99[kind] = d[len(d)*99/100]
		fmt.Printf("| %s | %s | %s | %s |\n", kinds[kind], ms(d[len(d)/2]), ms(p99[kind]), ms(d[len(d)-1]))
	}
	fmt.Printf("\nadded at p99: %s, of which the disk: %s\n", ms(p99[on]-p99[off]), ms(p99[bare]))
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d.Microseconds())/1000) }
