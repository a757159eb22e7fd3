//go:build !linux

package engineio

import "errors"

// poller would wait for many connections at once. Here each has a goroutine that waits for it.
type poller struct{}

func newPoller(*Server) (*poller, error) { return nil, errors.ErrUnsupported }

func (*poller) run()              {}
func (*poller) close()            {}
func (*poller) add(*wsConn) error { return errors.ErrUnsupported }
func (*poller) remove(*wsConn)    {}
func (*poller) push(*wsConn)      {}
