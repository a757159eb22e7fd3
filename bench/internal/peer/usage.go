//go:build linux

package peer

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is what all threads of a process, ended ones too, have used: user and system together, with the
// scheduler's own resolution of a nanosecond. The clock's number is made as the kernel makes it from a pid
// (clock_getcpuclockid(3)).
func cpuTime(pid int) (time.Duration, error) {
	const scheduled = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &ts); err != nil {
		return 0, fmt.Errorf("cpu clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// OwnCPU is what this process has used so far.
func OwnCPU() time.Duration {
	d, err := cpuTime(os.Getpid())
	if err != nil {
		return 0
	}
	return d
}

var errNoRSS = errors.New("no Rss line in smaps_rollup")

// residentKB is the resident set of a process in units of 1,024 bytes, from smaps_rollup (exact, unlike statm,
// whose counters are kept per core). What the kernel holds for its sockets isn't in it.
func residentKB(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, fmt.Errorf("resident set: %w", err)
	}
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte("Rss:")); ok {
			n, err := strconv.ParseInt(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte("kB")))), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("resident set: %w", err)
			}
			return n, nil
		}
	}
	return 0, errNoRSS
}

// RaiseFileLimit lifts the soft limit of open files to the hard one, for this process and those it starts, and
// returns it.
func RaiseFileLimit() (uint64, error) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 0, fmt.Errorf("file limit: %w", err)
	}
	r.Cur = r.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 0, fmt.Errorf("file limit: %w", err)
	}
	return r.Cur, nil
}
