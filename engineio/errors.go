package engineio

import (
	"errors"
	"net/http"
)

// Errors of this package. Test with errors.Is.
var (
	// ErrClosed says that the session no longer takes packets.
	ErrClosed = errors.New("session is closed")
	// ErrBufferFull says that the client reads too slowly: its queue went past Options.SendBuffer and the
	// session is being closed.
	ErrBufferFull = errors.New("send buffer is full")
	// ErrServerClosed says that the server was shut down.
	ErrServerClosed = errors.New("server is closed")

	errPacket     = errors.New("malformed packet")
	errTooMany    = errors.New("too many packets in a payload")
	errTooLarge   = errors.New("payload too large")
	errUTF8       = errors.New("text is not UTF-8")
	errOverlap    = errors.New("overlapping poll requests")
	errUpgraded   = errors.New("session has moved to another transport")
	errPollGone   = errors.New("poll request was cancelled")
	errDirection  = errors.New("packet type not allowed from a client")
	errPostFailed = errors.New("data request was cut short")
	errPanic      = errors.New("a receiver or a hook panicked")
)

// Reason says why a session ended, in the words of Node's server.
type Reason string

// The reasons that Receiver.Close can be given.
const (
	ReasonTransportClose Reason = "transport close"      // the client left or its connection ended
	ReasonTransportError Reason = "transport error"      // the connection or its framing failed
	ReasonPingTimeout    Reason = "ping timeout"         // no pong within PingTimeout
	ReasonParseError     Reason = "parse error"          // the client sent what is no packet
	ReasonForcedClose    Reason = "forced close"         // Session.Close
	ReasonShutdown       Reason = "server shutting down" // Server.Shutdown
	ReasonBufferFull     Reason = "send buffer full"     // the client read too slowly; see Options.SendBuffer
)

// Code is an error of the Engine.IO handshake, sent to the client as JSON {"code", "message"}.
type Code int

// The codes of the protocol, as Node's server numbers them.
const (
	CodeUnknownTransport   Code = 0
	CodeUnknownSession     Code = 1
	CodeBadHandshakeMethod Code = 2
	CodeBadRequest         Code = 3
	CodeForbidden          Code = 4
	CodeUnsupportedVersion Code = 5
)

var codeMessages = [...]string{
	"Transport unknown",
	"Session ID unknown",
	"Bad handshake method",
	"Bad request",
	"Forbidden",
	"Unsupported protocol version",
}

// String is the message that goes with the code.
func (c Code) String() string {
	if c < 0 || int(c) >= len(codeMessages) {
		return "Bad request"
	}
	return codeMessages[c]
}

// ConnectionError describes a request that was refused; see Options.OnConnectionError.
type ConnectionError struct {
	Code    Code
	Message string
	Context string // what exactly was wrong, for logs
	Request *http.Request
}

// Error returns the message and its context.
func (e *ConnectionError) Error() string {
	if e.Context == "" {
		return e.Message
	}
	return e.Message + ": " + e.Context
}

// errClientClosed says that the client sent a close packet.
var errClientClosed = errors.New("client closed the session")

// packetError is what a Receiver found wrong with a message.
type packetError struct{ error }

func (e *packetError) Unwrap() error { return e.error }
