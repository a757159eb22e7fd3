package cluster

import (
	"time"
)

// Kind says what a Message is. The numbers are those of Node's cluster adapter.
type Kind uint8

// The kinds of message. A kind that ends in Response or is named after clients answers a request; its
// RequestID is the request's.
const (
	KindBroadcast               Kind = 3  // an event for the target; with a RequestID its acks are wanted
	KindSocketsJoin             Kind = 4  // the target joins Arguments
	KindSocketsLeave            Kind = 5  // the target leaves Arguments
	KindDisconnectSockets       Kind = 6  // the target is disconnected
	KindFetchSockets            Kind = 7  // a request for the target's sockets
	KindFetchSocketsResponse    Kind = 8  // Sockets
	KindServerSideEmit          Kind = 9  // an event for the servers themselves
	KindServerSideEmitResponse  Kind = 10 // Data: the answer, an array of one argument
	KindBroadcastClientCount    Kind = 11 // Count: clients whose acks will follow
	KindBroadcastAck            Kind = 12 // Data: one client's ack, an array of arguments
	KindBroadcastClientsMissing Kind = 64 // Count: clients that left without an ack; no counterpart in Node
)

// Message is what travels between nodes.
type Message struct {
	Kind      Kind
	Node      string // the sender's id; set by the bus
	RequestID string // empty where no answer is wanted

	// Target: the sockets in any of Rooms (none: all of the namespace) and in none of Except.
	Rooms, Except []string

	Volatile   bool          // KindBroadcast: may be dropped where a client isn't ready
	NoCompress bool          // KindBroadcast
	Timeout    time.Duration // KindBroadcast with a RequestID: how long acks are waited for; 0: no bound
	Close      bool          // KindDisconnectSockets: close the connection too
	Arguments  []string      // rooms to join or leave
	Count      int

	// Data is a JSON array: the event's name and arguments, or those of an ack. Binary values in it are
	// placeholders {"_placeholder":true,"num":n} for Attachments[n], as in Socket.IO's own packets.
	Data        []byte
	Attachments [][]byte

	Sockets []SocketInfo
}

// SocketInfo describes a socket to another node.
type SocketInfo struct {
	ID        string
	Handshake []byte // JSON, in the shape of Node's socket.handshake
	Rooms     []string
	Data      []byte // JSON
}

// size is about what the message holds, in bytes.
func (m *Message) size() int {
	n := 256 + len(m.Data)
	for _, a := range m.Attachments {
		n += len(a)
	}
	for i := range m.Sockets {
		n += 256 + len(m.Sockets[i].Handshake) + len(m.Sockets[i].Data)
	}
	return n
}
