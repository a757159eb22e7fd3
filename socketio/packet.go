package socketio

import (
	"errors"
	"fmt"
)

// packetType is the first digit of a packet (Socket.IO protocol v5, "Packet format").
type packetType byte

const (
	packetConnect      packetType = '0'
	packetDisconnect   packetType = '1'
	packetEvent        packetType = '2'
	packetAck          packetType = '3'
	packetConnectError packetType = '4'
	packetBinaryEvent  packetType = '5'
	packetBinaryAck    packetType = '6'
)

// maxAckID is the largest id taken from a client: the largest integer that JavaScript holds exactly.
const maxAckID = 1<<53 - 1

// Errors of the parser. They end the connection with the reason "parse error" and are only logged.
var (
	errPacketEmpty       = errors.New("empty packet")
	errPacketType        = errors.New("unknown packet type")
	errAttachmentCount   = errors.New("illegal number of attachments")
	errAttachmentsMany   = errors.New("too many attachments")
	errAckID             = errors.New("ack id out of range")
	errPayload           = errors.New("invalid payload")
	errReservedName      = errors.New("reserved event name")
	errPlaceholder       = errors.New("illegal attachment placeholder")
	errTextInBinary      = errors.New("text message where an attachment is due")
	errUnexpectedBinary  = errors.New("binary message without a packet that it belongs to")
	errTooManyArguments  = errors.New("too many arguments")
	errNestedTooDeep     = errors.New("nested too deep")
	errPlaceholderInData = errors.New("argument looks like an attachment placeholder")
)

// header is a packet up to its payload. Its slices point into the message.
type header struct {
	kind        packetType // of the binary kinds only the plain one is left; attachments tells them apart
	attachments int
	namespace   []byte // nil means "/"
	hasID       bool
	id          uint64
	payload     []byte // JSON, not looked at yet; empty when there is none
}

// parseHeader reads <type>[<n>-][/namespace,][id] off the front of a packet.
func parseHeader(data []byte, maxAttachments int) (header, error) {
	if len(data) == 0 {
		return header{}, errPacketEmpty
	}
	h := header{kind: packetType(data[0])}
	i := 1
	switch h.kind {
	case packetConnect, packetDisconnect, packetEvent, packetAck, packetConnectError:
	case packetBinaryEvent, packetBinaryAck:
		n := 0
		for ; i < len(data) && isDigit(data[i]); i++ {
			if n = n*10 + int(data[i]-'0'); n > maxAttachments {
				return header{}, errAttachmentsMany
			}
		}
		if n < 1 || i == len(data) || data[i] != '-' {
			return header{}, errAttachmentCount
		}
		i++
		h.attachments = n
		if h.kind == packetBinaryEvent {
			h.kind = packetEvent
		} else {
			h.kind = packetAck
		}
	default:
		return header{}, fmt.Errorf("%w %q", errPacketType, data[0])
	}
	if i < len(data) && data[i] == '/' {
		start := i
		for i < len(data) && data[i] != ',' {
			i++
		}
		h.namespace = data[start:i]
		if i < len(data) {
			i++
		}
	}
	for ; i < len(data) && isDigit(data[i]); i++ {
		h.hasID = true
		if h.id = h.id*10 + uint64(data[i]-'0'); h.id > maxAckID {
			return header{}, errAckID
		}
	}
	h.payload = data[i:]
	return h, nil
}

func isDigit(c byte) bool { return c-'0' <= 9 }

// isRootNamespace says whether a name from a packet means "/".
func isRootNamespace(name []byte) bool { return len(name) <= 1 }

// isReservedEvent says whether an event may not have that name, because clients and servers use it for
// themselves.
func isReservedEvent(name string) bool {
	switch name {
	case "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener":
		return true
	}
	return false
}
