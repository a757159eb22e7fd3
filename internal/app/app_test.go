package app

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"holdfast/internal/config"
	"holdfast/socketio"
)

func TestServesEverything(t *testing.T) {
	r := start(t, nil, nil)
	for path, want := range map[string]string{
		"/":                                   "<!doctype html>",
		"/healthz":                            `{"status":"ok"}`,
		"/readyz":                             `{"status":"ready"}`,
		"/metrics":                            `holdfast_sessions{transport="polling"}`,
		"/socket.io/?EIO=4&transport=polling": `"upgrades":["websocket"]`,
		"/socket.io?EIO=4&transport=polling":  `"pingInterval":25000`,
	} {
		if status, answer := mustAsk(t, "GET", r.url+path, ""); status != http.StatusOK || !strings.Contains(answer, want) {
			t.Errorf("GET %s: %d %.200s", path, status, answer)
		}
	}
	r.stop()
	if err := r.result(t); err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestNamespacesAreThose(t *testing.T) {
	c := testConfig()
	a, err := New(c, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	if n := a.io.Stats().Namespaces; n < 2 {
		t.Errorf("%d namespaces", n)
	}
	if err := a.end(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestMetricsCountWhatClientsDo(t *testing.T) {
	r := start(t, nil, func(io *socketio.Server) {
		io.Of("/").On("echo", func(e *socketio.Event) error { return e.Ack("x") })
		io.Of("/").On("panic", func(*socketio.Event) error { panic("of a handler") })
	})
	p := connect(t, r.url)
	p.send(`420["echo"]`)
	p.receive()
	p.send(`421["panic"]`)
	p.receive()
	_, answer := mustAsk(t, "GET", r.url+"/metrics", "")
	for _, want := range []string{
		`holdfast_sessions{transport="polling"} 1`,
		"holdfast_sockets 1",
		"holdfast_handshakes_total 1",
		"holdfast_connects_total 1",
		"holdfast_events_received_total 2",
		"holdfast_handler_panics_total 1",
		"holdfast_build_info{",
		"go_goroutines ",
		"process_open_fds ",
	} {
		if !strings.Contains(answer, want) {
			t.Errorf("%s is missing in:\n%s", want, grep(answer, "holdfast_"))
		}
	}
}

func grep(text, what string) string {
	var kept []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, what) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

func TestShutdownLetsHandlersFinish(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	r := start(t, func(c *config.Config) { c.Shutdown.Timeout = 2 * patience }, func(io *socketio.Server) {
		io.Of("/").On("slow", func(e *socketio.Event) error {
			close(started)
			<-release
			return e.Ack("done")
		})
	})
	p := connect(t, r.url)
	p.send(`420["slow"]`)
	<-started

	r.stop()
	eventually(t, "readiness ends", func() bool {
		status, _ := mustAsk(t, "GET", r.url+"/readyz", "")
		return status == http.StatusServiceUnavailable
	})
	if _, answer := mustAsk(t, "GET", r.url+"/readyz", ""); !strings.Contains(answer, "draining") {
		t.Errorf("readyz: %s", answer)
	}
	if status, _ := mustAsk(t, "GET", r.url+"/healthz", ""); status != http.StatusOK {
		t.Errorf("healthz while draining: %d", status)
	}
	eventually(t, "new sessions are refused", func() bool {
		status, _ := mustAsk(t, "GET", r.url+"/socket.io/?EIO=4&transport=polling", "")
		return status == http.StatusServiceUnavailable
	})
	select {
	case err := <-r.stopped:
		t.Fatalf("Run returned while a handler ran: %v", err)
	default:
	}

	close(release)
	if got := p.receive(); !strings.HasPrefix(got, `430["done"]`) {
		t.Errorf("the handler's answer is %q", got)
	}
	p.finish()
	if err := r.result(t); err != nil {
		t.Errorf("Run: %v", err)
	}
	if _, _, err := ask("GET", r.url+"/healthz", ""); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the port is still open: %v", err)
	}
}

func TestShutdownCutsOffWhatTakesTooLong(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	returned := make(chan struct{})
	r := start(t, func(c *config.Config) { c.Shutdown.Timeout = 50 * time.Millisecond }, func(io *socketio.Server) {
		io.Of("/").On("stuck", func(*socketio.Event) error {
			defer close(returned)
			close(started)
			<-release
			return nil
		})
	})
	p := connect(t, r.url)
	p.send(`42["stuck"]`)
	<-started
	r.stop()
	if err := r.result(t); !errors.Is(err, ErrCutOff) {
		t.Errorf("Run: %v", err)
	}
	close(release)
	<-returned
}

func TestClientsAreTakenDuringTheDelay(t *testing.T) {
	r := start(t, func(c *config.Config) { c.Shutdown.Delay, c.Shutdown.Timeout = 2*time.Second, 10*time.Second }, nil)
	r.stop()
	eventually(t, "readiness ends", func() bool {
		status, _ := mustAsk(t, "GET", r.url+"/readyz", "")
		return status == http.StatusServiceUnavailable
	})
	p := connect(t, r.url)
	p.finish()
	if err := r.result(t); err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestPortInUseSaysWhatToDo(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c := testConfig()
	c.Listen = ln.Addr().String()
	a, err := New(c, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	err = a.Run(context.Background())
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "HOLDFAST_LISTEN") {
		t.Errorf("got %v", err)
	}
}

func TestConnectionsPastTheLimitAreClosed(t *testing.T) {
	r := start(t, func(c *config.Config) { c.Limits.MaxConnections = 1 }, nil)
	address := strings.TrimPrefix(r.url, "http://")
	first, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	eventually(t, "the limit is reached", func() bool {
		_, _, err := ask("GET", r.url+"/healthz", "")
		return err != nil
	})
	first.Close()
	eventually(t, "the place is given back", func() bool {
		status, _, err := ask("GET", r.url+"/healthz", "")
		return err == nil && status == http.StatusOK
	})
	if !strings.Contains(r.log.String(), "limits.max_connections is reached") {
		t.Errorf("log: %s", r.log)
	}
}

func TestReloadTakesOverWhatItCan(t *testing.T) {
	r := start(t, func(c *config.Config) { c.CORS.Origins = []string{"https://a.example"} }, nil)
	defer setLogLevel("trace")
	allowed := func(origin string) bool {
		request, err := http.NewRequest(http.MethodGet, r.url+"/socket.io/?EIO=4&transport=polling", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Origin", origin)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.Header.Get("Access-Control-Allow-Origin") == origin
	}
	if !allowed("https://a.example") || allowed("https://b.example") {
		t.Fatal("the first list of origins does not hold")
	}

	next := testConfig()
	next.Listen = "127.0.0.1:1"
	next.Log.Level = "warn"
	next.CORS.Origins = []string{"https://b.example"}
	r.app.Reload(context.Background(), next)
	eventually(t, "the new list of origins holds", func() bool {
		return !allowed("https://a.example") && allowed("https://b.example")
	})
	eventually(t, "the rest is named", func() bool {
		return strings.Contains(r.log.String(), `"keys":["listen"],"message":"these changes need a restart"`)
	})
	if got := zerolog.GlobalLevel(); got != zerolog.WarnLevel {
		t.Errorf("the level is %s", got)
	}

	// "Any origin" has headers of its own, which only a restart brings.
	again := *next
	again.CORS.Origins = []string{"*"}
	r.app.Reload(context.Background(), &again)
	eventually(t, "it says so", func() bool {
		return strings.Contains(r.log.String(), `"keys":["listen","cors.origins"]`)
	})
	if allowed("https://a.example") {
		t.Error("any origin is allowed")
	}
}

func TestPageURLIsForABrowser(t *testing.T) {
	c := testConfig()
	for address, want := range map[string]string{
		"[::]:3000":      "http://localhost:3000",
		"0.0.0.0:3000":   "http://localhost:3000",
		"127.0.0.1:4000": "http://127.0.0.1:4000",
		"[::1]:4000":     "http://[::1]:4000",
	} {
		tcp, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if got := pageURL(c, tcp); got != want {
			t.Errorf("%s: got %s, want %s", address, got, want)
		}
	}
}
