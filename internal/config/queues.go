package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// QueueBounds are the settings of one queue.
type QueueBounds struct {
	MaxMessages int
	MaxBytes    Size
	AckTimeout  time.Duration
	MaxAttempts int
}

// Declared are the queues of queues.declare with their bounds; what one does not set is as for all.
func (q Queues) Declared() (map[string]QueueBounds, error) {
	all := make(map[string]QueueBounds, len(q.Declare))
	var errs []error
	for _, line := range q.Declare {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		name := fields[0]
		if _, twice := all[name]; twice {
			errs = append(errs, fmt.Errorf("%q is declared twice", name))
			continue
		}
		bounds := QueueBounds{MaxMessages: q.MaxMessages, MaxBytes: q.MaxBytes, AckTimeout: q.AckTimeout, MaxAttempts: q.MaxAttempts}
		for _, setting := range fields[1:] {
			if err := bounds.set(setting); err != nil {
				errs = append(errs, fmt.Errorf("%q: %w", name, err))
			}
		}
		all[name] = bounds
	}
	return all, errors.Join(errs...)
}

func (b *QueueBounds) set(setting string) error {
	name, text, _ := strings.Cut(setting, "=")
	var err error
	switch name {
	case "max_messages":
		b.MaxMessages, err = positive(text)
	case "max_attempts":
		b.MaxAttempts, err = positive(text)
	case "max_bytes":
		if b.MaxBytes, err = parseSize(text); err == nil && b.MaxBytes <= 0 {
			err = errors.New("must be more than zero")
		}
	case "ack_timeout":
		if b.AckTimeout, err = time.ParseDuration(text); err == nil && b.AckTimeout <= 0 {
			err = errors.New("must be more than zero")
		}
	default:
		return fmt.Errorf("%q is none of max_messages, max_bytes, ack_timeout, max_attempts", name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func positive(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err == nil && n <= 0 {
		err = errors.New("must be more than zero")
	}
	return n, err
}

func (l *loader) validateQueues(c *Config) {
	q := c.Queues
	if !q.Enabled {
		return
	}
	for _, bound := range []struct {
		key   string
		value int64
	}{
		{"queues.max_attempts", int64(q.MaxAttempts)},
		{"queues.max_messages", int64(q.MaxMessages)},
		{"queues.max_bytes", int64(q.MaxBytes)},
		{"queues.max_message_bytes", int64(q.MaxMessageBytes)},
		{"queues.max_queues", int64(q.MaxQueues)},
	} {
		if bound.value < 1 {
			l.reject(bound.key, "must be at least 1")
		}
	}
	l.atLeast("queues.ack_timeout", q.AckTimeout, time.Second)
	l.atLeast("queues.min_backoff", q.MinBackoff, time.Millisecond)
	l.atLeast("queues.max_backoff", q.MaxBackoff, q.MinBackoff)
	l.atLeast("queues.dedupe_window", q.DedupeWindow, time.Second)
	if _, err := q.Declared(); err != nil {
		l.reject("queues.declare", "%v", err)
	}
}
