package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// parse reads a file named test.yaml; environ holds NAME=value pairs.
func parse(t *testing.T, file string, environ ...string) (*Config, error) {
	t.Helper()
	return Parse("test.yaml", []byte(file), environ)
}

func TestEmptyFileMeansTheDefaults(t *testing.T) {
	for _, file := range []string{"", "# nothing but a comment\n", "limits:\n"} {
		c, err := parse(t, file)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(c, Default()) {
			t.Errorf("%q: got %+v", file, c)
		}
	}
}

func TestFileSetsEveryKindOfKey(t *testing.T) {
	c, err := parse(t, `
listen: 127.0.0.1:4000
transports: [websocket]
allow_upgrades: no
ping_interval: 1m30s
max_payload: 2MB
cors:
  origins: &pages
    - https://a.example
    - https://b.example:8443
  exposed_headers: X-One, X-Two
  methods: [GET]
limits:
  send_buffer: 8 MiB
  max_connections: 12
tls: {cert: c.pem, key: k.pem}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Listen = "127.0.0.1:4000"
	want.Transports = []string{"websocket"}
	want.AllowUpgrades = false
	want.PingInterval = 90 * time.Second
	want.MaxPayload = 2_000_000
	want.CORS.Origins = []string{"https://a.example", "https://b.example:8443"}
	want.CORS.ExposedHeaders = []string{"X-One", "X-Two"}
	want.CORS.Methods = []string{"GET"}
	want.Limits.SendBuffer = 8 << 20
	want.Limits.MaxConnections = 12
	want.TLS = TLS{Cert: "c.pem", Key: "k.pem"}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestEnvironmentHasTheLastWord(t *testing.T) {
	c, err := parse(t, "listen: :1\nlog: {level: warn}\n",
		"HOLDFAST_LISTEN=127.0.0.1:4000",
		"HOLDFAST_DATA_DIR=/var/lib/holdfast",
		"HOLDFAST_LIMITS__SEND_BUFFER=8MiB",
		"HOLDFAST_CORS__ORIGINS=https://a.example, https://b.example",
		"HOLDFAST_SERVE_CLIENT=0",
		"PATH=/bin", "HOLDFASTER=1",
		// What Kubernetes sets for a service named holdfast, and the project's tools for themselves.
		"HOLDFAST_SERVICE_HOST=10.0.0.1", "HOLDFAST_SERVICE_PORT=3000", "HOLDFAST_SERVICE_PORT_HTTP=3000",
		"HOLDFAST_PORT=tcp://10.0.0.1:3000", "HOLDFAST_PORT_3000_TCP_ADDR=10.0.0.1",
		"HOLDFAST_CONFIG=x.yaml", "HOLDFAST_BIN=bin/holdfast",
	)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Listen = "127.0.0.1:4000"
	want.DataDir = "/var/lib/holdfast"
	want.Limits.SendBuffer = 8 << 20
	want.CORS.Origins = []string{"https://a.example", "https://b.example"}
	want.ServeClient = false
	want.Log.Level = "warn"
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestNoKeyHidesBehindAReservedVariable(t *testing.T) {
	for _, s := range Settings() {
		if reserved(s.Env, "") || reserved(s.Env, "tcp://10.0.0.1:1") {
			t.Errorf("%s can't be set: its variable is reserved", s.Env)
		}
	}
}

func TestEveryKeyCanBeSetFromTheEnvironment(t *testing.T) {
	for _, s := range Settings() {
		value := strings.Trim(s.Default, "[]")
		value = strings.ReplaceAll(value, `"`, "")
		c, err := parse(t, "", s.Env+"="+value)
		if err != nil {
			t.Errorf("%s=%s: %v", s.Env, value, err)
			continue
		}
		if !reflect.DeepEqual(c, Default()) {
			t.Errorf("%s=%s changed the default", s.Env, value)
		}
	}
}

func TestErrorsNamePlaceKeyAndCause(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		environ    []string
		want       string
	}{
		{name: "unknown key", file: "a: 1", want: `test.yaml:1: a: unknown key`},
		{name: "slip in a key", file: "\nlisten: :1\nping_intervall: 25s", want: `test.yaml:3: ping_intervall: unknown key, did you mean "ping_interval"?`},
		{name: "slip in a section", file: "limits:\n  sendbuffer: 1MB", want: `test.yaml:2: limits.sendbuffer: unknown key, did you mean "send_buffer"?`},
		{name: "key out of its section", file: "send_buffer: 1MB", want: `test.yaml:1: send_buffer: unknown key, did you mean "limits.send_buffer"?`},
		{name: "slip in a variable", environ: []string{"HOLDFAST_LIMITS_SEND_BUFFER=1"}, want: `HOLDFAST_LIMITS_SEND_BUFFER: unknown key in the environment, did you mean "HOLDFAST_LIMITS__SEND_BUFFER"?`},
		{name: "a port as Node apps know it", environ: []string{"HOLDFAST_PORT=3000"}, want: `HOLDFAST_PORT: unknown key in the environment`},
		{name: "not UTF-8", environ: []string{"HOLDFAST_LISTEN=\xa2:0"}, want: `HOLDFAST_LISTEN: listen: "\xa2:0" is not UTF-8`},
		{name: "bad variable", environ: []string{"HOLDFAST_LISTEN=3000"}, want: `HOLDFAST_LISTEN: listen: "3000" has no colon: write ":3000"`},
		{name: "set twice", file: "path: /a\npath: /b", want: `test.yaml:2: path: already set at test.yaml:1`},
		{name: "not YAML", file: "listen: [", want: `test.yaml`},
		{name: "not a section", file: "cors: yes", want: `test.yaml:1: cors: must be a section`},
		{name: "top level not a section", file: "- a", want: `test.yaml:1: must be a section`},
		{name: "not a value", file: "path: [a]", want: `test.yaml:1: path: must be a single value`},
		{name: "not a list", file: "transports: {a: b}", want: `test.yaml:1: transports: must be a list`},
		{name: "no value", file: "path:", want: `test.yaml:1: path: has no value`},
		{name: "duration without unit", file: "ping_timeout: 20000", want: `test.yaml:1: ping_timeout: "20000" needs a unit: 20000ms or 20000s`},
		{name: "not a duration", file: "ping_timeout: soon", want: `"soon" is not a duration`},
		{name: "not a size", file: "max_payload: 1 parsec", want: `"1 parsec" is not a size`},
		{name: "size too large", file: "max_payload: 9999999999GiB", want: `is too large`},
		{name: "not a number", file: "limits: {max_attachments: many}", want: `"many" is not a whole number`},
		{name: "not a boolean", file: "serve_client: maybe", want: `"maybe" is neither true nor false`},
		{name: "not among", file: "log: {level: inof}", want: `"inof" is not one of trace, debug, info, warn, error, disabled, did you mean "info"?`},
		{name: "item not among", file: "transports: [websockets]", want: `"websockets" is not one of polling, websocket, did you mean "websocket"?`},

		{name: "address without port", file: "listen: localhost", want: `listen: "localhost" is not host:port`},
		{name: "address with a name for the port", file: "listen: :http", want: `port "http" is not a number`},
		{name: "address with a port beyond", file: "listen: :70000", want: `port "70000" is not a number from 0 to 65535`},
		{name: "path", file: "path: socket.io", want: `path: "socket.io" is not a path`},
		{name: "path that is the root", file: "path: /", want: `path: "/" is not a path`},
		{name: "path taken", file: "path: /healthz/", want: `path: "/healthz/" is taken`},
		{name: "no transports", file: "transports: []", want: `transports: must name`},
		{name: "transport twice", file: "transports: [polling, polling]", want: `transports: names polling twice`},
		{name: "no interval", file: "ping_interval: 0s", want: `ping_interval: 0s is too short`},
		{name: "bound too small for a disk", file: "recovery: {max_bytes: 4MiB}", want: `recovery.max_bytes: 4MiB is too small: on a disk the least is 8MiB`},
		{name: "negative timeout", file: "shutdown: {timeout: -1s}", want: `shutdown.timeout: -1s is too short`},
		{name: "no payload", file: "max_payload: 0", want: `max_payload: must be at least 1 byte`},
		{name: "payload beyond the buffer", file: "max_payload: 10MB", want: `limits.send_buffer: 4MiB is less than max_payload, 10MB`},
		{name: "any origin with credentials", file: `cors: {origins: ["*"], credentials: true}`, want: `cors.origins: "*" and cors.credentials exclude each other`},
		{name: "origin with a path", file: `cors: {origins: ["https://a.example/"]}`, want: `"https://a.example/" is more than an origin: write "https://a.example"`},
		{name: "origin without a scheme", file: `cors: {origins: ["a.example"]}`, want: `"a.example" is not an origin`},
		{name: "header name", file: `cors: {allowed_headers: ["X Y"]}`, want: `cors.allowed_headers: "X Y" is not a name`},
		{name: "cookie of a foreign site", file: "cookie: {same_site: none}", want: `cookie.same_site: none needs cookie.secure`},
		{name: "cookie's name", file: "cookie: {name: a b}", want: `cookie.name: "a b" is not a name`},
		{name: "cookie's age", file: "cookie: {max_age: 1500ms}", want: `cookie.max_age: 1.5s is not a whole number of seconds`},
		{name: "half of TLS", file: "tls: {cert: a.pem}", want: `must be set together`},
		{name: "proxies", file: "trusted_proxies: [10.0.0.0/99]", want: `"10.0.0.0/99" is neither an address nor a range`},
		{name: "level of deflate", file: "per_message_deflate: {level: 12}", want: `per_message_deflate.level: must be from 1 to 9`},
		{name: "a limit", file: "limits: {max_packets_per_payload: 0}", want: `limits.max_packets_per_payload: must be at least 1`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse(t, tt.file, tt.environ...)
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestAllErrorsComeAtOnce(t *testing.T) {
	_, err := parse(t, "pathh: /a\nping_timeout: 5\n", "HOLDFAST_LISTTEN=:1")
	for _, want := range []string{"pathh", "ping_timeout", "HOLDFAST_LISTTEN"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is missing in: %v", want, err)
		}
	}
	_, err = parse(t, "path: a\nlisten: b\nping_timeout: 0s\n")
	if n := strings.Count(err.Error(), "\n") + 1; n != 3 {
		t.Errorf("got %d errors, want 3: %v", n, err)
	}
	var one *Error
	if !errors.As(err, &one) || one.Place != "test.yaml:2" || one.Key != "listen" {
		t.Errorf("the first error is %+v", one)
	}
}

func TestLoadReadsTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "holdfast.yaml")
	if err := os.WriteFile(file, []byte("path: /live/"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file, nil)
	if err != nil || c.Path != "/live/" {
		t.Errorf("got %+v, %v", c, err)
	}
	if _, err := Load(file+".missing", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if c, err := Load("", nil); err != nil || !reflect.DeepEqual(c, Default()) {
		t.Errorf("no file: %+v, %v", c, err)
	}
}

func TestChangesTellsReloadFromRestart(t *testing.T) {
	next := Default()
	next.Log.Level = "debug"
	next.CORS.Origins = []string{"https://a.example"}
	next.Listen = ":4000"
	next.Limits.MaxConnections = 5
	reload, restart := Changes(Default(), next)
	if want := []string{"cors.origins", "log.level"}; !reflect.DeepEqual(reload, want) {
		t.Errorf("reload: got %v, want %v", reload, want)
	}
	if want := []string{"listen", "limits.max_connections"}; !reflect.DeepEqual(restart, want) {
		t.Errorf("restart: got %v, want %v", restart, want)
	}
	if reload, restart := Changes(Default(), Default()); len(reload)+len(restart) != 0 {
		t.Errorf("nothing changed, got %v and %v", reload, restart)
	}
}

func TestSizesAndDurationsReadBack(t *testing.T) {
	for size, want := range map[Size]string{0: "0B", 1: "1B", 1000: "1KB", 1024: "1KiB", 1_000_000: "1MB", 4 << 20: "4MiB", 1500: "1500B", 2e9: "2GB", 1 << 30: "1GiB"} {
		if got := size.String(); got != want {
			t.Errorf("%d prints as %s, want %s", size, got, want)
		}
		if back, err := parseSize(size.String()); err != nil || back != size {
			t.Errorf("%s reads as %d, %v", size, back, err)
		}
	}
	for _, text := range []string{"-1", "1XB", "", "MB", "1.5MB", "1 000"} {
		if n, err := parseSize(text); err == nil {
			t.Errorf("%q reads as %d", text, n)
		}
	}
	for d, want := range map[time.Duration]string{0: "0s", time.Minute: "1m", time.Hour: "1h", 90 * time.Second: "1m30s", 90 * time.Minute: "1h30m", 25 * time.Second: "25s", time.Hour + time.Second: "1h0m1s"} {
		if got := formatDuration(d); got != want {
			t.Errorf("%d prints as %s, want %s", d, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("listen: :1"), "HOLDFAST_LISTEN=:2")
	f.Add(Default().YAML(), "HOLDFAST_LIMITS__SEND_BUFFER=8MiB")
	f.Add([]byte("a: &a [*a]"), "HOLDFAST_")
	f.Fuzz(func(t *testing.T, file []byte, env string) {
		c, err := Parse("fuzz.yaml", file, []string{env})
		if err != nil {
			return
		}
		again, err := Parse("again.yaml", c.YAML(), nil)
		if err != nil || !reflect.DeepEqual(c, again) {
			t.Errorf("does not read back: %v\n%s", err, c.YAML())
		}
	})
}
