//go:build linux

package scenario

import (
	"time"

	"holdfast/bench/internal/client"
)

// Memory counts as settled when it changed by less than settleShare in settleStep; a server gets settleMost for
// it at most (a garbage collector may take its time).
const (
	settleStep  = time.Second
	settleMost  = 8 * time.Second
	settleShare = 0.005
)

type idle struct{ crowd }

// Idle opens conns connections one after another (64 under way at once), then leaves them alone.
func Idle(conns int) func(*Env) (Figures, error) {
	return func(env *Env) (Figures, error) {
		before, err := settle(env)
		if err != nil {
			return nil, err
		}
		i := &idle{}
		w, err := env.begin()
		if err != nil {
			return nil, err
		}
		if err := i.gather(env, conns, client.WebSocket, i); err != nil {
			return nil, err
		}
		gathered := time.Duration(env.Loop.Now() - w.start)
		// What a server does just after the last handshake belongs to it.
		if err := env.run(200 * time.Millisecond); err != nil {
			return nil, err
		}
		figures, err := env.end(w, conns, gathered, &i.latency)
		if err != nil {
			return nil, err
		}
		after, err := settle(env)
		if err != nil {
			return nil, err
		}
		figures[KBPerConn] = float64(after-before) / float64(conns)
		figures[Lost] = float64(i.dropped)
		figures[Dropped] = float64(i.dropped)
		return figures, nil
	}
}

// settle waits until the server's resident set no longer changes, and returns it.
func settle(env *Env) (int64, error) {
	last, err := env.Server.ResidentKB()
	if err != nil {
		return 0, err
	}
	for end := env.Loop.Now() + int64(settleMost); env.Loop.Now() < end; {
		if err := env.run(settleStep); err != nil {
			return 0, err
		}
		now, err := env.Server.ResidentKB()
		if err != nil {
			return 0, err
		}
		change := float64(now-last) / float64(last)
		last = now
		if change < settleShare && change > -settleShare {
			break
		}
	}
	return last, nil
}
