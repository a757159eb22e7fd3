package engineio

import (
	"bytes"
	"encoding/base64"
	"unicode/utf8"
)

// packetType is the first character of an Engine.IO packet.
type packetType byte

const (
	packetOpen    packetType = '0'
	packetClose   packetType = '1'
	packetPing    packetType = '2'
	packetPong    packetType = '3'
	packetMessage packetType = '4'
	packetUpgrade packetType = '5'
	packetNoop    packetType = '6'

	packetSeparator = 0x1e // between the packets of a polling payload
	binaryMark      = 'b'  // begins a base64 message in a polling payload
)

var (
	pingFrame  = controlFrame("2")
	closeFrame = controlFrame("1")
	noopFrame  = controlFrame("6")
	pongProbe  = controlFrame("3probe")
)

// packet is what a client sent. Its data is only valid while it is handled.
type packet struct {
	kind   packetType
	binary bool
	data   []byte
}

// parsePacket reads a text packet.
func parsePacket(b []byte) (packet, error) {
	if len(b) == 0 || b[0] < byte(packetOpen) || b[0] > byte(packetNoop) {
		return packet{}, errPacket
	}
	return packet{kind: packetType(b[0]), data: b[1:]}, nil
}

// parseText reads a text packet, or a binary message in base64. A client sends those by polling, and by websocket
// too where it was told to (forceBase64). It decodes in place, so b is changed.
func parseText(b []byte) (packet, error) {
	if len(b) == 0 || b[0] != binaryMark {
		return parsePacket(b)
	}
	size, err := base64.StdEncoding.Decode(b[1:], b[1:])
	if err != nil {
		return packet{}, errPacket
	}
	return packet{kind: packetMessage, binary: true, data: b[1 : 1+size]}, nil
}

// walkPayload calls f for each packet of a polling payload. It decodes base64 in place, so payload is
// changed. Packets before a malformed one have been handed over when the error returns.
func walkPayload(payload []byte, most int, f func(packet) error) error {
	if !utf8.Valid(payload) {
		return errUTF8
	}
	for n := 0; ; n++ {
		if n == most {
			return errTooMany
		}
		one, rest, more := bytes.Cut(payload, []byte{packetSeparator})
		p, err := parseText(one)
		if err != nil {
			return err
		}
		if err := f(p); err != nil || !more {
			return err
		}
		payload = rest
	}
}
