// Command testserver is the server that the tests under test/ drive: an application on the public packages
// engineio and socketio, with an event or a namespace for every case, and a control side over HTTP that
// does what only the server can do and tells what it saw.
//
// It prints "listening host:port" once it listens, and ends in good order at SIGTERM. test/js/reference is the same
// application on Socket.IO itself: what a test expects is proven there first.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"holdfast/engineio"
	"holdfast/socketio"
)

const shutdownTimeout = 10 * time.Second

func main() {
	opts, err := parseOptions(os.Args[1:])
	if err != nil {
		os.Exit(2) // the flag package has said why
	}
	log := zerolog.New(os.Stderr).Level(opts.logLevel).With().Timestamp().Logger()
	if err := run(opts, log); err != nil {
		log.Error().Err(err).Msg("test server failed")
		os.Exit(1)
	}
}

func run(opts options, log zerolog.Logger) error {
	mux := http.NewServeMux()
	shutdown, err := mount(mux, opts, log)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", opts.listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: opts.headerTimeout, IdleTimeout: time.Minute}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	fmt.Println("listening", listener.Addr())

	select {
	case err := <-served:
		return err
	case <-stop.Done():
	}
	ctx, end := context.WithTimeout(context.Background(), shutdownTimeout)
	defer end()
	return errors.Join(shutdown(ctx), server.Shutdown(ctx))
}

// mount puts the application, or the one that an official protocol suite expects, behind its path, and
// returns what ends it.
func mount(mux *http.ServeMux, opts options, log zerolog.Logger) (func(context.Context) error, error) {
	switch opts.suite {
	case "engine", "echo":
		server, err := engineio.NewServer(opts.socketio(log).Engine, echo{})
		if err != nil {
			return nil, err
		}
		mux.Handle("/engine.io/", server)
		return server.Shutdown, nil
	case "socket":
		server, err := socketio.NewServer(opts.socketio(log))
		if err != nil {
			return nil, err
		}
		socketSuite(server)
		mux.Handle("/socket.io/", server)
		return server.Shutdown, nil
	}
	server, err := socketio.NewServer(opts.socketio(log))
	if err != nil {
		return nil, err
	}
	app := newApp(server)
	mux.Handle(opts.path, server)
	app.control(mux)
	return server.Shutdown, nil
}
