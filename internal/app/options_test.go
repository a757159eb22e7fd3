package app

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"holdfast/internal/config"
	"holdfast/socketio"
)

// elsewhere are the keys that concern something else than the protocol, with tests of their own.
var elsewhere = []string{
	"listen", "data_dir", "trusted_proxies", "path", "serve_client", "client_dir",
	"limits.max_connections", "limits.max_header_bytes", "limits.handshake_timeout",
	"tls.cert", "tls.key", "log.level", "log.format", "metrics.enabled", "shutdown.delay", "shutdown.timeout",
}

func TestEveryProtocolKeyReachesTheServer(t *testing.T) {
	withCookie := []string{"HOLDFAST_COOKIE__ENABLED=true"}
	withCORS := []string{"HOLDFAST_CORS__ORIGINS=*"}
	withDeflate := []string{"HOLDFAST_PER_MESSAGE_DEFLATE__ENABLED=true"}
	tests := map[string]struct {
		value string
		also  []string
		read  func(socketio.Options) any
		want  any
	}{
		"transports":      {"websocket", nil, func(o socketio.Options) any { return fmt.Sprint(o.Engine.Transports) }, "[websocket]"},
		"allow_upgrades":  {"false", nil, func(o socketio.Options) any { return o.Engine.AllowUpgrades }, false},
		"ping_interval":   {"1s", nil, func(o socketio.Options) any { return o.Engine.PingInterval }, time.Second},
		"ping_timeout":    {"2s", nil, func(o socketio.Options) any { return o.Engine.PingTimeout }, 2 * time.Second},
		"upgrade_timeout": {"3s", nil, func(o socketio.Options) any { return o.Engine.UpgradeTimeout }, 3 * time.Second},
		"connect_timeout": {"4s", nil, func(o socketio.Options) any { return o.ConnectTimeout }, 4 * time.Second},
		"max_payload":     {"5KB", nil, func(o socketio.Options) any { return o.Engine.MaxPayload }, int64(5000)},

		"cookie.enabled":   {"true", nil, func(o socketio.Options) any { return o.Engine.Cookie != nil }, true},
		"cookie.name":      {"sid", withCookie, func(o socketio.Options) any { return o.Engine.Cookie.Name }, "sid"},
		"cookie.path":      {"/live", withCookie, func(o socketio.Options) any { return o.Engine.Cookie.Path }, "/live"},
		"cookie.http_only": {"false", withCookie, func(o socketio.Options) any { return o.Engine.Cookie.HttpOnly }, false},
		"cookie.same_site": {"strict", withCookie, func(o socketio.Options) any { return o.Engine.Cookie.SameSite }, http.SameSiteStrictMode},
		"cookie.secure":    {"true", withCookie, func(o socketio.Options) any { return o.Engine.Cookie.Secure }, true},
		"cookie.max_age":   {"1h", withCookie, func(o socketio.Options) any { return o.Engine.Cookie.MaxAge }, 3600},

		"cors.origins":         {"*", nil, func(o socketio.Options) any { return fmt.Sprint(o.Engine.CORS.Origins) }, "[*]"},
		"cors.credentials":     {"true", []string{"HOLDFAST_CORS__ORIGINS=http://a.example"}, func(o socketio.Options) any { return o.Engine.CORS.Credentials }, true},
		"cors.methods":         {"PUT", withCORS, func(o socketio.Options) any { return fmt.Sprint(o.Engine.CORS.Methods) }, "[PUT]"},
		"cors.allowed_headers": {"X-A", withCORS, func(o socketio.Options) any { return fmt.Sprint(o.Engine.CORS.AllowedHeaders) }, "[X-A]"},
		"cors.exposed_headers": {"X-B", withCORS, func(o socketio.Options) any { return fmt.Sprint(o.Engine.CORS.ExposedHeaders) }, "[X-B]"},
		"cors.max_age":         {"1m", withCORS, func(o socketio.Options) any { return o.Engine.CORS.MaxAge }, time.Minute},

		"http_compression.enabled":      {"false", nil, func(o socketio.Options) any { return o.Engine.HTTPCompression != nil }, false},
		"http_compression.threshold":    {"7", nil, func(o socketio.Options) any { return o.Engine.HTTPCompression.Threshold }, 7},
		"per_message_deflate.enabled":   {"true", nil, func(o socketio.Options) any { return o.Engine.PerMessageDeflate != nil }, true},
		"per_message_deflate.threshold": {"8", withDeflate, func(o socketio.Options) any { return o.Engine.PerMessageDeflate.Threshold }, 8},
		"per_message_deflate.level":     {"9", withDeflate, func(o socketio.Options) any { return o.Engine.PerMessageDeflate.Level }, 9},

		"cleanup_empty_child_namespaces": {"true", nil, func(o socketio.Options) any { return o.CleanupEmptyChildNamespaces }, true},

		"limits.send_buffer":                   {"3MiB", nil, func(o socketio.Options) any { return o.Engine.SendBuffer }, int64(3 << 20)},
		"limits.receive_buffer":                {"3MiB", nil, func(o socketio.Options) any { return o.ReceiveBuffer }, int64(3 << 20)},
		"limits.max_attachments":               {"11", nil, func(o socketio.Options) any { return o.MaxAttachments }, 11},
		"limits.max_packets_per_payload":       {"12", nil, func(o socketio.Options) any { return o.Engine.MaxPacketsPerPayload }, 12},
		"limits.max_namespaces_per_connection": {"13", nil, func(o socketio.Options) any { return o.MaxNamespacesPerConnection }, 13},
		"limits.max_sessions":                  {"14", nil, func(o socketio.Options) any { return o.Engine.MaxSessions }, 14},
	}
	for _, s := range config.Settings() {
		tt, ok := tests[s.Key]
		if !ok {
			if !slices.Contains(elsewhere, s.Key) && !strings.HasPrefix(s.Key, "recovery.") && !strings.HasPrefix(s.Key, "queues.") {
				t.Errorf("%s: nothing says where it goes", s.Key)
			}
			continue
		}
		c, err := config.Parse("", nil, append(tt.also, s.Env+"="+tt.value))
		if err != nil {
			t.Errorf("%s: %v", s.Key, err)
			continue
		}
		if got := tt.read(socketOptions(c, &allowedOrigins{}, zerolog.Nop())); got != tt.want {
			t.Errorf("%s=%s: got %v, want %v", s.Env, tt.value, got, tt.want)
		}
	}
}

func TestDefaultsAreThoseOfTheProtocolPackages(t *testing.T) {
	got, want := socketOptions(config.Default(), &allowedOrigins{}, zerolog.Nop()), socketio.DefaultOptions()
	got.Engine.CloseTimeout = want.Engine.CloseTimeout // bounded by shutdown.timeout
	if g, w := fmt.Sprintf("%+v", printed(got)), fmt.Sprintf("%+v", printed(want)); g != w {
		t.Errorf("got  %s\nwant %s", g, w)
	}
}

// printed is what can be compared of options.
func printed(o socketio.Options) []any {
	e := o.Engine
	return []any{
		e.Transports, e.AllowUpgrades, e.PingInterval, e.PingTimeout, e.UpgradeTimeout, e.CloseTimeout, e.MaxPayload,
		e.MaxPacketsPerPayload, e.SendBuffer, e.MaxSessions, e.Cookie, e.CORS, *e.HTTPCompression, e.PerMessageDeflate,
		o.ConnectTimeout, o.CleanupEmptyChildNamespaces, o.ReceiveBuffer, o.MaxAttachments, o.MaxNamespacesPerConnection, o.AckTimeout,
	}
}

func TestHTTPLimitsReachTheServer(t *testing.T) {
	c := testConfig()
	c.Limits.HandshakeTimeout = 3 * time.Second
	c.Limits.MaxHeaderBytes = 2048
	a, err := newApp(c, testLogger(), func(*socketio.Server) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer a.end(t.Context())
	server := a.httpServer()
	if server.ReadHeaderTimeout != 3*time.Second || server.MaxHeaderBytes != 2048 {
		t.Errorf("got %s and %d", server.ReadHeaderTimeout, server.MaxHeaderBytes)
	}
}
