package socketio

import (
	"reflect"
)

// Registrar is what takes event handlers: a Namespace or a ParentNamespace.
type Registrar interface {
	On(event string, f func(e *Event) error)
}

// Handle sets a typed handler of an event: its first argument is decoded into In, and Out answers the
// acknowledgement if the client asks for one.
//
// With In struct{} the arguments are not looked at. A client that sends no argument gets an error, unless
// In is a pointer or an interface, which is nil then. With Out struct{} the answer has no arguments. A
// handler that calls Event.Ack itself is not answered for again.
func Handle[In, Out any](n Registrar, event string, f func(e *Event, in In) (Out, error)) {
	var (
		inType     = reflect.TypeFor[In]()
		ignoreIn   = inType == reflect.TypeFor[struct{}]()
		optionalIn = inType.Kind() == reflect.Pointer || inType.Kind() == reflect.Interface
		noOut      = reflect.TypeFor[Out]() == reflect.TypeFor[struct{}]()
	)
	n.On(event, func(e *Event) error {
		var in In
		if !ignoreIn && !(optionalIn && len(e.Args) == 0) {
			if err := e.Args.Bind(&in); err != nil {
				return err
			}
		}
		out, err := f(e, in)
		if err != nil || !e.HasAck() || e.acked.Load() {
			return err
		}
		if noOut {
			return e.Ack()
		}
		return e.Ack(out)
	})
}
