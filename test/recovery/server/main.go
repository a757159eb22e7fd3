// Command server is the application that the recovery tests drive where the default one has no event for what they need:
// volatile events and events with an acknowledgement between logged ones, users, bounds in bytes, a log in memory.
//
// It logs "listening" with its address, and ends in good order at SIGTERM.
package main

import (
	"context"
	"errors"
	"flag"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"holdfast/eventlog"
	"holdfast/eventlog/pebblelog"
	"holdfast/handlers"
	"holdfast/socketio"
)

const (
	shutdownTimeout = 10 * time.Second
	askTimeout      = 5 * time.Second
)

type options struct {
	listen, data        string
	window              time.Duration
	maxEvents, maxBytes int
}

func main() {
	var o options
	flag.StringVar(&o.listen, "listen", "127.0.0.1:0", "address to listen on")
	flag.StringVar(&o.data, "data", "", "directory of the log; without one it is in memory")
	flag.DurationVar(&o.window, "window", time.Minute, "how long a client can come back")
	flag.IntVar(&o.maxEvents, "max-events", 10_000, "events that one client is handed over")
	flag.IntVar(&o.maxBytes, "max-bytes", 2<<20, "bytes that one client is handed over")
	flag.Parse()
	log := zerolog.New(os.Stderr).Level(zerolog.DebugLevel).With().Timestamp().Logger()
	if err := run(o, log); err != nil {
		log.Error().Err(err).Msg("server failed")
		os.Exit(1)
	}
}

func run(o options, log zerolog.Logger) error {
	store := eventlog.NewMemory()
	if o.data != "" {
		var err error
		if store, err = pebblelog.Open(o.data, pebblelog.Options{Logger: log}); err != nil {
			return err
		}
	}
	defer store.Close() // after an orderly end nothing is left to be written
	settings := socketio.DefaultOptions()
	settings.Logger = log
	settings.Engine.CloseTimeout = time.Second // for clients whose links are down
	io, err := socketio.NewServer(settings)
	if err != nil {
		return err
	}
	events, err := store.Open("/", eventlog.Retention{})
	if err != nil {
		return err
	}
	recovery := socketio.DefaultRecoveryOptions(events)
	recovery.Window, recovery.MaxEvents, recovery.MaxBytes = o.window, o.maxEvents, o.maxBytes
	if err := io.Of("/").Recover(recovery); err != nil {
		return err
	}
	register(io.Of("/"))
	register(io.Of("/forgetful")) // the same without a log

	mux := http.NewServeMux()
	mux.Handle("/socket.io/", io)
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	log.Info().Str("address", listener.Addr().String()).Msg("listening")

	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	select {
	case err := <-served:
		return err
	case <-stop.Done():
	}
	ctx, end := context.WithTimeout(context.Background(), shutdownTimeout)
	defer end()
	err = io.Shutdown(ctx)
	server.Close() // what is left are connections of clients that try to come back
	return err
}

// register sets the application up:
//
//	auth {user}                    whom the session belongs to
//	join, leave, publish, history  as in the default application
//	whisper(room, event, ...args)  event(...args) to the room, volatile
//	mutter(event, ...args)         event(...args) to the sender itself, volatile
//	poll(room, event, ...args)     event(...args) to the room, which is to acknowledge it
//	tell(event, ...args)           event(...args) to the sender itself
//	announce(event, ...args)       event(...args) to the whole namespace
func register(n *socketio.Namespace) {
	n.Use(func(s *socketio.Socket) error {
		var auth struct {
			User string `json:"user"`
		}
		if given := s.Handshake().Auth; !given.IsZero() {
			if err := given.Bind(&auth); err != nil {
				return err
			}
		}
		s.SetUser(auth.User)
		return nil
	})
	rooms := handlers.DefaultRoomLimits
	socketio.Handle(n, "join", rooms.Join)
	socketio.Handle(n, "leave", rooms.Leave)
	n.On("publish", rooms.Publish)
	n.On("history", handlers.DefaultHistoryLimits.History)

	n.On("whisper", func(e *socketio.Event) error {
		var room, event string
		if err := e.Bind(&room, &event); err != nil {
			return err
		}
		return answer(e, n.To(room).Volatile().Emit(event, e.Args[2:]))
	})
	n.On("mutter", func(e *socketio.Event) error {
		var event string
		if err := e.Bind(&event); err != nil {
			return err
		}
		return answer(e, e.Socket.Volatile().Emit(event, e.Args[1:]))
	})
	n.On("poll", func(e *socketio.Event) error {
		var room, event string
		if err := e.Bind(&room, &event); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(e.Socket.Context(), askTimeout)
		defer cancel()
		acks, err := n.To(room).EmitWithAck(ctx, event, e.Args[2:])
		if err != nil && !errors.Is(err, socketio.ErrAckTimeout) {
			return err
		}
		return e.Ack(len(acks.Responses))
	})
	n.On("tell", func(e *socketio.Event) error {
		var event string
		if err := e.Bind(&event); err != nil {
			return err
		}
		return answer(e, e.Socket.Emit(event, e.Args[1:]))
	})
	n.On("announce", func(e *socketio.Event) error {
		var event string
		if err := e.Bind(&event); err != nil {
			return err
		}
		return answer(e, n.Emit(event, e.Args[1:]))
	})
}

func answer(e *socketio.Event, err error) error {
	if err != nil {
		return err
	}
	return e.Ack(handlers.OK{OK: true})
}
