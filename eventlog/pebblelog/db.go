package pebblelog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/rs/zerolog"

	"holdfast/eventlog"
)

// layoutVersion is the format of Pebble's files. It is raised on purpose, not by a new release of the
// module, since it can't be lowered again.
const layoutVersion = pebble.FormatValueSeparation

func (s *Store) pebbleOptions(g *guard, d *damage) *pebble.Options {
	o := &pebble.Options{
		FS:                          g,
		Lock:                        s.lock,
		Logger:                      pebbleLogger{s.opts.Logger, g},
		FormatMajorVersion:          layoutVersion,
		CacheSize:                   s.opts.CacheSize,
		MemTableSize:                uint64(s.opts.MemTableSize),
		MemTableStopWritesThreshold: 2,
		// Small files: what is trimmed goes with the file that holds it.
		L0CompactionThreshold: 4,
		L0StopWritesThreshold: 1000, // see awaitRoom, which a frozen guard ends
		LBaseMaxBytes:         64 << 20,
		MaxManifestFileSize:   512 << 10,
		MaxOpenFiles:          256,
		FlushDelayDeleteRange: 500 * time.Millisecond,
		CompactionConcurrencyRange: func() (int, int) {
			if s.flushBytes.Load() < s.opts.MemTableSize/2 {
				return 1, 1 // what two write anew at a time would weigh on a small byte bound
			}
			return 1, 2
		},
	}
	o.Experimental.FileCacheShards = 2
	for i := range o.TargetFileSizes {
		o.TargetFileSizes[i] = min(int64(1)<<(19+i), 8<<20)
	}
	o.TargetFileSizes[1] = 512 << 10 // all there is in a store below LBaseMaxBytes
	o.EventListener = &pebble.EventListener{
		BackgroundError: func(err error) {
			if !g.frozen.Load() {
				s.opts.Logger.Warn().Err(err).Msg("event store: background work failed")
			}
		},
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			d.file.CompareAndSwap(nil, &info.Path)
			s.opts.Logger.Error().Err(info.Details).Str("file", info.Path).Msg("event store is damaged")
		},
	}
	return o
}

// damage remembers the first file that Pebble reported.
type damage struct{ file atomic.Pointer[string] }

func (d *damage) path() string {
	if p := d.file.Load(); p != nil {
		return *p
	}
	return ""
}

// pebbleLogger passes on what Pebble logs. Fatalf must not end the process: it ends all writing instead.
type pebbleLogger struct {
	zerolog.Logger
	g *guard
}

func (l pebbleLogger) Infof(format string, args ...any) {
	if e := l.Trace(); e.Enabled() {
		e.Msgf("pebble: "+format, args...)
	}
}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.Logger.Error().Msgf("pebble: "+format, args...)
}

func (l pebbleLogger) Fatalf(format string, args ...any) {
	l.Logger.Error().Msgf("pebble: "+format, args...)
	l.g.freeze(fmt.Errorf("pebble: "+format, args...))
}

// readError gives an error of the database the package's own form.
func (s *Store) readError(err error) error {
	if errors.Is(err, eventlog.ErrCorrupt) {
		return fmt.Errorf("%w in %s", err, s.dir)
	}
	return asCorrupt(err, s.opts.fs, s.dir, "", "")
}

var (
	fileName  = regexp.MustCompile(`\b(\d{6,}\.(?:sst|log|blob)|MANIFEST-\d+|OPTIONS-\d+|marker\.[\w.-]+)`)
	walNumber = regexp.MustCompile(`(?i)\bwal (\d+)`)
	sstNumber = regexp.MustCompile(`(?i)\b(?:file|table|sstable) (\d+)`)
)

// asCorrupt wraps eventlog.ErrCorrupt, with the name of the file, around an error that says the database
// is damaged. reported is the file that Pebble named itself; opened the one it opened last.
func asCorrupt(err error, fs vfs.FS, dir, reported, opened string) error {
	if err == nil || errors.Is(err, eventlog.ErrCorrupt) {
		return err
	}
	text := fmt.Sprintf("%+v", err) // with the details that Pebble attaches
	missing := errors.Is(err, os.ErrNotExist)
	if !pebble.IsCorruptionError(err) && !missing && !decodes(text) {
		return err
	}
	name := reported
	if name == "" {
		name = fileIn(text)
	}
	if name == "" {
		name = opened
	}
	if name == "" {
		name = dir
	} else if !strings.ContainsRune(name, filepath.Separator) {
		name = fs.PathJoin(dir, name)
	}
	return fmt.Errorf("%w: %s: %w", eventlog.ErrCorrupt, name, err)
}

// decodes says whether an error that Pebble doesn't mark as corruption nevertheless means it.
func decodes(text string) bool {
	for _, s := range []string{"invalid chunk", "zeroed chunk", "checksum mismatch", "unexpected EOF", "malformed", "corrupt", "pebble: database", "could not parse"} {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}

// fileIn finds the name of a file of the database in an error's text.
func fileIn(text string) string {
	if m := fileName.FindString(text); m != "" {
		return m
	}
	if m := walNumber.FindStringSubmatch(text); m != nil {
		return padded(m[1]) + ".log"
	}
	if m := sstNumber.FindStringSubmatch(text); m != nil {
		return padded(m[1]) + ".sst"
	}
	return ""
}

func padded(n string) string { return strings.Repeat("0", max(6-len(n), 0)) + n }

func newStoppedTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// diskSize sums up what the files of a directory take. Files that go meanwhile count nothing.
func diskSize(fs vfs.FS, dir string) int64 {
	names, err := fs.List(dir)
	if err != nil {
		return 0
	}
	sum := int64(0)
	for _, name := range names {
		if info, err := fs.Stat(fs.PathJoin(dir, name)); err == nil && !info.IsDir() {
			sum += allocated(info)
		}
	}
	return sum
}
