package handlers

import "holdfast/socketio"

// Echo answers the acknowledgement with the arguments as they came, binary ones too. Without an
// acknowledgement it emits the same event back to the sender.
func Echo(e *socketio.Event) error {
	if e.HasAck() {
		return e.Ack(e.Args)
	}
	return e.Socket.Emit(e.Name, e.Args)
}
