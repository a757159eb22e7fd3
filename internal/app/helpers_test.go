package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"holdfast/internal/config"
	"holdfast/socketio"
)

// asBinary makes the test binary behave as the server's own, for tests that send it signals.
const asBinary = "APP_TEST_AS_BINARY"

func TestMain(m *testing.M) {
	if os.Getenv(asBinary) != "" {
		os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr))
	}
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must happen; nothing is concluded from how long it took.
const patience = 20 * time.Second

// logBuffer is a log that tests read while the server writes it.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// running is an App that serves.
type running struct {
	app     *App
	url     string
	log     *logBuffer
	stop    context.CancelFunc
	stopped chan error // Run's result
}

// testConfig is that of every server that start runs.
func testConfig() *config.Config {
	c := config.Default()
	c.Listen = "127.0.0.1:0"
	// Sessions that a test leaves behind are waited for at the shutdown for half of its timeout, as exactly
	// as the clock of the heartbeats ticks.
	c.Shutdown.Timeout = time.Second
	c.PingTimeout = 400 * time.Millisecond
	c.Recovery.Durability = config.DurabilityMemory
	return c
}

// start runs an App on a free port; change and register may be nil. The test's end stops it.
func start(t *testing.T, change func(*config.Config), register func(*socketio.Server)) *running {
	t.Helper()
	c := testConfig()
	if change != nil {
		change(c)
	}
	logged := &logBuffer{}
	a, err := newApp(c, zerolog.New(logged), func(io *socketio.Server) error {
		if register != nil {
			register(io)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ln, err := listen(ctx, c.Listen, c.Limits.MaxConnections, a.logger)
	if err != nil {
		t.Fatal(err)
	}
	r := &running{app: a, url: pageURL(c, ln.Addr()), log: logged, stop: cancel, stopped: make(chan error, 1)}
	ended := make(chan struct{})
	go func() {
		r.stopped <- a.runOn(ctx, ln)
		close(ended)
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(patience):
			t.Error("the server does not end")
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return r
}

// result waits for Run's end.
func (r *running) result(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.stopped:
		return err
	case <-time.After(patience):
		t.Fatal("Run does not return")
		return nil
	}
}

// ask makes one request on a connection of its own.
func ask(method, url, body string) (status int, answer string, err error) {
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	return response.StatusCode, string(data), err
}

func mustAsk(t *testing.T, method, url, body string) (status int, answer string) {
	t.Helper()
	status, answer, err := ask(method, url, body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return status, answer
}

// eventually asks again until condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("does not happen: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// pollingClient is the smallest client of the protocol: one session over polling, in the root namespace.
type pollingClient struct {
	t   *testing.T
	url string
}

func connect(t *testing.T, base string) *pollingClient {
	t.Helper()
	endpoint := base + "/socket.io/?EIO=4&transport=polling"
	status, answer := mustAsk(t, "GET", endpoint, "")
	if status != http.StatusOK || !strings.HasPrefix(answer, "0{") {
		t.Fatalf("handshake: %d %s", status, answer)
	}
	var open struct{ Sid string }
	if err := json.Unmarshal([]byte(answer[1:]), &open); err != nil {
		t.Fatal(err)
	}
	p := &pollingClient{t: t, url: endpoint + "&sid=" + open.Sid}
	p.send("40")
	if got := p.receive(); !strings.HasPrefix(got, "40{") {
		t.Fatalf("connect: %s", got)
	}
	return p
}

func (p *pollingClient) send(packet string) {
	p.t.Helper()
	if status, answer := mustAsk(p.t, "POST", p.url, packet); status != http.StatusOK {
		p.t.Fatalf("send %s: %d %s", packet, status, answer)
	}
}

func (p *pollingClient) receive() string {
	p.t.Helper()
	status, answer := mustAsk(p.t, "GET", p.url, "")
	if status != http.StatusOK {
		p.t.Fatalf("receive: %d %s", status, answer)
	}
	return answer
}

// finish polls until the session has ended.
func (p *pollingClient) finish() {
	for {
		status, _, err := ask("GET", p.url, "")
		if err != nil || status != http.StatusOK {
			return
		}
	}
}

// freeAddress is one that was free a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return fmt.Sprint(ln.Addr())
}
