package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newHandler(t *testing.T, change func(*Options)) http.Handler {
	t.Helper()
	o := Options{
		IO:     http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "io %s %s", r.Method, r.URL.Path) }),
		Path:   "/socket.io/",
		Health: NewHealth(),
		Logger: zerolog.Nop(),
	}
	if change != nil {
		change(&o)
	}
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// get asks h for a target; header holds names and values in turn.
func get(h http.Handler, method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, http.NoBody)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestEndpointTakesEveryMethodWithAndWithoutSlash(t *testing.T) {
	for _, path := range []string{"/socket.io/", "/socket.io", "/a/b"} {
		h := newHandler(t, func(o *Options) { o.Path = path })
		for _, method := range []string{"GET", "POST", "OPTIONS", "PUT", "DELETE", "HEAD"} {
			for _, at := range []string{strings.TrimSuffix(path, "/"), strings.TrimSuffix(path, "/") + "/"} {
				w := get(h, method, at+"?EIO=4&transport=polling")
				if w.Code != http.StatusOK || w.Body.String() != "io "+method+" "+at {
					t.Errorf("%s %s mounted at %s: %d %q", method, at, path, w.Code, w.Body)
				}
			}
		}
	}
}

func TestEndpointCanTakeOverTheConnection(t *testing.T) {
	h := newHandler(t, func(o *Options) {
		o.IO = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\nraw")
		})
	})
	server := httptest.NewServer(h)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n\r\n")
	answer, err := io.ReadAll(bufio.NewReader(conn))
	if err != nil || string(answer) != "HTTP/1.1 101 Switching Protocols\r\n\r\nraw" {
		t.Errorf("got %q, %v", answer, err)
	}
}

func TestMountServesAnyGinApp(t *testing.T) {
	gin.SetMode(gin.ReleaseMode)
	app := gin.New()
	Mount(app.Group("/live"), "ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) }))
	if w := get(app, "POST", "/live/ws/?x"); w.Body.String() != "/live/ws/" {
		t.Errorf("got %d %q", w.Code, w.Body)
	}
}

func TestHealthAndReadiness(t *testing.T) {
	broken := errors.New("disk full")
	var storeErr error
	health := NewHealth(Check{Name: "store", Probe: func(context.Context) error { return storeErr }})
	h := newHandler(t, func(o *Options) { o.Health = health })

	expect := func(path string, code int, body string) {
		t.Helper()
		w := get(h, "GET", path)
		if w.Code != code || w.Body.String() != body {
			t.Errorf("%s: %d %s, want %d %s", path, w.Code, w.Body, code, body)
		}
		if got := w.Header().Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s may be cached: %q", path, got)
		}
	}
	expect("/healthz", 200, `{"status":"ok"}`)
	expect("/readyz", 200, `{"status":"ready"}`)
	storeErr = broken
	expect("/readyz", 503, `{"reasons":["store: disk full"],"status":"unavailable"}`)
	health.Drain()
	expect("/readyz", 503, `{"reasons":["draining","store: disk full"],"status":"unavailable"}`)
	storeErr = nil
	expect("/readyz", 503, `{"reasons":["draining"],"status":"unavailable"}`)
	expect("/healthz", 200, `{"status":"ok"}`)
}

func TestPages(t *testing.T) {
	h := newHandler(t, nil)
	index := get(h, "GET", "/")
	if index.Code != 200 || !strings.Contains(index.Body.String(), "<!doctype html>") {
		t.Fatalf("GET /: %d", index.Code)
	}
	for name, want := range map[string]string{
		"Content-Type":           "text/html; charset=utf-8",
		"Cache-Control":          "no-cache",
		"X-Content-Type-Options": "nosniff",
		"Referrer-Policy":        "no-referrer",
	} {
		if got := index.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	policy := index.Header().Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'self'") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy: %q", policy)
	}

	etag := index.Header().Get("ETag")
	for _, sent := range []string{etag, "W/" + etag, `"other", ` + etag, "*"} {
		w := get(h, "GET", "/", "If-None-Match", sent)
		if w.Code != 304 || w.Body.Len() != 0 {
			t.Errorf("If-None-Match %s: %d with %d bytes", sent, w.Code, w.Body.Len())
		}
	}
	if w := get(h, "GET", "/", "If-None-Match", `"other"`); w.Code != 200 {
		t.Errorf("another tag: %d", w.Code)
	}

	packed := get(h, "GET", "/", "Accept-Encoding", "br, gzip;q=0.8")
	if packed.Header().Get("Content-Encoding") != "gzip" || packed.Body.Len() >= index.Body.Len() {
		t.Errorf("not compressed: %d bytes of %d", packed.Body.Len(), index.Body.Len())
	}
	if w := get(h, "GET", "/", "Accept-Encoding", "gzip;q=0"); w.Header().Get("Content-Encoding") != "" {
		t.Error("compressed for a client that refuses it")
	}
	if w := get(h, "HEAD", "/"); w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Content-Length") == "" {
		t.Errorf("HEAD: %d, %d bytes", w.Code, w.Body.Len())
	}
	if w := get(h, "GET", "/index.html"); w.Body.String() != index.Body.String() {
		t.Error("/index.html is another page")
	}
	if w := get(h, "GET", "/nowhere"); w.Code != 404 {
		t.Errorf("/nowhere: %d", w.Code)
	}
	if w := get(h, "POST", "/healthz"); w.Code != 405 {
		t.Errorf("POST /healthz: %d", w.Code)
	}
}

func TestMetricsRouteIsOptional(t *testing.T) {
	if w := get(newHandler(t, nil), "GET", "/metrics"); w.Code != 404 {
		t.Errorf("without metrics: %d", w.Code)
	}
	h := newHandler(t, func(o *Options) {
		o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "up 1") })
	})
	if w := get(h, "GET", "/metrics"); w.Body.String() != "up 1" {
		t.Errorf("with metrics: %d %q", w.Code, w.Body)
	}
}

// installClient puts a client of a version into a new directory, as npm does, and returns its dist.
func installClient(t *testing.T, version string) string {
	t.Helper()
	dist := filepath.Join(t.TempDir(), "socket.io-client", "dist")
	if err := os.MkdirAll(dist, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(at, text string) {
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(dist, "..", "package.json"), `{"version": "`+version+`"}`)
	for _, name := range clientNames {
		write(filepath.Join(dist, name), "// "+name+" "+version)
		write(filepath.Join(dist, name+".map"), "{}")
	}
	return dist
}

func TestClientIsServedAsNodeDoes(t *testing.T) {
	dist := installClient(t, "4.8.4")
	h := newHandler(t, func(o *Options) { o.ClientDirs = []string{filepath.Join(dist, "nowhere"), dist} })
	for _, name := range clientNames {
		w := get(h, "GET", "/socket.io/"+name)
		if w.Code != 200 || w.Body.String() != "// "+name+" 4.8.4" {
			t.Errorf("%s: %d %q", name, w.Code, w.Body)
		}
		for header, want := range map[string]string{
			"Content-Type":  "application/javascript; charset=utf-8",
			"Cache-Control": "public, max-age=0",
			"ETag":          `"4.8.4"`,
		} {
			if got := w.Header().Get(header); got != want {
				t.Errorf("%s: %s is %q, want %q", name, header, got, want)
			}
		}
		w = get(h, "GET", "/socket.io/"+name+".map")
		if w.Code != 200 || w.Header().Get("Content-Type") != "application/json; charset=utf-8" {
			t.Errorf("%s.map: %d %q", name, w.Code, w.Header())
		}
		if w := get(h, "GET", "/socket.io/"+name, "If-None-Match", `W/"4.8.4"`); w.Code != 304 {
			t.Errorf("%s again: %d", name, w.Code)
		}
	}
	if w := get(h, "GET", "/socket.io/package.json"); w.Code != 404 {
		t.Errorf("another file: %d", w.Code)
	}
}

func TestClientThatIsMissingSaysWhatToDo(t *testing.T) {
	dist := filepath.Join(t.TempDir(), "dist")
	h := newHandler(t, func(o *Options) { o.ClientDirs = []string{dist} })
	w := get(h, "GET", "/socket.io/socket.io.js")
	if w.Code != 404 || !strings.Contains(w.Body.String(), "npm ci") {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	if ClientInstalled([]string{dist}) {
		t.Error("said to be installed")
	}

	// Installed later, and updated after that, without a restart.
	for _, version := range []string{"4.8.3", "4.8.40"} {
		if err := os.RemoveAll(dist); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(dist, os.DirFS(installClient(t, version))); err != nil {
			t.Fatal(err)
		}
		if w := get(h, "GET", "/socket.io/socket.io.js"); w.Code != 200 || !strings.HasSuffix(w.Body.String(), version) {
			t.Errorf("after npm ci: %d %q", w.Code, w.Body)
		}
	}
	if !ClientInstalled([]string{dist}) {
		t.Error("said to be missing")
	}
}

func TestClientIsServedOnlyIfAskedTo(t *testing.T) {
	if w := get(newHandler(t, nil), "GET", "/socket.io/socket.io.js"); w.Code != 404 || strings.Contains(w.Body.String(), "npm") {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

func TestPanicIsAnsweredAndLogged(t *testing.T) {
	var logged bytes.Buffer
	h := newHandler(t, func(o *Options) {
		o.Logger = zerolog.New(&logged)
		o.IO = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") })
	})
	if w := get(h, "GET", "/socket.io/"); w.Code != 500 || strings.Contains(w.Body.String(), "boom") {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	if !strings.Contains(logged.String(), `"panic":"boom"`) {
		t.Errorf("logged %q", logged.String())
	}
}

func TestAbortedAnswerPasses(t *testing.T) {
	h := newHandler(t, func(o *Options) {
		o.IO = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	})
	defer func() {
		if cause := recover(); cause != http.ErrAbortHandler { //nolint:errorlint // the very value is net/http's signal
			t.Errorf("recovered %v", cause)
		}
	}()
	get(h, "GET", "/socket.io/")
	t.Error("the panic was swallowed")
}

func TestTrustedProxies(t *testing.T) {
	seen := func(h http.Handler, remote string, header ...string) string {
		r := httptest.NewRequest("GET", "/socket.io/", http.NoBody)
		r.RemoteAddr = remote
		for i := 0; i < len(header); i += 2 {
			r.Header.Add(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Body.String()
	}
	report := func(o *Options) {
		o.IO = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%s %t", r.RemoteAddr, r.TLS != nil) })
	}
	open := newHandler(t, report)
	behind := newHandler(t, func(o *Options) {
		report(o)
		o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	})
	for _, tt := range []struct {
		name   string
		h      http.Handler
		remote string
		header []string
		want   string
	}{
		{"none trusted", open, "10.0.0.1:5", []string{"X-Forwarded-For", "1.2.3.4", "X-Forwarded-Proto", "https"}, "10.0.0.1:5 false"},
		{"not a proxy", behind, "1.1.1.1:5", []string{"X-Forwarded-For", "1.2.3.4", "X-Forwarded-Proto", "https"}, "1.1.1.1:5 false"},
		{"one hop", behind, "10.0.0.1:5", []string{"X-Forwarded-For", "1.2.3.4", "X-Forwarded-Proto", "https"}, "1.2.3.4:0 true"},
		{"what the client claims", behind, "10.0.0.1:5", []string{"X-Forwarded-For", "9.9.9.9, 1.2.3.4, 10.1.1.1"}, "1.2.3.4:0 false"},
		{"two headers", behind, "10.0.0.1:5", []string{"X-Forwarded-For", "9.9.9.9", "X-Forwarded-For", "1.2.3.4:999"}, "1.2.3.4:0 false"},
		{"IPv6", behind, "[fd00::1]:5", []string{"X-Forwarded-For", "2001:db8::1"}, "[2001:db8::1]:0 false"},
		{"IPv4 in IPv6", behind, "[::ffff:10.0.0.1]:5", []string{"X-Forwarded-For", "1.2.3.4"}, "1.2.3.4:0 false"},
		{"rubbish", behind, "10.0.0.1:5", []string{"X-Forwarded-For", "unknown"}, "10.0.0.1:5 false"},
		{"rubbish before a proxy", behind, "10.0.0.1:5", []string{"X-Forwarded-For", "x, 10.2.2.2"}, "10.2.2.2:0 false"},
		{"no header", behind, "10.0.0.1:5", nil, "10.0.0.1:5 false"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := seen(tt.h, tt.remote, tt.header...); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestRequestLogIsAtDebug(t *testing.T) {
	for level, want := range map[zerolog.Level]bool{zerolog.DebugLevel: true, zerolog.InfoLevel: false} {
		var logged bytes.Buffer
		h := newHandler(t, func(o *Options) { o.Logger = zerolog.New(&logged).Level(level) })
		get(h, "GET", "/healthz?token=secret")
		if got := strings.Contains(logged.String(), `"path":"/healthz"`); got != want {
			t.Errorf("at %s: %q", level, logged.String())
		}
		if strings.Contains(logged.String(), "secret") {
			t.Errorf("the query is in the log: %q", logged.String())
		}
	}
}

// BenchmarkMount shows what the way through Gin costs a request of the protocol.
func BenchmarkMount(b *testing.B) {
	io := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) })
	h, err := New(Options{IO: io, Path: "/socket.io/", Health: NewHealth(), Logger: zerolog.Nop()})
	if err != nil {
		b.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/socket.io/?EIO=4&transport=polling", http.NoBody)
	w := httptest.NewRecorder()
	for name, handler := range map[string]http.Handler{"gin": h, "direct": io} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				handler.ServeHTTP(w, r)
			}
		})
	}
}
