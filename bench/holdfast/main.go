// Command holdfast is the bench application on Holdfast's own packages; see test/peers/README.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	_ "net/http/pprof" // served at -pprof only
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"holdfast/eventlog"
	"holdfast/eventlog/pebblelog"
	"holdfast/socketio"
)

func main() {
	host := flag.String("host", "127.0.0.1", "address to listen on")
	port := flag.Int("port", 3000, "port to listen on")
	recovery := flag.Bool("recovery", false, "keep events on disk for clients that are away")
	data := flag.String("data", "", "folder for the kept events")
	profiles := flag.String("pprof", "", "address for Go profiles, under /debug/pprof/")
	version := flag.Bool("version", false, "print what this is")
	flag.Parse()
	if *version {
		fmt.Printf("this tree, %s\n", runtime.Version())
		return
	}
	if *profiles != "" {
		go func() { log.Fatal(http.ListenAndServe(*profiles, nil)) }()
	}
	if err := serve(net.JoinHostPort(*host, strconv.Itoa(*port)), *recovery, *data); err != nil {
		log.Fatal(err)
	}
}

func serve(address string, recovery bool, data string) error {
	options := socketio.DefaultOptions()
	io, err := socketio.NewServer(options)
	if err != nil {
		return fmt.Errorf("server: %w", err)
	}
	handle(io.Of("/"))
	if recovery {
		store, err := pebblelog.Open(data, pebblelog.Options{})
		if err != nil {
			return fmt.Errorf("store: %w", err)
		}
		defer store.Close()
		events, err := store.Open("/", eventlog.Retention{MaxAge: time.Hour, MaxEvents: 1_000_000, MaxBytes: 256 << 20})
		if err != nil {
			return fmt.Errorf("log: %w", err)
		}
		if err := io.Of("/").Recover(socketio.DefaultRecoveryOptions(events)); err != nil {
			return err
		}
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	mux := http.NewServeMux()
	mux.Handle("/socket.io/", io)
	web := &http.Server{Addr: address, Handler: mux}
	go func() {
		<-ctx.Done()
		web.Close()
	}()
	if err := web.ListenAndServe(); ctx.Err() == nil {
		return fmt.Errorf("listen: %w", err)
	}
	return nil
}

func handle(root *socketio.Namespace) {
	root.On("echo", func(e *socketio.Event) error {
		return e.Ack(e.Args)
	})
	root.On("join", func(e *socketio.Event) error {
		var room string
		if err := e.Bind(&room); err != nil {
			return err
		}
		if err := e.Socket.Join(room); err != nil {
			return err
		}
		return e.Ack()
	})
	root.On("room", func(e *socketio.Event) error {
		var room string
		if err := e.Bind(&room); err != nil {
			return err
		}
		return root.To(room).Emit("room", e.Args[1])
	})
	root.On("bcast", func(e *socketio.Event) error {
		return root.Emit("b", e.Args[0])
	})
	root.On("burst", func(e *socketio.Event) error {
		var n int
		if err := e.Bind(&n); err != nil {
			return err
		}
		for i := range n {
			if err := root.Emit("b", i, e.Args[1]); err != nil {
				return err
			}
		}
		return nil
	})
}
