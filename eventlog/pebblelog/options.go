package pebblelog

import (
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/rs/zerolog"
)

// Options of a store. The zero value is a good one for a server: synced commits and small memory.
type Options struct {
	// NoSync acknowledges a commit before it is synced: it survives neither a crash of the machine nor,
	// for the last 32 KB or so, of the process. A store that ended so gives its logs new epochs.
	NoSync bool

	// CacheSize bounds the memory for blocks read from disk, in bytes. 0 is 8 MB.
	CacheSize int64
	// MemTableSize bounds the memory for what is not yet in sorted files, in bytes; up to twice as much is
	// used while it is written out. It is also the size of a write-ahead log file, of which up to five are
	// on disk; logs with small byte bounds make it smaller. 0 is 4 MB.
	MemTableSize int64
	// MaxPending bounds the bytes of records that wait for a commit. Past it batches are refused with
	// eventlog.ErrFull, so that a disk that has stalled doesn't take the memory. 0 is 64 MB.
	MaxPending int64
	// Reserve is the room that is left free on the file system: with less, batches are refused with
	// eventlog.ErrFull, while reads, trimming and deletes go on. 0 is 64 MB, or an eighth of the file
	// system when that is less; negative is none.
	Reserve int64

	// Logger gets a line when the store stops or resumes taking appends, and Pebble's own errors.
	Logger zerolog.Logger

	fs vfs.FS // tests put their own here
	// retryAfter is the first pause before a failed store is tried again; 0 is defaultRetry.
	retryAfter time.Duration
}

const (
	defaultCacheSize    = 8 << 20
	defaultMemTableSize = 4 << 20
	minFlushBytes       = 128 << 10
	defaultMaxPending   = 64 << 20
	defaultReserve      = 64 << 20
	defaultRetry        = 250 * time.Millisecond
	maxRetry            = 15 * time.Second
)

func (o Options) withDefaults() Options {
	if o.CacheSize <= 0 {
		o.CacheSize = defaultCacheSize
	}
	if o.MemTableSize <= 0 {
		o.MemTableSize = defaultMemTableSize
	}
	if o.MaxPending <= 0 {
		o.MaxPending = defaultMaxPending
	}
	if o.fs == nil {
		o.fs = vfs.Default
	}
	if o.retryAfter <= 0 {
		o.retryAfter = defaultRetry
	}
	return o
}
