package main

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"holdfast/engineio"
	"holdfast/socketio"
)

// options are the flags; test/js/reference/flags.mjs has the same ones.
type options struct {
	listen, path, suite string
	logLevel            zerolog.Level
	headerTimeout       time.Duration

	transports                                                string
	allowUpgrades                                             bool
	pingInterval, pingTimeout, upgradeTimeout, connectTimeout time.Duration
	maxPayload, sendBuffer, receiveBuffer                     int64
	cookie                                                    string
	corsOrigins                                               string
	corsCredentials                                           bool
	httpCompression, perMessageDeflate                        bool
	cleanupEmptyChildNamespaces                               bool
	refuseHeader                                              string
	extraHeader                                               bool
}

func parseOptions(args []string) (options, error) {
	defaults := socketio.DefaultOptions()
	engine := defaults.Engine
	var o options
	var level string
	fs := flag.NewFlagSet("testserver", flag.ContinueOnError)
	fs.StringVar(&o.listen, "listen", "127.0.0.1:0", "address to listen on")
	fs.StringVar(&o.path, "path", "/socket.io/", "where the protocol is mounted")
	fs.StringVar(&o.suite, "suite", "", "serve what an official protocol suite expects: engine or socket; echo: as engine, with the options given")
	fs.StringVar(&level, "log-level", "warn", "zerolog level")
	fs.DurationVar(&o.headerTimeout, "header-timeout", 10*time.Second, "how long request headers may take")
	fs.StringVar(&o.transports, "transports", "polling,websocket", "comma-separated")
	fs.BoolVar(&o.allowUpgrades, "allow-upgrades", engine.AllowUpgrades, "")
	fs.DurationVar(&o.pingInterval, "ping-interval", engine.PingInterval, "")
	fs.DurationVar(&o.pingTimeout, "ping-timeout", engine.PingTimeout, "")
	fs.DurationVar(&o.upgradeTimeout, "upgrade-timeout", engine.UpgradeTimeout, "")
	fs.DurationVar(&o.connectTimeout, "connect-timeout", defaults.ConnectTimeout, "")
	fs.Int64Var(&o.maxPayload, "max-payload", engine.MaxPayload, "bytes")
	fs.Int64Var(&o.sendBuffer, "send-buffer", engine.SendBuffer, "bytes")
	fs.Int64Var(&o.receiveBuffer, "receive-buffer", defaults.ReceiveBuffer, "bytes")
	fs.StringVar(&o.cookie, "cookie", "", "name of a cookie with the session id")
	fs.StringVar(&o.corsOrigins, "cors-origins", "", "comma-separated, or *")
	fs.BoolVar(&o.corsCredentials, "cors-credentials", false, "")
	fs.BoolVar(&o.httpCompression, "http-compression", true, "")
	fs.BoolVar(&o.perMessageDeflate, "per-message-deflate", false, "")
	fs.BoolVar(&o.cleanupEmptyChildNamespaces, "cleanup-empty-child-namespaces", false, "")
	fs.StringVar(&o.refuseHeader, "refuse-header", "", "refuse requests that carry this header")
	fs.BoolVar(&o.extraHeader, "extra-header", false, "add x-initial and x-every to the answers")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	var err error
	if o.logLevel, err = zerolog.ParseLevel(level); err != nil {
		fmt.Fprintln(fs.Output(), err)
		return o, err
	}
	switch o.suite {
	case "", "echo":
	case "engine", "socket":
		o.pingInterval, o.pingTimeout, o.maxPayload, o.corsOrigins = 300*time.Millisecond, 200*time.Millisecond, 1_000_000, "*"
	default:
		err = fmt.Errorf("unknown suite %q", o.suite)
		fmt.Fprintln(fs.Output(), err)
	}
	return o, err
}

// socketio turns the flags into the server's options.
func (o options) socketio(log zerolog.Logger) socketio.Options {
	so := socketio.DefaultOptions()
	so.Logger = log
	so.ConnectTimeout = o.connectTimeout
	so.ReceiveBuffer = o.receiveBuffer
	so.CleanupEmptyChildNamespaces = o.cleanupEmptyChildNamespaces

	e := &so.Engine
	e.Logger = log
	e.Transports = nil
	for name := range strings.SplitSeq(o.transports, ",") {
		e.Transports = append(e.Transports, engineio.Transport(name))
	}
	e.AllowUpgrades = o.allowUpgrades
	e.PingInterval, e.PingTimeout, e.UpgradeTimeout = o.pingInterval, o.pingTimeout, o.upgradeTimeout
	e.MaxPayload, e.SendBuffer = o.maxPayload, o.sendBuffer
	e.CloseTimeout = shutdownTimeout / 3 // a polling client that never polls again does not hold up the end
	if o.cookie != "" {
		e.Cookie = &http.Cookie{Name: o.cookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
	}
	if o.corsOrigins != "" {
		e.CORS = &engineio.CORSOptions{Origins: strings.Split(o.corsOrigins, ","), Credentials: o.corsCredentials}
	}
	if !o.httpCompression {
		e.HTTPCompression = nil
	}
	if o.perMessageDeflate {
		e.PerMessageDeflate = &engineio.CompressionOptions{Threshold: 1024}
	}
	if o.refuseHeader != "" {
		e.AllowRequest = func(r *http.Request) error {
			if r.Header.Get(o.refuseHeader) != "" {
				return errors.New("not this one")
			}
			return nil
		}
	}
	if o.extraHeader {
		e.InitialHeaders = func(h http.Header, _ *http.Request) { h.Set("X-Initial", "yes") }
		e.Headers = func(h http.Header, _ *http.Request) { h.Set("X-Every", "yes") }
	}
	return so
}
