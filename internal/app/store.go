package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/rs/zerolog"

	"holdfast/eventlog"
	"holdfast/eventlog/pebblelog"
	"holdfast/handlers"
	"holdfast/internal/config"
	"holdfast/internal/httpapi"
	"holdfast/namespaces"
	"holdfast/queue"
	"holdfast/socketio"
)

// storeDir is the event store's place in data_dir.
func storeDir(c *config.Config) string { return filepath.Join(c.DataDir, "events") }

// openStore opens the event store that c asks for; nil without one.
func openStore(c *config.Config, logger zerolog.Logger) (eventlog.Store, error) {
	switch {
	case !c.Recovery.Enabled && !c.Queues.Enabled:
		return nil, nil //nolint:nilnil // no store is no error
	case c.Recovery.Durability == config.DurabilityMemory:
		logger.Warn().Msg("recovery.durability is memory: events survive dropped connections, but no restart and no crash")
		return eventlog.NewMemory(), nil
	}
	store, err := pebblelog.Open(storeDir(c), pebblelog.Options{Logger: logger})
	switch {
	case errors.Is(err, eventlog.ErrCorrupt):
		return nil, fmt.Errorf("%w\nthe store is not touched; holdfast repair sets it aside, keeps what can be read, and starts a new one", err)
	case errors.Is(err, pebblelog.ErrLocked):
		return nil, fmt.Errorf("%w\nanother server uses this data_dir", err)
	case err != nil:
		return nil, err
	}
	return store, nil
}

// recoverNamespaces has the namespaces that c names keep what their clients miss.
func (a *App) recoverNamespaces() error {
	if !a.config.Recovery.Enabled {
		return nil
	}
	r := a.config.Recovery
	for _, name := range r.Namespaces {
		log, err := a.store.Open("ns:"+name, eventlog.Retention{
			MaxAge:    r.MaxAge,
			MaxEvents: uint64(r.MaxEvents),
			MaxBytes:  int64(r.MaxBytes),
		})
		if err != nil {
			return fmt.Errorf("open the event log of namespace %s: %w", name, err)
		}
		o := socketio.DefaultRecoveryOptions(log)
		o.Window = r.Window
		o.SkipMiddlewares = r.SkipMiddlewares
		o.MaxEvents = r.MaxMissedEvents
		o.MaxBytes = int(r.MaxMissedBytes)
		if err := a.io.Of(name).Recover(o); err != nil {
			return err
		}
	}
	return nil
}

// storeCheck says in /readyz why events are not kept.
func storeCheck(store eventlog.Store) httpapi.Check {
	return httpapi.Check{Name: "store", Probe: func(context.Context) error { return store.Err() }}
}

// namespaces registers those of package namespaces.
func (a *App) namespaces(io *socketio.Server) error {
	deps := namespaces.Deps{Logger: a.logger}
	if q := a.config.Queues; q.Enabled {
		if err := a.openQueues(); err != nil {
			return err
		}
		longest := q.AckTimeout
		declared, err := q.Declared()
		if err != nil {
			return err
		}
		for _, bounds := range declared {
			longest = max(longest, bounds.AckTimeout)
		}
		deps.Queues = handlers.NewQueues(a.queues, q.Token, doneWait*longest)
	}
	return namespaces.Register(io, deps)
}

// doneWait is for how many times the longest ack_timeout a late done is listened for.
const doneWait = 4

func (a *App) openQueues() error {
	q := a.config.Queues
	log, err := a.store.Open("queues", eventlog.Retention{})
	if err != nil {
		return fmt.Errorf("open the log of the queues: %w", err)
	}
	o := queue.Options{
		Default: queue.QueueOptions{
			MaxMessages:     q.MaxMessages,
			MaxBytes:        int64(q.MaxBytes),
			MaxMessageBytes: int(q.MaxMessageBytes),
			AckTimeout:      q.AckTimeout,
			MaxAttempts:     q.MaxAttempts,
			MinBackoff:      q.MinBackoff,
			MaxBackoff:      q.MaxBackoff,
		},
		Queues:       map[string]queue.QueueOptions{},
		DedupeWindow: q.DedupeWindow,
		MaxQueues:    q.MaxQueues,
		Logger:       a.logger,
	}
	declared, err := q.Declared()
	if err != nil {
		return err
	}
	for name, bounds := range declared {
		own := o.Default
		own.MaxMessages, own.MaxBytes = bounds.MaxMessages, int64(bounds.MaxBytes)
		own.AckTimeout, own.MaxAttempts = bounds.AckTimeout, bounds.MaxAttempts
		o.Queues[name] = own
	}
	a.queues, err = queue.Open(log, o)
	return err
}

// end shuts the protocol down and then closes the store, which what is queued for the log needs until then.
func (a *App) end(ctx context.Context) error {
	return errors.Join(a.io.Shutdown(ctx), a.closeStore())
}

func (a *App) closeStore() error {
	var err error
	if a.queues != nil {
		err = a.queues.Close()
	}
	if a.store != nil {
		err = errors.Join(err, a.store.Close())
	}
	return err
}
