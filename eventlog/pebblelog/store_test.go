package pebblelog

import (
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"holdfast/eventlog"
	"holdfast/eventlog/logtest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDirVar); dir != "" {
		crashChild(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// mustOpen opens a store that the test ends.
func mustOpen(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return s
}

// TestDisk runs the suite on a real directory, and on an in-memory file system that knows what was synced.
func TestDisk(t *testing.T) {
	t.Parallel()
	logtest.Run(t, logtest.Backend{
		Open: func(t *testing.T) eventlog.Store { return mustOpen(t, t.TempDir(), Options{}) },
		Reopen: func(t *testing.T, closed eventlog.Store) eventlog.Store {
			return mustOpen(t, closed.(*Store).dir, Options{})
		},
	})
}

func TestNoSync(t *testing.T) {
	t.Parallel()
	logtest.Run(t, logtest.Backend{
		Open: func(t *testing.T) eventlog.Store { return mustOpen(t, t.TempDir(), Options{NoSync: true}) },
		Reopen: func(t *testing.T, closed eventlog.Store) eventlog.Store {
			return mustOpen(t, closed.(*Store).dir, Options{NoSync: true})
		},
	})
}

// TestPowerLoss runs the suite on a file system that forgets, in a crash, a random part of what was not
// synced.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	open := func(t *testing.T, fs vfs.FS) eventlog.Store {
		return mustOpen(t, "data", Options{fs: fs})
	}
	logtest.Run(t, logtest.Backend{
		Open: func(t *testing.T) eventlog.Store { return open(t, vfs.NewCrashableMem()) },
		Reopen: func(t *testing.T, closed eventlog.Store) eventlog.Store {
			return open(t, closed.(*Store).opts.fs)
		},
		Crash: func(t *testing.T, running eventlog.Store) eventlog.Store {
			mu.Lock()
			defer mu.Unlock()
			fs := running.(*Store).opts.fs.(*vfs.MemFS)
			return open(t, fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng}))
		},
	})
}
