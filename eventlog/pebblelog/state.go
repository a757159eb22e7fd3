package pebblelog

import (
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"holdfast/eventlog"
)

// Get implements eventlog.Log.
func (l *Log) Get(ctx context.Context, key string) ([]byte, error) {
	if l.isClosed() {
		return nil, eventlog.ErrClosed
	}
	v, err := l.store.views.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer v.release()
	value, closer, err := v.snap.Get(l.stateKey(key))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, eventlog.ErrNotFound
	}
	if err != nil {
		return nil, l.store.readError(err)
	}
	value = append([]byte{}, value...)
	return value, closer.Close()
}

// Scan implements eventlog.Log.
func (l *Log) Scan(ctx context.Context, prefix, after string, f func(string, []byte) bool) (err error) {
	if l.isClosed() {
		return eventlog.ErrClosed
	}
	v, err := l.store.views.acquire(ctx)
	if err != nil {
		return err
	}
	defer v.release()
	lower := l.stateKey(prefix)
	it, err := v.snap.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upperBound(lower)})
	if err != nil {
		return l.store.readError(err)
	}
	defer func() {
		if err = errors.Join(err, it.Close()); err != nil && ctx.Err() == nil {
			err = l.store.readError(err)
		}
	}()
	ok := false
	if after == "" {
		ok = it.First()
	} else {
		ok = it.SeekGE(append(l.stateKey(after), 0))
	}
	for n := 1; ok; n, ok = n+1, it.Next() {
		if n%256 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if !f(string(it.Key()[logPrefixLen:]), value) {
			return nil
		}
	}
	return nil
}
