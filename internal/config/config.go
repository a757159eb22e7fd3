// Package config is the server's configuration: one typed value with its defaults, read from a YAML
// file and the environment, checked as a whole, and printed again as the annotated config.yaml that
// ships with the project.
//
// The structs below are the single source: a field's `yaml` tag is its key, `doc` its comment,
// `oneof` the values that it takes, and `reload:"yes"` marks what SIGHUP may change in a running
// server. config.yaml and the table in docs/configuration.md are generated from them, and a test
// fails when either differs.
package config

import "time"

// Config holds every setting of the server. Default returns the one that config.yaml prints.
type Config struct {
	Listen         string   `yaml:"listen" doc:"Address to listen on, as host:port; without a host, on every interface; port 0 takes a free one."`
	DataDir        string   `yaml:"data_dir" doc:"Directory for everything that outlives the process; nothing else is written anywhere."`
	TrustedProxies []string `yaml:"trusted_proxies" doc:"Addresses or CIDR ranges of reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are believed."`

	Path          string        `yaml:"path" doc:"Path of the Socket.IO endpoint, the client's path option."`
	Transports    []string      `yaml:"transports" oneof:"polling,websocket" doc:"Transports that clients may use."`
	AllowUpgrades bool          `yaml:"allow_upgrades" doc:"Whether a polling client may move to websocket."`
	PingInterval  time.Duration `yaml:"ping_interval" doc:"Time between two heartbeats that the server sends to a client."`
	PingTimeout   time.Duration `yaml:"ping_timeout" doc:"Time that a client has to answer a heartbeat before its session is closed."`

	UpgradeTimeout time.Duration `yaml:"upgrade_timeout" doc:"Time that a client has to complete the move from polling to websocket."`
	ConnectTimeout time.Duration `yaml:"connect_timeout" doc:"Time that a client has to join a first namespace before its session is closed."`
	MaxPayload     Size          `yaml:"max_payload" doc:"Largest message that is taken from a client; a larger one is answered with 413 or close code 1009."`

	Cookie            Cookie            `yaml:"cookie" doc:"Cookie that carries the session id, for load balancers with sticky sessions."`
	CORS              CORS              `yaml:"cors" doc:"Browser pages of other origins that may connect."`
	HTTPCompression   HTTPCompression   `yaml:"http_compression" doc:"Compression of polling responses, by the client's Accept-Encoding."`
	PerMessageDeflate PerMessageDeflate `yaml:"per_message_deflate" doc:"Compression of websocket messages; costs memory and time for each connection."`

	ServeClient bool   `yaml:"serve_client" doc:"Whether the official browser client is served below path, as socket.io.js and its variants."`
	ClientDir   string `yaml:"client_dir" doc:"The client's dist directory, as npm ci leaves it; a relative one is looked for in the working directory, beside the binary and above it."`

	CleanupEmptyChildNamespaces bool `yaml:"cleanup_empty_child_namespaces" doc:"Whether a namespace that a pattern created goes when its last socket leaves."`

	Recovery Recovery `yaml:"recovery" doc:"Events that clients miss are kept, and handed over when they are back."`
	Queues   Queues   `yaml:"queues" doc:"Durable queues, in the namespace /queue; they are kept where recovery.durability says."`
	Limits   Limits   `yaml:"limits" doc:"Bounds on what one client, and all of them together, may cost."`
	TLS      TLS      `yaml:"tls" doc:"HTTPS; both files are read again when they change."`
	Log      Log      `yaml:"log" doc:"The log, on standard error."`
	Metrics  Metrics  `yaml:"metrics" doc:"Figures for Prometheus, on /metrics."`
	Shutdown Shutdown `yaml:"shutdown" doc:"What SIGTERM and SIGINT set off; a second signal exits at once."`
}

// Cookie is the session cookie of Engine.IO's handshake response.
type Cookie struct {
	Enabled  bool          `yaml:"enabled" doc:"Whether the handshake sets the cookie."`
	Name     string        `yaml:"name" doc:"Name of the cookie."`
	Path     string        `yaml:"path" doc:"Path that the cookie is valid for."`
	HTTPOnly bool          `yaml:"http_only" doc:"Whether scripts in the page can't read it."`
	SameSite string        `yaml:"same_site" oneof:"lax,strict,none" doc:"Which requests of other sites carry it: lax, strict or none; none needs secure."`
	Secure   bool          `yaml:"secure" doc:"Whether it is sent over HTTPS only."`
	MaxAge   time.Duration `yaml:"max_age" doc:"How long the browser keeps it, in whole seconds; 0s: until the browser closes."`
}

// CORS says which foreign origins may use the endpoint.
type CORS struct {
	Origins        []string      `yaml:"origins" reload:"yes" doc:"Origins such as https://example.com, or \"*\" for any; empty: no CORS headers, so that pages from elsewhere can not poll; browsers do not apply CORS to websockets."`
	Credentials    bool          `yaml:"credentials" doc:"Whether requests may carry cookies; the origins must then be listed by name."`
	Methods        []string      `yaml:"methods" doc:"Methods that a preflight allows."`
	AllowedHeaders []string      `yaml:"allowed_headers" doc:"Request headers that a preflight allows; empty: those that it asks for."`
	ExposedHeaders []string      `yaml:"exposed_headers" doc:"Response headers that the page may read."`
	MaxAge         time.Duration `yaml:"max_age" doc:"How long a browser may keep a preflight's answer, in whole seconds; 0s: its own default."`
}

// HTTPCompression is gzip or deflate on the responses of the polling transport.
type HTTPCompression struct {
	Enabled   bool `yaml:"enabled" doc:"Whether polling responses are compressed."`
	Threshold Size `yaml:"threshold" doc:"Size from which a response is compressed."`
}

// PerMessageDeflate is the websocket extension of RFC 7692.
type PerMessageDeflate struct {
	Enabled   bool `yaml:"enabled" doc:"Whether the extension is offered to clients."`
	Threshold Size `yaml:"threshold" doc:"Size from which a message is compressed."`
	Level     int  `yaml:"level" doc:"Effort, from 1 (fast) to 9 (small)."`
}

// Limits bounds memory, connections and handshakes.
type Limits struct {
	SendBuffer                 Size          `yaml:"send_buffer" doc:"Bytes that may wait for one client that does not read; beyond them volatile events go, then the session is closed."`
	ReceiveBuffer              Size          `yaml:"receive_buffer" doc:"Bytes of events that may wait for one socket's handlers; beyond them its connection is no longer read."`
	MaxAttachments             int           `yaml:"max_attachments" doc:"Binary attachments in one event."`
	MaxPacketsPerPayload       int           `yaml:"max_packets_per_payload" doc:"Packets in one polling request."`
	MaxNamespacesPerConnection int           `yaml:"max_namespaces_per_connection" doc:"Namespaces that one connection may join at a time."`
	MaxSessions                int           `yaml:"max_sessions" doc:"Clients at a time; one more is answered with status 503; 0: no bound."`
	MaxConnections             int           `yaml:"max_connections" doc:"TCP connections at a time, whatever they ask for; one more is closed at once; 0: as many as the system allows."`
	MaxHeaderBytes             Size          `yaml:"max_header_bytes" doc:"Request line and headers of one request."`
	HandshakeTimeout           time.Duration `yaml:"handshake_timeout" doc:"Time that a client has to complete the TLS handshake and to send the headers of a request."`
}

// Durabilities of the event log.
const (
	DurabilityDisk   = "disk"
	DurabilityMemory = "memory"
)

// Recovery says which namespaces keep what their clients miss, where, and for how long.
type Recovery struct {
	Enabled         bool          `yaml:"enabled" doc:"Whether events are kept at all."`
	Namespaces      []string      `yaml:"namespaces" doc:"Namespaces whose events are kept, each in a log of its own."`
	Durability      string        `yaml:"durability" oneof:"disk,memory" doc:"disk: an event is synced to data_dir before anyone gets it, and survives a crash; memory: it survives dropped connections only."`
	Window          time.Duration `yaml:"window" doc:"How long after it lost its connection a client can come back to its session."`
	SkipMiddlewares bool          `yaml:"skip_middlewares" doc:"Whether a client that comes back within the window is let in without being checked again."`
	MaxMissedEvents int           `yaml:"max_missed_events" doc:"Events that one client is handed over; who missed more is told that it was not recovered."`
	MaxMissedBytes  Size          `yaml:"max_missed_bytes" doc:"Bytes that one client is handed over; less than limits.send_buffer."`
	MaxAge          time.Duration `yaml:"max_age" doc:"Age at which an event is deleted, for each namespace; at least the window."`
	MaxEvents       int           `yaml:"max_events" doc:"Events that a namespace keeps; older ones are deleted first; 0: no bound."`
	MaxBytes        Size          `yaml:"max_bytes" doc:"Bytes that the events of a namespace may take; older ones are deleted first. Its files stay below 1.2 times as much; on a disk at least 8MiB; 0: no bound."`
}

// Queues bounds the durable queues. A queue comes into being on first use.
type Queues struct {
	Enabled         bool          `yaml:"enabled" doc:"Whether there is a namespace /queue."`
	Token           string        `yaml:"token" doc:"What a client has to give as auth.token to use the queues; empty: anyone may who reaches the server."`
	AckTimeout      time.Duration `yaml:"ack_timeout" doc:"Time that a consumer has to say that a message is done, before another attempt is made."`
	MaxAttempts     int           `yaml:"max_attempts" doc:"Attempts at a message before it becomes a dead letter."`
	MinBackoff      time.Duration `yaml:"min_backoff" doc:"Pause after a first attempt that was not answered; it doubles from attempt to attempt."`
	MaxBackoff      time.Duration `yaml:"max_backoff" doc:"Longest pause between two attempts."`
	MaxMessages     int           `yaml:"max_messages" doc:"Messages that a queue holds; a publish beyond is refused with queue_full."`
	MaxBytes        Size          `yaml:"max_bytes" doc:"Bytes that a queue holds; a publish beyond is refused with queue_full."`
	MaxMessageBytes Size          `yaml:"max_message_bytes" doc:"Largest body of a message; one over max_payload never arrives."`
	MaxQueues       int           `yaml:"max_queues" doc:"Queues at a time."`
	DedupeWindow    time.Duration `yaml:"dedupe_window" doc:"How long the id of a message is remembered, so that publishing it again stores it once."`
	Declare         []string      `yaml:"declare" doc:"Queues with bounds of their own, each as a name and settings: jobs max_messages=1000 max_bytes=10MiB ack_timeout=5m max_attempts=3."`
}

// TLS names the certificate; with both empty the server speaks plain HTTP.
type TLS struct {
	Cert string `yaml:"cert" reload:"yes" doc:"PEM file with the certificate and its chain; empty: plain HTTP."`
	Key  string `yaml:"key" reload:"yes" doc:"PEM file with the private key."`
}

// Enabled reports whether the server speaks HTTPS.
func (t TLS) Enabled() bool { return t.Cert != "" && t.Key != "" }

// Log is level and form of the log.
type Log struct {
	Level  string `yaml:"level" reload:"yes" oneof:"trace,debug,info,warn,error,disabled" doc:"Lowest level that is logged: trace, debug, info, warn, error or disabled."`
	Format string `yaml:"format" oneof:"auto,console,json" doc:"auto (console on a terminal, else json), console or json."`
}

// Metrics turns /metrics on.
type Metrics struct {
	Enabled bool `yaml:"enabled" doc:"Whether /metrics answers."`
}

// Shutdown times the end of the server.
type Shutdown struct {
	Delay   time.Duration `yaml:"delay" doc:"Time between /readyz turning 503 and the end of service, for load balancers to notice; clients are still taken meanwhile."`
	Timeout time.Duration `yaml:"timeout" doc:"Time that handlers in progress and queued messages have to finish, after the delay; what is left then is cut off."`
}

// Default returns the configuration that an empty file means. The protocol's figures are those of
// Node's server.
func Default() *Config {
	return &Config{
		Listen:         ":3000",
		DataDir:        "./data",
		TrustedProxies: []string{},
		Path:           "/socket.io/",
		Transports:     []string{"polling", "websocket"},
		AllowUpgrades:  true,
		PingInterval:   25 * time.Second,
		PingTimeout:    20 * time.Second,
		UpgradeTimeout: 10 * time.Second,
		ConnectTimeout: 45 * time.Second,
		MaxPayload:     1_000_000,
		Cookie: Cookie{
			Name:     "io",
			Path:     "/",
			HTTPOnly: true,
			SameSite: "lax",
		},
		CORS: CORS{
			Origins:        []string{},
			Methods:        []string{"GET", "POST"},
			AllowedHeaders: []string{},
			ExposedHeaders: []string{},
		},
		HTTPCompression:   HTTPCompression{Enabled: true, Threshold: 1024},
		PerMessageDeflate: PerMessageDeflate{Threshold: 1024, Level: 1},
		ServeClient:       true,
		ClientDir:         "node_modules/socket.io-client/dist",
		Limits: Limits{
			SendBuffer:                 4 << 20,
			ReceiveBuffer:              1 << 20,
			MaxAttachments:             10,
			MaxPacketsPerPayload:       16384,
			MaxNamespacesPerConnection: 128,
			MaxHeaderBytes:             16 << 10,
			HandshakeTimeout:           10 * time.Second,
		},
		Recovery: Recovery{
			Enabled:         true,
			Namespaces:      []string{"/", "/chat"},
			Durability:      DurabilityDisk,
			Window:          10 * time.Minute,
			MaxMissedEvents: 10_000,
			MaxMissedBytes:  2 << 20,
			MaxAge:          24 * time.Hour,
			MaxEvents:       1_000_000,
			MaxBytes:        256 << 20,
		},
		Queues: Queues{
			Enabled:         true,
			AckTimeout:      30 * time.Second,
			MaxAttempts:     5,
			MinBackoff:      time.Second,
			MaxBackoff:      time.Minute,
			MaxMessages:     1_000_000,
			MaxBytes:        1 << 30,
			MaxMessageBytes: 1_000_000,
			MaxQueues:       10_000,
			DedupeWindow:    10 * time.Minute,
			Declare:         []string{},
		},
		Log:      Log{Level: "info", Format: "auto"},
		Metrics:  Metrics{Enabled: true},
		Shutdown: Shutdown{Timeout: 20 * time.Second},
	}
}
