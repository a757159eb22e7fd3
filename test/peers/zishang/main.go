// Command zishang is the bench application on github.com/zishang520/socket.io/v2; see ../README.md.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"strconv"

	"github.com/zishang520/socket.io/v2/socket"
)

const library = "github.com/zishang520/socket.io/v2"

func main() {
	host := flag.String("host", "127.0.0.1", "address to listen on")
	port := flag.Int("port", 3000, "port to listen on")
	recovery := flag.Bool("recovery", false, "connection state recovery, in memory")
	flag.String("data", "", "unused: recovery is in memory")
	compare := flag.Bool("compare", false, "serve the cases under ../compare too")
	ping := flag.Duration("ping", 0, "heartbeat interval and timeout; 0: the library's")
	version := flag.Bool("version", false, "print what this is")
	flag.Parse()
	if *version {
		fmt.Printf("socket.io/v2 %s, %s\n", libraryVersion(), runtime.Version())
		return
	}
	opts := socket.DefaultServerOptions()
	if *recovery {
		opts.SetConnectionStateRecovery(&socket.ConnectionStateRecovery{})
	}
	if *ping > 0 {
		opts.SetPingInterval(*ping)
		opts.SetPingTimeout(*ping)
	}
	io := socket.NewServer(nil, nil)
	mux := http.NewServeMux()
	mux.Handle("/socket.io/", io.ServeHandler(opts))
	if err := io.On("connection", func(clients ...any) { connected(io, clients[0].(*socket.Socket)) }); err != nil {
		log.Fatal(err)
	}
	if *compare {
		serveComparison(io)
	}
	log.Fatal(http.ListenAndServe(net.JoinHostPort(*host, strconv.Itoa(*port)), mux))
}

func connected(io *socket.Server, client *socket.Socket) {
	client.On("echo", func(args ...any) {
		if args, ack, ok := split(args); ok {
			ack(args, nil)
		}
	})
	client.On("join", func(args ...any) {
		client.Join(socket.Room(args[0].(string)))
		if _, ack, ok := split(args); ok {
			ack([]any{}, nil)
		}
	})
	client.On("room", func(args ...any) {
		io.To(socket.Room(args[0].(string))).Emit("room", args[1])
	})
	client.On("bcast", func(args ...any) {
		io.Emit("b", args[0])
	})
	client.On("burst", func(args ...any) {
		for i := range int(args[0].(float64)) {
			io.Emit("b", i, args[1])
		}
	})
}

// split takes the ack off the end of an event's arguments.
func split(args []any) ([]any, socket.Ack, bool) {
	ack, ok := args[len(args)-1].(socket.Ack)
	if !ok {
		return args, nil, false
	}
	return args[:len(args)-1], ack, true
}

func libraryVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == library {
				return m.Version
			}
		}
	}
	return "?"
}
