package engineio

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/rs/zerolog"
)

// Transport names how the packets of a session travel.
type Transport string

// The transports of the protocol that this server speaks.
const (
	TransportPolling   Transport = "polling"
	TransportWebSocket Transport = "websocket"
)

// Options of a Server. Start from DefaultOptions; the zero value is not useful.
type Options struct {
	// Transports that a client may use.
	Transports []Transport
	// AllowUpgrades lets a polling session move to websocket.
	AllowUpgrades bool

	// PingInterval is the time between a pong and the next ping; PingTimeout, how long a pong may take.
	PingInterval, PingTimeout time.Duration
	// UpgradeTimeout bounds an upgrade from its probe to its end.
	UpgradeTimeout time.Duration
	// CloseTimeout bounds an orderly close: what is queued must leave, and the client must hang up, within it.
	CloseTimeout time.Duration

	// MaxPayload bounds what a client may send at once, in bytes: a POST body or a websocket message.
	MaxPayload int64
	// MaxPacketsPerPayload bounds the packets of one POST body.
	MaxPacketsPerPayload int
	// MaxHeaders bounds the header fields of a request.
	MaxHeaders int
	// SendBuffer bounds what may wait for a client, in bytes. One frame is always taken, whatever its size.
	SendBuffer int64
	// MaxSessions bounds the sessions held at once; 0 means no bound. A client past it gets status 503.
	MaxSessions int

	// Cookie, if not nil, is set at the handshake with the session id as its value.
	Cookie *http.Cookie
	// CORS, if not nil, answers cross-origin requests.
	CORS *CORSOptions
	// AllowRequest decides about a handshake, before the session is made; an error refuses it with
	// CodeForbidden and the error's text.
	AllowRequest func(*http.Request) error
	// InitialHeaders may add headers to the answer of the handshake; Headers, to every answer.
	InitialHeaders, Headers func(http.Header, *http.Request)
	// HTTPCompression, if not nil, compresses polling responses for clients that accept it.
	HTTPCompression *CompressionOptions
	// PerMessageDeflate, if not nil, offers websocket compression (RFC 7692, without context takeover).
	PerMessageDeflate *CompressionOptions

	// GenerateID makes the id of a session; nil means 15 random bytes in base64url. It must be hard to guess.
	GenerateID func(*http.Request) (string, error)
	// OnConnectionError is told of every refused request.
	OnConnectionError func(*ConnectionError)
	Logger            zerolog.Logger
}

// CompressionOptions say what is worth compressing.
type CompressionOptions struct {
	Threshold int // in bytes: smaller messages are sent as they are
	Level     int // 1 to 9; 0 means the library's default
}

// CORSOptions say which pages of other origins may talk to the server.
type CORSOptions struct {
	// Origins that are allowed; "*" allows any. Ignored where OriginFunc is set.
	Origins    []string
	OriginFunc func(origin string, r *http.Request) bool
	// Methods and AllowedHeaders answer a preflight; none means GET, HEAD, PUT, PATCH, POST, DELETE, and
	// whatever headers are asked for.
	Methods, AllowedHeaders []string
	ExposedHeaders          []string
	Credentials             bool
	MaxAge                  time.Duration
}

// DefaultOptions are those of Node's server, with the bounds that it lacks.
func DefaultOptions() Options {
	return Options{
		Transports:           []Transport{TransportPolling, TransportWebSocket},
		AllowUpgrades:        true,
		PingInterval:         25 * time.Second,
		PingTimeout:          20 * time.Second,
		UpgradeTimeout:       10 * time.Second,
		CloseTimeout:         30 * time.Second,
		MaxPayload:           1_000_000,
		MaxPacketsPerPayload: 16_384,
		MaxHeaders:           128,
		SendBuffer:           4 << 20,
		HTTPCompression:      &CompressionOptions{Threshold: 1024},
		Logger:               zerolog.Nop(),
	}
}

// validate checks the options, all at once.
func (o *Options) validate() error {
	var errs []error
	if len(o.Transports) == 0 {
		errs = append(errs, errors.New("transports: at least one is needed"))
	}
	for _, t := range o.Transports {
		if t != TransportPolling && t != TransportWebSocket {
			errs = append(errs, fmt.Errorf("transports: %q is neither polling nor websocket", t))
		}
	}
	positive := func(name string, d int64) {
		if d <= 0 {
			errs = append(errs, fmt.Errorf("%s: must be more than zero", name))
		}
	}
	positive("ping interval", int64(o.PingInterval))
	positive("ping timeout", int64(o.PingTimeout))
	positive("upgrade timeout", int64(o.UpgradeTimeout))
	positive("close timeout", int64(o.CloseTimeout))
	positive("max payload", o.MaxPayload)
	positive("max packets per payload", int64(o.MaxPacketsPerPayload))
	positive("max headers", int64(o.MaxHeaders))
	positive("send buffer", o.SendBuffer)
	for name, c := range map[string]*CompressionOptions{"http compression": o.HTTPCompression, "per-message deflate": o.PerMessageDeflate} {
		if c != nil && (c.Level < 0 || c.Level > 9) {
			errs = append(errs, fmt.Errorf("%s: level %d is not from 1 to 9", name, c.Level))
		}
	}
	if o.MaxSessions < 0 {
		errs = append(errs, errors.New("max sessions: must not be negative"))
	}
	if o.Cookie != nil {
		if err := o.Cookie.Valid(); err != nil {
			errs = append(errs, fmt.Errorf("cookie: %w", err))
		}
	}
	if c := o.CORS; c != nil && c.Credentials && c.OriginFunc == nil && slices.Contains(c.Origins, "*") {
		errs = append(errs, errors.New(`cors: credentials need named origins, "*" would hand every site the user's session`))
	}
	return errors.Join(errs...)
}

func (o *Options) allows(t Transport) bool { return slices.Contains(o.Transports, t) }
