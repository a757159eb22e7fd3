// Package app wires the server together and runs it: the only place that names concrete parts.
package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/rs/zerolog"

	"holdfast/eventlog"
	"holdfast/internal/config"
	"holdfast/internal/httpapi"
	"holdfast/internal/metrics"
	"holdfast/queue"
	"holdfast/socketio"
)

// idleTimeout closes HTTP connections that carry no request. It is longer than the 60 s that load
// balancers commonly keep theirs, so that they never send a request into a closing connection.
const idleTimeout = 75 * time.Second

// httpGrace is what requests that are still being answered get after every session has ended.
const httpGrace = time.Second

// ErrCutOff is returned by Run when shutdown.timeout passed before handlers and queues were done.
var ErrCutOff = errors.New("shutdown.timeout passed before everything was done; the rest was cut off")

// App is one server with everything that belongs to it. Make it with New, run it once with Run.
type App struct {
	config  *config.Config
	logger  zerolog.Logger
	io      *socketio.Server
	store   eventlog.Store // nil where nothing is kept
	queues  *queue.Manager // nil without queues
	health  *httpapi.Health
	handler http.Handler
	origins *allowedOrigins
	cert    *certificate // nil without TLS

	clientDirs []string
	reload     chan *config.Config
}

// New builds the server that c describes, with the namespaces of package namespaces. It reads the
// certificate's files and opens the event store. What it returns must be run, or its goroutines stay.
func New(c *config.Config, logger zerolog.Logger) (*App, error) {
	return newApp(c, logger, nil)
}

// newApp is New with other namespaces, if register is not nil.
func newApp(c *config.Config, logger zerolog.Logger, register func(*socketio.Server) error) (*App, error) {
	a := &App{
		config:  c,
		logger:  logger,
		origins: &allowedOrigins{},
		reload:  make(chan *config.Config),
	}
	proxies, err := c.ProxyPrefixes()
	if err != nil {
		return nil, err
	}
	if c.TLS.Enabled() {
		if a.cert, err = loadCertificate(c.TLS.Cert, c.TLS.Key, logger); err != nil {
			return nil, err
		}
	}
	if c.ServeClient {
		a.clientDirs = httpapi.ClientDirs(c.ClientDir)
	}
	if a.store, err = openStore(c, logger); err != nil {
		return nil, err
	}
	a.health = httpapi.NewHealth()
	if a.store != nil {
		a.health = httpapi.NewHealth(storeCheck(a.store))
	}
	if a.io, err = socketio.NewServer(socketOptions(c, a.origins, logger)); err != nil {
		return nil, errors.Join(err, a.closeStore())
	}
	if err := a.route(proxies, register); err != nil {
		return nil, errors.Join(err, a.end(context.Background()))
	}
	return a, nil
}

func (a *App) route(proxies []netip.Prefix, register func(*socketio.Server) error) error {
	if register == nil {
		register = a.namespaces
	}
	if err := register(a.io); err != nil {
		return fmt.Errorf("set up the namespaces: %w", err)
	}
	if err := a.recoverNamespaces(); err != nil {
		return err
	}
	o := httpapi.Options{
		IO:             a.io,
		Path:           a.config.Path,
		Health:         a.health,
		ClientDirs:     a.clientDirs,
		TrustedProxies: proxies,
		Logger:         a.logger,
	}
	var err error
	if a.config.Metrics.Enabled {
		if o.Metrics, err = metrics.Handler(a.io, version()); err != nil {
			return err
		}
	}
	a.handler, err = httpapi.New(o)
	return err
}

// Run listens and serves until ctx ends, and then shuts down in good order: /readyz turns 503, after
// shutdown.delay new sessions are refused, events in progress finish, sockets are told, and what is
// queued for them leaves. It returns nil after a shutdown with nothing left over, ErrCutOff after one
// that shutdown.timeout ended, and another error when the server could not start or go on.
func (a *App) Run(ctx context.Context) error {
	ln, err := listen(ctx, a.config.Listen, a.config.Limits.MaxConnections, a.logger)
	if err != nil {
		return errors.Join(err, a.end(context.Background()))
	}
	return a.runOn(ctx, ln)
}

func (a *App) runOn(ctx context.Context, ln net.Listener) error {
	server := a.httpServer()
	failed := make(chan error, 1)
	go func() { failed <- a.serve(server, ln) }()
	a.announce(ln.Addr())

	for {
		select {
		case err := <-failed:
			return errors.Join(fmt.Errorf("serve: %w", err), a.end(context.Background()))
		case next := <-a.reload:
			a.apply(next)
		case <-ctx.Done():
			err := a.shutdown(server)
			if serveErr := <-failed; !errors.Is(serveErr, http.ErrServerClosed) {
				err = errors.Join(err, serveErr)
			}
			return err
		}
	}
}

func (a *App) httpServer() *http.Server {
	server := &http.Server{
		Handler:           a.handler,
		ReadHeaderTimeout: a.config.Limits.HandshakeTimeout, // bounds the TLS handshake too
		MaxHeaderBytes:    int(a.config.Limits.MaxHeaderBytes),
		IdleTimeout:       idleTimeout,
		ErrorLog:          httpErrors(a.logger),
		Protocols:         new(http.Protocols),
	}
	// HTTP/2 has no upgrade to websocket that clients use, and a session must be able to move.
	server.Protocols.SetHTTP1(true)
	if a.cert != nil {
		server.TLSConfig = &tls.Config{GetCertificate: a.cert.get, MinVersion: tls.VersionTLS12}
	}
	return server
}

func (a *App) serve(server *http.Server, ln net.Listener) error {
	if a.cert != nil {
		return server.ServeTLS(ln, "", "")
	}
	return server.Serve(ln)
}

func (a *App) announce(address net.Addr) {
	if a.config.ServeClient && !httpapi.ClientInstalled(a.clientDirs) {
		a.logger.Warn().Str("client_dir", a.config.ClientDir).
			Msg("the browser client is not installed, so the demo page can't connect: run npm ci")
	}
	a.logger.Info().
		Str("url", pageURL(a.config, address)).
		Str("address", address.String()).
		Str("version", version()).
		Msg("listening")
}

// pageURL is the address to open in a browser on this machine.
func pageURL(c *config.Config, address net.Addr) string {
	scheme := "http"
	if c.TLS.Enabled() {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(address.String())
	if err != nil {
		return scheme + "://" + address.String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

func (a *App) shutdown(server *http.Server) error {
	start := time.Now()
	a.health.Drain()
	a.logger.Info().Dur("delay", a.config.Shutdown.Delay).Dur("timeout", a.config.Shutdown.Timeout).
		Int("sessions", a.io.Engine().Len()).Msg("shutting down")
	time.Sleep(a.config.Shutdown.Delay) // a second signal ends the process meanwhile

	ctx, cancel := context.WithTimeout(context.Background(), a.config.Shutdown.Timeout)
	defer cancel()
	// The port stays open until the sessions have ended: a polling client has to ask for its last packets.
	ioErr := a.end(ctx)

	graceful, cancelGrace := context.WithTimeout(context.Background(), httpGrace)
	defer cancelGrace()
	if err := server.Shutdown(graceful); err != nil {
		server.Close() // what is left are connections of clients
	}
	if ioErr != nil {
		a.logger.Warn().Err(ioErr).Dur("took", time.Since(start)).Msg("shut down, not everything was done in time")
		return ErrCutOff
	}
	a.logger.Info().Dur("took", time.Since(start)).Msg("shut down")
	return nil
}
